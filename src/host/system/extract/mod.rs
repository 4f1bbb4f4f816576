//! A guest's first pair, out of its disk and into its boot share.

mod guestfish;

use super::SystemHost;
use crate::boot::{
    Allowance, BootFileName, Candidate, Entry, INSTALLED, InitrdError, KernelError, KernelVersion,
    Listing, MODE_XATTR, PairSource, PassedOver, Unusual, check_kernel, choose, is_of_interest,
    walk_initrd,
};
use crate::files::{Root, Share, processor_time};
use crate::host::failure::cannot;
use crate::host::primitives::{Owner, Primitives as _};
use crate::host::{Executor, HostError};
use crate::paths;
use crate::plan::Extraction;
use crate::trust::End;
use crate::values::Arch;
use guestfish::{Guestfish, GuestfishError};
use rustix::fs::XattrFlags;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where a guest's kernels are in a file system of its disk: beside everything else, or in one of their own.
const FOLDERS: [&str; 2] = ["/boot", "/"];
/// More file systems and files than a guest's disk has; a hostile one may have any number.
const MOST: usize = 64;

/// Types of files (inode(7)).
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// What was taken out of a disk.
pub struct Extracted {
    /// The kernel's version.
    pub version: KernelVersion,
    /// The file system that it was in, as libguestfs calls it.
    pub filesystem: String,
}

/// Why nothing was taken out.
#[derive(Debug, thiserror::Error)]
enum ExtractError {
    #[error(transparent)]
    Guestfish(#[from] GuestfishError),
    #[error("no file system of {disk} has a kernel with its initrd{seen}")]
    NoPair { disk: String, seen: String },
    #[error("{0} did not come out of it")]
    NotCopied(String),
    #[error("{name} is not a kernel to boot")]
    Kernel {
        name: String,
        #[source]
        source: KernelError,
    },
    #[error("{name} is not a whole initrd")]
    Initrd {
        name: String,
        #[source]
        source: InitrdError,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl ExtractError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Guestfish(GuestfishError::NotInstalled) => Some("apt install guestfish"),
            Self::Guestfish(GuestfishError::Silent) => Some(
                "where KVM is there and does not work: LIBGUESTFS_BACKEND_SETTINGS=force_tcg armfleet boot extract",
            ),
            Self::Guestfish(GuestfishError::Ended) => Some(
                "libguestfs needs a kernel in this host's /boot and emulation of its own processor: libguestfs-test-tool tells more",
            ),
            _ => None,
        }
    }
}

impl Executor<SystemHost> {
    /// Takes the first pair out of a VM's disk and puts it into the VM's boot share, which is made if it is not there.
    /// Nothing is written to the disk; neither apply nor watch starts the VM meanwhile.
    ///
    /// # Errors
    /// When the disk has no good pair, libguestfs is not there or fails, or as the host says.
    pub fn extract(&self, wanted: &Extraction, arch: Arch) -> Result<Extracted, HostError> {
        let vm = &wanted.vm;
        let _lock = self.lock_vm(vm)?;
        let rules = &wanted.ways.rules;
        let disk = self.way(wanted.disk.as_str(), End::Image, rules)?;
        let share = self.way(wanted.share.as_str(), End::Share, rules)?;
        if let Some(owner) = wanted.new_share {
            let owner = owner.map(|(uid, gid)| Owner { uid, gid });
            let made = self.calls().make_folder(&share, 0o700, owner);
            made.map_err(|error| HostError::new(format!("cannot make {}", wanted.share), error))?;
        }
        let scratch = paths::extracted(vm);
        self.ensure_vm_folder(vm)?;
        self.ensure_folder(&paths::boot_folder(vm), paths::PASSAGE)?;
        self.empty_folder(&scratch)?;
        let place = Path::new(&scratch);
        let taken = take(Path::new(&disk), place, arch).and_then(|taken| {
            let put = || put(place, open_share(&share)?, &taken.0, wanted.completes);
            put().map_err(ExtractError::write(Path::new(wanted.share.as_str())))?;
            Ok(taken)
        });
        let _ = self
            .calls()
            .remove_folder(&scratch, &paths::EXTRACTED_FILES);
        let (pair, filesystem) = taken.map_err(|fault| {
            let remedy = fault.remedy();
            let error = HostError::new(
                format!("cannot take a kernel out of {}", wanted.disk),
                fault,
            );
            match remedy {
                Some(remedy) => error.with_remedy(remedy),
                None => error,
            }
        })?;
        let reason = format!("{} out of {}", pair.version, wanted.disk);
        self.note_boot(vm, "extract", &reason)?;
        Ok(Extracted {
            version: pair.version,
            filesystem,
        })
    }

    /// An empty folder of root's alone.
    fn empty_folder(&self, path: &str) -> Result<(), HostError> {
        let left = self.calls().remove_folder(path, &paths::EXTRACTED_FILES);
        let doing = || cannot(format!("make {path}"));
        if let Some(name) = left.map_err(doing())?.first() {
            let why = format!("{path}/{name} is none of armfleet's files");
            return Err(HostError::plain(why).with_remedy("move it away"));
        }
        self.calls().make_folder(path, 0o700, None).map_err(doing())
    }
}

