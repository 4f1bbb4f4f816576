//! Whether a file is a whole kernel that the guest's processor can run.
//!
//! QEMU loads what it is given: a kernel of another architecture, or half of one, runs into nothing without a word.
//! Formats: zImage (Linux `arch/arm/boot/compressed/head.S`), the arm64 Image (`Documentation/arch/arm64/booting.rst`),
//! EFI zboot (`drivers/firmware/efi/libstub/zboot-header.S`), PE/COFF for what EFI stubs add to all of them.

use super::limits::{KERNEL_LIMIT, KIND_READ_LIMIT};
use super::mapped_link::Quoted;
use crate::values::{Arch, KernelFormat};
use std::io::{self, Read, Seek, SeekFrom};

/// How much of a file tells what it is. An EFI stub keeps its section table in the first page.
const HEAD: u64 = 4096;
/// The most that QEMU inflates a gzip'd kernel to (`LOAD_IMAGE_MAX_GUNZIP_BYTES`, `include/hw/loader.h`).
const INFLATED_LIMIT: u64 = 256 << 20;

/// Why a file is not a kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It is larger than any kernel.
    #[error("it has {0} bytes, more than the limit of {KERNEL_LIMIT}")]
    TooLarge(u64),
    /// It is something else.
    #[error("it is {found}, not a kernel for {}", wanted.libvirt)]
    NotForGuest {
        /// What it is, or how it begins.
        found: String,
        /// What it should be for.
        wanted: Arch,
    },
    /// It ends before its header says.
    #[error("it is cut off: it has {has} bytes, its header says {needs}")]
    CutOff {
        /// Its length.
        has: u64,
        /// What it must at least be.
        needs: u64,
    },
    /// Its parts do not fit together.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// QEMU cannot load it.
    #[error("QEMU cannot load it: {0}")]
    NotLoadable(&'static str),
    /// It could not be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

impl KernelError {
    /// What gives the guest a kernel that boots; none where nothing in it would.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty | Self::CutOff { .. } | Self::Damaged(_) => {
                "run `apt install --reinstall` for its package in the guest"
            }
            Self::NotForGuest { .. } | Self::TooLarge(_) | Self::NotLoadable(_) => {
                "install a kernel package of the guest's architecture, such as Debian's linux-image"
            }
            Self::Read(_) => return None,
        })
    }
}

/// Checks that an image is a whole kernel for a guest of this architecture.
///
/// The arm64 Image has no checksum and, without an EFI stub, no length: there, only its header is checked.
///
/// # Errors
/// Says what the file is instead, or what is wrong with it.
pub fn check_kernel<R: Read + Seek>(
    image: &mut R,
    arch: Arch,
) -> Result<KernelFormat, KernelError> {
    let length = image.seek(SeekFrom::End(0)).map_err(KernelError::Read)?;
    if length == 0 {
        return Err(KernelError::Empty);
    }
    if length > KERNEL_LIMIT {
        return Err(KernelError::TooLarge(length));
    }
    let head = read_head(image)?;
    let not_for_guest = |found: String| KernelError::NotForGuest {
        found,
        wanted: arch,
    };
    let boots = |format| arch.kernels.contains(&format);
    let format = match recognise(&head) {
        Found::ZImage { start, end } if boots(KernelFormat::ZImage) => {
            whole_zimage(length, start, end)?;
            KernelFormat::ZImage
        }
        Found::Image if boots(KernelFormat::Image) => KernelFormat::Image,
        Found::Zboot if boots(KernelFormat::Zboot) => {
            let (offset, size) = zboot_payload(&head, length)?;
            whole_compressed(image, offset, size, arch)?;
            KernelFormat::Zboot
        }
        Found::Gzip if boots(KernelFormat::ImageGz) => {
            whole_compressed(image, 0, length, arch)?;
            return Ok(KernelFormat::ImageGz);
        }
        other => return Err(not_for_guest(other.describe(&head))),
    };
    whole_stub(&head, length, arch)?;
    Ok(format)
}

/// Checks what an EFI stub says, if there is one.
fn whole_stub(head: &[u8], length: u64, arch: Arch) -> Result<(), KernelError> {
    match EfiStub::read(head) {
        Some(stub) if stub.machine != arch.efi_machine => Err(KernelError::NotForGuest {
            found: format!("an EFI program for {}", machine_name(stub.machine)),
            wanted: arch,
        }),
        Some(stub) if stub.end > length => {
            let (has, needs) = (length, stub.end);
            Err(KernelError::CutOff { has, needs })
        }
        _ => Ok(()),
    }
}

