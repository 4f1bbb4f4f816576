//! A domain's properties: one table drives everything about them.
//!
//! A row is a place in the XML, a codec, what the spec wants there and the way back, and when a change takes effect. Rows
//! live in the domain itself (`rows`) or in a kind of device (`kinds`, one file each). Reading, comparing, editing, reading
//! back and rendering a new domain all use the rows, so they cannot disagree: a new domain is the same edits on a skeleton.

mod compare;
mod differing;
mod edit;
mod given;
mod kind;
mod kinds;
mod moved;
mod numbering;
mod order;
mod pci;
mod placing;
mod row;
mod rows;
mod seen;
mod skeleton;
mod subject;
mod value;

pub use compare::{Cause, CompareInput, Comparison, Extent, RowChange, compare, render_new};
pub use differing::{Differing, differing_rows};
pub use edit::{DeviceRef, Edit, EditError, apply_edits, edited, with_secrets};
pub use given::read_back;
pub use kinds::{
    BACKING_FILE, CLOUD_INIT, DISK, FILESYSTEM, FORMAT, NETWORK, SHARE, applied_source,
    applied_sources, boot_share_of, has_devices_on_pci, networks_of, unguarded_paths,
};
pub use moved::{Difference, Moved, running_overlays};
pub use numbering::{Held, Renumbered};
pub use rows::ACCEL;
pub use seen::{arch_of, has_other_arch, memory_of, properties, uses};
pub use skeleton::skeleton;
pub use subject::Subject;
pub use value::Value;
