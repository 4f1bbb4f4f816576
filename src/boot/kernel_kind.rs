//! What a kernel is for, by its first bytes: enough to leave one alone that a guest cannot boot, without reading it whole.

use super::kernel::{EfiStub, Found, inflate, read_head, recognise, u32_at};
use crate::values::Arch;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{Read, Seek};

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelKind {
    /// The processor that it runs on.
    pub arch: Arch,
    /// The size of its pages, where its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageSize>,
}

/// The size of a kernel's pages. Those of more than 4 KiB run no 32-bit programs (`CONFIG_COMPAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PageSize {
    #[serde(rename = "4k")]
    Kib4,
    #[serde(rename = "16k")]
    Kib16,
    #[serde(rename = "64k")]
    Kib64,
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kib4 => "4 KiB",
            Self::Kib16 => "16 KiB",
            Self::Kib64 => "64 KiB",
        })
    }
}

impl KernelKind {
    /// What a file's first bytes say; none where they are no kernel's for a guest of ours, or cannot be read.
    pub fn read<R: Read + Seek>(file: &mut R) -> Option<Self> {
        let head = read_head(file).ok()?;
        match recognise(&head) {
            Found::ZImage { .. } => Some(Self {
                arch: Arch::ARMHF,
                pages: None,
            }),
            Found::Image => Some(Self::of_image(&head)),
            Found::Gzip => Self::of_inflated(&inflate(file, 0)?),
            Found::Zboot => {
                let payload = u32_at(&head, 8)?;
                let inflated = inflate(file, payload.into());
                let kind = inflated.and_then(|inflated| Self::of_inflated(&inflated));
                kind.or_else(|| Self::of_stub(&head))
            }
            Found::Named(_) | Found::Unknown => None,
        }
    }

    fn of_inflated(head: &[u8]) -> Option<Self> {
        matches!(recognise(head), Found::Image).then(|| Self::of_image(head))
    }

    /// Bits 1 and 2 of the flags (`Documentation/arch/arm64/booting.rst`).
    fn of_image(head: &[u8]) -> Self {
        let flags = u32_at(head, 24).unwrap_or_default();
        Self {
            arch: Arch::ARM64,
            pages: match (flags >> 1) & 3 {
                1 => Some(PageSize::Kib4),
                2 => Some(PageSize::Kib16),
                3 => Some(PageSize::Kib64),
                _ => None,
            },
        }
    }

    fn of_stub(head: &[u8]) -> Option<Self> {
        let machine = EfiStub::read(head)?.machine;
        let arch = Arch::ALL
            .into_iter()
            .find(|arch| arch.efi_machine == machine)?;
        Some(Self { arch, pages: None })
    }

    /// Whether it runs programs of another architecture than its own, as far as its header tells.
    #[must_use]
    pub fn runs(&self, userland: Arch) -> bool {
        let is_own = self.arch == userland;
        let small_pages = matches!(self.pages, None | Some(PageSize::Kib4));
        is_own || (self.arch.has_userland(userland) && small_pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::limits::KIND_READ_LIMIT;
    use std::io::{Cursor, Write as _};

    fn image(flags: u32) -> Vec<u8> {
        let mut image = vec![0; 8192];
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        image[24..28].copy_from_slice(&flags.to_le_bytes());
        image
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zboot(payload: &[u8]) -> Vec<u8> {
        let mut zboot = vec![0; 0x400];
        zboot[..2].copy_from_slice(b"MZ");
        zboot[4..8].copy_from_slice(b"zimg");
        zboot[8..12].copy_from_slice(&0x400_u32.to_le_bytes());
        zboot[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
        zboot[0x80..0x84].copy_from_slice(b"PE\0\0");
        zboot[0x84..0x86].copy_from_slice(&0xaa64_u16.to_le_bytes());
        zboot.extend(payload);
        zboot
    }

    fn read(bytes: &[u8]) -> Option<KernelKind> {
        KernelKind::read(&mut Cursor::new(bytes))
    }

    fn arm64(pages: Option<PageSize>) -> Option<KernelKind> {
        let arch = Arch::ARM64;
        Some(KernelKind { arch, pages })
    }

    #[test]
    fn an_arm64_kernel_tells_the_size_of_its_pages_in_every_wrapping() {
        for (flags, pages) in [
            (0x0, None),
            (0xa, Some(PageSize::Kib4)),
            (0xc, Some(PageSize::Kib16)),
            (0xe, Some(PageSize::Kib64)),
        ] {
            let image = image(flags);
            assert_eq!(read(&image), arm64(pages));
            assert_eq!(read(&gzip(&image)), arm64(pages));
            assert_eq!(read(&zboot(&gzip(&image))), arm64(pages));
            let small = matches!(pages, None | Some(PageSize::Kib4));
            let kind = read(&image).unwrap();
            assert_eq!(kind.runs(Arch::ARMHF), small);
            assert!(kind.runs(Arch::ARM64));
        }
        assert_eq!(read(&zboot(b"something else")), arm64(None));
    }

    /// Counts what is read of it.
    struct Counted(Cursor<Vec<u8>>, u64);

    impl Read for Counted {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let read = self.0.read(into)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_stream_that_gives_nothing_is_not_read_to_its_end() {
        let empty_block = [0, 0, 0, 0xff, 0xff];
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let stream = [&header[..], &empty_block.repeat(1 << 20)].concat();
        for kernel in [zboot(&stream), stream] {
            let mut kernel = Counted(Cursor::new(kernel), 0);
            KernelKind::read(&mut kernel);
            assert!(kernel.1 < 2 * KIND_READ_LIMIT, "{}", kernel.1);
        }
    }

    #[test]
    fn what_is_no_kernel_has_no_kind() {
        for bytes in [
            &b""[..],
            b"\x1f\x8b",
            b"MZ",
            b"\x7fELF",
            &gzip(b"an initrd"),
        ] {
            assert_eq!(read(bytes), None);
        }
        let mut zimage = vec![0; 0x30];
        zimage[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
        let kind = read(&zimage).unwrap();
        assert_eq!((kind.arch, kind.pages), (Arch::ARMHF, None));
        assert!(kind.runs(Arch::ARMHF) && !kind.runs(Arch::ARM64));
    }
}
