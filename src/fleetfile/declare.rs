//! The declarations of the language: [`keys!`] of what may stand in a map, [`map!`] of a map that is read into a struct,
//! [`words!`] of a key's words. All that is known of a key is there; how values nest is in [`readable`](super::readable).
//!
//! What a key's absence means is one of: `required`; `default: "…"`, a value as it would be written; `absent: "…"`, whose
//! text says what its type makes of it; `derived(…): "…"`, by a function that sees the partial map.

/// The keys of a map, as a `&'static Map`.
macro_rules! keys {
    (
        $id:literal: $owner:literal, $prefix:literal, $place:literal $(, name: $named:literal)?;
        $(
            $(#[doc = $text:literal])+
            $key:ident: $value_type:expr => {
                $absence:ident $(($by:path))? $(: $said:literal)?,
                effect: $effect:expr, example: $example:literal $(, also_called: $other:tt)? $(,)?
            }
        )*
        $(planned $planned:tt)?
    ) => {
        {
            #[allow(unused_imports, reason = "not every map has each")]
            use $crate::fleetfile::declare::{absence, list, optional};
            #[allow(unused_imports, reason = "not every map has each")]
            use $crate::fleetfile::{Effect::*, Key, Map};

            &Map {
                id: $id,
                owner: $owner,
                place: $place,
                prefix: $prefix,
                named: optional!($($named)?),
                keys: &[$(Key {
                    name: stringify!($key),
                    text: concat!($($text),+),
                    value_type: $value_type,
                    absence: absence!($absence $($said)?),
                    effect: $effect,
                    example: $example,
                    also_called: list!($($other)?),
                }),*],
                planned: list!($($planned)?),
            }
        }
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($some:expr) => {
        Some($some)
    };
}

macro_rules! list {
    () => {
        &[]
    };
    ($list:expr) => {
        &$list
    };
}

macro_rules! absence {
    (required) => {
        $crate::fleetfile::Absence::Error
    };
    (default $value:literal) => {
        $crate::fleetfile::Absence::Value($value)
    };
    ($absence:ident $text:literal) => {
        $crate::fleetfile::Absence::Means($text)
    };
}

/// The reader of a key's value: its type, unless another is named.
macro_rules! reader {
    ($type:ty) => {
        $type
    };
    ($type:ty, $reader:ty) => {
        $reader
    };
}

/// A map: its struct, the struct of what could be read of it with places, and how one becomes the other.
macro_rules! map {
    (
        $(#[doc = $about:literal])+
        pub struct $map:ident, $partial:ident, $id:literal: $owner:literal, $prefix:literal, $place:literal
            $(, $called:ident: $name:ty, $named:literal)?
        {
            $(
                $(#[doc = $text:literal])+
                $key:ident: $type:ty $(as $reader:ty)? {
                    $absence:ident $(($by:path))? $(: $said:literal)?,
                    effect: $effect:expr, example: $example:literal
                    $(, also_called: $other:tt)? $(,)?
                },
            )*
        }
        $(planned $planned:tt)?
        $(checks [$($check:path),* $(,)?])?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        pub struct $map {
            $(
                /// Its name.
                pub $called: $name,
            )?
            $($(#[doc = $text])+ pub $key: $type,)*
        }

        /// The same, read as far as it can be.
        #[derive(Debug)]
        pub(crate) struct $partial {
            /// Where the map's own key is.
            #[allow(dead_code, reason = "not every map is pointed at as a whole")]
            pub(crate) at: std::ops::Range<usize>,
            $(pub(crate) $called: $crate::problem::Checked<$crate::fleetfile::Spanned<$name>>,)?
            $(pub(crate) $key: $crate::problem::Checked<
                <$crate::fleetfile::declare::reader!($type $(, $reader)?) as $crate::fleetfile::Readable>::Partial
            >,)*
        }

        const _: () = {
            use $crate::fleetfile::declare::{keys, optional, reader};
            use $crate::fleetfile::{Declared, Field, Fields, Key, Map, Readable, ValueType};
            use $crate::problem::{Checked, Diagnostics, Problem};

            impl Declared for $map {
                const MAP: &'static Map = keys! {
                    $id: $owner, $prefix, $place $(, name: $named)?;
                    $(
                        $(#[doc = $text])+
                        $key: <reader!($type $(, $reader)?) as Readable>::TYPE => {
                            $absence $(($by))? $(: $said)?,
                            effect: $effect, example: $example $(, also_called: $other)?
                        }
                    )*
                    $(planned $planned)?
                };
            }

            impl Readable for $map {
                type Value = Self;
                type Partial = $partial;
                const TYPE: ValueType = ValueType::Nested(Self::MAP);

                fn read(field: &Field<'_>) -> Checked<$partial> {
                    let fields = Fields::read(field, Self::MAP)?;
                    let mut partial = $partial {
                        at: field.key.clone(),
                        $($called: field.scope.vm.unwrap_or(Err(Diagnostics::left_open())).cloned(),)?
                        $($key: Err(Diagnostics::left_open()),)*
                    };
                    $(
                        partial.$key = fields.field::<reader!($type $(, $reader)?)>(
                            stringify!($key),
                            optional!($(&|found| $by(&partial, found))?),
                        );
                    )*
                    Ok(partial)
                }

                fn absent(fields: &Fields<'_>, key: &Key) -> Checked<$partial> {
                    fields.as_empty::<Self>(key)
                }

                fn finish(partial: $partial) -> Checked<Self> {
                    Ok(Self {
                        $($called: partial.$called?.value,)?
                        $($key: <reader!($type $(, $reader)?) as Readable>
                            ::finish(partial.$key?)?,)*
                    })
                }

                fn check(partial: &$partial, problems: &mut Vec<Problem>) {
                    $(
                        if let Ok(value) = &partial.$key {
                            <reader!($type $(, $reader)?) as Readable>
                                ::check(value, problems);
                        }
                    )*
                    $($(problems.extend($check(partial));)*)?
                }
            }
        };
    };
}

macro_rules! words {
    (
        $(#[doc = $about:literal])+
        pub enum $words:ident { $($(#[doc = $text:literal])+ $word:ident = $written:literal,)+ }
        $(planned $planned:tt)?
        $(also_called [$($other:literal = $meant:literal),* $(,)?])?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $words {
            $($(#[doc = $text])+ #[serde(rename = $written)] $word,)+
        }

        impl $words {
            /// The word for it in a fleet file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $written,)+
                }
            }
        }

        impl std::fmt::Display for $words {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        const _: () = {
            use $crate::fleetfile::declare::list;
            use $crate::fleetfile::{Field, Scalar, ValueType, Words};
            use $crate::problem::Checked;

            impl Scalar for $words {
                type Value = Self;

                const TYPE: ValueType = ValueType::Word(&[$($written),+]);

                fn scalar(field: &Field<'_>) -> Checked<Self> {
                    field.word(Words {
                        known: &[$(($written, Self::$word)),+],
                        planned: list!($($planned)?),
                        also_called: &[$($(($other, $meant)),*)?],
                    })
                }
            }
        };
    };
}

pub(crate) use {absence, keys, list, map, optional, reader, words};
