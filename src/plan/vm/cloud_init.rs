//! The disk from which a VM's cloud-init reads.
//!
//! A disk is never written anew where a process has it open: changed texts make another one beside it, which the definition
//! names from then on, so that what is pending shows there as everything else does.

use super::definitions::Definitions;
use crate::domain::Cause;
use crate::fleet::{CloudInit, NoCloud};
use crate::inventory::{Fact, FileKind, RawEntry, RawStat, sources};
use crate::mark::{CloudInitReceipt, read_cloud_init_receipt};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::step::{Act, CloudInitDisk, StepId};
use crate::values::HostPath;
use std::collections::BTreeSet;

/// What is to become of a VM's disk for cloud-init.
#[derive(Default)]
pub(super) struct CloudInitPlan {
    /// The disk that the definition is to name.
    pub(super) path: Option<String>,
    make: Option<Making>,
    /// Whether what an earlier apply made is to go.
    removes: bool,
}

struct Making {
    reason: String,
    cause: Cause,
    disk: CloudInitDisk,
    /// Whether it is another disk for a guest that cloud-init takes for the same.
    same_instance: bool,
}

/// What is there of an earlier apply.
struct Present<'a> {
    receipt: Option<CloudInitReceipt>,
    folder: Option<&'a RawStat>,
    entries: &'a [RawEntry],
    /// QEMU's group.
    group: Option<u32>,
    /// The disks that the domain and its process have.
    used: BTreeSet<String>,
}

/// What the texts are compared by, as far as that is known.
struct Wanted {
    digest: Option<String>,
    metadata: Option<String>,
    /// Secrets that they name and that have no value.
    open: BTreeSet<String>,
}

