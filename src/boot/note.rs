//! What is kept beside staged pairs: where a generation came from (`pair.json`), and what a seed is (`seed.json`).

use super::kernel_kind::KernelKind;
use super::mapped_link::BootFileName;
use super::version::KernelVersion;
use crate::format::{Format, FormatError};
use crate::values::{HostPath, Sha256Sum};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Far above any note; a larger file is damaged.
const NOTE_LIMIT: usize = 64 << 10;
/// What a `pair.json` says it is.
pub const PAIR_FORMAT: Format = Format::new("armfleet-pair", NOTE_LIMIT);
/// What a `seed.json` says it is.
pub const SEED_FORMAT: Format = Format::new("armfleet-seed", NOTE_LIMIT);
/// What a device tree's receipt says it is.
pub const DTB_FORMAT: Format = Format::new("armfleet-dtb", NOTE_LIMIT);
/// What an `installer.json` says it is.
pub const INSTALLER_FORMAT: Format = Format::new("armfleet-installer", NOTE_LIMIT);

/// What made a pair the one to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairSource {
    /// The links `vmlinuz` and `initrd.img` in the share name it.
    Links,
    /// The links `vmlinuz.old` and `initrd.img.old` in the share name it.
    OldLinks,
    /// It is the newest complete pair in the share.
    Newest,
    /// The user provided it for the time before the guest has one.
    Seed,
    /// The user provided it to install the guest.
    Installer,
}

impl PairSource {
    /// In words, for a message.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Links => "links vmlinuz and initrd.img",
            Self::OldLinks => "links vmlinuz.old and initrd.img.old",
            Self::Newest => "newest vmlinuz-VERSION with its initrd.img-VERSION",
            Self::Seed => "seed",
            Self::Installer => "installer",
        }
    }

    /// The links in the share that name the pair, the kernel's first; `None` where no link does.
    #[must_use]
    pub fn links(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Links => Some(("vmlinuz", "initrd.img")),
            Self::OldLinks => Some(("vmlinuz.old", "initrd.img.old")),
            Self::Newest | Self::Seed | Self::Installer => None,
        }
    }
}

/// Which bytes a file had: unchanged as long as all of this is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device of its filesystem.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its bytes changed; the guest can set that.
    pub mtime: Timestamp,
    /// When its inode changed; the guest cannot set that.
    pub ctime: Timestamp,
}

/// A moment as the filesystem keeps it: seconds since 1970-01-01 UTC, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64, pub i64);

impl Timestamp {
    /// The same in nanoseconds, as `armfleet-run` has it.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        self.0.saturating_mul(1_000_000_000).saturating_add(self.1)
    }
}

/// A generation's name: 16 hexadecimal digits that follow from the bytes of its pair, so that the same pair has the same
/// name wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GenerationId(String);

/// Before a generation's name in a link: the folder that they are all in.
const LINKED: &str = "g/";

