//! The keys of a fleet file: what may stand where, and which of it this version does.

use super::key_texts as texts;
use super::value_type::Form;
use crate::fleetfile::nearest;

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// May be left out; `null` does the same.
    Optional,
    /// May be left out, but not given without a value: something is called by it.
    Name,
    /// Must be given.
    Required,
}

/// A key of a map.
#[derive(Debug)]
pub(crate) struct Key {
    /// As it is written.
    pub(crate) name: &'static str,
    /// Whether this version does it.
    pub(crate) support: Support,
}

/// Whether this version does a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Support {
    /// It does.
    Done(Need, &'static Meaning),
    /// The key belongs to the language, but this version does not do it.
    Later,
}

/// What is to be known about a key.
#[derive(Debug)]
pub(crate) struct Meaning {
    /// What it says, in whole sentences.
    pub(crate) text: &'static str,
    /// What may stand there.
    pub(crate) form: Form,
    /// What it means to leave it out.
    pub(crate) absence: Absence,
    /// When a change of it does something.
    pub(crate) effect: Effect,
    /// A value, on one line.
    pub(crate) example: &'static str,
}

/// What it means to leave a key out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Absence {
    /// It cannot be left out.
    Error,
    /// The same as this value.
    Value(&'static str),
    /// Something that no value says.
    Means(&'static str),
}

/// When a change of a key does something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// When it is applied, also to a VM that runs.
    Now,
    /// When the VM next starts.
    NextBoot,
    /// As this text says.
    Told(&'static str),
}

/// The keys of one map.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the schema calls it.
    pub(crate) id: &'static str,
    /// Whose map it is, as a sentence begins (`a VM`).
    pub(crate) owner: &'static str,
    /// Says of a key of it where it belongs.
    pub(crate) place: &'static str,
    /// What its keys are called in full (`boot.`).
    pub(crate) prefix: &'static str,
    /// The keys.
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, need: Need, meaning: &'static Meaning) -> Key {
    Key {
        name,
        support: Support::Done(need, meaning),
    }
}

const fn later(name: &'static str) -> Key {
    Key {
        name,
        support: Support::Later,
    }
}

use Need::{Name, Optional, Required};

/// The keys of the file.
pub(crate) const FILE: Table = Table {
    id: "file",
    owner: "a fleet file",
    place: "it belongs at the top of the file",
    prefix: "",
    keys: &[
        key("fleet", Required, &texts::FLEET),
        key("vms", Required, &texts::VMS),
        key("defaults", Optional, &texts::DEFAULTS),
        key("profiles", Optional, &texts::PROFILES),
        key("vars", Optional, &texts::VARS),
        later("hosts"),
    ],
};

/// The keys of a variable.
pub(crate) const VAR: Table = Table {
    id: "var",
    owner: "a variable",
    place: "it belongs to a variable, under its name in `vars`",
    prefix: "vars.",
    keys: &[
        key("default", Optional, &texts::VAR_DEFAULT),
        key("required", Optional, &texts::VAR_REQUIRED),
        key("description", Optional, &texts::VAR_DESCRIPTION),
    ],
};

/// The keys of a VM.
pub(crate) const VM: Table = Table {
    id: "vm",
    owner: "a VM",
    place: "it belongs to a VM, under its name",
    prefix: "",
    keys: &[
        key("arch", Required, &texts::ARCH),
        key("memory", Required, &texts::MEMORY),
        key("boot", Optional, &texts::BOOT),
        key("install", Optional, &texts::INSTALL),
        key("host", Optional, &texts::HOST),
        key("profile", Optional, &texts::PROFILE),
        key("accel", Optional, &texts::ACCEL),
        key("machine", Optional, &texts::MACHINE),
        key("vcpus", Optional, &texts::VCPUS),
        key("transport", Optional, &texts::TRANSPORT),
        key("disks", Optional, &texts::DISKS),
        key("console", Optional, &texts::CONSOLE),
        key("state", Optional, &texts::STATE),
        key("autostart", Optional, &texts::AUTOSTART),
        key("on_guest_reboot", Optional, &texts::ON_GUEST_REBOOT),
        key("stop_timeout", Optional, &texts::STOP_TIMEOUT),
        key("restart", Optional, &texts::RESTART),
        key("protect", Optional, &texts::PROTECT),
        later("networks"),
        later("shares"),
        later("adopt"),
        later("was"),
    ],
};

