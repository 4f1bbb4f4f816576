//! Whether the files that a user gives for a first start would boot: by the checks of what a guest installs.

use super::initrd::{InitrdError, InitrdFormat, walk_initrd};
use super::kernel::{KernelError, check_kernel};
use super::limits::Allowance;
use crate::values::Arch;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

/// What a file is given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenAs {
    /// A kernel.
    Kernel,
    /// An initrd.
    Initrd,
}

/// Why a file does not boot guests, by the architectures, in the fleet file's word, whose guests it does not boot.
pub type Unfit = BTreeMap<String, String>;

/// Checks a file for the guests of every architecture, for which an initrd is unpacked once, or twice if it is of xz.
///
/// # Errors
/// When it cannot be read.
pub fn unfit<F: Read + Seek>(
    file: &mut F,
    given_as: GivenAs,
    allowance: &Allowance,
) -> io::Result<Unfit> {
    match given_as {
        GivenAs::Kernel => unfit_kernel(file),
        GivenAs::Initrd => unfit_initrd(file, allowance),
    }
}

fn unfit_kernel<F: Read + Seek>(file: &mut F) -> io::Result<Unfit> {
    let mut unfit = Unfit::new();
    for arch in Arch::ALL {
        match check_kernel(file, arch) {
            Ok(_) => {}
            Err(KernelError::Read(error)) => return Err(error),
            Err(why) => {
                unfit.insert(arch.word.to_owned(), why.to_string());
            }
        }
    }
    Ok(unfit)
}

fn unfit_initrd<F: Read + Seek>(file: &mut F, allowance: &Allowance) -> io::Result<Unfit> {
    let mut unfit = Unfit::new();
    for arch in Arch::ALL {
        let walked = walk_initrd(&mut *file, arch, &allowance.renewed());
        // Kernels differ in the filters of xz that they have, and in nothing else.
        let (why, is_for_all) = match walked {
            Err(InitrdError::Read(error)) => return Err(error),
            Err(why) => (
                Some(why.to_string()),
                !matches!(why, InitrdError::NotUnpackable(_)),
            ),
            Ok(walked) => (None, !walked.formats.contains(&InitrdFormat::Xz)),
        };
        if is_for_all {
            let of_arch = |why: String| Arch::ALL.map(|arch| (arch.word.to_owned(), why.clone()));
            return Ok(why.into_iter().flat_map(of_arch).collect());
        }
        unfit.extend(why.map(|why| (arch.word.to_owned(), why)));
    }
    Ok(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{AddedFile, appended_files};
    use std::io::{Cursor, Write as _};
    use std::process::{Command, Stdio};

    /// Whose guests bytes do not boot.
    fn unfit_of(bytes: &[u8], given_as: GivenAs) -> Vec<String> {
        let allowance = Allowance::without_clock();
        let unfit = unfit(&mut Cursor::new(bytes), given_as, &allowance).unwrap();
        unfit.into_keys().collect()
    }

    fn xz(options: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut xz = Command::new("xz")
            .args(["--format=xz", "--check=crc32", "--stdout"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        xz.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = xz.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn a_kernel_fits_one_architecture_and_other_files_none() {
        let mut zimage = vec![0; 0x40];
        for (at, word) in [(0x24, 0x016f_2818_u32), (0x2c, 0x40)] {
            zimage[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        assert_eq!(unfit_of(&zimage, GivenAs::Kernel), ["arm64"]);
        for bytes in [&zimage[..0x30], b"", b"<html>"] {
            assert_eq!(unfit_of(bytes, GivenAs::Kernel), ["arm64", "armhf"]);
        }
    }

    #[test]
    fn an_initrd_fits_all_but_where_kernels_differ_in_filters() {
        let file = AddedFile {
            path: "/init".parse().unwrap(),
            mode: 0o755,
            bytes: vec![1; 9000],
        };
        let archive = appended_files(0, &[file]);
        let plain = xz(&[], &archive);
        for whole in [&archive, &plain] {
            assert_eq!(unfit_of(whole, GivenAs::Initrd), [""; 0]);
            let cut = &whole[..whole.len() / 2];
            assert_eq!(unfit_of(cut, GivenAs::Initrd), ["arm64", "armhf"]);
        }
        let filtered = xz(&["--arm", "--lzma2"], &archive);
        assert_eq!(unfit_of(&filtered, GivenAs::Initrd), ["arm64"]);
        let foreign = xz(&["--x86", "--lzma2"], &archive);
        assert_eq!(unfit_of(&foreign, GivenAs::Initrd), ["arm64", "armhf"]);
    }
}