impl VmPlanner<'_> {
    /// Decides which disk the VM's cloud-init is to read. Nothing is planned yet: first the definition is compared with it.
    pub(super) fn cloud_init(
        &self,
        definitions: &Definitions<'_>,
        builder: &mut PlanBuilder,
    ) -> Result<CloudInitPlan, Blocked> {
        let name = &self.vm.name;
        let folder = paths::cloud_init_folder(name);
        let folder = match self.input.inventory.path(&folder) {
            Fact::Present(file) => Some(file),
            Fact::Absent => None,
            // One that is not wanted and was not looked at is nobody's business.
            Fact::NotObserved if self.vm.cloud_init.is_none() => None,
            fact => return Err(builder.unreadable(name, folder, fact.unknown())),
        };
        let Some(keys) = &self.vm.cloud_init else {
            let entries = folder.map(|folder| folder.entries.as_deref().unwrap_or_default());
            let is_ours = |entry: &RawEntry| paths::CLOUD_INIT_FILES.contains(&entry.name.as_str());
            // What is none of armfleet's stays there, and so does the folder.
            let is_left =
                entries.is_some_and(|entries| entries.is_empty() || entries.iter().any(is_ours));
            return Ok(CloudInitPlan {
                removes: is_left && !self.is_installing(),
                ..CloudInitPlan::default()
            });
        };
        let present = Present {
            receipt: self.cloud_init_receipt(builder)?,
            folder: folder.map(|folder| &folder.stat),
            group: self.input.libvirt.qemu_owner.map(|(_, group)| group),
            entries: folder
                .and_then(|folder| folder.entries.as_deref())
                .unwrap_or_default(),
            used: used(definitions),
        };
        let Some(texts) = self.input.spec.cloud_init.get(name) else {
            // Without the texts there is nothing to compare.
            let path = present
                .receipt
                .map(|receipt| paths::cloud_init_disk(name, &receipt.disk));
            return Ok(CloudInitPlan {
                path,
                ..CloudInitPlan::default()
            });
        };
        let wanted = self.cloud_init_wanted(texts);
        for variable in &wanted.open {
            builder.unknown_value(name, "cloud-init files", variable);
        }
        Ok(self.cloud_init_choice(keys, &wanted, &present))
    }

    fn is_installing(&self) -> bool {
        matches!(self.phase, crate::mark::Phase::Installing { .. })
    }

    /// What was made, as its receipt says; one that cannot be understood, or that is not root's, is as good as none.
    fn cloud_init_receipt(
        &self,
        builder: &mut PlanBuilder,
    ) -> Result<Option<CloudInitReceipt>, Blocked> {
        let path = paths::cloud_init_receipt(&self.vm.name);
        match self.input.inventory.path(&path) {
            Fact::Present(file) => {
                let text = file.text.as_deref().filter(|_| file.not_roots().is_none());
                let receipt = text.and_then(|text| read_cloud_init_receipt(text.as_bytes()).ok());
                let is_known = |receipt: &CloudInitReceipt| {
                    paths::CLOUD_INIT_DISKS.contains(&receipt.disk.as_str())
                };
                Ok(receipt.filter(is_known))
            }
            Fact::Absent => Ok(None),
            fact => Err(builder.unreadable(&self.vm.name, path, fact.unknown())),
        }
    }

    fn cloud_init_wanted(&self, texts: &NoCloud) -> Wanted {
        let redaction = &self.input.inventory.redaction;
        let secrets = redaction.secrets();
        let filled = texts.filled(secrets);
        Wanted {
            digest: redaction.keyed_digest(&filled.whole()),
            metadata: redaction.keyed_digest(filled.meta_data()),
            open: texts.unknown_in(secrets),
        }
    }

    fn cloud_init_choice(
        &self,
        keys: &CloudInit,
        wanted: &Wanted,
        present: &Present<'_>,
    ) -> CloudInitPlan {
        let name = &self.vm.name;
        let receipt = present.receipt.as_ref();
        let is_same = |receipt: &&CloudInitReceipt| {
            !wanted.open.is_empty() || wanted.digest.as_ref() == Some(&receipt.digest)
        };
        let (disk, reason, cause) = match receipt.filter(is_same) {
            Some(receipt) => match damage(receipt, present) {
                None => {
                    return CloudInitPlan {
                        path: Some(paths::cloud_init_disk(name, &receipt.disk)),
                        ..CloudInitPlan::default()
                    };
                }
                Some(damage) => {
                    let reason = format!("made again, since it is damaged: {damage}");
                    (receipt.disk.as_str(), reason, Cause::Drifted)
                }
            },
            None => {
                let (reason, cause) = match (receipt, &wanted.digest) {
                    (None, _) if present.used.is_empty() => {
                        ("new, for cloud-init in the guest", Cause::FileChanged)
                    }
                    (None, _) => (
                        "made again, since what armfleet kept of it is gone",
                        Cause::Drifted,
                    ),
                    (Some(_), None) => (
                        "made again, since the key of this host's digests is gone",
                        Cause::Drifted,
                    ),
                    (Some(_), Some(_)) => ("its files changed", Cause::FileChanged),
                };
                (present.free_disk(), reason.to_owned(), cause)
            }
        };
        let path = paths::cloud_init_disk(name, disk);
        let stale = paths::CLOUD_INIT_DISKS.iter().filter(|other| {
            let is_there = present.entries.iter().any(|entry| entry.name == **other);
            is_there && **other != disk && !present.used.contains(**other)
        });
        let optional = [&keys.meta_data, &keys.network_config]
            .into_iter()
            .flatten();
        let sources: Vec<HostPath> = [&keys.user_data]
            .into_iter()
            .chain(optional)
            .cloned()
            .collect();
        let same_instance = receipt.is_some_and(|receipt| {
            cause == Cause::FileChanged && wanted.metadata.as_ref() == Some(&receipt.metadata)
        });
        CloudInitPlan {
            make: Some(Making {
                reason,
                cause,
                same_instance,
                disk: CloudInitDisk {
                    path: path.clone(),
                    sources,
                    group: present.group,
                    digest: wanted.digest.clone().filter(|_| wanted.open.is_empty()),
                    stale: stale
                        .map(|name_of| paths::cloud_init_disk(name, name_of))
                        .collect(),
                    replaces: receipt.is_some() || !present.used.is_empty(),
                },
            }),
            path: Some(path),
            removes: false,
        }
    }

    /// Plans the making of the disk, which comes before the definition.
    pub(super) fn make_cloud_init(
        &self,
        plan: &mut CloudInitPlan,
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let making = plan.make.take()?;
        let name = &self.vm.name;
        if making.same_instance {
            builder.notice(
                name,
                "its cloud-init files changed, and its instance-id did not",
                "cloud-init does again what it does at every boot; for all of it, give meta_data another instance-id",
            );
        }
        let id = StepId::new("cloud-init", name);
        let act = Act::MakeCloudInit(making.disk);
        let step = builder.step(id, Some(name), making.reason, &[], Vec::new(), act);
        builder.because(Some(making.cause), Some(step))
    }

    /// Plans the removal of the disks, which comes after the definition that names none.
    pub(super) fn remove_cloud_init(
        &self,
        plan: &CloudInitPlan,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) {
        if !plan.removes {
            return;
        }
        let name = &self.vm.name;
        let id = StepId::new("cloud-init", name);
        let reason = "the file has no cloud_init any more";
        let act = Act::RemoveCloudInit;
        let step = builder.step(id, Some(name), reason, needs, Vec::new(), act);
        builder.because(Some(Cause::FileChanged), Some(step));
    }
}

