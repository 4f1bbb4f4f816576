//! The digests of seeds' source files, known from the receipts beside their staged copies.

use super::nanoseconds;
use super::text::text;
use crate::boot::{
    Identity, SeedPart, Timestamp, read_dtb_receipt, read_installer_receipt, read_seed_receipt,
};
use crate::files::Root;
use crate::inventory::RawStat;
use crate::paths;
use crate::values::VmName;
use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

/// What all receipts say, by the source's path. Read once: a receipt never becomes wrong, only useless, since a source
/// that changes is no longer the file it names.
#[derive(Default)]
pub(in super::super) struct Receipts(OnceLock<BTreeMap<String, Vec<SeedPart>>>);

impl Receipts {
    /// The SHA-256 of a source, if it is still the file that was staged for some VM.
    pub(super) fn digest(&self, root: &Root, path: &str, stat: &RawStat) -> Option<String> {
        let parts = self.0.get_or_init(|| read_all(root)).get(path)?;
        let part = parts.iter().find(|part| is_unchanged(&part.file, stat))?;
        Some(part.sha256.as_str().to_owned())
    }

    /// Whether bytes with this digest were staged for some VM.
    pub(super) fn have(&self, root: &Root, sha256: Option<&str>) -> bool {
        let all = self.0.get_or_init(|| read_all(root)).values().flatten();
        sha256.is_some_and(|sha256| all.into_iter().any(|part| part.sha256.as_str() == sha256))
    }
}

fn is_unchanged(file: &Identity, stat: &RawStat) -> bool {
    let ns = |Timestamp(seconds, rest)| nanoseconds(seconds, rest);
    (file.dev, file.ino, file.size) == (stat.dev, stat.ino, stat.size)
        && (ns(file.mtime), ns(file.ctime)) == (stat.mtime_ns, stat.ctime_ns)
}

/// What cannot be read is no receipt: its sources are hashed.
fn read_all(root: &Root) -> BTreeMap<String, Vec<SeedPart>> {
    let mut parts: BTreeMap<String, Vec<SeedPart>> = BTreeMap::new();
    let folders = fs::read_dir(root.below(paths::VMS));
    for folder in folders.into_iter().flatten().flatten() {
        let vm: Option<VmName> = folder
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(vm) = vm else { continue };
        let seed = text(root, &paths::seed_receipt(&vm));
        let receipt = seed
            .ok()
            .and_then(|file| read_seed_receipt(file.text?.as_bytes()).ok());
        let seeds = receipt
            .into_iter()
            .flat_map(|receipt| [receipt.kernel, receipt.initrd]);
        let dtb = text(root, &paths::dtb_receipt(&vm)).ok();
        let dtb = dtb.and_then(|file| read_dtb_receipt(file.text?.as_bytes()).ok());
        for part in seeds.chain(dtb).chain(installer_parts(root, &vm)) {
            parts.entry(part.path.to_string()).or_default().push(part);
        }
    }
    parts
}

/// The sources of a VM's installer.
fn installer_parts(root: &Root, vm: &VmName) -> Vec<SeedPart> {
    let text = text(root, &paths::installer_receipt(vm));
    let receipt = text
        .ok()
        .and_then(|file| read_installer_receipt(file.text?.as_bytes()).ok());
    let Some(receipt) = receipt else {
        return Vec::new();
    };
    let initrd = SeedPart {
        sha256: receipt.initrd_source,
        ..receipt.initrd
    };
    let files = receipt.files.into_values();
    files.chain([receipt.kernel, initrd]).collect()
}
