//! A further share of a VM: its keys, and what can be wrong with them.

use super::duplicates::duplicates;
use crate::fleetfile::{Listed, map, words};
use crate::problem::{Problem, ProblemKind};
use crate::values::{HostPath, ShareTag};

map! {
    /// One folder of the host that the guest can mount, beside its boot share.
    pub struct FurtherShare, PartialFurtherShare, "share": "a share", "shares.", "it belongs in an entry of `shares`" {
        /// The share's identity within its VM, and what the guest mounts: `mount -t 9p -o trans=virtio,version=9p2000.L TAG
        /// FOLDER`. At most 31 letters, digits, `.`, `_` and `-`.
        tag: ShareTag { required, effect: NextBoot, example: "ccache" },
        /// The folder on the host. Several VMs may have the same. A missing one is created for QEMU's user, unless it is
        /// `readonly`; one that is there keeps its owner and mode, and is never deleted.
        path: HostPath { required, effect: NextBoot, example: "\"/srv/{name}-ccache\"", also_called: ["source", "dir"] },
        /// How the guest's owners and modes are kept. `mapped`: as attributes of the files, which belong to QEMU's user on
        /// the host; the guest sees what it set. `squash`: not at all, every file belongs to QEMU's user; for folders that
        /// the host writes and the guest reads. `passthrough`: as they are; a guest can write only where QEMU runs as root.
        access: ShareAccess { default: "mapped", effect: NextBoot, example: "squash", also_called: ["accessmode", "access_mode", "mode"] },
        /// Whether the guest can only read what is in it.
        readonly: Option<bool> {
            absent: "it can write, unless that was changed by hand", effect: NextBoot, example: "true",
        },
    }
}

words! {
    /// How the owners and modes of a guest's files are kept on the host.
    pub enum ShareAccess {
        /// As attributes of the host's files.
        Mapped = "mapped",
        /// Not at all.
        Squash = "squash",
        /// As those of the host's files.
        Passthrough = "passthrough",
    }
    also_called ["none" = "squash", "mapped-xattr" = "mapped"]
}

impl Listed for FurtherShare {
    fn check_entry(_: &PartialFurtherShare) -> Option<Problem> {
        None
    }
}

/// Two shares of one VM with the same tag.
pub(super) fn same_tag<'d>(shares: impl Iterator<Item = &'d PartialFurtherShare>) -> Vec<Problem> {
    let tags = shares.filter_map(|share| share.tag.as_ref().ok());
    duplicates(ProblemKind::DuplicateShare, tags, |tag| {
        let message = format!("two shares of one VM have the tag `{tag}`");
        (
            message,
            "give each its own: the guest mounts a share by its tag".to_owned(),
        )
    })
}
