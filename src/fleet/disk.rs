//! A disk: its keys, and what can be wrong with them.

use super::base_image::{Backing, BaseCopy, DiskFormat};
use crate::fleetfile::{Listed, Spanned, map, words};
use crate::paths::is_device;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::qcow2::MOST_NAME;
use crate::values::{DiskName, DiskTarget, HostPath, Serial, Size};

map! {
    /// One disk as wanted.
    pub struct Disk, PartialDisk, "disk": "a disk", "disks.", "it belongs in an entry of `disks`" {
        /// The disk's image, or a block device below /dev, such as /dev/vg0/{name}. An image is created if it is not there
        /// and `size`, `from` or `backing` is given; a block device never is. Neither is ever deleted.
        path: HostPath { required, effect: NextBoot, example: "\"/srv/{name}.img\"", also_called: ["file"] },
        /// The disk's identity within its VM. Entries of the list may change places; an entry with another name is
        /// another disk.
        name: DiskName {
            derived(name_of_file): "named after its file, without the suffix: `scratch` for /srv/scratch.img",
            effect: NextBoot,
            example: "root",
        },
        /// The disk's minimum size, as its guest sees it. A missing image is created with it, a smaller one grows to it,
        /// and a larger one stays as it is: an image never shrinks. A running guest sees a grown disk at once. A block
        /// device that is smaller is refused.
        size: Option<Size> { absent: "a new image has its base image's size; without one the file must exist, and is used as it is", effect: Now, example: "8GiB" },
        /// The base image that a missing image is copied from, and grown to `size`. Once the image is there this means
        /// nothing more.
        from: Option<BaseCopy> {
            absent: "a new image is empty", effect: Described("when the disk is created"),
            example: "{ path: /srv/base/trixie.img }",
        },
        /// The base image that the disk lies over: a qcow2 image that holds only what the guest writes, and what the base
        /// image holds for the rest. `size` is at least the base image's.
        backing: Option<Backing> {
            absent: "the image lies over none", effect: NextBoot, example: "{ path: /srv/base/trixie.img }",
        },
        /// The image's format. It is never guessed from the image, whose bytes are the guest's.
        format: DiskFormat {
            derived(format_of_file): "`qcow2` for a file with that suffix, else `raw`; a block device is `raw`", effect: NextBoot, example: "raw",
        },
        /// The disk's target in libvirt, which `virsh` calls it by. It says where the guest counts it: on `mmio` it has
        /// `vdz` first, then `vdy`, and so on; on `pci` a new VM has `vda` first.
        target: Option<DiskTarget> {
            absent: "chosen so that the guest counts new disks after those it has, in the order of the list; then it stays",
            effect: NextBoot, example: "vdz",
        },
        /// The serial number that the guest reads, as in /dev/disk/by-id/virtio-SERIAL: at most 20 letters, digits, `.`, `_`
        /// and `-`.
        serial: Option<Serial> {
            absent: "a new disk gets its name, shortened where it is longer; then it stays", effect: NextBoot,
            example: "scratch",
        },
        /// Whether the guest can only read the disk.
        readonly: Option<bool> { absent: "it can write, unless that was changed by hand", effect: NextBoot, example: "true" },
        /// How the host caches the disk. `none` and `directsync` go past its page cache, `writethrough` and `directsync`
        /// flush each write. `unsafe` ignores the guest's flushes: fast, and the disk is lost if the host crashes.
        cache: Option<DiskCache> { absent: "QEMU's default, which is safe: `writeback`", effect: NextBoot, example: "none" },
        /// How QEMU reads and writes the image. `native` needs `cache: none` or `directsync`.
        io: Option<DiskIo> { absent: "QEMU's default: `threads`", effect: NextBoot, example: "io_uring" },
        /// What becomes of blocks that the guest discards (fstrim): with `unmap` the image gives their room back.
        discard: Option<Discard> { absent: "QEMU's default: `ignore`", effect: NextBoot, example: "unmap" },
        /// When the disk is made anew, empty or over its `backing`, which loses everything on it: with `each-start`, by the hook before each start of the
        /// VM. A guest's reboot is a start where `on_guest_reboot` is `cold-boot`; a restored VM keeps the disk that goes
        /// with its memory.
        fresh: Option<Fresh> { absent: "it keeps its bytes", effect: NextBoot, example: "each-start" },
    }
    checks [disk_size, native_io, base_image, fresh_disk]
}

words! {
    /// How the host caches a disk.
    pub enum DiskCache {
        /// Past the host's page cache.
        None = "none",
        /// In the page cache, and on the disk when the guest flushes.
        Writeback = "writeback",
        /// In the page cache, and on the disk with each write.
        Writethrough = "writethrough",
        /// Past the page cache, and on the disk with each write.
        Directsync = "directsync",
        /// In the page cache; the guest's flushes do nothing.
        Unsafe = "unsafe",
    }
}

