//! What the user provides to boot, on the host: seeds, and installers with their files and the disks that they begin on.

use super::failure::{cannot, stale};
use super::folders::PASSAGE;
use super::formats::leave_later;
use super::kept::PRIVATE;
use super::primitives::{Copied, Held, Primitives};
use super::{Executor, HostError};
use crate::boot::{
    DTB_FORMAT, DTB_LIMIT, INITRD_LIMIT, INSTALLER_FORMAT, InstallerReceipt, KERNEL_LIMIT,
    SEED_FORMAT, SeedPart, SeedReceipt, render_dtb_receipt, render_installer_receipt,
    render_seed_receipt,
};
use crate::format::Format;
use crate::inventory::RunState;
use crate::paths;
use crate::plan::{InstallerSource, SeedSource};
use crate::values::{HostPath, Sha256Sum, Size, Uuid, VmName};
use std::collections::BTreeMap;

impl<P: Primitives> Executor<P> {
    pub(super) fn stage_seed(
        &self,
        vm: &VmName,
        kernel: &SeedSource,
        initrd: &SeedSource,
    ) -> Result<(), HostError> {
        let folder = paths::seed_folder(vm);
        let receipt = paths::seed_receipt(vm);
        let _locks = self.replacing(vm, &folder, (&receipt, SEED_FORMAT))?;
        let kernel = self.stage(kernel, &format!("{folder}/vmlinuz"), KERNEL_LIMIT)?;
        let initrd = self.stage(initrd, &format!("{folder}/initrd.img"), INITRD_LIMIT)?;
        let text = render_seed_receipt(&SeedReceipt { kernel, initrd });
        self.keep(&receipt, PRIVATE, text)
    }

    pub(super) fn stage_dtb(&self, vm: &VmName, source: &SeedSource) -> Result<(), HostError> {
        let folder = paths::dtb_folder(vm);
        let receipt = paths::dtb_receipt(vm);
        let _locks = self.replacing(vm, &folder, (&receipt, DTB_FORMAT))?;
        let dtb = self.stage(source, &paths::dtb(vm), DTB_LIMIT)?;
        self.keep(&receipt, PRIVATE, render_dtb_receipt(&dtb))
    }

    /// Takes away the receipt of what is replaced, as long as the locks are held. Without one the hook takes nothing from the
    /// folder, so it never meets half of something new.
    fn replacing(
        &self,
        vm: &VmName,
        folder: &str,
        (receipt, format): (&str, Format),
    ) -> Result<[Box<dyn Held>; 2], HostError> {
        let lock = self.lock_vm(vm)?;
        leave_later(self.calls(), receipt, format)?;
        self.ensure_vm_folder(vm)?;
        self.ensure_folder(&paths::boot_folder(vm), PASSAGE)?;
        self.ensure_folder(folder, PASSAGE)?;
        let staging = self.lock_staging(vm)?;
        self.calls()
            .remove_file(receipt)
            .map_err(cannot(format!("remove {receipt}")))?;
        Ok([staging, lock])
    }

    fn stage(&self, source: &SeedSource, to: &str, limit: u64) -> Result<SeedPart, HostError> {
        let path = &source.path;
        let copied = self
            .calls()
            .copy_file(path.as_str(), to, limit, 0o600)
            .map_err(cannot(format!("copy {path}")))?;
        if copied.sha256 != source.sha256 {
            return Err(stale(path));
        }
        part(path, &copied)
    }

    pub(super) fn stage_installer(
        &self,
        vm: &VmName,
        installer: &InstallerSource,
    ) -> Result<(), HostError> {
        let folder = paths::installer_folder(vm);
        let receipt = paths::installer_receipt(vm);
        let _locks = self.replacing(vm, &folder, (&receipt, INSTALLER_FORMAT))?;
        let kernel = self.stage(
            &installer.kernel,
            &format!("{folder}/vmlinuz"),
            KERNEL_LIMIT,
        )?;
        let made = self.extended(installer, kernel, &format!("{folder}/initrd.img"))?;
        self.keep(&receipt, PRIVATE, render_installer_receipt(&made))
    }

    /// Writes the initrd with its files, and describes what was made of what.
    fn extended(
        &self,
        installer: &InstallerSource,
        kernel: SeedPart,
        to: &str,
    ) -> Result<InstallerReceipt, HostError> {
        let base = &installer.initrd;
        let sources = installer.files.iter();
        let sources: BTreeMap<HostPath, HostPath> = sources
            .map(|(target, source)| (target.clone(), source.path.clone()))
            .collect();
        let made = self
            .calls()
            .extend_initrd(base.path.as_str(), &sources, to, INITRD_LIMIT, 0o600)
            .map_err(cannot(format!("copy {}", base.path)))?;
        if made.base.sha256 != base.sha256 {
            return Err(stale(&base.path));
        }
        let mut files = BTreeMap::new();
        for (target, copied) in &made.files {
            let source = installer.files.get(target);
            let source = source.filter(|source| source.sha256 == copied.sha256);
            let path = source
                .map(|source| &source.path)
                .ok_or_else(|| stale(target))?;
            files.insert(target.clone(), part(path, copied)?);
        }
        let digest = |text: String| {
            Sha256Sum::try_from(text)
                .map_err(|error| HostError::new(format!("cannot copy {}", base.path), error))
        };
        let initrd = SeedPart {
            size: made.size,
            sha256: digest(made.sha256)?,
            ..part(&base.path, &made.base)?
        };
        Ok(InstallerReceipt {
            kernel,
            initrd,
            initrd_source: digest(made.base.sha256)?,
            files,
        })
    }

    pub(super) fn erase_disk(
        &self,
        vm: &VmName,
        uuid: Option<&Uuid>,
        (path, place, size): (&HostPath, &str, Size),
        mark: &HostPath,
    ) -> Result<(), HostError> {
        let _lock = self.lock_vm(vm)?;
        if let Some(uuid) = uuid
            && self.state(vm, uuid)? != RunState::Off
        {
            return Err(stale(format_args!("domain {vm}")));
        }
        // The mark goes first: a disk without it is one whose installation failed.
        self.calls()
            .remove_file(mark.as_str())
            .map_err(cannot(format!("remove {mark}")))?;
        self.calls()
            .erase_image(place, size.bytes())
            .map_err(cannot(format!("erase {path}")))
    }
}

/// Describes a copied file.
fn part(path: &HostPath, copied: &Copied) -> Result<SeedPart, HostError> {
    let stat = &copied.source;
    let sha256 = Sha256Sum::try_from(copied.sha256.clone())
        .map_err(|error| HostError::new(format!("cannot copy {path}"), error))?;
    Ok(SeedPart {
        path: path.clone(),
        file: stat.identity(),
        size: stat.size,
        sha256,
    })
}
