//! The keys of a fleet file: what may stand where, and which of it this version does.

use super::near::nearest;

/// Whether a key may be left out, and whether it does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// May be left out; `null` does the same.
    Optional,
    /// May be left out, but not given without a value: something is called by it.
    Name,
    /// Must be given.
    Required,
    /// Belongs to the language, but this version does not do it.
    Later,
}

/// The keys of one map.
#[derive(Debug)]
pub(super) struct Table {
    /// Whose map it is, as a sentence begins (`a VM`).
    pub(super) owner: &'static str,
    /// Says of a key of it where it belongs.
    pub(super) place: &'static str,
    /// What its keys are called in full (`boot.`).
    pub(super) prefix: &'static str,
    /// The keys.
    pub(super) keys: &'static [(&'static str, Need)],
}

use Need::{Later, Name, Optional, Required};

/// The keys of the file.
pub(super) const FILE: Table = Table {
    owner: "a fleet file",
    place: "it belongs at the top of the file",
    prefix: "",
    keys: &[
        ("fleet", Required),
        ("vms", Required),
        ("hosts", Later),
        ("defaults", Later),
        ("profiles", Later),
        ("vars", Later),
    ],
};

/// The keys of a VM.
pub(super) const VM: Table = Table {
    owner: "a VM",
    place: "it belongs to a VM, under its name",
    prefix: "",
    keys: &[
        ("arch", Required),
        ("memory", Required),
        ("boot", Optional),
        ("host", Optional),
        ("accel", Optional),
        ("machine", Optional),
        ("vcpus", Optional),
        ("transport", Optional),
        ("disks", Optional),
        ("console", Optional),
        ("state", Optional),
        ("autostart", Optional),
        ("on_guest_reboot", Optional),
        ("stop_timeout", Optional),
        ("profile", Later),
        ("install", Later),
        ("networks", Later),
        ("shares", Later),
        ("restart", Later),
        ("adopt", Later),
        ("was", Later),
        ("protect", Later),
    ],
};

/// The keys of `boot`.
pub(super) const BOOT: Table = Table {
    owner: "`boot`",
    place: "it belongs under `boot`",
    prefix: "boot.",
    keys: &[
        ("cmdline", Required),
        ("from", Optional),
        ("share", Optional),
        ("handover", Optional),
        ("seed", Optional),
        ("kernel", Later),
        ("initrd", Later),
        ("dtb", Later),
        ("confirm_within", Later),
    ],
};

/// The keys of `boot.seed`.
pub(super) const SEED: Table = Table {
    owner: "`boot.seed`",
    place: "it belongs under `boot.seed`",
    prefix: "boot.seed.",
    keys: &[("kernel", Required), ("initrd", Required)],
};

/// The keys of an entry of `disks`.
pub(super) const DISK: Table = Table {
    owner: "a disk",
    place: "it belongs in an entry of `disks`",
    prefix: "",
    keys: &[
        ("path", Required),
        ("name", Name),
        ("size", Optional),
        ("format", Optional),
        ("backing", Later),
        ("target", Later),
        ("serial", Later),
        ("readonly", Later),
        ("cache", Later),
        ("discard", Later),
    ],
};

/// The keys of `console`.
pub(super) const CONSOLE: Table = Table {
    owner: "`console`",
    place: "it belongs under `console`",
    prefix: "console.",
    keys: &[("log", Optional)],
};

/// Every table.
const TABLES: [&Table; 6] = [&FILE, &VM, &BOOT, &SEED, &DISK, &CONSOLE];

/// What other programs call a key.
const SYNONYMS: [(&str, &str); 11] = [
    ("name", "fleet"),
    ("logfile", "log"),
    ("ram", "memory"),
    ("cpu", "vcpus"),
    ("cores", "vcpus"),
    ("smp", "vcpus"),
    ("append", "cmdline"),
    ("args", "cmdline"),
    ("file", "path"),
    ("architecture", "arch"),
    ("status", "state"),
];

impl Table {
    /// The key as written, if it is one of these.
    pub(super) fn find(&self, written: &str) -> Option<(&'static str, Need)> {
        self.keys.iter().find(|(name, _)| *name == written).copied()
    }

    /// What somebody who wrote an unknown key probably meant.
    pub(super) fn suggestion(&self, written: &str) -> Option<Suggestion> {
        let synonym = SYNONYMS.iter().find(|(word, _)| *word == written);
        let synonym = synonym.and_then(|(_, name)| self.supported().find(|known| known == name));
        synonym
            .map(Suggestion::Here)
            .or_else(|| self.elsewhere(written).map(Suggestion::Elsewhere))
            .or_else(|| nearest(written, self.supported()).map(Suggestion::Here))
    }

    /// What is to be said of a key that is right in another place.
    fn elsewhere(&self, written: &str) -> Option<&'static str> {
        if written == "name" {
            return Some("a VM's name is its key under `vms`").filter(|_| self.owner == VM.owner);
        }
        let mut tables = TABLES.iter().filter(|table| table.owner != self.owner);
        let table = tables.find(|table| table.supported().any(|name| name == written))?;
        Some(table.place)
    }

    /// The keys that this version does.
    pub(super) fn supported(&self) -> impl Iterator<Item = &'static str> + Clone {
        let known = self.keys.iter().filter(|(_, need)| *need != Later);
        known.map(|(name, _)| *name)
    }
}

/// What somebody who wrote an unknown key probably meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// This key of the same map.
    Here(&'static str),
    /// Something else, and what is to be said of it.
    Elsewhere(&'static str),
}
