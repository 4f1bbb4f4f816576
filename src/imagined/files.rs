//! Files and folders as a host would tell of them.

use crate::boot::{KernelKind, PageSize};
use crate::inventory::{Fact, FileKind, RawEntry, RawFile, RawInventory, RawStat};
use crate::values::Arch;

/// Everything there is was made at once, so that nothing is later than anything else.
const MADE_NS: i64 = 1;
/// More than a folder has files here, itself included.
const MOST_IN_FOLDER: u64 = 8;

/// Gives each new thing a number of its own.
#[derive(Debug, Default)]
pub(super) struct Inodes(u64);

impl Inodes {
    /// Numbers that nothing on a host has.
    pub(super) fn above(host: &RawInventory) -> Self {
        let present = host.paths.values().filter_map(Fact::present);
        Self(present.count() as u64 * MOST_IN_FOLDER)
    }

    fn stat(&mut self, kind: FileKind, mode: u32, size: u64) -> RawStat {
        self.0 += 1;
        RawStat {
            kind,
            size,
            mode,
            uid: 0,
            gid: 0,
            dev: 1,
            ino: self.0,
            mtime_ns: MADE_NS,
            ctime_ns: MADE_NS,
            born_ns: None,
            acl: None,
            links: None,
            block: None,
        }
    }

    pub(super) fn folder(&mut self, mode: u32) -> RawFile {
        RawFile::only(self.stat(FileKind::Folder, mode, 0))
    }

    pub(super) fn file(&mut self, mode: u32, size: u64) -> RawFile {
        let stat = self.stat(FileKind::File, mode, size);
        RawFile::only(RawStat {
            links: Some(1),
            ..stat
        })
    }

    /// A file of armfleet's own.
    pub(super) fn text(&mut self, text: String) -> RawFile {
        let size = text.len() as u64;
        RawFile {
            text: Some(text),
            ..self.file(0o600, size)
        }
    }

    /// An image that holds something; of a qcow2 image, what it begins with.
    pub(super) fn image(&mut self, size: u64, head: &[u8]) -> RawFile {
        RawFile {
            blank: Some(false),
            allocated: Some(size),
            head: Some(head.iter().map(|byte| format!("{byte:02x}")).collect()),
            ..self.file(0o644, size)
        }
    }

    pub(super) fn device(&mut self) -> RawStat {
        let stat = self.stat(FileKind::Special, 0o660, 0);
        RawStat {
            block: Some(stat.ino),
            ..stat
        }
    }

    /// A folder with these files, each of its size.
    pub(super) fn listing(&mut self, mode: u32, files: &[(&str, u64)]) -> RawFile {
        let entry = |(name, size): &(&str, u64)| {
            let file = self.file(0o600, *size);
            RawEntry::only((*name).to_owned(), file.stat)
        };
        let entries = files.iter().map(entry).collect();
        RawFile {
            entries: Some(entries),
            ..self.folder(mode)
        }
    }

    /// A boot share whose guest has installed kernels, of every architecture.
    pub(super) fn share(&mut self, mode: u32) -> RawFile {
        let kernels = Arch::ALL.into_iter().flat_map(|arch| {
            let file = |name| format!("{name}-1-{arch}");
            let kind = KernelKind {
                arch,
                pages: Some(PageSize::Kib4),
            };
            [(file("initrd.img"), None), (file("vmlinuz"), Some(kind))]
        });
        let entry = |(name, kernel)| RawEntry {
            kernel,
            ..RawEntry::only(name, self.file(0o644, 1).stat)
        };
        let mut entries: Vec<RawEntry> = kernels.map(entry).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        RawFile {
            entries: Some(entries),
            ..self.folder(mode)
        }
    }
}
