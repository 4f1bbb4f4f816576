//! How values of every type are read, whatever they are in: all nesting is in the implementations of one trait.

use super::fields::{Field, Fields, Spanned, wrong_type};
use super::key::{Key, Map, ValueType};
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use crate::values::VmName;
use crate::yaml::{Kind, Node, Sources, Value, at};
use std::ops::Range;

/// What a VM's values are read with.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) sources: &'a Sources<'a>,
    /// The map that the language begins with.
    pub(crate) root: &'static Map,
    /// The VM's name, and where it is declared.
    pub(crate) vm: Checked<&'a Spanned<VmName>>,
}

/// What may stand at a key.
pub(crate) trait Typed {
    /// Whether something is called by it, so that `null` is no way to leave it out.
    const IS_NAME: bool = false;
    fn value_type() -> ValueType;
}

/// What may stand at a key, and how it is read.
pub(crate) trait Readable: Typed {
    type Value;
    /// What could be read, with places.
    type Partial;

    fn read(field: &Field<'_>, scope: Scope<'_>, found: &mut Diagnostics)
    -> Checked<Self::Partial>;
    /// What it means that nothing is given.
    fn absent(missing: &Missing<'_, '_>, found: &mut Diagnostics) -> Checked<Self::Partial> {
        Err(missing.missing(found))
    }
    fn finish(partial: Self::Partial) -> Checked<Self::Value>;
    /// Finds what is wrong with a value whose parts are all of the right type.
    fn check(_: &Self::Partial, _: &mut Vec<Problem>) {}
    /// The value as a fleet file has it.
    fn written(value: &Self::Value) -> Written;
}

/// A map whose keys are declared.
pub(crate) trait Declared: Readable {
    const MAP: &'static Map;
}

/// A map that stands in lists.
pub(crate) trait Listed: Declared {
    /// What the list is called (`a list of disks`).
    const LIST: &'static str;
    /// What is said where there are several, if this version does only one.
    const SEVERAL: Option<&'static str>;
    /// Reports what is wrong with an entry, in whatever layer it is.
    fn check_entry(_: &Self::Partial, _: &mut Diagnostics) {}
}

/// What is one text, number or truth in the file.
pub(crate) trait Scalar {
    type Value;
    const IS_NAME: bool = false;
    fn value_type() -> ValueType;
    fn scalar(field: &Field<'_>, scope: Scope<'_>, found: &mut Diagnostics)
    -> Checked<Self::Value>;
    /// The value as a fleet file has it.
    fn written(value: &Self::Value) -> String;
}

/// A value as a fleet file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Nothing: the key is left out.
    Nothing,
    /// A number or a truth.
    Plain(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Keys and their values.
    Map(Vec<(String, Self)>),
}

impl Written {
    /// Every text and number with its key in full (`disks[0].path`).
    #[must_use]
    pub fn flat(&self) -> Vec<(String, &str)> {
        let mut flat = Vec::new();
        self.flatten("", &mut flat);
        flat
    }

    fn flatten<'w>(&'w self, name: &str, flat: &mut Vec<(String, &'w str)>) {
        match self {
            Self::Nothing => {}
            Self::Plain(text) | Self::Text(text) => flat.push((name.to_owned(), text)),
            Self::List(entries) => {
                for (number, entry) in entries.iter().enumerate() {
                    entry.flatten(&format!("{name}[{number}]"), flat);
                }
            }
            Self::Map(entries) => {
                let dot = if name.is_empty() { "" } else { "." };
                for (key, value) in entries {
                    value.flatten(&format!("{name}{dot}{key}"), flat);
                }
            }
        }
    }
}

/// A key that is not given, in a map that is.
pub(crate) struct Missing<'f, 'n> {
    pub(crate) fields: &'f Fields<'n>,
    pub(crate) key: &'static Key,
    pub(crate) scope: Scope<'f>,
}

impl<'n> Fields<'n> {
    /// A key that is not given.
    pub(crate) fn without<'f>(&'f self, key: &'static Key, scope: Scope<'f>) -> Missing<'f, 'n> {
        Missing {
            fields: self,
            key,
            scope,
        }
    }
}

impl Missing<'_, '_> {
    /// Reports that the key must be given.
    pub(crate) fn missing(&self, found: &mut Diagnostics) -> ErrorReported {
        self.fields.missing(self.key, found)
    }

