//! How values of every type are read, whatever they are in: all nesting is in the implementations of one trait.

use super::fields::{Field, Fields, Spanned};
use super::key::{Absence, Key, Map, ValueType};
use crate::problem::{Checked, Diagnostics, Problem};
use crate::yaml::{Kind, Node, Value};
use std::ops::Range;

/// What may stand at a key, and how it is read.
pub(crate) trait Readable {
    type Value;
    /// What could be read, with places.
    type Partial;
    const TYPE: ValueType;

    fn read(field: &Field<'_>) -> Checked<Self::Partial>;
    /// The meaning of an absent key.
    fn absent(fields: &Fields<'_>, key: &Key) -> Checked<Self::Partial> {
        Err(fields.missing(key))
    }
    fn finish(partial: Self::Partial) -> Checked<Self::Value>;
    /// Finds what is wrong with a value whose parts are all of the right type.
    fn check(_: &Self::Partial, _: &mut Vec<Problem>) {}
}

pub(crate) trait Declared: Readable {
    const MAP: &'static Map;
}

/// A map that is an entry of a list.
pub(crate) trait Listed: Declared {
    /// Finds what is wrong with an entry, also in a layer that no VM uses.
    fn check_entry(_: &Self::Partial) -> Option<Problem>;
}

/// A value that is a single text, number or boolean in the file.
pub(crate) trait Scalar {
    type Value;
    const TYPE: ValueType;
    fn scalar(field: &Field<'_>) -> Checked<Self::Value>;
}

/// What follows from the other keys of the same map.
type Derived<'d, T> = &'d dyn Fn(&Diagnostics) -> Checked<<T as Readable>::Partial>;

impl<'n> Fields<'n> {
    /// The value of a key, or the meaning of its absence, which may be `derived` from the keys before it.
    pub(crate) fn field<T: Readable>(
        &self,
        name: &str,
        derived: Option<Derived<'_, T>>,
    ) -> Checked<T::Partial> {
        if let Some(field) = self.get(name) {
            return T::read(field);
        }
        let key = self.map.find(name).ok_or(Diagnostics::left_open())?;
        match (derived, key.absence) {
            (Some(derived), _) => derived(self.of.scope.found),
            (None, Absence::Error) => Err(self.missing(key)),
            (None, Absence::Value(text)) => self.default::<T>(key, text),
            (None, Absence::Means(_)) => T::absent(self, key),
        }
    }

    fn default<T: Readable>(&self, key: &Key, text: &str) -> Checked<T::Partial> {
        // What follows from the VM's name is said where the VM is declared.
        let (text, place) = if text.contains("{name}") {
            let vm = self.of.scope.vm.ok_or(Diagnostics::left_open())??;
            (&*text.replace("{name}", vm.value.as_str()), &vm.range)
        } else {
            (text, &self.of.key)
        };
        let value = Value::Scalar(text.to_owned(), Kind::of(text));
        self.implied::<T>(key, value, place, None)
    }

    /// An absent map, read as an empty one.
    pub(crate) fn as_empty<T: Readable>(&self, key: &Key) -> Checked<T::Partial> {
        self.implied::<T>(key, Value::Null, &self.of.key, Some(self.map))
    }

    fn implied<T: Readable>(
        &self,
        key: &Key,
        value: Value,
        place: &Range<usize>,
        missing_in: Option<&'static Map>,
    ) -> Checked<T::Partial> {
        let node = Node::new(place.clone(), value);
        T::read(&Field {
            name: format!("{}{}", self.map.prefix, key.name),
            example: key.example,
            missing_in,
            ..Field::of_map(place, &node, self.of.scope)
        })
    }
}

impl<T: Scalar> Readable for T {
    type Value = T::Value;
    type Partial = Spanned<T::Value>;
    const TYPE: ValueType = <T as Scalar>::TYPE;

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
    const TYPE: ValueType = T::TYPE;

    fn read(field: &Field<'_>) -> Checked<Self::Partial> {
        T::read(field).map(Some)
    }

    fn absent(_: &Fields<'_>, _: &Key) -> Checked<Self::Partial> {
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
    const TYPE: ValueType = ValueType::List(T::MAP);

    fn read(field: &Field<'_>) -> Checked<Self::Partial> {
        let Value::List(entries) = &field.node.value else {
            return Err(field.wrong_type(&format!("a list of {}", field.name)));
        };
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

    fn absent(_: &Fields<'_>, _: &Key) -> Checked<Self::Partial> {
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