/// The keys of `boot`.
pub(crate) const BOOT: Table = Table {
    id: "boot",
    owner: "`boot`",
    place: "it belongs under `boot`",
    prefix: "boot.",
    keys: &[
        key("cmdline", Required, &texts::BOOT_CMDLINE),
        key("from", Optional, &texts::BOOT_FROM),
        key("share", Optional, &texts::BOOT_SHARE),
        key("handover", Optional, &texts::BOOT_HANDOVER),
        key("seed", Optional, &texts::BOOT_SEED),
        key("confirm_within", Optional, &texts::BOOT_CONFIRM_WITHIN),
        later("kernel"),
        later("initrd"),
        later("dtb"),
    ],
};

/// The keys of `boot.seed`.
pub(crate) const SEED: Table = Table {
    id: "seed",
    owner: "`boot.seed`",
    place: "it belongs under `boot.seed`",
    prefix: "boot.seed.",
    keys: &[
        key("kernel", Required, &texts::SEED_KERNEL),
        key("initrd", Required, &texts::SEED_INITRD),
    ],
};

/// The keys of `install`.
pub(crate) const INSTALL: Table = Table {
    id: "install",
    owner: "`install`",
    place: "it belongs under `install`",
    prefix: "install.",
    keys: &[
        key("kernel", Required, &texts::INSTALL_KERNEL),
        key("initrd", Required, &texts::INSTALL_INITRD),
        key("cmdline", Required, &texts::INSTALL_CMDLINE),
        key("files", Optional, &texts::INSTALL_FILES),
    ],
};

/// The keys of an entry of `disks`.
pub(crate) const DISK: Table = Table {
    id: "disk",
    owner: "a disk",
    place: "it belongs in an entry of `disks`",
    prefix: "disks.",
    keys: &[
        key("path", Required, &texts::DISK_PATH),
        key("name", Name, &texts::DISK_NAME),
        key("size", Optional, &texts::DISK_SIZE),
        key("format", Optional, &texts::DISK_FORMAT),
        later("backing"),
        later("target"),
        later("serial"),
        later("readonly"),
        later("cache"),
        later("discard"),
    ],
};

/// The keys of `console`.
pub(crate) const CONSOLE: Table = Table {
    id: "console",
    owner: "`console`",
    place: "it belongs under `console`",
    prefix: "console.",
    keys: &[key("log", Optional, &texts::CONSOLE_LOG)],
};

/// Every table.
pub(crate) const TABLES: [&Table; 8] = [&FILE, &VM, &BOOT, &SEED, &INSTALL, &DISK, &CONSOLE, &VAR];

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
    pub(crate) fn find(&self, written: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == written)
    }

    /// A value of a key that this version does.
    pub(crate) fn example(&self, name: &str) -> Option<&'static str> {
        let mut done = self.done();
        done.find(|(key, ..)| *key == name)
            .map(|(_, _, meaning)| meaning.example)
    }

    /// What somebody who wrote an unknown key probably meant.
    pub(crate) fn suggestion(&self, written: &str) -> Option<Suggestion> {
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

    /// The names of the keys that this version does.
    pub(crate) fn supported(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.done().map(|(name, _, _)| name)
    }

    /// The keys that this version does.
    pub(crate) fn done(
        &self,
    ) -> impl Iterator<Item = (&'static str, Need, &'static Meaning)> + Clone {
        self.keys.iter().filter_map(|key| match key.support {
            Support::Done(need, meaning) => Some((key.name, need, meaning)),
            Support::Later => None,
        })
    }
}

/// What somebody who wrote an unknown key probably meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suggestion {
    /// This key of the same map.
    Here(&'static str),
    /// Something else, and what is to be said of it.
    Elsewhere(&'static str),
}
