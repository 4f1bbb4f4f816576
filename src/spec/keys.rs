//! The keys of a fleet file: what may stand where, and which of it this version does.

/// Whether a key may be left out, and whether it does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// May be left out.
    Optional,
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
    /// Where it stands, for who looks for it (`under boot`).
    pub(super) place: &'static str,
    /// What its keys are called in full (`boot.`).
    pub(super) prefix: &'static str,
    /// The keys.
    pub(super) keys: &'static [(&'static str, Need)],
}

use Need::{Later, Optional, Required};

/// The keys of the file.
pub(super) const FILE: Table = Table {
    owner: "a fleet file",
    place: "at the top of the file",
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
    place: "under the name of a VM",
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
    place: "under `boot`",
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
    place: "under `boot.seed`",
    prefix: "boot.seed.",
    keys: &[("kernel", Required), ("initrd", Required)],
};

/// The keys of an entry of `disks`.
pub(super) const DISK: Table = Table {
    owner: "a disk",
    place: "in an entry of `disks`",
    prefix: "",
    keys: &[
        ("path", Required),
        ("name", Optional),
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
    place: "under `console`",
    prefix: "console.",
    keys: &[("log", Optional)],
};

/// Every table.
const TABLES: [&Table; 6] = [&FILE, &VM, &BOOT, &SEED, &DISK, &CONSOLE];

/// What other programs call a key.
const SYNONYMS: [(&str, &str); 10] = [
    ("ram", "memory"),
    ("mem", "memory"),
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
    pub(super) fn suggestion(&self, written: &str) -> Option<String> {
        let here = || {
            let known = self.supported();
            let synonym = SYNONYMS.iter().find(|(word, _)| *word == written);
            let synonym = synonym.and_then(|(_, name)| known.clone().find(|known| known == name));
            synonym.or_else(|| super::near::nearest(written, known))
        };
        self.elsewhere(written)
            .or_else(|| here().map(|name| format!("did you mean `{name}`?")))
    }

    /// Where the key would be right.
    fn elsewhere(&self, written: &str) -> Option<String> {
        let mut tables = TABLES.iter().filter(|table| table.owner != self.owner);
        let table = tables.find(|table| table.supported().any(|name| name == written))?;
        Some(format!("`{written}` belongs {}", table.place))
    }

    fn supported(&self) -> impl Iterator<Item = &'static str> + Clone {
        let known = self.keys.iter().filter(|(_, need)| *need != Later);
        known.map(|(name, _)| *name)
    }
}
