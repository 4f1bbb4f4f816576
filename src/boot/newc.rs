//! Files for an installer, as a cpio archive that is appended to its initrd.
//!
//! The kernel unpacks the archives of an initrd one after another, so later files replace earlier ones
//! (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`).

use crate::values::HostPath;
use std::collections::BTreeSet;

/// Where archives and the files in them begin: multiples of this.
const ALIGNMENT: usize = 4;
/// How many zero bytes tell that no block of lz4 follows.
const LZ4_END: usize = 4;
/// A folder's type and mode, a file's type.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;

/// A file for an installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedFile {
    /// Its path in the installer.
    pub path: HostPath,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes; their number fits 32 bits.
    pub bytes: Vec<u8>,
}

/// What to append to an initrd of so many bytes so that it has these files, too: zero bytes up to where an archive may
/// begin, at least as many as end an initrd that is compressed with lz4 (Linux `lib/decompress_unlz4.c`), then a "newc" archive of the files and the folders on the way to them. The same files give the same bytes.
#[must_use]
pub fn appended_files(initrd_size: u64, files: &[AddedFile]) -> Vec<u8> {
    let rest = usize::try_from(initrd_size % ALIGNMENT as u64).unwrap_or_default();
    let begin = match initrd_size {
        0 => 0,
        _ => LZ4_END + (ALIGNMENT - rest) % ALIGNMENT,
    };
    let mut archive = vec![0; begin];
    let folders: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| folders_of(file.path.as_str()))
        .collect();
    for folder in folders {
        append(&mut archive, begin, folder, FOLDER, &[]);
    }
    for file in files {
        let path = file.path.as_str().trim_start_matches('/');
        append(
            &mut archive,
            begin,
            path,
            FILE | (file.mode & 0o777),
            &file.bytes,
        );
    }
    append(&mut archive, begin, "TRAILER!!!", 0, &[]);
    archive
}

/// The folders on the way to an absolute path, outermost first, without the first slash.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_start_matches('/');
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn append(archive: &mut Vec<u8>, begin: usize, name: &str, mode: u32, bytes: &[u8]) {
    let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
    let name_size = name.len() + 1;
    // Magic, inode, mode, uid, gid, links, time, size, four device numbers, the name's size, no checksum.
    let header = format!(
        "070701{:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}",
        0,
        0,
        0,
        0,
        bytes.len(),
        0,
        0,
        0,
        0,
        0
    );
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive, begin);
    archive.extend_from_slice(bytes);
    pad(archive, begin);
}

fn pad(archive: &mut Vec<u8>, begin: usize) {
    let size = (archive.len() - begin).next_multiple_of(ALIGNMENT);
    archive.resize(begin + size, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Allowance, walk_initrd};
    use crate::values::Arch;
    use std::io::{Cursor, Write};
    use std::process::{Command, Stdio};

    fn file(path: &str, mode: u32, bytes: &[u8]) -> AddedFile {
        AddedFile {
            path: path.parse().unwrap(),
            mode,
            bytes: bytes.to_vec(),
        }
    }

    fn files() -> Vec<AddedFile> {
        vec![
            file("/preseed.cfg", 0o644, b"d-i debconf\n"),
            file("/etc/armfleet/late", 0o4755, b"#!/bin/sh\n"),
            file("/etc/empty", 0o600, b""),
        ]
    }

    #[test]
    fn cpio_lists_the_files_with_their_modes() {
        let mut cpio = Command::new("cpio")
            .args(["--quiet", "-itv", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = appended_files(0, &files());
        cpio.stdin.take().unwrap().write_all(&archive).unwrap();
        let listed = cpio.wait_with_output().unwrap();
        assert!(listed.status.success());
        let listed = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<(&str, &str)> = listed
            .lines()
            .map(|line| (&line[..10], line.rsplit(' ').next().unwrap()))
            .collect();
        assert_eq!(
            lines,
            [
                ("drwxr-xr-x", "etc"),
                ("drwxr-xr-x", "etc/armfleet"),
                ("-rw-r--r--", "preseed.cfg"),
                ("-rwxr-xr-x", "etc/armfleet/late"),
                ("-rw-------", "etc/empty"),
            ]
        );
    }

    #[test]
    fn an_initrd_with_files_is_still_whole_whatever_its_size() {
        for size in 1..9 {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let inner = appended_files(0, &[file("/init", 0o755, &vec![b'x'; size])]);
            encoder.write_all(&inner).unwrap();
            let mut initrd = encoder.finish().unwrap();
            let more = appended_files(initrd.len() as u64, &files());
            initrd.extend(&more);
            walk_initrd(
                Cursor::new(initrd),
                Arch::ARMHF,
                &Allowance::without_clock(),
            )
            .unwrap();
        }
    }
}
