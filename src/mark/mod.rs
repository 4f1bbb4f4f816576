//! What armfleet leaves behind to know its own by: the owner mark in a domain's metadata, the record beside it, who holds
//! a VM, how its run ended, and the journal of what was done.

mod cloud_init;
mod fresh;
mod hold;
mod ids;
mod journal;
mod key;
mod lock_note;
mod owner;
mod record;
mod run;

pub use cloud_init::{
    CLOUD_INIT_FORMAT, CloudInitReceipt, read_cloud_init_receipt, render_cloud_init_receipt,
};
pub use fresh::{FRESH_FORMAT, FreshReceipt, read_fresh_receipt, render_fresh_receipt};
pub use hold::{HOLD_FORMAT, Hold, read_hold, render_hold};
pub use ids::{ARCH, CMDLINE, CONSOLE_LOG, DeviceId, KindId, PropertyId};
pub use journal::{
    Action, Beginning, CalledFrom, Entry, Event, Kept, LineError, StepTrace, read_entry,
    render_entry,
};
pub use key::{KEY_FORMAT, read_key, render_key};
pub use lock_note::LockNote;
pub use owner::{MARK_NAMESPACE, OwnerMark, render_mark};
pub use record::{
    Applied, AppliedBy, AppliedDevice, BootRecord, FreshBacking, FreshDisk, ImageState, Phase,
    Place, RECORD_FORMAT, Record, Wanted, read_record, render_record,
};
pub use run::{Moment, RUN_FORMAT, RunEnd, RunNote, RunStamp, read_run_note, render_run_note};