/// Checks a compressed arm64 Image, of which QEMU inflates the first member.
fn whole_compressed<R: Read + Seek>(
    image: &mut R,
    from: u64,
    size: u64,
    arch: Arch,
) -> Result<(), KernelError> {
    let (head, length) = inflate_all(image, from, size)?;
    match recognise(&head) {
        Found::Image => whole_stub(&head, length, arch),
        other => Err(KernelError::NotForGuest {
            found: format!("gzip'd {}", other.describe(&head)),
            wanted: arch,
        }),
    }
}

pub(super) fn read_head<R: Read + Seek>(image: &mut R) -> Result<Vec<u8>, KernelError> {
    let mut head = Vec::new();
    image.seek(SeekFrom::Start(0)).map_err(KernelError::Read)?;
    image
        .take(HEAD)
        .read_to_end(&mut head)
        .map_err(KernelError::Read)?;
    Ok(head)
}

/// What a file's first bytes say it is.
#[derive(Clone, Copy)]
pub(super) enum Found {
    ZImage { start: u32, end: u32 },
    Image,
    Zboot,
    Gzip,
    Named(&'static str),
    Unknown,
}

/// Magic numbers: offset, bytes, and what has them. What comes first wins.
const OTHERS: [(usize, &[u8], &str); 14] = [
    (0x202, b"HdrS", "a kernel for x86 (bzImage)"),
    (0x30, b"RISCV", "a kernel for RISC-V"),
    (0, b"\x7fELF", "an ELF file"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree or FIT image"),
    (0, b"MZ", "an EFI program"),
    (0, b"070701", "a cpio archive (an initrd?)"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed (an initrd?)"),
    (0, b"\xfd7zXZ\0", "xz-compressed (an initrd?)"),
    (0, b"\x02\x21\x4c\x18", "lz4-compressed (an initrd?)"),
    (0, b"BZh", "bzip2-compressed (an initrd?)"),
    (0, b"!<arch>\n", "an ar archive (a package?)"),
    (0, b"#!", "a script"),
    (0, &[0; 64], "a run of zero bytes"),
];

pub(super) fn recognise(head: &[u8]) -> Found {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let (Some(0x016f_2818), Some(start), Some(end)) =
        (u32_at(head, 0x24), u32_at(head, 0x28), u32_at(head, 0x2c))
    {
        Found::ZImage { start, end }
    } else if has(0x38, b"ARM\x64") {
        Found::Image
    } else if has(0, b"MZ") && has(4, b"zimg") {
        Found::Zboot
    } else if has(0, b"\x1f\x8b") {
        Found::Gzip
    } else {
        OTHERS
            .iter()
            .find(|(at, magic, _)| has(*at, magic))
            .map_or(Found::Unknown, |(_, _, name)| Found::Named(name))
    }
}

impl Found {
    fn describe(self, head: &[u8]) -> String {
        match self {
            Self::ZImage { .. } => format!(
                "a kernel for {} (zImage)",
                has_kernels(KernelFormat::ZImage)
            ),
            Self::Image => format!("a kernel for {} (Image)", has_kernels(KernelFormat::Image)),
            Self::Zboot => match EfiStub::read(head) {
                Some(stub) => format!("an EFI zboot kernel for {}", machine_name(stub.machine)),
                None => "an EFI zboot kernel".to_owned(),
            },
            Self::Gzip => "gzip-compressed".to_owned(),
            Self::Named(name) => name.to_owned(),
            Self::Unknown => format!(
                "unknown (it begins with {})",
                Quoted::new(&head[..head.len().min(16)])
            ),
        }
    }
}

/// A zImage's header has the addresses of its start and end; their difference is its size.
fn whole_zimage(length: u64, start: u32, end: u32) -> Result<(), KernelError> {
    match end.checked_sub(start).map(u64::from) {
        None | Some(0) => Err(KernelError::Damaged(
            "its header's end is not after its start",
        )),
        Some(needs) if needs > length => Err(KernelError::CutOff { has: length, needs }),
        Some(_) => Ok(()),
    }
}

/// A zboot image's header names its payload's place, size and compression.
fn zboot_payload(head: &[u8], length: u64) -> Result<(u64, u64), KernelError> {
    let (Some(offset), Some(size)) = (u32_at(head, 8), u32_at(head, 12)) else {
        return Err(KernelError::Damaged("its header is incomplete"));
    };
    let (offset, size) = (u64::from(offset), u64::from(size));
    if offset + size > length {
        let (has, needs) = (length, offset + size);
        return Err(KernelError::CutOff { has, needs });
    }
    match head.get(24..29) {
        Some(b"gzip\0") => Ok((offset, size)),
        // hw/core/loader.c: unpack_efi_zboot_image; zstd since QEMU 11.0.
        _ => Err(KernelError::NotLoadable(
            "of EFI zboot images it unpacks only those compressed with gzip",
        )),
    }
}

/// Inflates a part of a kernel to its end, which checks it, and returns its first bytes and its length.
fn inflate_all<R: Read + Seek>(
    image: &mut R,
    from: u64,
    size: u64,
) -> Result<(Vec<u8>, u64), KernelError> {
    image
        .seek(SeekFrom::Start(from))
        .map_err(KernelError::Read)?;
    let mut inflating = flate2::read::GzDecoder::new(image.take(size));
    let mut head = Vec::new();
    let inflated = (&mut inflating)
        .take(HEAD)
        .read_to_end(&mut head)
        .and_then(|_| io::copy(&mut inflating.take(INFLATED_LIMIT), &mut io::sink()));
    match inflated {
        Ok(rest) if rest + HEAD > INFLATED_LIMIT => Err(KernelError::NotLoadable(
            "it inflates a kernel to at most 256 MiB",
        )),
        Ok(rest) => {
            let length = head.len() as u64 + rest;
            Ok((head, length))
        }
        Err(fault) => Err(match fault.kind() {
            io::ErrorKind::UnexpectedEof => KernelError::Damaged("its gzip stream ends early"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                KernelError::Damaged("its gzip stream is corrupt")
            }
            _ => KernelError::Read(fault),
        }),
    }
}

/// The first bytes of what is compressed from there on.
pub(super) fn inflate<R: Read + Seek>(image: &mut R, from: u64) -> Option<Vec<u8>> {
    image.seek(SeekFrom::Start(from)).ok()?;
    let mut head = Vec::new();
    let inflating = flate2::read::GzDecoder::new(image.take(KIND_READ_LIMIT));
    inflating.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The PE/COFF header of a kernel with an EFI stub.
pub(super) struct EfiStub {
    pub(super) machine: u16,
    /// Where the last section ends in the file.
    end: u64,
}

impl EfiStub {
    pub(super) fn read(head: &[u8]) -> Option<Self> {
        let pe = usize::try_from(u32_at(head, 0x3c)?).ok()?;
        let header = head.strip_prefix(b"MZ").and(head.get(pe..))?;
        header.strip_prefix(b"PE\0\0")?;
        let sections = usize::from(u16_at(header, 6)?);
        let table = 24 + usize::from(u16_at(header, 20)?);
        let end = (0..sections)
            .filter_map(|n| {
                let (size, at) = (table + n * 40 + 16, table + n * 40 + 20);
                Some(u64::from(u32_at(header, size)?) + u64::from(u32_at(header, at)?))
            })
            .max();
        Some(Self {
            machine: u16_at(header, 4)?,
            end: end.unwrap_or(0),
        })
    }
}

/// The processor that a PE/COFF machine number is for.
fn machine_name(machine: u16) -> &'static str {
    let is_for =
        |arch: &Arch| arch.efi_machine == machine || arch.other_efi_machines.contains(&machine);
    if let Some(arch) = Arch::ALL.into_iter().find(is_for) {
        return arch.facts().libvirt;
    }
    match machine {
        0x014c => "i686",
        0x8664 => "x86_64",
        0x5032 | 0x5064 => "RISC-V",
        0x6232 | 0x6264 => "LoongArch",
        _ => "an unknown processor",
    }
}

/// The processor that has kernels of a format.
fn has_kernels(format: KernelFormat) -> &'static str {
    let mut all = Arch::ALL.into_iter();
    let arch = all.find(|arch| arch.kernels.contains(&format));
    arch.map_or("an unknown processor", |arch| arch.facts().libvirt)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn zimage(size: u32) -> Vec<u8> {
        let mut image = vec![0u8; size as usize];
        put(&mut image, 0x24, &0x016f_2818u32.to_le_bytes());
        put(&mut image, 0x28, &0x1000u32.to_le_bytes());
        put(&mut image, 0x2c, &(0x1000 + size).to_le_bytes());
        image
    }

    /// An EFI stub's headers, as Linux lays them out: two sections after the header page.
    fn with_stub(mut image: Vec<u8>, machine: u16) -> Vec<u8> {
        let size = u32::try_from(image.len()).unwrap();
        put(&mut image, 0, b"MZ");
        put(&mut image, 0x3c, &0x80u32.to_le_bytes());
        put(&mut image, 0x80, b"PE\0\0");
        put(&mut image, 0x84, &machine.to_le_bytes());
        put(&mut image, 0x86, &2u16.to_le_bytes());
        put(&mut image, 0x94, &0xa0u16.to_le_bytes());
        for (n, (from, to)) in [(0x400, 0x800), (0x800, size)].into_iter().enumerate() {
            let section = 0x80 + 24 + 0xa0 + 40 * n;
            put(&mut image, section + 16, &(to - from).to_le_bytes());
            put(&mut image, section + 20, &from.to_le_bytes());
        }
        image
    }

    fn image(size: usize) -> Vec<u8> {
        let mut image = vec![0u8; size];
        put(&mut image, 0x38, b"ARM\x64");
        image
    }

    fn zboot(compression: &[u8], machine: u16, payload: &[u8]) -> Vec<u8> {
        let mut zboot = with_stub(vec![0u8; 0x1000], machine);
        put(&mut zboot, 4, b"zimg");
        put(&mut zboot, 8, &0x1000u32.to_le_bytes());
        let size = u32::try_from(payload.len()).unwrap();
        put(&mut zboot, 12, &size.to_le_bytes());
        put(&mut zboot, 24, compression);
        [zboot.as_slice(), payload].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(image: &[u8], arch: Arch) -> Result<KernelFormat, KernelError> {
        check_kernel(&mut Cursor::new(image), arch)
    }

    fn why(image: &[u8], arch: Arch) -> String {
        check(image, arch).unwrap_err().to_string()
    }

    const ARMHF: Arch = Arch::ARMHF;
    const ARM64: Arch = Arch::ARM64;

    #[test]
    fn whole_kernels_are_told_by_their_headers() {
        assert_eq!(check(&zimage(0x2000), ARMHF).unwrap(), KernelFormat::ZImage);
        let with_device_tree = [zimage(0x2000), b"\xd0\x0d\xfe\xed more".to_vec()].concat();
        assert_eq!(
            check(&with_device_tree, ARMHF).unwrap(),
            KernelFormat::ZImage
        );
        assert_eq!(
            check(&with_stub(zimage(0x2000), 0x01c2), ARMHF).unwrap(),
            KernelFormat::ZImage
        );
        assert_eq!(check(&image(0x1000), ARM64).unwrap(), KernelFormat::Image);
        assert_eq!(
            check(&with_stub(image(0x1000), 0xaa64), ARM64).unwrap(),
            KernelFormat::Image
        );
        assert_eq!(
            check(&gzip(&image(100_000)), ARM64).unwrap(),
            KernelFormat::ImageGz
        );
        assert_eq!(
            check(&zboot(b"gzip\0", 0xaa64, &gzip(&image(100_000))), ARM64).unwrap(),
            KernelFormat::Zboot
        );
    }

    #[test]
    fn a_cut_kernel_is_refused_at_every_length() {
        let zimage = zimage(0x2000);
        for length in [0, 1, 0x23, 0x24, 0x2f, 0x30, 0x1fff] {
            assert!(check(&zimage[..length], ARMHF).is_err(), "{length}");
        }
        assert!(why(&zimage[..0x1000], ARMHF).contains("it has 4096 bytes, its header says 8192"));
        let image = with_stub(image(0x1800), 0xaa64);
        assert!(why(&image[..0x1700], ARM64).contains("cut off"));
        let gzip = gzip(&self::image(100_000));
        let zboot = zboot(b"gzip\0", 0xaa64, &gzip);
        assert!(why(&zboot[..zboot.len() - 1], ARM64).contains("cut off"));
        assert!(why(&self::zboot(b"gzip\0", 0xaa64, &gzip[..99]), ARM64).contains("ends early"));
        for length in [2, 20, gzip.len() - 1] {
            assert!(
                why(&gzip[..length], ARM64).contains("ends early"),
                "{length}"
            );
        }
    }

    #[test]
    fn a_compressed_kernel_is_whole_inside() {
        let half = with_stub(image(0x1800), 0xaa64)[..0x1000].to_vec();
        assert!(why(&gzip(&half), ARM64).contains("it has 4096 bytes, its header says 6144"));
        let zboot = |payload: &[u8]| zboot(b"gzip\0", 0xaa64, &gzip(payload));
        assert!(why(&zboot(&half), ARM64).contains("it has 4096 bytes, its header says 6144"));
        assert!(why(&zboot(b"#!/bin/sh"), ARM64).contains("gzip'd a script"));
    }

    #[test]
    fn a_foreign_kernel_is_named() {
        let mut bzimage = vec![0u8; 0x400];
        put(&mut bzimage, 0, b"MZ");
        put(&mut bzimage, 0x202, b"HdrS");
        assert!(why(&bzimage, ARMHF).contains("a kernel for x86"));
        assert!(
            why(&image(0x1000), ARMHF)
                .contains("it is a kernel for aarch64 (Image), not a kernel for armv7l")
        );
        assert!(why(&zimage(0x1000), ARM64).contains("armv7l (zImage), not a kernel for aarch64"));
        assert!(why(&gzip(&zimage(0x1000)), ARM64).contains("gzip'd a kernel for armv7l"));
        assert!(why(&gzip(&zimage(0x1000)), ARMHF).contains("gzip-compressed"));
        assert!(
            why(&zboot(b"gzip\0", 0x8664, &gzip(&image(0x1000))), ARM64)
                .contains("an EFI program for x86_64")
        );
        assert!(
            why(&zboot(b"gzip\0", 0xaa64, b""), ARMHF).contains("an EFI zboot kernel for aarch64")
        );
        assert!(
            why(&zboot(b"xzkern\0", 0xaa64, b""), ARM64)
                .contains("only those compressed with gzip")
        );
        assert!(why(b"\x7fELF\x01\x01\x01", ARMHF).contains("an ELF file"));
        assert!(
            why(b"<html>\x1b[2J</html>", ARMHF).contains(r#"begins with "<html>\x1b[2J</html""#)
        );
        assert!(why(&[0; 4096], ARMHF).contains("zero bytes"));
        assert!(why(&[], ARMHF).contains("empty"));
    }

    #[test]
    fn damaged_headers_and_bombs_are_refused() {
        let mut backwards = zimage(0x2000);
        put(&mut backwards, 0x2c, &0x10u32.to_le_bytes());
        assert!(why(&backwards, ARMHF).contains("not after its start"));
        let mut flipped = gzip(&image(100_000));
        let at = flipped.len() - 5;
        flipped[at] ^= 1;
        assert!(why(&flipped, ARM64).contains("corrupt"));
        let too_large = [zimage(0x2000), vec![0; 64 << 20]].concat();
        assert!(matches!(
            check(&too_large, ARMHF),
            Err(KernelError::TooLarge(_))
        ));
    }

    #[test]
    fn a_kernel_that_inflates_beyond_what_qemu_takes_is_refused() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&image(1 << 20)).unwrap();
        for _ in 0..256 {
            encoder.write_all(&[0; 1 << 20]).unwrap();
        }
        assert!(why(&encoder.finish().unwrap(), ARM64).contains("256 MiB"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), magic in 0usize..6) {
            let magics: [(usize, &[u8]); 6] = [
                (0x24, &[0x18, 0x28, 0x6f, 0x01]), (0x38, b"ARM\x64"), (0, b"MZ\0\0zimg"), (0, b"\x1f\x8b\x08"), (0x40, b"PE\0\0"), (0, b""),
            ];
            let (at, text) = magics[magic];
            if bytes.len() >= at + text.len() {
                put(&mut bytes, at, text);
            }
            for arch in [ARMHF, ARM64] {
                let _ = check(&bytes, arch);
                let _ = check(&with_stub([bytes.clone(), vec![0; 0x1000]].concat(), 0xaa64), arch);
            }
        }
    }
}
