//! How values of every type are read, whatever they are in: all nesting is in the implementations of one trait.

use super::fields::{Field, Fields, Spanned};
use super::key::{Absence, Key, Map, ValueType};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::yaml::{Kind, Node, Value, at};
use std::ops::Range;

pub(crate) trait Typed {
    /// Whether something is called by it, so that `null` is no way to leave it out.
    const IS_NAME: bool = false;
    const TYPE: ValueType;
}

/// What may stand at a key, and how it is read.
pub(crate) trait Readable: Typed {
    type Value;
    /// What could be read, with places.
    type Partial;

    fn read(field: &Field<'_>) -> Checked<Self::Partial>;
    /// What it means that nothing is given.
    fn absent(missing: &Missing<'_, '_>) -> Checked<Self::Partial> {
        Err(missing.fields.missing(missing.key))
    }
    fn finish(partial: Self::Partial) -> Checked<Self::Value>;
    /// Finds what is wrong with a value whose parts are all of the right type.
    fn check(_: &Self::Partial, _: &mut Vec<Problem>) {}
}

pub(crate) trait Declared: Readable {
    const MAP: &'static Map;
}

/// A map that stands in lists.
pub(crate) trait Listed: Declared {
    /// What the list is called (`a list of disks`).
    const LIST: &'static str;
    /// What is said where there are several, if this version does only one.
    const SEVERAL: Option<&'static str>;
    /// Finds what is wrong with an entry, in whatever layer it is.
    fn check_entry(_: &Self::Partial) -> Option<Problem> {
        None
    }
}

/// What is one text, number or truth in the file.
pub(crate) trait Scalar {
    type Value;
    const IS_NAME: bool = false;
    const TYPE: ValueType;
    fn scalar(field: &Field<'_>) -> Checked<Self::Value>;
}

pub(crate) struct Missing<'f, 'n> {
    fields: &'f Fields<'n>,
    key: &'static Key,
}

/// What follows from the other keys of the same map.
type Derived<'d, T> = &'d dyn Fn(&Diagnostics) -> Checked<<T as Readable>::Partial>;

impl<'n> Fields<'n> {
    /// What stands at a key, or what it means that nothing does. That may follow from the keys before it.
    pub(crate) fn field<T: Readable>(
        &self,
        name: &str,
        derived: Option<Derived<'_, T>>,
    ) -> Checked<T::Partial> {
        if let Some(field) = self.get(name) {
            return T::read(field);
        }
        let key = self.map.find(name).ok_or(Diagnostics::left_open())?;
        let missing = Missing { fields: self, key };
        match (derived, key.absence) {
            (Some(derived), _) => derived(self.of.scope.found),
            (None, Absence::Error) => Err(self.missing(key)),
            (None, Absence::Value(text)) => missing.default::<T>(text),
            (None, Absence::Means(_)) => T::absent(&missing),
        }
    }
}

impl Missing<'_, '_> {
    fn default<T: Readable>(&self, text: &str) -> Checked<T::Partial> {
        // What follows from the VM's name is said where the VM is declared.
        let (text, place) = if text.contains("{name}") {
            let vm = self.fields.of.scope.vm;
            let vm = vm.ok_or(Diagnostics::left_open())??;
            (&*text.replace("{name}", vm.value.as_str()), &vm.range)
        } else {
            (text, &self.fields.of.key)
        };
        let value = Value::Scalar(text.to_owned(), Kind::of(text));
        self.read::<T>(value, place, None)
    }

    pub(crate) fn as_empty<T: Readable>(&self) -> Checked<T::Partial> {
        self.read::<T>(Value::Null, &self.fields.of.key, Some(self.fields.map))
    }

    fn read<T: Readable>(
        &self,
        value: Value,
        place: &Range<usize>,
        missing_in: Option<&'static Map>,
    ) -> Checked<T::Partial> {
        let node = Node {
            range: place.clone(),
            alias: None,
            value,
        };
        T::read(&Field {
            name: format!("{}{}", self.fields.map.prefix, self.key.name),
            example: self.key.example,
            missing_in,
            ..Field::of_map(place, &node, self.fields.of.scope)
        })
    }
}

impl<T: Scalar> Typed for T {
    const IS_NAME: bool = <T as Scalar>::IS_NAME;
    const TYPE: ValueType = <T as Scalar>::TYPE;
}

impl<T: Typed> Typed for Option<T> {
    const TYPE: ValueType = T::TYPE;
}

impl<T: Listed> Typed for Vec<T> {
    const TYPE: ValueType = ValueType::List(T::MAP);
}

impl<T: Scalar> Readable for T {
    type Value = T::Value;
    type Partial = Spanned<T::Value>;

    fn read(field: &Field<'_>) -> Checked<Self::Partial> {
        let value = T::scalar(field)?;
        Ok(Spanned::new(value, &field.node.range))
    }

    fn finish(partial: Self::Partial) -> Checked<Self::Value> {
        Ok(partial.value)
    }
}

impl<T: Readable> Readable for Option<T> {
    type Value = Option<T::Value>;
    type Partial = Option<T::Partial>;

    fn read(field: &Field<'_>) -> Checked<Self::Partial> {
        T::read(field).map(Some)
    }

    fn absent(_: &Missing<'_, '_>) -> Checked<Self::Partial> {
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
}

impl<T: Listed> Readable for Vec<T> {
    type Value = Vec<T::Value>;
    type Partial = Vec<Checked<T::Partial>>;

    fn read(field: &Field<'_>) -> Checked<Self::Partial> {
        let Value::List(entries) = &field.node.value else {
            return Err(field.wrong_type(T::LIST));
        };
        if let (Some(second), Some(message)) = (entries.get(1), T::SEVERAL) {
            field.report(at(ProblemKind::NotSupportedYet, second, message));
        }
        let entries = entries.iter().map(|node| {
            let entry = T::read(&Field {
                key: node.range.clone(),
                node,
                ..field.clone()
            })?;
            T::check_entry(&entry).map(|problem| field.report(problem));
            Ok(entry)
        });
        Ok(entries.collect())
    }

    fn absent(_: &Missing<'_, '_>) -> Checked<Self::Partial> {
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
}