    /// The value that a text stands for.
    pub(crate) fn default<T: Readable>(
        &self,
        text: &str,
        found: &mut Diagnostics,
    ) -> Checked<T::Partial> {
        // What follows from the VM's name is said where the VM is declared.
        let (text, place) = if text.contains("{name}") {
            let vm = self.scope.vm?;
            (&*text.replace("{name}", vm.value.as_str()), &vm.range)
        } else {
            (text, &self.fields.at)
        };
        let kind = match text.parse() {
            Ok(number) => Kind::Whole(number),
            Err(_) => text.parse().map_or(Kind::Text, Kind::Bool),
        };
        let value = Value::Scalar(text.to_owned(), kind);
        self.read::<T>(value, place, None, found)
    }

    /// A map in which nothing is given.
    pub(crate) fn as_empty<T: Readable>(&self, found: &mut Diagnostics) -> Checked<T::Partial> {
        self.read::<T>(Value::Null, &self.fields.at, Some(self.fields.map), found)
    }

    fn read<T: Readable>(
        &self,
        value: Value,
        place: &Range<usize>,
        missing_in: Option<&'static Map>,
        found: &mut Diagnostics,
    ) -> Checked<T::Partial> {
        let node = Node {
            range: place.clone(),
            alias: None,
            value,
        };
        let field = Field {
            name: format!("{}{}", self.fields.map.prefix, self.key.name),
            example: self.key.example,
            key: place.clone(),
            node: &node,
            missing_in,
        };
        T::read(&field, self.scope, found)
    }
}

impl<T: Scalar> Typed for T {
    const IS_NAME: bool = <T as Scalar>::IS_NAME;
    fn value_type() -> ValueType {
        <T as Scalar>::value_type()
    }
}

impl<T: Typed> Typed for Option<T> {
    fn value_type() -> ValueType {
        T::value_type()
    }
}

impl<T: Listed> Typed for Vec<T> {
    fn value_type() -> ValueType {
        ValueType::List(T::MAP)
    }
}

impl<T: Scalar> Readable for T {
    type Value = T::Value;
    type Partial = Spanned<T::Value>;

    fn read(
        field: &Field<'_>,
        scope: Scope<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Self::Partial> {
        let value = T::scalar(field, scope, found)?;
        Ok(Spanned::new(value, &field.node.range))
    }

    fn finish(partial: Self::Partial) -> Checked<Self::Value> {
        Ok(partial.value)
    }

    fn written(value: &Self::Value) -> Written {
        let text = T::written(value);
        match <T as Scalar>::value_type() {
            ValueType::Boolean | ValueType::Whole(..) => Written::Plain(text),
            _ => Written::Text(text),
        }
    }
}

impl<T: Readable> Readable for Option<T> {
    type Value = Option<T::Value>;
    type Partial = Option<T::Partial>;

    fn read(
        field: &Field<'_>,
        scope: Scope<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Self::Partial> {
        T::read(field, scope, found).map(Some)
    }

    fn absent(_: &Missing<'_, '_>, _: &mut Diagnostics) -> Checked<Self::Partial> {
        Ok(None)
    }

    fn finish(partial: Self::Partial) -> Checked<Self::Value> {
        partial.map(T::finish).transpose()
    }

    fn check(partial: &Self::Partial, problems: &mut Vec<Problem>) {
        if let Some(value) = partial {
            T::check(value, problems);
        }
    }

    fn written(value: &Self::Value) -> Written {
        value.as_ref().map_or(Written::Nothing, T::written)
    }
}

impl<T: Listed> Readable for Vec<T> {
    type Value = Vec<T::Value>;
    type Partial = Vec<Checked<T::Partial>>;

    fn read(
        field: &Field<'_>,
        scope: Scope<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Self::Partial> {
        let Value::List(entries) = &field.node.value else {
            return Err(wrong_type(field, T::LIST, found));
        };
        if let (Some(second), Some(message)) = (entries.get(1), T::SEVERAL) {
            found.report(at(ProblemKind::NotSupportedYet, second, message));
        }
        let entries = entries.iter().map(|node| {
            let field = Field {
                key: node.range.clone(),
                node,
                ..field.clone()
            };
            let entry = T::read(&field, scope, found)?;
            T::check_entry(&entry, found);
            Ok(entry)
        });
        Ok(entries.collect())
    }

    fn absent(_: &Missing<'_, '_>, _: &mut Diagnostics) -> Checked<Self::Partial> {
        Ok(Vec::new())
    }

    fn finish(partial: Self::Partial) -> Checked<Self::Value> {
        let entries = partial.into_iter().map(|entry| T::finish(entry?));
        entries.collect()
    }

    fn check(partial: &Self::Partial, problems: &mut Vec<Problem>) {
        for entry in partial.iter().flatten() {
            T::check(entry, problems);
        }
    }

    fn written(value: &Self::Value) -> Written {
        Written::List(value.iter().map(T::written).collect())
    }
}