words! {
    /// How QEMU reads and writes an image.
    pub enum DiskIo {
        /// By threads.
        Threads = "threads",
        /// By Linux's asynchronous I/O.
        Native = "native",
        /// By io_uring.
        IoUring = "io_uring",
    }
    also_called ["aio" = "native", "io-uring" = "io_uring"]
}

words! {
    /// What becomes of blocks that a guest discards.
    pub enum Discard {
        /// The image gives their room back.
        Unmap = "unmap",
        /// Nothing.
        Ignore = "ignore",
    }
    also_called ["on" = "unmap", "trim" = "unmap", "off" = "ignore"]
}

words! {
    /// When a disk is made anew.
    pub enum Fresh {
        /// Before each start of its VM.
        EachStart = "each-start",
    }
    also_called ["each-boot" = "each-start", "always" = "each-start"]
}

impl Disk {
    /// Whether it is a block device of the host, and not an image.
    #[must_use]
    pub fn is_device(&self) -> bool {
        is_device(self.path.as_str())
    }
}

impl Listed for Disk {
    /// A format that the path contradicts.
    fn check_entry(disk: &PartialDisk) -> Option<Problem> {
        let (path, format) = (disk.path.as_ref().ok()?, disk.format.as_ref().ok()?);
        let later = |message| Problem::new(ProblemKind::NotSupportedYet, &path.range, message);
        if is_device(path.value.as_str()) {
            return (format.value != DiskFormat::Raw).then(|| {
                later(format!(
                    "a {} image on a block device is not supported yet",
                    format.value
                ))
                .also(&format.range, format!("declared {} here", format.value))
                .help("leave `format` out: the guest gets the device's bytes; or use an image file")
            });
        }
        let (_, suffix) = path.value.file_name().rsplit_once('.')?;
        let other = OTHER_FORMATS.iter().find(|other| suffix == **other)?;
        if *other == format.value.as_str() {
            return None;
        }
        let help =
            format!("`qemu-img convert -f {other} -O raw` makes a raw image; name it `.img`");
        let is_given = format.range != path.range;
        let problem = if is_given {
            let is = format.value;
            let message = format!("a {is} image must not have the suffix `.{other}`");
            Problem::new(ProblemKind::DiskFormat, &path.range, message)
                .also(&format.range, format!("declared {is} here"))
        } else {
            later(format!("an image in {other} format is not supported yet"))
        };
        Some(problem.help(help))
    }
}

/// Suffixes of images that are not raw.
const OTHER_FORMATS: [&str; 6] = ["qcow2", "qcow", "qed", "vmdk", "vdi", "vhdx"];

/// An image's format where none is given: by its suffix, never by its bytes.
fn format_of_file(disk: &PartialDisk, _: &Diagnostics) -> Checked<Spanned<DiskFormat>> {
    let path = disk.path.as_ref().map_err(|reported| *reported)?;
    let format = DiskFormat::of_file(path.value.as_str());
    Ok(Spanned::new(format, &path.range))
}

/// A disk's name where none is given: its file's, without the suffix.
fn name_of_file(disk: &PartialDisk, found: &Diagnostics) -> Checked<Spanned<DiskName>> {
    let path = disk.path.as_ref().map_err(|reported| *reported)?;
    let file = path.value.file_name();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match stem.parse() {
        Ok(name) => Ok(Spanned::new(name, &path.range)),
        Err(why) => {
            let message = format!("the disk cannot be named after `{file}`: {why}");
            let problem = Problem::new(ProblemKind::WrongValue, &path.range, message);
            let help = match file.contains('{') {
                true => {
                    "`{name}` between quotes is replaced by the VM's name; `{{` stands for a `{`"
                }
                false => "give it a `name`",
            };
            Err(problem.help(help).report(found))
        }
    }
}

fn native_io(disk: &PartialDisk) -> Option<Problem> {
    let io = disk.io.as_ref().ok()?.as_ref()?;
    let cache = disk.cache.as_ref().ok()?.as_ref();
    let bypasses =
        |cache: &Spanned<DiskCache>| matches!(cache.value, DiskCache::None | DiskCache::Directsync);
    if io.value != DiskIo::Native || cache.is_some_and(bypasses) {
        return None;
    }
    let message = "`io: native` works only past the host's page cache";
    let problem = Problem::new(ProblemKind::DiskIo, &io.range, message)
        .help("set `cache: none` or `cache: directsync`, or use `io: io_uring`");
    Some(match cache {
        Some(cache) => problem.also(&cache.range, "this uses the page cache"),
        None => problem,
    })
}

