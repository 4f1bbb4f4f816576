//! The key of a host's digests (`/var/lib/armfleet/key.json`). It is root's alone and never leaves the host.

use crate::format::{Format, FormatError};
use crate::values::HostKey;
use serde::{Deserialize, Serialize};

/// What the key's file says it is.
pub const KEY_FORMAT: Format = Format::new("armfleet-key", 1 << 10);

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
}

/// Reads the key's file; none where it holds none of the right length.
///
/// # Errors
/// Says why the text is not a key's file of this format.
pub fn read_key(text: &[u8]) -> Result<Option<HostKey>, FormatError> {
    let Kept { key } = KEY_FORMAT.read(text)?;
    Ok(HostKey::from_hex(&key))
}

/// The text of the key's file, ending in a newline.
///
/// # Errors
/// None in practice: a key can be written as JSON.
pub fn render_key(key: &HostKey) -> Result<String, FormatError> {
    KEY_FORMAT.render(&Kept { key: key.hex() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let key = HostKey::new([7; HostKey::LENGTH]);
        let text = render_key(&key).unwrap();
        assert_eq!(read_key(text.as_bytes()).unwrap(), Some(key));
        let short = text.replace("0707", "07");
        assert_eq!(read_key(short.as_bytes()).unwrap(), None);
        assert!(read_key(b"{}").is_err());
        let later = text.replace("key/1", "key/2");
        assert!(read_key(later.as_bytes()).unwrap_err().is_later());
    }
}