impl Present<'_> {
    /// A name that neither the domain nor its process has, nor the receipt: there are more names than these.
    fn free_disk(&self) -> &'static str {
        let present = self.receipt.as_ref().map(|receipt| receipt.disk.as_str());
        let mut names = paths::CLOUD_INIT_DISKS.into_iter();
        let is_free = |name: &&str| Some(*name) != present && !self.used.contains(*name);
        names.find(is_free).unwrap_or(paths::CLOUD_INIT_DISKS[0])
    }
}

/// The disks for cloud-init that a domain's definition and its process have, by name.
fn used(definitions: &Definitions<'_>) -> BTreeSet<String> {
    let live = definitions.live().map(|live| live.input_text());
    let texts = [definitions.stored.input_text()].into_iter().chain(live);
    let paths = texts.flat_map(sources);
    let disks = paths.filter(|path| paths::cloud_init_disk_of(path).is_some());
    disks
        .filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()))
        .collect()
}

/// What is wrong with a disk, if anything is to be seen.
fn damage(receipt: &CloudInitReceipt, present: &Present<'_>) -> Option<String> {
    if let Some(why) = present
        .folder
        .and_then(|folder| shut(folder, present.group))
    {
        return Some(why);
    }
    let name = &receipt.disk;
    let Some(entry) = present.entries.iter().find(|entry| entry.name == *name) else {
        return Some(format!("{name} is gone"));
    };
    let stat = &entry.stat;
    match stat.kind {
        FileKind::File if (stat.ino, stat.size) != (receipt.ino, receipt.size) => {
            Some(format!("{name} is another file"))
        }
        FileKind::File if stat.mtime_ns != receipt.mtime_ns => Some(format!("{name} was changed")),
        FileKind::File if (stat.uid, stat.mode) != (0, paths::CLOUD_INIT_DISK) => Some(format!(
            "{name} has mode {:04o} and belongs to user {}",
            stat.mode, stat.uid
        )),
        FileKind::File => None,
        other => Some(format!("{name} is {}", other.describe())),
    }
}

/// Why the folder of the disks lets others pass than QEMU, or not QEMU.
fn shut(folder: &RawStat, group: Option<u32>) -> Option<String> {
    let owner = (0, group.unwrap_or_default(), paths::CLOUD_INIT_FOLDER);
    ((folder.uid, folder.gid, folder.mode) != owner).then(|| {
        format!(
            "its folder has mode {:04o} and belongs to {}:{}",
            folder.mode, folder.uid, folder.gid
        )
    })
}
