//! Names, paths and sizes, each checked where it enters: past this file no hostile text remains.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Why a name, path or size is not acceptable. The text says what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unacceptable(pub String);

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Unacceptable;
            fn from_str(text: &str) -> Result<Self, Unacceptable> {
                $check(text).map_err(Unacceptable)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Unacceptable;
            fn try_from(text: String) -> Result<Self, Unacceptable> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_text!(
    /// The ownership name of a fleet file: letters, digits, `.`, `_`, `-`, at most 64, beginning with a letter or digit.
    FleetName, check_name
);
checked_text!(
    /// A VM's name, which is also its libvirt domain's: the same rule as [`FleetName`]'s. libvirt itself would allow
    /// `.`, `..` and a leading `-`; here the name is also a folder's.
    VmName, check_name
);
checked_text!(
    /// A disk's identity within its VM: the same rule as [`FleetName`]'s.
    DiskName, check_name
);
checked_text!(
    /// The target of a virtio disk: `vda`, `vdb`.
    DiskTarget, check_target
);
checked_text!(
    /// A disk's serial number, as long as virtio-blk can tell it (`VIRTIO_BLK_ID_BYTES`).
    Serial, check_serial
);
checked_text!(
    /// A SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.
    Sha256Sum, check_sha256
);
checked_text!(
    /// A network's identity within its VM, or its name in libvirt: the same rule as [`FleetName`]'s.
    NetworkName, check_name
);
checked_text!(
    /// A network interface of a host, such as a bridge: the rule of [`FleetName`], at most 15 characters.
    LinkName, check_link
);
checked_text!(
    /// The tag under which a guest mounts a 9p share: the rule of [`FleetName`], at most 31 characters, and not the boot
    /// share's.
    ShareTag, check_tag
);
checked_text!(
    /// A QEMU machine type as libvirt writes it (`virt`, `virt-7.2`).
    MachineName, check_name
);
checked_text!(
    /// A processor that QEMU emulates (`cortex-a57`).
    CpuModel, check_name
);
checked_text!(
    /// An absolute path on a VM's host: no `.` or `..` component, no doubled or final slash, and none of the characters
    /// that QEMU's command line (`,`), virt-aa-helper (`"`) or a log (control characters) would take amiss.
    HostPath, check_path
);
checked_text!(
    /// A kernel command line: printable, without line breaks.
    Cmdline, check_cmdline
);
checked_text!(
    /// A UUID in libvirt's form: lower-case hexadecimal, with dashes.
    Uuid, check_uuid
);
impl HostPath {
    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder it is in; `/` for a path of one component.
    #[must_use]
    pub fn parent(&self) -> &str {
        match self.0.rfind('/') {
            None | Some(0) => "/",
            Some(at) => &self.0[..at],
        }
    }
}

/// The longest name: it becomes a folder, a lock file and part of a QEMU monitor path.
pub(crate) const NAME_LIMIT: usize = 64;
/// Linux's PATH_MAX, less its final NUL.
const PATH_LIMIT: usize = 4095;

/// More letters are more disks than a VM can have.
fn check_target(text: &str) -> Result<(), String> {
    let letters = text.strip_prefix("vd").unwrap_or_default();
    let is_one = letters.len() == 1 && letters.bytes().all(|byte| byte.is_ascii_lowercase());
    match is_one {
        true => Ok(()),
        false => Err(format!(
            "a target is `vd` and one letter, as in vda, not `{text}`"
        )),
    }
}

/// The longest serial that virtio-blk carries.
pub(crate) const SERIAL_LIMIT: usize = 20;

fn check_serial(text: &str) -> Result<(), String> {
    if text.len() > SERIAL_LIMIT {
        return Err(format!(
            "a serial number has at most {SERIAL_LIMIT} characters, and this one has {}",
            text.chars().count()
        ));
    }
    check_name(text)
}

impl Sha256Sum {
    /// The digest that a finished hash gives.
    #[must_use]
    pub fn of(hash: Sha256) -> Self {
        Self(
            hash.finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

impl From<Sha256Sum> for String {
    fn from(sum: Sha256Sum) -> Self {
        sum.0
    }
}

fn check_sha256(text: &str) -> Result<(), String> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == 64 && text.bytes().all(is_digit) {
        true => Ok(()),
        false => Err(
            "a SHA-256 has 64 hexadecimal digits, in lower case, as `sha256sum` prints it"
                .to_owned(),
        ),
    }
}

/// Linux's IFNAMSIZ, less its final NUL.
const LINK_LIMIT: usize = 15;

fn check_link(text: &str) -> Result<(), String> {
    if text.len() > LINK_LIMIT {
        return Err(format!(
            "an interface of a host has a name of at most {LINK_LIMIT} characters, and `{text}` has {}",
            text.chars().count()
        ));
    }
    check_name(text)
}

/// The tag of the boot share.
pub const BOOT_TAG: &str = "virtio-boot";
/// QEMU's `MAX_TAG_LEN`, less its final NUL (`hw/9pfs/9p.h`).
const TAG_LIMIT: usize = 31;

fn check_tag(text: &str) -> Result<(), String> {
    if text == BOOT_TAG {
        return Err(format!("`{BOOT_TAG}` is the boot share's tag"));
    }
    if text.len() > TAG_LIMIT {
        let length = text.chars().count();
        return Err(format!(
            "a share's tag has at most {TAG_LIMIT} characters, this one has {length}"
        ));
    }
    check_name(text)
}

fn check_name(text: &str) -> Result<(), String> {
    let Some(first) = text.chars().next() else {
        return Err("a name must not be empty".to_owned());
    };
    if text == "null" {
        return Err(
            "`null` cannot be a name: YAML takes it for nothing; choose another".to_owned(),
        );
    }
    if text.len() > NAME_LIMIT {
        let length = text.chars().count();
        return Err(format!(
            "a name has at most {NAME_LIMIT} characters, this one has {length}"
        ));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(format!(
            "a name begins with a letter or a digit, not with {first:?}"
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|c| !fits(*c)) {
        Some('{') if text.contains("..") => Err(format!(
            "`{text}` is no name; a range of names has brackets, as in obs-[01-12]"
        )),
        Some(c) => Err(format!(
            "a name has only letters, digits, `.`, `_` and `-`, not {c:?}"
        )),
        None => Ok(()),
    }
}

fn check_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("a path on the host is absolute: it begins with `/`".to_owned());
    }
    if text.len() > PATH_LIMIT {
        let length = text.len();
        return Err(format!(
            "a path has at most {PATH_LIMIT} bytes, this one has {length}"
        ));
    }
    if text == "/" {
        return Err("`/` itself cannot be used here".to_owned());
    }
    if text.contains('\n') {
        return Err(
            "a path is one line; put a longer text into a file, and write the file's path"
                .to_owned(),
        );
    }
    let misread = |c: &char| matches!(c, '"' | ',') || c.is_control();
    if let Some(c) = text.chars().find(misread) {
        return Err(format!(
            "a path must not contain {c:?}: QEMU or its AppArmor profile would misread it"
        ));
    }
    let mut parts = text[1..].split('/');
    match parts.find(|part| matches!(*part, "" | "." | "..")) {
        Some("") => Err("a path must not end in `/` or contain `//`".to_owned()),
        Some(part) => Err(format!("a path must not contain the component `{part}`")),
        None => Ok(()),
    }
}

fn check_cmdline(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the kernel command line must not be empty".to_owned());
    }
    match text.chars().find(|c| c.is_control()) {
        Some('\n') => Err(
            "the kernel command line is one line; a block that begins with `>-` joins several"
                .to_owned(),
        ),
        Some(c) => Err(format!("the kernel command line must not contain {c:?}")),
        None => plain_marks(text),
    }
}

/// A kernel divides its command line at plain spaces only, and knows one kind of quotes.
fn plain_marks(text: &str) -> Result<(), String> {
    let is_odd =
        |c: &char| (c.is_whitespace() && *c != ' ') || ('\u{2018}'..='\u{201f}').contains(c);
    let Some(c) = text.chars().find(is_odd) else {
        return Ok(());
    };
    let code = u32::from(c);
    Err(match c.is_whitespace() {
        true => format!(
            "the kernel command line has a space that is none to the kernel (U+{code:04X}); write a plain one"
        ),
        false => format!(
            "the kernel command line has the typographic quote `{c}` (U+{code:04X}), which is none to the kernel; write `\"`"
        ),
    })
}

fn check_uuid(text: &str) -> Result<(), String> {
    match uuid::Uuid::try_parse(text) {
        Ok(uuid) if uuid.to_string() == text => Ok(()),
        _ => Err(format!("`{text}` is not a UUID in lower-case hexadecimal")),
    }
}

impl From<uuid::Uuid> for Uuid {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<HostPath>();
            let _ = text.parse::<Uuid>();
        }
    }
}
