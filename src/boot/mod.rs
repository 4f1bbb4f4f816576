//! What a guest keeps in its `/boot`, and which of it boots: mapped links, the choice of a pair, checks of kernels and
//! initrds over their bytes, and the notes that are kept about pairs.
//!
//! Everything here reads what the guest wrote. No bytes make it panic, use unbounded memory, or print a control
//! character. It makes no call to the operating system; readers are given to it.

mod choice;
mod generation;
mod given;
mod hook_note;
mod initrd;
mod kernel;
mod kernel_kind;
mod limits;
mod mapped_link;
mod newc;
mod note;
mod owners;
mod share;
mod stop_note;
mod trial;
mod version;

use crate::format::Format;
use crate::paths;

pub use choice::{Candidate, Considered, PassedOver, Unusable, choose, is_of_interest};
pub use generation::Generation;
pub use given::{GivenAs, Unfit, unfit};
pub use hook_note::HookNote;
pub use initrd::{Contents, Initrd, InitrdError, InitrdFormat, is_wrapped, walk_initrd};
pub use kernel::{KernelError, check_kernel};
pub use kernel_kind::{KernelKind, PageSize};
pub use limits::{
    Allowance, CONFIRMATION_LIMIT, DTB_LIMIT, INITRD_LIMIT, KERNEL_LIMIT, LINK_TEXT_LIMIT,
    PAIR_LIMIT, PROCESSOR_TIME_LIMIT, READ_LIMIT, SHARE_NAME_LIMIT, UNPACKED_LIMIT, UsedUp,
    WINDOW_LIMIT,
};
pub use mapped_link::{BootFileName, LinkError, MODE_XATTR, MappedKind, link_target, mapped_kind};
pub use newc::{AddedFile, appended_files};
pub use note::{
    DTB_FORMAT, FileNote, GenerationId, INSTALLER_FORMAT, Identity, InstallerReceipt,
    NotAGeneration, Origin, PAIR_FORMAT, PairNote, PairSource, SEED_FORMAT, SeedPart, SeedReceipt,
    Timestamp, read_dtb_receipt, read_installer_receipt, read_pair_note, read_seed_receipt,
    render_dtb_receipt, render_installer_receipt, render_pair_note, render_seed_receipt,
};
pub use owners::{about_owners, keeps_what_it_takes};
pub use share::{Entry, Listing, ShareContents, ShareFolder, Unusual, read_share};
pub use stop_note::{GuestStop, STOP_NOTE};
pub use trial::{
    CONFIRMATION, Confirmation, Evidence, Failure, INSTALLED, LastStart, PROVING_TIME, Proof, Ran,
    STRIKES, Standing, TRIALS_FORMAT, Trial, TrialOutcome, Trials, ends_destroyed, read_uptime,
};
pub use version::KernelVersion;

/// What is kept beside a VM's staged pairs, each with what it says it is.
pub const STAGED_FILES: [(paths::PathOf, Format); 4] = [
    (paths::trials, TRIALS_FORMAT),
    (paths::current_pair, PAIR_FORMAT),
    (paths::seed_receipt, SEED_FORMAT),
    (paths::installer_receipt, INSTALLER_FORMAT),
];

/// The shim: the script that libvirt runs as its hook, and that runs `armfleet-hook`.
pub const SHIM: &str = include_str!("shim.sh");

/// SHA-256 of the shims of earlier releases. They work with this version's `armfleet-hook`, so one of them is replaced only
/// by an apply that has something else to do.
pub const EARLIER_SHIMS: [&str; 1] =
    ["d113efdc5e05e81b1a5c190786ba8d4754014942a10a1d6f5426992c3038fb52"];

/// What a guest needs to keep its kernels in its boot share: a script to be run in it.
pub const GUEST_SETUP: &str = include_str!("guest-setup.sh");
/// Where the script is in an installer.
pub const GUEST_SETUP_PATH: &str = "/armfleet-guest-setup";
