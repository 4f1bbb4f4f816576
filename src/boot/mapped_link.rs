//! Mapped links: guest symlinks as the host sees them, plain files with the target's text.
//!
//! QEMU's 9p server in mode `mapped` keeps a guest's file type in the xattr `user.virtfs.mode` (little-endian 32 bits;
//! `hw/9pfs/9p-local.c`, `local_set_xattrat`) and a symlink's target, without a final NUL, in the file (`local_symlink`).

use super::limits::LINK_TEXT_LIMIT;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;

/// The xattr that holds the mode the guest gave a file.
pub const MODE_XATTR: &str = "user.virtfs.mode";
/// The longest name of a file, in bytes: Linux's NAME_MAX.
const NAME_LIMIT: usize = 255;

/// What a file is to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappedKind {
    /// A symlink.
    Link,
    /// A plain file.
    File,
    /// A device, FIFO or socket, or something that the guest cannot have made.
    Other,
}

/// Reads the value of [`MODE_XATTR`]. A file without that xattr is what it is on the host.
#[must_use]
pub fn mapped_kind(mode: &[u8]) -> MappedKind {
    let Ok(mode) = <[u8; 4]>::try_from(mode) else {
        return MappedKind::Other;
    };
    match u32::from_le_bytes(mode) & 0o170_000 {
        0o120_000 => MappedKind::Link,
        0o100_000 => MappedKind::File,
        _ => MappedKind::Other,
    }
}

/// The name of a file in the share: one path component of printable ASCII, so that it can be opened and printed without
/// a second thought. No kernel package makes another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootFileName(String);

impl BootFileName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Accepts a name as a folder's listing gives it.
    ///
    /// # Errors
    /// Says why it is not a name of this kind.
    pub fn new(name: &[u8]) -> Result<Self, LinkError> {
        let text = match std::str::from_utf8(name) {
            _ if name.is_empty() => return Err(LinkError::Empty),
            _ if name.len() > NAME_LIMIT => return Err(LinkError::TooLong(name.len())),
            Ok(text) if name.iter().all(u8::is_ascii_graphic) => text,
            _ => return Err(LinkError::Unprintable(Quoted::new(name))),
        };
        if text.contains('/') || matches!(text, "." | "..") {
            return Err(LinkError::Elsewhere(Quoted::new(name)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// So that a listing can be asked by text; both are ordered by their bytes.
impl Borrow<str> for BootFileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BootFileName {
    type Error = LinkError;
    fn try_from(text: String) -> Result<Self, LinkError> {
        Self::new(text.as_bytes())
    }
}

impl From<BootFileName> for String {
    fn from(name: BootFileName) -> String {
        name.0
    }
}

impl fmt::Display for BootFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Foreign bytes for a message: the first of them, with everything but printable ASCII escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    const SHOWN: usize = 60;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(Self::SHOWN)];
        let ellipsis = if shown.len() < bytes.len() { "…" } else { "" };
        Self(format!("\"{}{ellipsis}\"", shown.escape_ascii()))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text does not name a file in the share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It has no text; a link is momentarily like that while it is made.
    #[error("it is empty")]
    Empty,
    /// It is longer than a path or name can be.
    #[error("it has {0} bytes or more, longer than any name")]
    TooLong(usize),
    /// It leads out of the share, or into a folder.
    #[error("{0} is not a file directly in /boot")]
    Elsewhere(Quoted),
    /// It has characters that no kernel package uses.
    #[error("{0} has characters that no kernel's name has")]
    Unprintable(Quoted),
}

/// How guests write a file of `/boot`: from there, from their root folder, or from anywhere. Debian's `linux-update-symlinks`
/// writes the bare name for links in `/boot`, and `boot/NAME` for those in `/`.
const FOLDERS: [&[u8]; 4] = [b"./", b"../boot/", b"/boot/", b"boot/"];

/// Reads a mapped link's text: the name of a file beside it.
///
/// # Errors
/// Says why the text names no file in the share.
pub fn link_target(text: &[u8]) -> Result<BootFileName, LinkError> {
    if text.len() > LINK_TEXT_LIMIT {
        return Err(LinkError::TooLong(text.len()));
    }
    let in_folder = FOLDERS.iter().find_map(|folder| text.strip_prefix(*folder));
    BootFileName::new(in_folder.unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Option<String> {
        link_target(text.as_bytes()).ok().map(String::from)
    }

    #[test]
    fn a_link_names_a_file_beside_it() {
        let name = "vmlinuz-6.1.0-48-armmp";
        for text in [
            name.to_owned(),
            format!("./{name}"),
            format!("boot/{name}"),
            format!("/boot/{name}"),
            format!("../boot/{name}"),
        ] {
            assert_eq!(target(&text).as_deref(), Some(name));
        }
        assert_eq!(
            target("vmlinuz-6.12.43+deb13-arm64").as_deref(),
            Some("vmlinuz-6.12.43+deb13-arm64")
        );
        assert_eq!(
            target("-a").as_deref(),
            Some("-a"),
            "a name is never an argument of anything"
        );
    }

    #[test]
    fn hostile_texts_name_nothing() {
        let long = "v".repeat(256);
        let longer = "v".repeat(5000);
        for text in [
            "",
            "/",
            ".",
            "..",
            "boot",
            "boot/",
            "/boot/",
            "boot/..",
            "boot/boot/x",
            "./",
            "./..",
            "././x",
            "../x",
            "../boot/",
            "../boot/../x",
            "../../boot/x",
            "../etc/shadow",
            "/etc/shadow",
            "a/b",
            "a\nb",
            "a\0b",
            "a\u{1b}[2J",
            "a b",
            "vmlinuz-\u{202e}x",
            "vmlinuz\n",
            "//boot/x",
            long.as_str(),
            longer.as_str(),
        ] {
            let Some(name) = target(text) else { continue };
            assert_eq!(
                name, "boot",
                "only a file that is named boot is a name among these"
            );
        }
        assert!(link_target(b"\xff\xfe").is_err());
        let fault = link_target(b"\x1b[31m/..").unwrap_err().to_string();
        assert!(
            fault.contains(r"\x1b[31m") && !fault.contains('\u{1b}'),
            "{fault}"
        );
    }

    #[test]
    fn the_mode_tells_a_link_from_a_file() {
        assert_eq!(mapped_kind(&[0xff, 0xa1, 0, 0]), MappedKind::Link);
        assert_eq!(mapped_kind(&[0xa4, 0x81, 0, 0]), MappedKind::File);
        for other in [
            &[0x80, 0x11, 0, 0][..],
            &[0xff, 0xa1],
            &[],
            &[0xff, 0xa1, 0, 0, 0],
            &[0xff; 4],
        ] {
            assert_eq!(mapped_kind(other), MappedKind::Other);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_one_printable_component(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(name) = link_target(&text) {
                prop_assert!(!name.as_str().is_empty() && name.as_str().len() <= 255);
                prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
                prop_assert!(!matches!(name.as_str(), "." | ".."));
            }
        }

        #[test]
        fn faults_print_without_control_characters(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Err(fault) = link_target(&text) {
                prop_assert!(!fault.to_string().chars().any(char::is_control));
            }
        }
    }
}
