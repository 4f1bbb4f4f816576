//! Base images: what disks are copied from, or lie over.

use super::disk::{DiskFormat, PartialDisk};
use crate::fleetfile::{Spanned, map};
use crate::paths::is_device;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::qcow2::MOST_NAME;
use crate::values::{HostPath, Sha256Sum};

map! {
    /// The base image that a missing image is copied from.
    pub struct BaseCopy, PartialBaseCopy, "from": "`from`", "disks.from.", "it belongs under `from` of a disk" {
        /// The base image, on the host, in the disk's format. It is only read, and many disks may be copied from it.
        path: HostPath { required, effect: Described("when the disk is created"), example: "/srv/base/trixie.img" },
        /// The base image's SHA-256, as `sha256sum` prints it. With another one no disk is made.
        sha256: Option<Sha256Sum> {
            absent: "the base image is copied as it is", effect: Described("when the disk is created"),
            example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
    }
}

map! {
    /// The base image that a disk lies over.
    pub struct Backing, PartialBacking, "backing": "`backing`", "disks.backing.", "it belongs under `backing` of a disk" {
        /// The base image, on the host. It is only read, and many disks may lie over it; it must never change below them.
        path: HostPath { required, effect: NextBoot, example: "/srv/base/trixie.img" },
        /// The base image's format, which is written into the disk's image. It is never guessed from the base image.
        format: DiskFormat {
            derived(format_of_base): "`qcow2` for a file with that suffix, else `raw`", effect: NextBoot, example: "raw",
        },
    }
}

/// A base image's format where none is given: by its suffix.
fn format_of_base(backing: &PartialBacking, _: &Diagnostics) -> Checked<Spanned<DiskFormat>> {
    let path = backing.path.as_ref().map_err(|reported| *reported)?;
    Ok(Spanned::new(
        DiskFormat::of_file(path.value.as_str()),
        &path.range,
    ))
}

/// What is wrong between a disk and its base image.
pub(super) fn base_image(disk: &PartialDisk) -> Option<Problem> {
    let from = disk.from.as_ref().ok()?.as_ref();
    let backing = disk.backing.as_ref().ok()?.as_ref();
    let base = from
        .map(|from| &from.path)
        .or(backing.map(|backing| &backing.path));
    let base = base?.as_ref().ok()?;
    if let (Some(_), Some(Ok(below))) = (from, backing.map(|backing| &backing.path)) {
        let message = "a disk is copied from a base image or lies over one, not both";
        let problem = problem(below, message).also(&base.range, "it is copied from this");
        return Some(problem.help("leave `from` or `backing` out"));
    }
    if is_device(base.value.as_str()) {
        let message = "a block device as a base image is not supported yet";
        let problem = Problem::new(ProblemKind::NotSupportedYet, &base.range, message);
        return Some(problem.help("`qemu-img convert -O raw` makes an image of it"));
    }
    if let Ok(Some(fresh)) = &disk.fresh {
        let message = "a disk of a base image that is made anew at each start is not supported yet";
        let problem = Problem::new(ProblemKind::NotSupportedYet, &fresh.range, message);
        let problem = problem.also(&base.range, "the base image");
        return Some(problem.help("leave `fresh` or the base image out"));
    }
    let path = disk.path.as_ref().ok()?;
    if is_device(path.value.as_str()) {
        let message = "a block device is never created, so it has no base image";
        let problem = problem(base, message).also(&path.range, "the block device");
        return Some(problem.help("leave it out, or give the disk the path of an image"));
    }
    if path.value == base.value {
        let problem = problem(base, "a disk cannot be its own base image");
        return Some(problem.also(&path.range, "the disk"));
    }
    backing.and_then(|_| overlay(disk, base))
}

fn overlay(disk: &PartialDisk, base: &Spanned<HostPath>) -> Option<Problem> {
    let format = disk.format.as_ref().ok()?;
    if format.value != DiskFormat::Qcow2 {
        let message = format!("a {} image cannot lie over another", format.value);
        let help = "give it the suffix `.qcow2` or `format: qcow2`, or use `from`, which copies the base image";
        let problem = problem(base, &message).also(&format.range, "the disk's format");
        return Some(problem.help(help));
    }
    let length = base.value.as_str().len();
    (length > MOST_NAME).then(|| {
        let message =
            format!("the path has {length} bytes, and a qcow2 image can name {MOST_NAME}");
        problem(base, &message).help("move the base image to a shorter path")
    })
}

fn problem(base: &Spanned<HostPath>, message: &str) -> Problem {
    Problem::new(ProblemKind::BaseImage, &base.range, message)
}
