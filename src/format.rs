//! Files of armfleet's own: JSON that says its format. Every format that was ever released is read; one of a later
//! version of armfleet is not guessed at, and never taken for damage that could be put right by writing it again.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a file calls its kind and version: `armfleet-record/1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    kind: &'static str,
    /// The version that is written, and the only one that is read.
    version: u32,
    /// Far above any such file, in bytes; a larger one is damaged.
    limit: usize,
}

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is larger than any such file.
    #[error("it has {0} bytes, more than any file of this kind")]
    TooLarge(usize),
    /// It is not JSON of this shape.
    #[error("it is not a file of this kind")]
    Malformed(#[source] serde_json::Error),
    /// It is of another kind.
    #[error("its format is {found}, not {known}")]
    OtherKind {
        /// What it says.
        found: String,
        /// What it should say.
        known: String,
    },
    /// A later version of armfleet wrote it.
    #[error("its format is {found}; this armfleet reads up to {known}")]
    Later {
        /// What it says.
        found: String,
        /// The latest that this version reads.
        known: String,
    },
}

/// What to do about a file of a later format.
pub const UPGRADE: &str = "upgrade armfleet on this host";

impl FormatError {
    /// Whether a later version of armfleet wrote the file, so that it must stay as it is.
    #[must_use]
    pub const fn is_later(&self) -> bool {
        matches!(self, Self::Later { .. })
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

#[derive(Serialize)]
struct Enveloped<'a, T> {
    format: String,
    #[serde(flatten)]
    content: &'a T,
}

impl Format {
    /// A kind of file, of at most so many bytes.
    #[must_use]
    pub const fn new(kind: &'static str, limit: usize) -> Self {
        Self {
            kind,
            version: 1,
            limit,
        }
    }

    /// The same in a later version, of which the earlier ones are not read.
    #[must_use]
    pub const fn in_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// More bytes than any such file has.
    #[must_use]
    pub const fn limit(self) -> usize {
        self.limit
    }

    /// What a file of this format says: its kind and version.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}/{}", self.kind, self.version)
    }

    /// Checks that a file says this format, before anything of it that may differ between formats.
    ///
    /// # Errors
    /// Says what it is instead.
    pub fn check(self, text: &[u8]) -> Result<(), FormatError> {
        if text.len() > self.limit {
            return Err(FormatError::TooLarge(text.len()));
        }
        let FormatOnly { format: found } =
            serde_json::from_slice(text).map_err(FormatError::Malformed)?;
        let known = self.name();
        if found == known {
            Ok(())
        } else if self.is_before(&found) {
            Err(FormatError::Later { found, known })
        } else {
            Err(FormatError::OtherKind { found, known })
        }
    }

    /// Whether a text begins as files of this kind do, in any version: with its name.
    #[must_use]
    pub fn begins(self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let name = text.trim_start().strip_prefix('{').map(str::trim_start);
        let name = name.and_then(|text| text.strip_prefix(r#""format""#));
        let name = name.map(|text| text.trim_start_matches([' ', ':', '"']));
        let version = name.and_then(|text| text.strip_prefix(self.kind));
        version.is_some_and(|text| text.starts_with('/'))
    }

    /// The error of a file whose format is a later version's; none for any other file.
    #[must_use]
    pub fn later(self, text: &[u8]) -> Option<FormatError> {
        self.check(text).err().filter(FormatError::is_later)
    }

    /// Reads a file. Unknown fields are left alone: a later version of the same format may add some.
    ///
    /// # Errors
    /// Says why it is no file of this format.
    pub fn read<T: DeserializeOwned>(self, text: &[u8]) -> Result<T, FormatError> {
        self.check(text)?;
        serde_json::from_slice(text).map_err(FormatError::Malformed)
    }

    /// The text of a file, ending in a newline.
    ///
    /// # Errors
    /// None in practice: every such file can be written as JSON.
    pub fn render<T: Serialize>(self, content: &T) -> Result<String, FormatError> {
        let text = serde_json::to_string_pretty(&self.enveloped(content));
        text.map(|text| text + "\n").map_err(FormatError::Malformed)
    }

    /// The same as a line, without its end.
    ///
    /// # Errors
    /// None in practice: every such file can be written as JSON.
    pub fn render_line<T: Serialize>(self, content: &T) -> Result<String, FormatError> {
        serde_json::to_string(&self.enveloped(content)).map_err(FormatError::Malformed)
    }

    fn enveloped<T>(self, content: &T) -> Enveloped<'_, T> {
        Enveloped {
            format: self.name(),
            content,
        }
    }

    fn is_before(self, found: &str) -> bool {
        let version = found
            .strip_prefix(self.kind)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        // A number beyond any is a later one, too.
        version.is_some_and(|digits| {
            digits
                .parse()
                .map_or(true, |found: u32| found > self.version)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format::new("armfleet-thing", 100);

    #[test]
    fn a_file_reads_back_and_may_have_more_fields() {
        let text = FORMAT
            .render(
                &[("a", 1)]
                    .as_slice()
                    .iter()
                    .copied()
                    .collect::<std::collections::BTreeMap<_, _>>(),
            )
            .unwrap();
        assert_eq!(
            text,
            "{\n  \"format\": \"armfleet-thing/1\",\n  \"a\": 1\n}\n"
        );
        #[derive(Deserialize, PartialEq, Debug)]
        struct Thing {
            a: u32,
        }
        let more = text.replace("\"a\"", "\"b\": 2, \"a\"");
        for text in [text, more] {
            assert_eq!(
                FORMAT.read::<Thing>(text.as_bytes()).unwrap(),
                Thing { a: 1 }
            );
        }
    }

    #[test]
    fn only_a_later_version_of_the_same_kind_is_later() {
        let check = |format: &str| FORMAT.check(format!(r#"{{"format": "{format}"}}"#).as_bytes());
        assert!(check("armfleet-thing/1").is_ok());
        for later in ["2", "10", "99999999999999999999"] {
            let error = check(&format!("armfleet-thing/{later}")).unwrap_err();
            assert!(error.is_later(), "{later}");
        }
        for other in ["0", "", "-2", "2a", "+2", "2/3"] {
            let error = check(&format!("armfleet-thing/{other}")).unwrap_err();
            assert!(matches!(error, FormatError::OtherKind { .. }), "{other}");
        }
        for other in ["armfleet-thing", "armfleet-things/2", ""] {
            assert!(!check(other).unwrap_err().is_later(), "{other}");
        }
        let long = format!(
            r#"{{"format": "armfleet-thing/2", "a": "{}"}}"#,
            "a".repeat(100)
        );
        assert!(matches!(
            FORMAT.check(long.as_bytes()),
            Err(FormatError::TooLarge(_))
        ));
        assert!(
            FORMAT
                .later(b"{\"format\": \"armfleet-thing/2\"}")
                .is_some()
        );
        assert!(FORMAT.later(b"{").is_none());
        assert_eq!(
            check("armfleet-thing/2").unwrap_err().to_string(),
            "its format is armfleet-thing/2; this armfleet reads up to armfleet-thing/1"
        );
    }
}
