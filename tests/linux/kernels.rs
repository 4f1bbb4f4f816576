//! Kernels in every form, each judged by the hook and by QEMU, and Debian's kernels of several releases.

use crate::boot;
use crate::initrds::{join, packed};
use crate::qemu::{self, Verdict, guest, kernel};
use armfleet::boot::check_kernel;
use armfleet::values::Arch;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// A kernel.
struct Case {
    name: &'static str,
    arch: Arch,
    kernel: Vec<u8>,
    hook: Verdict,
    qemu: Verdict,
    /// Why the hook differs from QEMU.
    why: Option<&'static str>,
}

impl Case {
    fn new(arch: Arch, name: &'static str, kernel: Vec<u8>, verdict: Verdict) -> Self {
        Self {
            name,
            arch,
            kernel,
            hook: verdict,
            qemu: verdict,
            why: None,
        }
    }

    fn taken(arch: Arch, name: &'static str, kernel: Vec<u8>) -> Self {
        Self::new(arch, name, kernel, Verdict::Taken)
    }

    fn refused(arch: Arch, name: &'static str, kernel: Vec<u8>) -> Self {
        Self::new(arch, name, kernel, Verdict::Refused)
    }

    /// QEMU makes something else of it.
    fn but_qemu(self, verdict: Verdict, why: &'static str) -> Self {
        Self {
            qemu: verdict,
            why: (verdict != self.hook).then_some(why),
            ..self
        }
    }
}

const ARMHF: Arch = Arch::ARMHF;
const ARM64: Arch = Arch::ARM64;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let zimage = std::fs::read(kernel()).unwrap();
    let image = std::fs::read(guest("arm64/vmlinuz")).unwrap();
    let mut cases = of_armhf(&zimage, &image);
    cases.extend(of_arm64(&image, &zimage));
    cases.extend(zboot(&image));
    cases
});

/// The device tree of QEMU's machine.
fn device_tree() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("virt.dtb");
    let status = Command::new("qemu-system-arm")
        .args(["-cpu", "cortex-a15", "-m", "512", "-display", "none"])
        .args(["-nodefaults", "-machine"])
        .arg(format!("virt,dumpdtb={}", file.display()))
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    std::fs::read(file).unwrap()
}

/// A kernel for U-Boot, as `mkimage` wraps it: type, architecture, and where it is loaded and entered.
fn uimage(kind: u8, arch: u8, load: u32, kernel: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..4].copy_from_slice(b"\x27\x05\x19\x56");
    header[12..16].copy_from_slice(&u32::try_from(kernel.len()).unwrap().to_be_bytes());
    header[16..20].copy_from_slice(&load.to_be_bytes());
    header[20..24].copy_from_slice(&load.to_be_bytes());
    header[28..32].copy_from_slice(&[5, arch, kind, 0]);
    join(&[&header, kernel])
}

