//! What a VM is started with: which pair of kernel and initrd it boots, its copy that no guest can change, and its scratch
//! disks.
//!
//! All of it is over folders, files and shares as [`crate::files`] declares them: the hook stages on the file system, and the
//! host in memory stages in its tree, by the same functions.

mod beside;
mod choosing;
mod fresh;
mod generations;
mod master;
mod receipts;
mod said;
mod share;

pub use beside::{beside_note, may_be_of, noted_beside};
pub use choosing::{Choosing, MayNotInstall, may_install, wanted_id};
pub use fresh::{DomainDisk, RenewError, renew};
pub use generations::{Arrival, Generations, Incoming, Rules, StageError, Staged, files};
pub use master::{StagedFile, Unverified};
pub use receipts::{ReceiptError, stage_installer};
pub use said::Said;
