//! The making of a VM's disk for cloud-init.

use super::failure::{cannot, stale};
use super::formats::leave_later;
use super::kept::PRIVATE;
use super::nocloud::nocloud_disk;
use super::primitives::{Owner, Primitives};
use super::{Executor, HostError};
use crate::inventory::Look;
use crate::mark::{CLOUD_INIT_FORMAT, CloudInitReceipt, render_cloud_init_receipt};
use crate::paths;
use crate::plan::CloudInitDisk;
use crate::values::VmName;

impl<P: Primitives> Executor<P> {
    /// Makes the disk of the fleet file's texts, if they are those that were planned, and then its receipt. A process that
    /// has a disk of that name open keeps it.
    pub(super) fn make_cloud_init(
        &self,
        vm: &VmName,
        disk: &CloudInitDisk,
    ) -> Result<(), HostError> {
        let path = &disk.path;
        let redaction = self.redaction();
        let texts = redaction.and_then(|redaction| redaction.cloud_init(vm));
        let texts = texts.ok_or_else(|| {
            HostError::plain(format!(
                "{path} cannot be made without the files of cloud_init"
            ))
        })?;
        let digest = self.keyed_digest(&texts.whole())?;
        if disk
            .digest
            .as_ref()
            .is_some_and(|planned| *planned != digest)
        {
            return Err(stale(format_args!(
                "what the files of cloud_init of {vm} hold"
            )));
        }
        let bytes = nocloud_disk(&texts.files())
            .map_err(|error| HostError::new(format!("cannot make {path}"), error))?;
        let _lock = self.lock_vm(vm)?;
        let (folder, receipt) = (paths::cloud_init_folder(vm), paths::cloud_init_receipt(vm));
        leave_later(self.calls(), &receipt, CLOUD_INIT_FORMAT)?;
        self.ensure_vm_folder(vm)?;
        self.ensure_folder(&folder, paths::CLOUD_INIT_FOLDER)?;
        let owner = Owner {
            uid: 0,
            gid: disk.group.unwrap_or_default(),
        };
        self.calls()
            .set_folder_owner(&folder, paths::CLOUD_INIT_FOLDER, owner)
            .map_err(cannot(format!("set owner and mode of {folder}")))?;
        self.keep_disk(path, &bytes)?;
        let seen = self.calls().look(path, Look::Stat);
        let stat = &seen.present().ok_or_else(|| stale(path))?.stat;
        let name = path
            .rsplit_once('/')
            .map_or(path.as_str(), |(_, name)| name);
        let made = CloudInitReceipt {
            disk: name.to_owned(),
            digest,
            metadata: self.keyed_digest(texts.meta_data())?,
            size: stat.size,
            ino: stat.ino,
            mtime_ns: stat.mtime_ns,
        };
        self.keep(&receipt, PRIVATE, render_cloud_init_receipt(&made))?;
        for path in &disk.stale {
            let doing = cannot(format!("remove {path}"));
            self.calls().remove_file(path).map_err(doing)?;
        }
        Ok(())
    }
}
