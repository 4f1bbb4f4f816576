//! The language of fleet files, apart from what its keys are.

mod merge;
mod placeholder;
mod range;
mod suggest;

pub(crate) use merge::merge;
pub(crate) use placeholder::{Fault, expand};
pub(crate) use range::{Member, NameRange, Wrong, is_range};
pub(crate) use suggest::nearest;
