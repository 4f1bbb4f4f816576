//! armfleet's own folders on the host: made, mended, and given up with exactly what is armfleet's in them.

use super::failure::cannot;
use super::formats::{leave_later, leave_later_vm};
use super::primitives::{CallErrorKind, Owner, Primitives};
use super::recorded::recorded;
use super::{Executor, HostError, Traces};
use crate::boot::GenerationId;
use crate::fleet::Handover;
use crate::inventory::{Fact, FileKind, Look, RawStat};
use crate::mark::{CLOUD_INIT_FORMAT, Record};
use crate::paths;
use crate::values::{HostPath, VmName};
use std::collections::BTreeSet;

/// Folders on the way to staged kernels: QEMU passes through them, and only root lists them.
pub(super) const PASSAGE: u32 = paths::PASSAGE;

/// Warns of what is not armfleet's.
fn stayed(stays: Vec<String>) -> Traces {
    let warning = |path: String| {
        HostError::plain(format!("{path} is none of armfleet's files, and stays"))
            .with_remedy("look at it, and remove it if nothing needs it")
    };
    Traces {
        warnings: stays.into_iter().map(warning).collect(),
        ..Traces::default()
    }
}

impl<P: Primitives> Executor<P> {
    /// Removes what armfleet kept of a VM, name by name; the answer warns of what is not armfleet's and stays.
    pub(super) fn forget(&self, vm: &VmName) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        leave_later_vm(&self.calls, vm)?;
        let doing = || cannot(format!("remove what armfleet kept of {vm}"));
        let _staging = self.lock_staging(vm)?;
        let mut stays = Vec::new();
        for beside in self.linked_beside(vm) {
            self.give_up(&beside, &paths::BESIDE_FILES, &mut stays)?;
        }
        for name in self.generations_of(vm)? {
            let path = format!("{}/{name}", paths::generations(vm));
            self.give_up(&path, &paths::GENERATION_FILES, &mut stays)?;
        }
        for (path, files) in paths::folders_of(vm) {
            self.give_up(&path, files, &mut stays)?;
        }
        for path in [paths::hook_seen(vm), paths::run_note(vm)] {
            self.calls.remove_file(&path).map_err(doing())?;
        }
        // The record goes last and together with its folder, so that a forgetting cut short is planned again.
        self.give_up(&paths::vm_folder(vm), &paths::VM_FILES, &mut stays)?;
        Ok(stayed(stays))
    }

    /// The folders beside a VM's share, and beside those that it had before, that the hook made for the handover `link`. Where
    /// the record cannot be read, they are not known.
    fn linked_beside(&self, vm: &VmName) -> BTreeSet<String> {
        let Ok(record) = recorded(&self.calls, vm) else {
            return BTreeSet::new();
        };
        let mark = self.calls.look(&paths::linked(vm), Look::Text);
        let mark = mark
            .present()
            .map(|mark| mark.text.clone().unwrap_or_default());
        let is_linked = record.boot.handover == Handover::Link || mark.is_some();
        let own = Some(record.boot.share).filter(|_| is_linked);
        let noted = mark.unwrap_or_default();
        let former = noted.lines().filter_map(|line| line.parse().ok());
        let former = former.filter(|share| !self.may_be_anothers(vm, share));
        own.into_iter()
            .chain(former)
            .map(|share| paths::beside(&share))
            .collect()
    }

    /// Whether another VM's record names this share, or cannot be read.
    fn may_be_anothers(&self, vm: &VmName, share: &HostPath) -> bool {
        let Fact::Present(folder) = self.calls.look(paths::VMS, Look::Folder) else {
            return true;
        };
        let entries = folder.entries.unwrap_or_default().into_iter();
        let mut others = entries.filter_map(|entry| entry.name.parse::<VmName>().ok());
        others.any(|other| {
            let has = |record: Record| record.boot.share == *share;
            other != *vm && recorded(&self.calls, &other).map_or(true, has)
        })
    }

    /// Removes a VM's disks for cloud-init. A process that has one open keeps it until it ends.
    pub(super) fn remove_cloud_init(&self, vm: &VmName) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        leave_later(
            &self.calls,
            &paths::cloud_init_receipt(vm),
            CLOUD_INIT_FORMAT,
        )?;
        let mut stays = Vec::new();
        let folder = paths::cloud_init_folder(vm);
        self.give_up(&folder, &paths::CLOUD_INIT_FILES, &mut stays)?;
        Ok(stayed(stays))
    }

    fn give_up(
        &self,
        path: &str,
        files: &[&str],
        stays: &mut Vec<String>,
    ) -> Result<(), HostError> {
        let left = self
            .calls
            .remove_folder(path, files)
            .map_err(cannot(format!("remove {path}")))?;
        // What was left in a folder within was said there.
        let inside = |path: &str| {
            stays
                .iter()
                .any(|left| left.starts_with(&format!("{path}/")))
        };
        let left: Vec<_> = left
            .into_iter()
            .map(|name| format!("{path}/{name}"))
            .filter(|path| !inside(path))
            .collect();
        stays.extend(left);
        Ok(())
    }

    /// The names of a VM's generations and their draft.
    fn generations_of(&self, vm: &VmName) -> Result<Vec<String>, HostError> {
        let path = paths::generations(vm);
        match self.calls.look(&path, Look::Folder) {
            Fact::Present(folder) => {
                let entries = folder.entries.unwrap_or_default().into_iter();
                let ours = entries.filter(|entry| {
                    let name = &entry.name;
                    let is_ours = name == paths::GENERATION_DRAFT
                        || GenerationId::try_from(name.clone()).is_ok();
                    entry.stat.kind == FileKind::Folder && is_ours
                });
                Ok(ours.map(|entry| entry.name).collect())
            }
            Fact::Absent | Fact::NotObserved => Ok(Vec::new()),
            Fact::Unreadable(why) => Err(HostError::new(format!("cannot look at {path}"), why)),
        }
    }

    /// Gives a folder of armfleet's own back to root, passable and writable for root alone.
    pub(super) fn mend_folder(&self, path: &str, mode: u32) -> Result<(), HostError> {
        let root = Owner { uid: 0, gid: 0 };
        self.calls
            .set_folder_owner(path, mode, root)
            .map_err(cannot(format!("set owner and mode of {path}")))
    }

    pub(super) fn ensure_vm_folder(&self, vm: &VmName) -> Result<(), HostError> {
        self.ensure_folder(paths::STATE, PASSAGE)?;
        self.ensure_folder(paths::VMS, PASSAGE)?;
        self.ensure_folder(&paths::vm_folder(vm), PASSAGE)
    }

    /// Gives a folder of armfleet's own the bits of its mode that it lacks. Who was killed in making it left it without, and
    /// QEMU could not pass.
    fn let_pass(&self, path: &str, seen: &RawStat, mode: u32) -> Result<(), HostError> {
        if seen.mode & mode == mode {
            return Ok(());
        }
        let owner = Owner {
            uid: seen.uid,
            gid: seen.gid,
        };
        self.calls
            .set_folder_owner(path, seen.mode | mode, owner)
            .map_err(cannot(format!("set the mode of {path}")))
    }

    pub(super) fn ensure_folder(&self, path: &str, mode: u32) -> Result<(), HostError> {
        let is_there = || match self.calls.look(path, Look::Stat) {
            Fact::Present(file) if file.stat.kind == FileKind::Folder => {
                self.let_pass(path, &file.stat, mode)?;
                Ok(true)
            }
            // Root may have put it elsewhere.
            Fact::Present(file) if file.stat.kind == FileKind::Symlink && path == paths::STATE => {
                Ok(true)
            }
            Fact::Absent => Ok(false),
            Fact::Present(_) => {
                Err(HostError::plain(format!("{path} is not a folder")).with_remedy("move it away"))
            }
            Fact::NotObserved => Err(HostError::plain(format!("{path} was not looked at"))),
            Fact::Unreadable(why) => Err(HostError::new(format!("cannot look at {path}"), why)),
        };
        if is_there()? {
            return Ok(());
        }
        match self.calls.make_folder(path, mode, None) {
            // Another step made it meanwhile.
            Err(error) if error.kind == CallErrorKind::Exists && is_there()? => Ok(()),
            result => result.map_err(cannot(format!("make {path}"))),
        }
    }
}
