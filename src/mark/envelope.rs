//! Small JSON files of armfleet's own: each says its format, and one of another format is not guessed at.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Far above any such file; a larger one is damaged.
const SIZE_LIMIT: usize = 64 << 10;

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is larger than any such file.
    #[error("it has {0} bytes, more than any such file")]
    TooLarge(usize),
    /// It is not JSON of this shape.
    #[error("it is not such a file")]
    Malformed(#[source] serde_json::Error),
    /// Another version of armfleet wrote it.
    #[error("its format is `{found}`, this version reads `{wanted}`")]
    OtherFormat {
        /// What it says.
        found: String,
        /// What it should say.
        wanted: &'static str,
    },
}

#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

#[derive(Serialize)]
struct Enveloped<'a, T> {
    format: &'static str,
    #[serde(flatten)]
    content: &'a T,
}

pub(super) fn read<T: DeserializeOwned>(text: &[u8], wanted: &'static str) -> Result<T, FileError> {
    if text.len() > SIZE_LIMIT {
        return Err(FileError::TooLarge(text.len()));
    }
    let FormatOnly { format } = serde_json::from_slice(text).map_err(FileError::Malformed)?;
    if format != wanted {
        return Err(FileError::OtherFormat {
            found: format,
            wanted,
        });
    }
    serde_json::from_slice(text).map_err(FileError::Malformed)
}

pub(super) fn render<T: Serialize>(content: &T, format: &'static str) -> Result<String, FileError> {
    let mut text = serde_json::to_string_pretty(&Enveloped { format, content })
        .map_err(FileError::Malformed)?;
    text.push('\n');
    Ok(text)
}