impl GenerationId {
    /// The name of the generation of a pair.
    #[must_use]
    pub fn of(kernel: &Sha256Sum, initrd: &Sha256Sum) -> Self {
        let mut hash = Sha256::new();
        hash.update(kernel.as_str());
        hash.update(initrd.as_str());
        Self(Sha256Sum::of(hash).as_str()[..16].to_owned())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GenerationId {
    /// What a link to it says, which lies beside the folder of all generations.
    #[must_use]
    pub fn link_text(&self) -> String {
        format!("{LINKED}{}", self.0)
    }

    /// The generation that a link names, if that is what it is.
    #[must_use]
    pub fn of_link(text: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(text).ok()?.strip_prefix(LINKED)?;
        Self::try_from(name.to_owned()).ok()
    }
}

impl TryFrom<String> for GenerationId {
    type Error = NotAGeneration;
    fn try_from(text: String) -> Result<Self, NotAGeneration> {
        if is_hex(&text, 16) {
            Ok(Self(text))
        } else {
            Err(NotAGeneration)
        }
    }
}

impl From<GenerationId> for String {
    fn from(id: GenerationId) -> String {
        id.0
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What is known about a generation: the file `pair.json` beside its kernel and initrd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairNote {
    /// The kernel's version as its file's name says; a seed's file may be named otherwise.
    pub version: Option<KernelVersion>,
    /// What made this pair the one to boot.
    pub source: PairSource,
    /// The kernel.
    pub kernel: FileNote,
    /// The initrd.
    pub initrd: FileNote,
    /// What the kernel is for; a version before 0.2 did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KernelKind>,
}

/// Where a file of a generation was copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file's name: in the share, or as the user gave the seed.
    pub name: String,
    /// The link in the share that named it.
    pub link: Option<Identity>,
    /// The file itself.
    pub file: Identity,
}

/// What is known about one file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNote {
    /// Where it was copied from.
    pub from: Origin,
    /// The copy's size in bytes.
    pub size: u64,
    /// The copy's digest.
    pub sha256: Sha256Sum,
    /// Whether every later change of what it was copied from shows in that file's times; else it is read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

impl PairNote {
    /// The name of the generation that this describes.
    #[must_use]
    pub fn id(&self) -> GenerationId {
        GenerationId::of(&self.kernel.sha256, &self.initrd.sha256)
    }
}

/// What the staged seed is: the file `seed.json` beside it, written with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedReceipt {
    /// The kernel.
    pub kernel: SeedPart,
    /// The initrd.
    pub initrd: SeedPart,
}

/// One file of a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedPart {
    /// The user's file that was copied.
    pub path: HostPath,
    /// That file when it was copied: while this holds, the seed is up to date without reading the file again.
    pub file: Identity,
    /// The copy's size in bytes.
    pub size: u64,
    /// The copy's digest.
    pub sha256: Sha256Sum,
}

impl SeedReceipt {
    /// The name of the generation that this seed becomes.
    #[must_use]
    pub fn id(&self) -> GenerationId {
        GenerationId::of(&self.kernel.sha256, &self.initrd.sha256)
    }

    /// The version in the name of the user's kernel file, if there is one.
    #[must_use]
    pub fn version(&self) -> Option<KernelVersion> {
        let name = BootFileName::new(self.kernel.path.file_name().as_bytes()).ok()?;
        KernelVersion::of_kernel(&name)
    }
}

/// What the staged installer is: the file `installer.json` beside it, written with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallerReceipt {
    /// The kernel.
    pub kernel: SeedPart,
    /// The initrd; its size and digest are of the copy, with the files in it.
    pub initrd: SeedPart,
    /// The digest of the user's initrd, which the copy begins with.
    pub initrd_source: Sha256Sum,
    /// The files that were appended, by their absolute path in the installer.
    pub files: BTreeMap<HostPath, SeedPart>,
}

impl InstallerReceipt {
    /// The name of the generation that this installer becomes.
    #[must_use]
    pub fn id(&self) -> GenerationId {
        GenerationId::of(&self.kernel.sha256, &self.initrd.sha256)
    }
}

/// A text is no generation's name.
#[derive(Debug, thiserror::Error)]
#[error("a generation's name has 16 lower-case hexadecimal digits")]
pub struct NotAGeneration;

/// Reads the text of a `pair.json`.
///
/// # Errors
/// Says why it is none.
pub fn read_pair_note(text: &[u8]) -> Result<PairNote, FormatError> {
    PAIR_FORMAT.read(text)
}

/// The text of a `pair.json`, ending in a newline.
///
/// # Errors
/// None in practice: every part of a note can be written as JSON.
pub fn render_pair_note(note: &PairNote) -> Result<String, FormatError> {
    PAIR_FORMAT.render(note)
}

/// Reads the text of a `seed.json`.
///
/// # Errors
/// Says why it is none.
pub fn read_seed_receipt(text: &[u8]) -> Result<SeedReceipt, FormatError> {
    SEED_FORMAT.read(text)
}

/// The text of a `seed.json`, ending in a newline.
///
/// # Errors
/// None in practice: every part of a receipt can be written as JSON.
pub fn render_seed_receipt(receipt: &SeedReceipt) -> Result<String, FormatError> {
    SEED_FORMAT.render(receipt)
}

