//! A domain's properties: one table drives everything about them.
//!
//! A [`table::Row`] is a place in the XML, a codec, what the spec wants there, and when a change takes effect. Rows live in
//! the domain itself or in a kind of device. Reading, comparing, editing and rendering a new domain all use the rows, so
//! they cannot disagree: a new domain is the same edits on a skeleton.

mod compare;
mod devices;
mod edit;
mod moved;
mod seen;
mod skeleton;
mod table;
mod value;

pub use compare::{
    Cause, Comparison, RowChange, compare, compare_drift, differing_rows, render_new,
};
pub use devices::{applied_source, applied_sources};
pub use edit::{DeviceRef, Edit, EditError, apply_edits};
pub use moved::{Difference, Moved, running_overlays};
pub use seen::properties;
pub use skeleton::skeleton;
pub use table::{arch_name, has_storage_on_pci};
pub use value::Value;

#[cfg(test)]
mod tests;
