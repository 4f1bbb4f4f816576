//! What armfleet leaves behind to know its own by: the owner mark in a domain's metadata, and the record beside it.

mod owner;
mod record;

pub use owner::{MARK_NAMESPACE, OwnerMark, render_mark};
pub use record::{
    Applied, AppliedBy, AppliedDevice, BootRecord, Record, RecordError, Wanted, read_record,
    render_record,
};
