//! Names, paths and sizes, each checked where it enters: past this file no hostile text remains.

use serde::{Deserialize, Serialize};
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
        #[serde(try_from = "String", into = "String")]
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
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Unacceptable;
            fn try_from(text: String) -> Result<Self, Unacceptable> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
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
    /// A QEMU machine type as libvirt writes it (`virt`, `virt-7.2`).
    MachineName, check_name
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

fn check_name(text: &str) -> Result<(), Unacceptable> {
    let fail = |why: String| Err(Unacceptable(why));
    let Some(first) = text.chars().next() else {
        return fail("a name must not be empty".to_owned());
    };
    if text == "null" {
        return fail(
            "`null` cannot be a name: YAML takes it for nothing; choose another".to_owned(),
        );
    }
    if text.len() > NAME_LIMIT {
        return fail(format!(
            "a name has at most {NAME_LIMIT} characters, this one has {}",
            text.chars().count()
        ));
    }
    if !first.is_ascii_alphanumeric() {
        return fail(format!(
            "a name begins with a letter or a digit, not with {first:?}"
        ));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(c) => fail(format!(
            "a name has only letters, digits, `.`, `_` and `-`, not {c:?}"
        )),
        None => Ok(()),
    }
}

fn check_path(text: &str) -> Result<(), Unacceptable> {
    let fail = |why: String| Err(Unacceptable(why));
    if !text.starts_with('/') {
        return fail("a path on the host is absolute: it begins with `/`".to_owned());
    }
    if text.len() > PATH_LIMIT {
        return fail(format!(
            "a path has at most {PATH_LIMIT} bytes, this one has {}",
            text.len()
        ));
    }
    if text == "/" {
        return fail("`/` itself cannot be used here".to_owned());
    }
    if let Some(c) = text
        .chars()
        .find(|c| matches!(c, '"' | ',') || c.is_control())
    {
        return fail(format!(
            "a path must not contain {c:?}: QEMU or its AppArmor profile would misread it"
        ));
    }
    match text[1..]
        .split('/')
        .find(|part| matches!(*part, "" | "." | ".."))
    {
        Some("") => fail("a path must not end in `/` or contain `//`".to_owned()),
        Some(part) => fail(format!("a path must not contain the component `{part}`")),
        None => Ok(()),
    }
}

fn check_cmdline(text: &str) -> Result<(), Unacceptable> {
    let fail = |why: String| Err(Unacceptable(why));
    if text.trim().is_empty() {
        return fail("the kernel command line must not be empty".to_owned());
    }
    match text.chars().find(|c| c.is_control()) {
        Some('\n') => fail(
            "the kernel command line is one line; a block that begins with `>-` joins several"
                .to_owned(),
        ),
        Some(c) => fail(format!("the kernel command line must not contain {c:?}")),
        None => Ok(()),
    }
}

fn check_uuid(text: &str) -> Result<(), Unacceptable> {
    let shape = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if shape {
        Ok(())
    } else {
        Err(Unacceptable(format!(
            "`{text}` is not a UUID in lower-case hexadecimal"
        )))
    }
}

impl Uuid {
    /// A UUID that this crate made itself, and that has the right form by construction.
    pub(crate) fn from_derived(text: String) -> Self {
        debug_assert!(check_uuid(&text).is_ok());
        Self(text)
    }
}
