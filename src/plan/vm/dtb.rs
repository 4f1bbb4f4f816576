//! The device tree that a VM boots with, instead of the one that QEMU makes of its machine.

use super::seed::{SourceName, seed_source};
use crate::boot::{SeedPart, read_dtb_receipt};
use crate::inventory::{Fact, RawFile};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::copies::changed_copy;
use crate::plan::step::{Act, StepId};

const DTB: SourceName = ("device tree", "boot.dtb");
/// How a flattened device tree begins, in hexadecimal (Devicetree Specification 0.4, section 5.2).
const MAGIC: &str = "d00dfeed";
/// Of the tree a 32-bit ARM kernel maps 1 MiB at the least (`arch/arm/kernel/head.S`), and QEMU gives it twice the file's size
/// and 20,000 bytes more (`load_device_tree`).
const MOST_BYTES_32: u64 = (1 << 19) - 10_000;

impl VmPlanner<'_> {
    /// Plans the copy of the device tree. It is a new file each time: what runs was given the former one.
    pub(super) fn dtb(&self, builder: &mut PlanBuilder) -> Result<Option<StepId>, Blocked> {
        let Some(path) = &self.vm.boot.dtb else {
            return Ok(None);
        };
        let name = &self.vm.name;
        let receipt = self.dtb_receipt(builder)?;
        let damage = receipt.as_ref().and_then(|(written, receipt)| {
            let folder = paths::dtb_folder(name);
            let file = (paths::DTB_FILE, receipt.size);
            changed_copy(self.input.inventory, &folder, file, Some(*written))
        });
        let staged = receipt.is_some() && damage.is_none();
        let Some(source) = seed_source(self.input, self.vm, path, DTB, staged, builder)? else {
            return Ok(None);
        };
        let seen = self.input.inventory.path(path.as_str()).present();
        if let Some((why, remedy)) = seen.and_then(|file| self.unusable(file)) {
            builder.refuse(name, format!("its device tree {path} {why}"), remedy);
            return Err(Blocked);
        }
        // The same bytes at another path are no change.
        let same = |receipt: &SeedPart| receipt.sha256.as_str() == source.sha256;
        let reason = match (&receipt, damage) {
            (Some(_), Some(damage)) => format!("staged again, since its copy is damaged: {damage}"),
            (Some((_, receipt)), None) if same(receipt) => return Ok(None),
            (Some(_), None) => "the file changed; the VM gets it at its next start".to_owned(),
            (None, _) => "the device tree that the VM boots with".to_owned(),
        };
        let act = Act::StageDtb {
            source,
            replaces: receipt.is_some(),
        };
        let id = StepId::new("dtb", name);
        Ok(Some(builder.step(
            id,
            Some(name),
            reason,
            &[],
            Vec::new(),
            act,
        )))
    }

    /// Why a kernel would not boot with this file, and what to do, if it was read.
    fn unusable(&self, file: &RawFile) -> Option<(String, &'static str)> {
        let rest = match file.head.as_deref()?.strip_prefix(MAGIC) {
            Some(rest) => rest,
            None => {
                return Some((
                    "is no compiled one".to_owned(),
                    "dtc -I dts -O dtb makes one of its source",
                ));
            }
        };
        let says = rest
            .get(..8)
            .and_then(|size| u64::from_str_radix(size, 16).ok());
        let (says, has) = (says.unwrap_or_default(), file.stat.size);
        if says > has || says == 0 {
            let why = format!("is cut short: it has {has} bytes and says that they are {says}");
            return Some((why, "make it again"));
        }
        (self.vm.arch.bits == 32 && says > MOST_BYTES_32).then(|| {
            let why = format!(
                "has {says} bytes, and a 32-bit kernel does not boot with more than {MOST_BYTES_32}"
            );
            (
                why,
                "dtc -I dtb -O dtb takes out the room that QEMU's dumpdtb leaves in it",
            )
        })
    }

    /// What was staged, and when that was written. What cannot be understood, or is not root's, is as good as nothing.
    fn dtb_receipt(&self, builder: &mut PlanBuilder) -> Result<Option<(i64, SeedPart)>, Blocked> {
        let path = paths::dtb_receipt(&self.vm.name);
        match self.input.inventory.path(&path) {
            Fact::Present(file) => {
                let text = file.text.as_deref().filter(|_| file.not_roots().is_none());
                let receipt = text.and_then(|text| read_dtb_receipt(text.as_bytes()).ok());
                Ok(receipt.map(|receipt| (file.stat.mtime_ns, receipt)))
            }
            Fact::Absent => Ok(None),
            fact => Err(builder.unreadable(&self.vm.name, path, fact.unknown())),
        }
    }
}
