//! Which pair of kernel and initrd a VM boots, and its copy that no guest can change.
//!
//! All of it is over folders, files and shares as [`crate::files`] declares them: the hook stages on the file system, and the
//! host in memory stages in its tree, by the same functions.

mod choosing;
mod generations;
mod receipts;
mod said;
mod share;

pub use choosing::{Choosing, MayNotInstall, may_install, wanted_id};
pub use generations::{Generations, Incoming, Rules, StageError, Staged, Unverified, files};
pub use receipts::{ReceiptError, stage_installer};
pub use said::Said;
