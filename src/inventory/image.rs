//! Disk images: what their first bytes say, and what tells one from anything else that is put in its place.

use super::raw::{FileKind, FileSystems, RawFile, RawStat};
use crate::boot::{Identity, Timestamp};
use crate::fleet::DiskFormat;
use crate::mark::{ImageState, Place};
use crate::qcow2::Qcow2;

/// How images of other formats than raw begin, and their names (`block/*.c` of QEMU, each format's `probe`).
const MAGICS: [(&[u8], &str); 9] = [
    (b"QFI\xfb", "qcow2"),
    (b"QED\0", "QED"),
    (b"KDMV", "VMDK"),
    (b"COWD", "VMDK"),
    (b"# Disk DescriptorFile", "VMDK"),
    (b"vhdxfile", "VHDX"),
    (b"conectix", "VHD"),
    (b"WithoutFreeSpace", "Parallels"),
    (b"WithouFreSpacExt", "Parallels"),
];
/// The format of an image that is its bytes.
const RAW: &str = "raw";
/// VirtualBox's images have this in them, after a text for people that begins differently with each version.
const VDI: (usize, [u8; 4]) = (0x40, [0x7f, 0x10, 0xda, 0xbe]);
/// And nearly all of them begin so.
const VDI_TEXT: &[u8] = b"<<< ";

/// So many bytes tell a log from a disk image.
pub const LOG_HEAD_LENGTH: usize = 4096;

/// What a raw image has where, and what that makes it.
const RAW_MAGICS: [(usize, &[u8], &str); 5] = [
    (0, b"LUKS\xba\xbe", "an encrypted disk"),
    (0, b"XFSB", "a file system"),
    (0x1fe, b"\x55\xaa", "a disk with partitions"),
    (0x200, b"EFI PART", "a disk with partitions"),
    (0x438, b"\x53\xef", "a file system"),
];

impl RawStat {
    /// What tells the file from every other, and these bytes of it from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        const SECOND: i64 = 1_000_000_000;
        let time = |ns: i64| Timestamp(ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
        Identity {
            dev: self.dev,
            ino: self.ino,
            size: self.size,
            mtime: time(self.mtime_ns),
            ctime: time(self.ctime_ns),
        }
    }

    /// Whether its mode gives a user, of this group, all of these rights (`0o4` to read, `0o2` to write, `0o1` to pass).
    #[must_use]
    pub const fn allows(&self, (uid, gid): (u32, u32), rights: u32) -> bool {
        let shift = if self.uid == uid {
            6
        } else if self.gid == gid {
            3
        } else {
            0
        };
        (self.mode >> shift) & rights == rights
    }
}

impl RawFile {
    /// The format that an image begins as, if that is another one than raw.
    #[must_use]
    pub fn foreign_format(&self) -> Option<&'static str> {
        foreign_format(&bytes(self.head.as_deref()?))
    }

    /// What the header of a qcow2 image says; nothing if it begins as something else, or was not read.
    #[must_use]
    pub fn qcow2(&self) -> Option<Result<Qcow2, &'static str>> {
        Qcow2::read(&bytes(self.head.as_deref()?))
    }

    /// What a guest sees of this image, in bytes; nothing if that was not read, or makes no sense.
    #[must_use]
    pub fn virtual_size(&self, format: DiskFormat) -> Option<u64> {
        match format {
            DiskFormat::Raw => Some(self.stat.size),
            DiskFormat::Qcow2 => Some(self.qcow2()?.ok()?.size),
        }
    }

    /// What tells this file or folder from anything else that is put in its place.
    #[must_use]
    pub fn place(&self, file_systems: &FileSystems) -> Place {
        let stat = &self.stat;
        let image = |size, mtime_ns| ImageState {
            size,
            format: self.begins_in().map(str::to_owned),
            blank: self.blank,
            mtime_ns,
        };
        if let Some(device) = &self.device {
            // Its node is made anew at each boot.
            return Place {
                ino: 0,
                born_ns: None,
                file_system: None,
                device: Some(device.ids.clone()),
                image: device.size.map(|size| image(size, 0)),
            };
        }
        let is_image = stat.kind == FileKind::File;
        Place {
            ino: stat.ino,
            born_ns: stat.born_ns,
            file_system: file_systems.get(&stat.dev).cloned(),
            device: None,
            image: is_image.then(|| image(stat.size, stat.mtime_ns)),
        }
    }

    /// The format that an image or a device begins in, where that was seen.
    fn begins_in(&self) -> Option<&'static str> {
        let is_seen = self.blank.is_some() || self.head.is_some();
        is_seen.then(|| self.foreign_format().unwrap_or(RAW))
    }
}

fn foreign_format(head: &[u8]) -> Option<&'static str> {
    let is_vdi = head.starts_with(VDI_TEXT) || has_at(head, VDI.0, &VDI.1);
    let named = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
    named.map(|(_, name)| *name).or(is_vdi.then_some("VDI"))
}

fn has_at(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    let rest = head.get(offset..);
    rest.is_some_and(|rest| rest.starts_with(magic))
}

/// What a file begins as, if that is a disk image and no console log. Of a log a few bytes may be secret, so this is all
/// that is kept of them.
#[must_use]
pub fn begins_as(head: &[u8]) -> Option<Box<str>> {
    if let Some(format) = foreign_format(head) {
        return Some(format!("a {format} image").into());
    }
    let raw = RAW_MAGICS.iter();
    let mut raw = raw.filter(|(offset, magic, _)| has_at(head, *offset, magic));
    let is_blank = !head.is_empty() && head.iter().all(|byte| *byte == 0);
    let what = raw.next().map(|(_, _, what)| *what);
    what.or(is_blank.then_some("an empty disk")).map(Box::from)
}

/// The bytes of a text in hexadecimal, as far as it is one.
fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::RawStat;

    fn image(head: &[u8]) -> RawFile {
        let stat = RawStat {
            kind: FileKind::File,
            size: 1 << 20,
            mode: 0o600,
            uid: 0,
            gid: 0,
            dev: 1,
            ino: 2,
            mtime_ns: 3,
            ctime_ns: 4,
            born_ns: None,
            acl: None,
            links: Some(1),
            block: None,
        };
        RawFile {
            head: Some(head.iter().map(|byte| format!("{byte:02x}")).collect()),
            ..RawFile::only(stat)
        }
    }

    #[test]
    fn images_of_other_formats_are_known_by_their_first_bytes() {
        for (head, name) in [
            (&b"QFI\xfb\0\0\0\x03"[..], Some("qcow2")),
            (b"KDMV\x01", Some("VMDK")),
            (b"# Disk DescriptorFile\nversion=1", Some("VMDK")),
            (b"vhdxfileQ\0", Some("VHDX")),
            (b"<<< Oracle VM VirtualBox Disk Image >>>\n", Some("VDI")),
            (b"conectix", Some("VHD")),
            (b"\xeb\x63\x90\0\0", None),
            (b"QFI", None),
            (b"", None),
        ] {
            assert_eq!(image(head).foreign_format(), name, "{head:?}");
        }
        let mut signed = vec![b'x'; 0x40];
        signed.extend(VDI.1);
        assert_eq!(image(&signed).foreign_format(), Some("VDI"));
        assert_eq!(RawFile::only(image(b"").stat).foreign_format(), None);
    }
}
