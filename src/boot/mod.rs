//! What a guest keeps in its `/boot`, and which of it boots: mapped links, the choice of a pair, checks of kernels and
//! initrds over their bytes, and the notes that are kept about pairs.
//!
//! Everything here reads what the guest wrote. No bytes make it panic, use unbounded memory, or print a control
//! character. It makes no call to the operating system; readers are given to it.

mod arch;
mod choice;
mod initrd;
mod kernel;
mod mapped_link;
mod note;
mod stop_note;
mod version;

pub use arch::GuestArch;
pub use choice::{
    Candidate, Considered, Entry, Listing, PassedOver, Unusable, choose, is_of_interest,
};
pub use initrd::{Initrd, InitrdFault, InitrdFormat, walk_initrd};
pub use kernel::{KernelFault, KernelFormat, check_kernel};
pub use mapped_link::{
    BootFileName, LINK_TEXT_LIMIT, LinkFault, MODE_XATTR, MappedKind, link_target, mapped_kind,
};
pub use note::{
    FileNote, GenerationId, Identity, NoteError, Origin, PairNote, PairSource, SeedPart,
    SeedReceipt, Sha256Hex, Timestamp, read_pair_note, read_seed_receipt, render_pair_note,
    render_seed_receipt,
};
pub use stop_note::{GuestStop, STOP_NOTE};
pub use version::KernelVersion;

/// The largest kernel that is staged, in bytes. Debian's are below 40 MiB.
pub const KERNEL_LIMIT: u64 = 64 << 20;
/// The largest initrd that is staged, in bytes. One with every module and firmware stays below 300 MiB.
pub const INITRD_LIMIT: u64 = 512 << 20;

/// The shim: the script that libvirt runs as its hook, and that runs `armfleet-hook`.
pub const SHIM: &str = include_str!("shim.sh");