/// Copies the best pair of a disk into a folder, and checks the copy.
fn take(disk: &Path, scratch: &Path, arch: Arch) -> Result<(Candidate, String), ExtractError> {
    let mut guestfish = Guestfish::open(disk)?;
    let mut seen = Vec::new();
    for filesystem in filesystems(&mut guestfish)? {
        guestfish.ask("umount-all")?;
        guestfish.ask(&format!("mount-ro {filesystem} /"))?;
        for folder in FOLDERS {
            let listing = listing(&mut guestfish, folder)?;
            for considered in choose(&listing, arch) {
                match considered {
                    Ok(pair) => {
                        copy_out(&mut guestfish, folder, &pair, scratch)?;
                        match check(scratch, &pair, arch) {
                            // A disk may have kernels of two architectures.
                            Err(ExtractError::Kernel {
                                name,
                                source: KernelError::NotForGuest { found, .. },
                            }) => seen.push(format!("{filesystem}, {folder}: {name} is {found}")),
                            checked => return checked.map(|()| (pair, filesystem)),
                        }
                    }
                    Err(PassedOver {
                        source: PairSource::Newest,
                        why,
                    }) if !listing.entries.is_empty() => {
                        seen.push(format!("{filesystem}, {folder}: {why}"));
                    }
                    Err(_) => {}
                }
            }
        }
    }
    let seen: String = seen.iter().map(|why| format!("; {why}")).collect();
    let disk = disk.display().to_string();
    Err(ExtractError::NoPair { disk, seen })
}

/// The disk's file systems, as in `/dev/sda1: ext4`.
fn filesystems(guestfish: &mut Guestfish) -> Result<Vec<String>, ExtractError> {
    let lines = guestfish.ask("list-filesystems")?;
    let devices = lines.iter().filter_map(|line| {
        let (device, kind) = line.rsplit_once(": ")?;
        (!matches!(kind, "swap" | "unknown") && is_plain(device)).then(|| device.to_owned())
    });
    Ok(devices.take(MOST).collect())
}

/// What of a folder matters for the choice of a pair.
fn listing(guestfish: &mut Guestfish, folder: &str) -> Result<Listing, ExtractError> {
    let mut listing = Listing::default();
    if guestfish.ask_one(&format!("is-dir {folder}"))?.as_deref() != Some("true") {
        return Ok(listing);
    }
    let names = guestfish.ask(&format!("ls {folder}"))?;
    let names = names
        .iter()
        .filter(|name| is_plain(name))
        .filter_map(|name| BootFileName::new(name.as_bytes()).ok())
        .filter(is_of_interest);
    for name in names.take(MOST) {
        let path = format!("{folder}/{name}");
        let target = match guestfish.ask_one(&format!("is-symlink {path}"))?.as_deref() {
            Some("true") => guestfish.ask_one(&format!("readlink {path}"))?,
            _ => None,
        };
        let entry = match target {
            Some(target) => Entry::Link(target.into_bytes()),
            None => match guestfish
                .ask_one(&format!("filesize {path}"))?
                .map(|size| size.parse())
            {
                Some(Ok(size)) => Entry::File(size),
                _ => Entry::Unusual(Unusual::NotPlain),
            },
        };
        listing.entries.insert(name, entry);
    }
    Ok(listing)
}

fn copy_out(
    guestfish: &mut Guestfish,
    folder: &str,
    pair: &Candidate,
    scratch: &Path,
) -> Result<(), ExtractError> {
    for (name, to) in [(&pair.kernel, "vmlinuz"), (&pair.initrd, "initrd.img")] {
        let to = scratch.join(to);
        guestfish.ask(&format!("download {folder}/{name} {}", to.display()))?;
        if !to.is_file() {
            return Err(ExtractError::NotCopied(name.to_string()));
        }
    }
    Ok(())
}

fn check(scratch: &Path, pair: &Candidate, arch: Arch) -> Result<(), ExtractError> {
    let open = |name: &str| {
        let path = scratch.join(name);
        File::open(&path).map_err(ExtractError::write(&path))
    };
    check_kernel(&mut open("vmlinuz")?, arch).map_err(|source| ExtractError::Kernel {
        name: pair.kernel.to_string(),
        source,
    })?;
    let allowance = Allowance::of_a_start(processor_time);
    walk_initrd(open("initrd.img")?, arch, &allowance).map_err(|source| ExtractError::Initrd {
        name: pair.initrd.to_string(),
        source,
    })?;
    Ok(())
}

/// Puts the pair into the share as its guest would have, the links to it last: without them it is half done. Then, if that
/// is what it is for, the sign that the installation is complete.
fn put(scratch: &Path, share: Share, pair: &Candidate, completes: bool) -> io::Result<()> {
    let pair = [("initrd.img", &pair.initrd), ("vmlinuz", &pair.kernel)];
    for (from, name) in pair {
        share.write(name.as_str(), |mut into| {
            io::copy(&mut File::open(scratch.join(from))?, &mut into)?;
            belongs_to_guest(into, S_IFREG | 0o644)
        })?;
    }
    for (link, name) in pair {
        share.write(link, |mut into| {
            into.write_all(name.as_str().as_bytes())?;
            belongs_to_guest(into, S_IFLNK | 0o777)
        })?;
    }
    if completes {
        share.write(INSTALLED, |into| belongs_to_guest(into, S_IFREG | 0o644))?;
    }
    share.sync()
}

/// Opens a share where its way was found to lead, through no link.
fn open_share(place: &str) -> io::Result<Share> {
    let root = Root::host();
    let (folder, name) = root.place(place)?;
    Share::open_in(&folder, name)
}

/// What the guest sees of a file in its share: that it is root's, of this type and mode (QEMU's `hw/9pfs/9p-local.c`).
fn belongs_to_guest(file: &File, mode: u32) -> io::Result<()> {
    for (name, value) in [
        ("user.virtfs.uid", 0),
        ("user.virtfs.gid", 0),
        (MODE_XATTR, mode),
    ] {
        rustix::fs::fsetxattr(file, name, &value.to_le_bytes(), XattrFlags::empty())?;
    }
    Ok(())
}

/// Whether guestfish reads a name as nothing but that name.
fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._+~-".contains(&byte))
}