/// What cannot be made anew, or must not be.
fn fresh_disk(disk: &PartialDisk) -> Option<Problem> {
    let fresh = disk.fresh.as_ref().ok()?.as_ref()?;
    let new = |message| Problem::new(ProblemKind::FreshDisk, &fresh.range, message);
    let path = disk.path.as_ref().ok();
    if let Some(device) = path.filter(|path| is_device(path.value.as_str())) {
        let problem = new("a block device cannot be made anew").also(&device.range, "the device");
        return Some(problem.help("leave `fresh` out, or use an image file"));
    }
    let readonly = disk.readonly.as_ref().ok().and_then(Option::as_ref);
    if let Some(readonly) = readonly.filter(|readonly| readonly.value) {
        let message =
            "a disk that is made anew at each start is of no use to a guest that cannot write it";
        let problem = new(message).also(&readonly.range, "read-only");
        return Some(problem.help("leave `fresh` or `readonly` out"));
    }
    matches!((&disk.size, &disk.backing), (Ok(None), Ok(None))).then(|| {
        new("a disk that is made anew needs a `size`")
            .help("give it one, such as `size: 20GiB`, or a base image (`backing`)")
    })
}

fn disk_size(disk: &PartialDisk) -> Option<Problem> {
    const SECTOR: u64 = 512;
    let size = disk.size.as_ref().ok()?.as_ref()?;
    let bytes = size.value.bytes();
    if bytes == 0 {
        let problem = Problem::new(ProblemKind::DiskSize, &size.range, "a disk cannot be empty");
        return Some(problem.help("without `size` the file must exist, and is used as it is"));
    }
    let next = Size::from_bytes(bytes.checked_next_multiple_of(SECTOR)?);
    let message = format!(
        "{} is not a whole number of {SECTOR}-byte sectors",
        size.value
    );
    let problem = Problem::new(ProblemKind::DiskSize, &size.range, message);
    let written = next.to_string().replace(' ', "");
    (next != size.value).then(|| problem.help(format!("the next possible size is {written}")))
}

/// What is wrong between a disk and its base image.
fn base_image(disk: &PartialDisk) -> Option<Problem> {
    let from = disk.from.as_ref().ok()?.as_ref();
    let backing = disk.backing.as_ref().ok()?.as_ref();
    let base = from
        .map(|from| &from.path)
        .or(backing.map(|backing| &backing.path));
    let base = base?.as_ref().ok()?;
    if let (Some(_), Some(Ok(below))) = (from, backing.map(|backing| &backing.path)) {
        let message = "a disk is copied from a base image or lies over one, not both";
        let problem = base_problem(below, message).also(&base.range, "it is copied from this");
        return Some(problem.help("leave `from` or `backing` out"));
    }
    if is_device(base.value.as_str()) {
        let message = "a block device as a base image is not supported yet";
        let problem = Problem::new(ProblemKind::NotSupportedYet, &base.range, message);
        return Some(problem.help("`qemu-img convert -O raw` makes an image of it"));
    }
    if let (Ok(Some(fresh)), Some(_)) = (&disk.fresh, from) {
        let message = "a copy of a base image is not made anew at each start";
        let problem = Problem::new(ProblemKind::FreshDisk, &fresh.range, message);
        let problem = problem.also(&base.range, "the base image");
        return Some(
            problem.help("use `backing` instead of `from`: an overlay is made in no time"),
        );
    }
    let path = disk.path.as_ref().ok()?;
    if is_device(path.value.as_str()) {
        let message = "a block device is never created, so it has no base image";
        let problem = base_problem(base, message).also(&path.range, "the block device");
        return Some(problem.help("leave it out, or give the disk the path of an image"));
    }
    if path.value == base.value {
        let problem = base_problem(base, "a disk cannot be its own base image");
        return Some(problem.also(&path.range, "the disk"));
    }
    backing.and_then(|_| overlay(disk, base))
}

fn overlay(disk: &PartialDisk, base: &Spanned<HostPath>) -> Option<Problem> {
    let format = disk.format.as_ref().ok()?;
    if format.value != DiskFormat::Qcow2 {
        let message = format!("a {} image cannot lie over another", format.value);
        let help = "give it the suffix `.qcow2` or `format: qcow2`, or use `from`, which copies the base image";
        let problem = base_problem(base, &message).also(&format.range, "the disk's format");
        return Some(problem.help(help));
    }
    let length = base.value.as_str().len();
    (length > MOST_NAME).then(|| {
        let message =
            format!("the path has {length} bytes, and a qcow2 image can name {MOST_NAME}");
        base_problem(base, &message).help("move the base image to a shorter path")
    })
}

fn base_problem(base: &Spanned<HostPath>, message: &str) -> Problem {
    Problem::new(ProblemKind::BaseImage, &base.range, message)
}
