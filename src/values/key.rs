//! Digests that tell nothing to whoever has no key: a plain digest of a text that is known but for a short secret lets anybody
//! try values until one fits.

use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;

/// The key of a host's digests. It never leaves the host.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey([u8; Self::LENGTH]);

impl HostKey {
    /// In bytes.
    pub const LENGTH: usize = 32;

    /// A key of these bytes, which are to be random.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Reads a key as [`hex`](Self::hex) writes it.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; Self::LENGTH];
        if text.len() != 2 * Self::LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(key))
    }

    /// The key in lower-case hexadecimal, for the file that keeps it.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// HMAC-SHA-256 (RFC 2104) of a text, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            let keyed = block.iter_mut().zip(self.0);
            keyed.for_each(|(byte, key)| *byte ^= key);
            block
        };
        let inner = Sha256::new().chain_update(padded(0x36));
        let inner = inner.chain_update(text).finalize();
        let outer = Sha256::new().chain_update(padded(0x5c));
        hex(&outer.chain_update(inner).finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1 and 2: a shorter key is padded with zero bytes.
    #[test]
    fn it_is_hmac_sha_256() {
        let key = |bytes: &[u8]| {
            let mut key = [0; HostKey::LENGTH];
            key[..bytes.len()].copy_from_slice(bytes);
            HostKey::new(key)
        };
        for (bytes, text, digest) in [
            (
                &[0x0b; 20][..],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            assert_eq!(key(bytes).digest(text), digest);
        }
    }

    #[test]
    fn a_key_reads_back_and_is_not_shown() {
        let key = HostKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap() * 7));
        assert_eq!(HostKey::from_hex(&key.hex()), Some(key.clone()));
        assert_eq!(format!("{key:?}"), "HostKey");
        for text in ["", "0", &key.hex()[1..], &key.hex().replace('0', "é")] {
            assert_eq!(HostKey::from_hex(text), None, "{text}");
        }
    }
}
