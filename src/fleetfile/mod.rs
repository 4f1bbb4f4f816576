//! The language of fleet files, apart from what its keys are.

mod declarations;
pub(crate) mod declare;
mod expand;
pub(crate) mod explain;
mod fields;
mod key;
mod layers;
mod merge;
mod placeholder;
mod range;
mod readable;
mod scalars;
pub(crate) mod schema;
mod secrets;
mod suggest;
mod value_type;
mod vars;
mod written;

pub(crate) use declare::{keys, map, words};
pub(crate) use expand::{Placeholders, Room, Vars, environment_names};
pub(crate) use fields::{Field, Fields, Scope, Spanned};
pub(crate) use key::{Absence, Effect, Key, Map, ValueType};
pub(crate) use layers::{Layered, layered};
pub(crate) use readable::{Declared, Listed, Readable, Scalar};
pub(crate) use scalars::{Beside, InFolder, Words};
pub(crate) use secrets::{DeclaredSecrets, SECRET};
pub(crate) use suggest::nearest;
pub(crate) use vars::VAR;
pub(crate) use written::written;
