//! The paths of a host that a plan touches: a plan that is applied without a question is read for these first.

use super::step::SeedSource;
use super::{Act, DiskContent, Plan, Step};
use crate::fleet::{Spec, Vm};
use crate::paths;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// A path that a plan reads, writes or hands to QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TouchedPath {
    /// The path.
    pub path: String,
    /// What it is and what is done with it, as a part of a sentence.
    pub what: String,
}

/// Every path that a plan of this spec touches, sorted. What libvirt keeps of its own, such as a domain's definition, is
/// not named.
#[must_use]
pub fn touched_paths(plan: &Plan, spec: &Spec) -> Vec<TouchedPath> {
    let mut touched = Touched::default();
    if !plan.is_empty() {
        touched.add(paths::STATE, "records, kernels, history and journal");
        touched.add(paths::RUN, "locks");
    }
    for step in &plan.steps {
        let vm = step.vm.as_ref().and_then(|vm| spec.vms.get(vm));
        if let (Some(vm), Act::Define { .. } | Act::Start { .. }) = (vm, &step.act) {
            touched.vm(vm);
        }
        touched.step(step);
    }
    let paths = touched.0.into_iter();
    paths
        .map(|(path, whats)| TouchedPath {
            path,
            what: whats.join("; "),
        })
        .collect()
}

/// What is done with each path.
#[derive(Default)]
struct Touched(BTreeMap<String, Vec<String>>);

impl Touched {
    fn add(&mut self, path: impl ToString, what: impl Into<String>) {
        let (whats, what) = (self.0.entry(path.to_string()).or_default(), what.into());
        if !whats.contains(&what) {
            whats.push(what);
        }
    }

    /// What a VM's domain names, so that libvirt hands it to QEMU or writes it.
    fn vm(&mut self, vm: &Vm) {
        let name = &vm.name;
        self.add(&vm.boot.share, format!("boot share of {name}"));
        for share in &vm.shares {
            self.add(&share.path, format!("share {} of {name}", share.tag));
        }
        for disk in &vm.disks {
            self.add(&disk.path, format!("disk {} of {name}", disk.name));
            if let Some(backing) = &disk.backing {
                let what = format!("base image below disk {} of {name}", disk.name);
                self.add(&backing.path, what);
            }
        }
        if let Some(log) = &vm.console.log {
            self.add(log, format!("console log of {name}"));
        }
    }

    fn step(&mut self, step: &Step) {
        let of = step
            .vm
            .as_ref()
            .map_or_else(String::new, |vm| format!(" of {vm}"));
        match &step.act {
            Act::InstallHook { .. } => self.add(paths::SHIM, "libvirt's hook: written"),
            Act::ReloadDaemon { pid_file } => {
                self.add(pid_file, "libvirt's daemon: made to look for hooks");
            }
            Act::CreateShare { path, .. } => self.add(path, "created, owner and mode set"),
            Act::OwnShare { path, .. } => self.add(path, "owner and mode set"),
            Act::StageSeed { kernel, initrd, .. } => self.read([kernel, initrd], "seed", &of),
            Act::StageDtb { source, .. } => self.read([source], "device tree", &of),
            Act::StageInstaller(source) => {
                self.read([&source.kernel, &source.initrd], "installer", &of);
                self.read(source.files.values(), "file for the installer", &of);
            }
            Act::MakeCloudInit(disk) => {
                self.add(&disk.path, format!("disk for cloud-init{of}: written"));
                for path in &disk.sources {
                    self.add(path, format!("for cloud-init{of}: copied"));
                }
            }
            Act::EraseDisk { path, mark, .. } => {
                self.add(path, "erased");
                self.add(mark, "removed");
            }
            Act::MendFolder { path, .. } => self.add(path, "mode set"),
            Act::CreateDisk { path, content, .. } => {
                self.add(path, "created");
                if let DiskContent::CopyOf(base) = content {
                    self.add(&base.path, format!("base image{of}: copied"));
                }
            }
            Act::GrowDisk { path, .. } => self.add(path, "grown"),
            // Their paths are the VM's, or armfleet's own.
            Act::Define { .. }
            | Act::WriteRecord { .. }
            | Act::SetAutostart { .. }
            | Act::AwaitOff { .. }
            | Act::Start { .. }
            | Act::Stop { .. }
            | Act::PowerOff { .. }
            | Act::Undefine { .. }
            | Act::RemoveCloudInit
            | Act::Forget => {}
        }
    }

    fn read<'a>(&mut self, files: impl IntoIterator<Item = &'a SeedSource>, what: &str, of: &str) {
        for file in files {
            self.add(&file.path, format!("{what}{of}: copied"));
        }
    }
}
