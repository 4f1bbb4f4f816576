//! Base images: what disks are copied from, or lie over.

use crate::fleetfile::{Spanned, map, words};
use crate::paths::is_device;
use crate::problem::{Checked, Diagnostics};
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

words! {
    /// The format of an image.
    pub enum DiskFormat {
        /// The disk's bytes as they are.
        Raw = "raw",
        /// QEMU's own format, whose file has only what was written.
        Qcow2 = "qcow2",
    }
}

impl DiskFormat {
    /// What a path's suffix says.
    pub(super) fn of_file(path: &str) -> Self {
        match path.ends_with(".qcow2") && !is_device(path) {
            true => Self::Qcow2,
            false => Self::Raw,
        }
    }
}