/// A program that is loaded where QEMU puts a kernel, and entered at its first byte.
fn elf(code: &[u8]) -> Vec<u8> {
    const PLACE: u32 = 0x4001_0000;
    const HEADERS: u32 = 52 + 32;
    let size = u32::try_from(code.len()).unwrap();
    let mut headers = b"\x7fELF\x01\x01\x01".to_vec();
    headers.resize(16, 0);
    headers.extend([2u16, 40].map(u16::to_le_bytes).concat());
    headers.extend(
        [1, PLACE, 52, 0, 0x0500_0400]
            .map(u32::to_le_bytes)
            .concat(),
    );
    headers.extend([52u16, 32, 1, 40, 0, 0].map(u16::to_le_bytes).concat());
    let segment = [1, HEADERS, PLACE, PLACE, size, size, 7, 4];
    headers.extend(segment.map(u32::to_le_bytes).concat());
    join(&[&headers, code])
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn of_armhf(zimage: &[u8], image: &[u8]) -> Vec<Case> {
    let board = "its header says where a board's memory is, which QEMU's machine may not have";
    vec![
        Case::taken(ARMHF, "zImage", zimage.to_vec()),
        Case::taken(
            ARMHF,
            "zImage with a device tree behind it",
            join(&[zimage, &device_tree()]),
        ),
        Case::taken(
            ARMHF,
            "zImage with something behind it",
            join(&[zimage, &[0x5a; 1000]]),
        ),
        Case::refused(ARMHF, "zImage, cut", half(zimage)),
        Case::refused(ARMHF, "gzip of zImage", packed("gzip -1", zimage)),
        Case::refused(ARMHF, "Image of arm64", image.to_vec()),
        // QEMU runs it, without telling it of the machine.
        Case::refused(ARMHF, "ELF", elf(zimage)),
        Case::refused(ARMHF, "uImage", uimage(2, 2, 0x4000_8000, zimage))
            .but_qemu(Verdict::Taken, board),
        Case::refused(ARMHF, "uImage for any place", uimage(14, 2, 0, zimage)).but_qemu(
            Verdict::Taken,
            "QEMU unwraps none such and runs it from its first byte; this header happens to do nothing",
        ),
    ]
}

fn of_arm64(image: &[u8], zimage: &[u8]) -> Vec<Case> {
    let gzip = packed("gzip -1", image);
    let (front, rest) = image.split_at(image.len() / 2);
    let members = [packed("gzip -1", front), packed("gzip -1", rest)].concat();
    let board = "its header says where a board's memory is, which QEMU's machine may not have";
    vec![
        Case::taken(ARM64, "Image", image.to_vec()),
        Case::taken(ARM64, "gzip of Image", gzip.clone()),
        Case::taken(
            ARM64,
            "gzip of Image with something behind it",
            join(&[&gzip, b"tail"]),
        ),
        Case::refused(ARM64, "gzip of Image in two members", members),
        Case::refused(ARM64, "gzip of Image, cut", half(&gzip)),
        Case::refused(ARM64, "Image, cut", half(image)),
        Case::refused(ARM64, "zstd of Image", packed("zstd -1 -c", image)),
        Case::refused(ARM64, "zImage of armhf", zimage.to_vec()),
        Case::refused(ARM64, "uImage of arm64", uimage(2, 22, 0x4020_0000, image))
            .but_qemu(Verdict::Taken, board),
    ]
}

/// An EFI program that unpacks a kernel (Linux `drivers/firmware/efi/libstub/zboot-header.S`), as far as QEMU reads it.
fn zboot_of(payload: &[u8], compression: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 0x1000];
    let size = u32::try_from(payload.len()).unwrap();
    for (at, bytes) in [
        (0, &b"MZ\0\0zimg"[..]),
        (8, &0x1000u32.to_le_bytes()),
        (12, &size.to_le_bytes()),
        (24, compression),
        (0x3c, &0x80u32.to_le_bytes()),
        (0x80, b"PE\0\0\x64\xaa"),
    ] {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    join(&[&header, payload])
}

fn zboot(image: &[u8]) -> Vec<Case> {
    let since = |version| match qemu::version() >= version {
        true => Verdict::Taken,
        false => Verdict::Refused,
    };
    let gzip = packed("gzip -1", image);
    let zstd = packed("zstd -1 -c", image);
    vec![
        Case::taken(ARM64, "EFI zboot with gzip", zboot_of(&gzip, b"gzip"))
            .but_qemu(since(8), "QEMU unpacks it since 8.0"),
        Case::refused(ARM64, "EFI zboot with zstd", zboot_of(&zstd, b"zstd"))
            .but_qemu(since(11), "QEMU unpacks it since 11.0 only"),
        Case::refused(
            ARM64,
            "EFI zboot with half a gzip",
            zboot_of(&half(&gzip), b"gzip"),
        ),
    ]
}

#[test]
fn the_hook_judges_kernels_as_the_table_says() {
    for case in CASES.iter() {
        let checked = check_kernel(&mut Cursor::new(&case.kernel), case.arch);
        let verdict = match checked {
            Ok(_) => Verdict::Taken,
            Err(_) => Verdict::Refused,
        };
        assert_eq!(verdict, case.hook, "{}: {checked:?}", case.name);
        assert_eq!(case.hook != case.qemu, case.why.is_some(), "{}", case.name);
    }
}

/// Boots a kernel.
///
/// # Errors
/// What QEMU makes of it, if that is not what its table says.
fn boots_as_told(case: &Case) -> Result<(), String> {
    let verdict = qemu::boot(case.arch, &case.kernel);
    if verdict == case.qemu {
        return Ok(());
    }
    let (name, wanted) = (case.name, case.qemu);
    Err(format!("{name}: QEMU {verdict:?}, not {wanted:?}"))
}

#[test]
fn qemu_boots_the_forms_of_kernels_that_the_hook_takes() {
    let taken = |case: &&Case| case.hook == Verdict::Taken && case.qemu == Verdict::Taken;
    boot(CASES.iter().filter(taken), boots_as_told);
}

#[test]
#[ignore = "long: waits a minute for each of a dozen kernels that say nothing"]
fn qemu_judges_every_kernel_as_the_table_says() {
    boot(CASES.iter(), boots_as_told);
}

/// Of both flavours, as far back as the archive has them.
#[test]
#[ignore = "long: fetches a kernel of each release"]
fn debians_kernels_of_all_releases_boot_and_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/kernels");
    let fetched = Command::new(root.join("tests/guest/kernels"))
        .arg(&folder)
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{why}");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let kernels: Vec<_> = files
        .filter(|path| path.to_str().unwrap().contains("/vmlinuz-"))
        .collect();
    assert!(kernels.len() >= 4, "{kernels:?}");
    boot(kernels, |path| {
        let kernel = std::fs::read(&path).unwrap();
        let checked = check_kernel(&mut Cursor::new(&kernel), ARMHF);
        let checked = checked.map_err(|fault| format!("{}: {fault}", path.display()))?;
        println!("{}: {checked:?}", path.display());
        match qemu::boot(ARMHF, &kernel) {
            Verdict::Taken => Ok(()),
            Verdict::Refused => Err(format!("{}: does not boot", path.display())),
        }
    });
}
