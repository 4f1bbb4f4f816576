//! Every limit on what a guest's bytes may cost the host, each with its reason. Hook, plan, status and watch go by these.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// The largest kernel that is staged, in bytes. Debian's are below 40 MiB.
pub const KERNEL_LIMIT: u64 = 64 << 20;
/// The largest device tree that is staged, in bytes: what Linux takes on arm64 (`MAX_FDT_SIZE`).
pub const DTB_LIMIT: u64 = 2 << 20;
/// The largest initrd that is staged, in bytes. One with every module and firmware stays below 300 MiB.
pub const INITRD_LIMIT: u64 = 512 << 20;

/// How many names of a share are looked at. A guest with a hundred kernels has a few hundred.
pub const SHARE_NAME_LIMIT: usize = 4096;
/// The longest text of a link, in bytes: Linux's PATH_MAX without the final NUL.
pub const LINK_TEXT_LIMIT: usize = 4095;
/// How many bytes of links' texts are kept of a share: those of the links by which a guest chooses and of what they name, and of
/// hundreds of ordinary links. What a plan keeps of a share stays small.
pub(super) const LINK_BYTES_LIMIT: usize = 64 << 10;
/// Of how many kernels, the newest ones, is looked at what they are for. A guest has a few.
pub(super) const KIND_LIMIT: usize = 64;
/// How many bytes of a compressed kernel are read to see what it is for, which its first 4 KiB tell. Any stream begins with as
/// much in less, but one that is made to give nothing.
pub(super) const KIND_READ_LIMIT: u64 = 64 << 10;
/// The longest confirmation of a guest, or word about its stop, in bytes. `guest-setup` writes less than half of it.
pub const CONFIRMATION_LIMIT: u64 = 256;

/// How many bytes of a share one start may copy: two pairs of the largest size, or every pair of an ordinary `/boot`.
pub const READ_LIMIT: u64 = 2 * (KERNEL_LIMIT + INITRD_LIMIT);
/// How many pairs of a share one start may copy. A guest has a few kernels; more than that is a share full of bad pairs, each
/// of which costs files and folders on the host.
pub const PAIR_LIMIT: usize = 8;
/// How many bytes of a share's initrds one start may unpack. Debian's largest initrds unpack to a few hundred MiB.
pub const UNPACKED_LIMIT: u64 = 1 << 30;
/// How much time of a processor one start may take for a share's bytes, over all pairs that it tries: looking, copying, digesting
/// and unpacking count. It is a few times what Debian's largest initrds take. A pair that was begun is copied to its end, and one
/// that is judged by its container boots, so that in all one start takes a few seconds more, and a seed as much again.
///
/// libvirt keeps the VM locked meanwhile, and whoever lists VMs waits for it: a minute at the most, after which the hook ends
/// itself. `watch` starts four VMs at once, so that four guests that do their worst need half of that minute on a host of one
/// processor. Time on the clock would let the host's load decide which kernel boots.
pub const PROCESSOR_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How much memory a decoder may take for what it refers back to, in bytes. An armhf kernel has 240 MiB for that and for
/// everything else it maps (`VMALLOC_RESERVE`); `xz -9` and `zstd --ultra --long` stay within it.
pub const WINDOW_LIMIT: u64 = 128 << 20;

/// What was used up before an initrd was unpacked to its end, or a pair was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsedUp {
    /// [`READ_LIMIT`].
    #[error("one start copies at most {} MiB of a boot share", READ_LIMIT >> 20)]
    Read,
    /// [`PAIR_LIMIT`].
    #[error("one start tries at most {PAIR_LIMIT} pairs of a boot share")]
    Pairs,
    /// [`UNPACKED_LIMIT`].
    #[error("one start unpacks at most {} GiB of initrds", UNPACKED_LIMIT >> 30)]
    Unpacked,
    /// [`PROCESSOR_TIME_LIMIT`].
    #[error("one start takes at most {} s of processor time", PROCESSOR_TIME_LIMIT.as_secs())]
    ProcessorTime,
}

/// What one start may still use for the bytes of a share.
pub struct Allowance {
    bytes: Cell<u64>,
    pairs: Cell<usize>,
    unpacked: Cell<u64>,
    /// The processor time that the thread has taken.
    clock: fn() -> Duration,
    until: Duration,
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance").finish_non_exhaustive()
    }
}

impl Allowance {
    /// All that one start may use; the clock tells what its thread has taken so far.
    #[must_use]
    pub fn of_a_start(clock: fn() -> Duration) -> Self {
        Self {
            bytes: Cell::new(READ_LIMIT),
            pairs: Cell::new(PAIR_LIMIT),
            unpacked: Cell::new(UNPACKED_LIMIT),
            clock,
            until: clock() + PROCESSOR_TIME_LIMIT,
        }
    }

    /// The same without a limit on time, where there is no clock.
    #[must_use]
    pub fn without_clock() -> Self {
        Self::of_a_start(|| Duration::ZERO)
    }

    /// The same from now on, for what is not the guest's.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self::of_a_start(self.clock)
    }

    /// Takes a pair of so many bytes.
    ///
    /// # Errors
    /// When that is more than there is left, or the time is over.
    pub fn read_pair(&self, size: u64) -> Result<(), UsedUp> {
        self.time()?;
        let pairs = self.pairs.get().checked_sub(1).ok_or(UsedUp::Pairs)?;
        let bytes = self.bytes.get().checked_sub(size).ok_or(UsedUp::Read)?;
        self.pairs.set(pairs);
        self.bytes.set(bytes);
        Ok(())
    }

    /// Takes bytes that were unpacked.
    ///
    /// # Errors
    /// When that is more than there is left, or the time is over.
    pub fn unpack(&self, size: usize) -> Result<(), UsedUp> {
        let left = self.unpacked.get().checked_sub(size as u64);
        self.unpacked.set(left.unwrap_or_default());
        left.ok_or(UsedUp::Unpacked)?;
        self.time()
    }

    /// # Errors
    /// When the time is over.
    pub fn time(&self) -> Result<(), UsedUp> {
        let in_time = (self.clock)() < self.until;
        in_time.then_some(()).ok_or(UsedUp::ProcessorTime)
    }
}
