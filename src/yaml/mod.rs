//! YAML with places: the text of one file or several as one tree, whose values know where they stand.

mod braced;
mod document;
mod look_alikes;
mod node;
mod places;
mod sources;
mod syntax;
mod unite;

pub(crate) use node::{Kind, Node, Value, at, describe, mend, suggest};
pub use sources::FleetFile;
pub(crate) use sources::Sources;
pub(crate) use unite::unite;