/// Reads the text of a `dtb.json`: what was staged as a VM's device tree.
///
/// # Errors
/// Says why it is none.
pub fn read_dtb_receipt(text: &[u8]) -> Result<SeedPart, FormatError> {
    DTB_FORMAT.read(text)
}

/// The text of a `dtb.json`, ending in a newline.
///
/// # Errors
/// None in practice: every part of a receipt can be written as JSON.
pub fn render_dtb_receipt(receipt: &SeedPart) -> Result<String, FormatError> {
    DTB_FORMAT.render(receipt)
}

/// Reads the text of an `installer.json`.
///
/// # Errors
/// Says why it is none.
pub fn read_installer_receipt(text: &[u8]) -> Result<InstallerReceipt, FormatError> {
    INSTALLER_FORMAT.read(text)
}

/// The text of an `installer.json`, ending in a newline.
///
/// # Errors
/// None in practice: every part of a receipt can be written as JSON.
pub fn render_installer_receipt(receipt: &InstallerReceipt) -> Result<String, FormatError> {
    INSTALLER_FORMAT.render(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Sha256Sum {
        let mut hash = Sha256::new();
        hash.update(text);
        Sha256Sum::of(hash)
    }

    fn identity(ino: u64) -> Identity {
        Identity {
            dev: u64::MAX,
            ino,
            size: 5,
            mtime: Timestamp(i64::MIN, 0),
            ctime: Timestamp(1_700_000_000, 999_999_999),
        }
    }

    fn pair() -> PairNote {
        let file = |name: &str, ino| FileNote {
            from: Origin {
                name: name.to_owned(),
                link: Some(identity(ino)),
                file: identity(ino + 1),
            },
            size: 5,
            sha256: digest(name),
            settled: true,
        };
        PairNote {
            version: KernelVersion::of_kernel(&BootFileName::new(b"vmlinuz-6.1").unwrap()),
            source: PairSource::OldLinks,
            kernel: file("vmlinuz-6.1", 1),
            initrd: file("initrd.img-6.1", 3),
            kind: None,
        }
    }

    fn seed() -> SeedReceipt {
        let part = |path: &str| SeedPart {
            path: path.parse().unwrap(),
            file: identity(1),
            size: 5,
            sha256: digest(path),
        };
        SeedReceipt {
            kernel: part("/srv/seed/vmlinuz-6.1.0-48-armmp"),
            initrd: part("/srv/seed/initrd.gz"),
        }
    }

    #[test]
    fn notes_read_back_as_they_were_written() {
        let text = render_pair_note(&pair()).unwrap();
        assert_eq!(read_pair_note(text.as_bytes()).unwrap(), pair());
        let text = render_seed_receipt(&seed()).unwrap();
        assert_eq!(read_seed_receipt(text.as_bytes()).unwrap(), seed());
        assert_eq!(seed().version().unwrap().as_str(), "6.1.0-48-armmp");
    }

    #[test]
    fn damaged_and_foreign_notes_are_refused() {
        let text = render_pair_note(&pair()).unwrap();
        for damaged in [
            text[..text.len() / 2].to_owned(),
            String::new(),
            text.replace("pair/1", "pair/2"),
            text.replace(digest("vmlinuz-6.1").as_str(), "../../etc/shadow"),
            text.replace("\"6.1\"", "\"6.1\\u001b[2J\""),
            " ".repeat(NOTE_LIMIT + 1),
        ] {
            assert!(read_pair_note(damaged.as_bytes()).is_err(), "{damaged}");
        }
        assert!(read_seed_receipt(text.as_bytes()).is_err());
    }

    #[test]
    fn a_generation_is_named_by_its_bytes_alone() {
        let mut other = pair();
        other.source = PairSource::Newest;
        other.kernel.from.file = identity(9);
        assert_eq!(other.id(), pair().id());
        other.initrd.sha256 = digest("other");
        assert_ne!(other.id(), pair().id());
        assert_eq!(pair().id().as_str().len(), 16);
        for wrong in [
            "",
            "..",
            "../../../etc",
            "0123456789abcdeF",
            "0123456789abcdef0",
        ] {
            assert!(GenerationId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
