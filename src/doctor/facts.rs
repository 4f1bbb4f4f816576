//! What is known of a host, and how it is asked.

use super::finding::Remedy;
use crate::fleet::{GuestReboot, Spec};
use crate::inventory::{Fact, Inventory, Libvirt, RawFile, RawHealth};
use crate::mark::Record;
use crate::paths;
use crate::plan::{Plan, daemon_pid_file};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a host.
pub struct Facts<'a> {
    /// What was seen of it.
    pub inventory: &'a Inventory,
    /// What it said of itself.
    pub health: &'a RawHealth,
    /// The fleet, if one is asked about.
    pub spec: Option<&'a Spec>,
    /// The plan for it.
    pub plan: Option<&'a Plan>,
    /// The command that applies that fleet.
    pub apply: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// libvirt, if it answered.
    pub(super) fn libvirt(&self) -> Result<&'a Libvirt, &'a str> {
        let libvirt = &self.inventory.libvirt;
        libvirt.present().ok_or("libvirt did not answer")
    }

    /// The records that can be read.
    pub(super) fn records(&self) -> impl Iterator<Item = &'a Record> {
        let records = self.inventory.records.values();
        records.filter_map(|seen| seen.present()?.good())
    }

    /// Why armfleet's VMs on this host, or some of them, are not known; none if they all are.
    pub(super) fn unknown_vms(&self) -> Option<String> {
        let folder = self.inventory.path(paths::VMS).unknown();
        let folder = folder.map(|why| format!("{}: {why}", paths::VMS));
        folder.or_else(|| {
            let mut records = self.inventory.records.iter();
            records.find_map(|(vm, seen)| Some(format!("the record of {vm}: {}", seen.unknown()?)))
        })
    }

    /// Whether a fleet was applied on this host.
    pub(super) fn is_used(&self) -> bool {
        !self.inventory.records.is_empty()
    }

    /// Applying the fleet.
    pub(super) fn apply(&self) -> Remedy {
        match self.apply {
            Some(command) => Remedy::run(command),
            None => Remedy::act("run armfleet apply with the fleet file of this host"),
        }
    }

    /// libvirt's daemon, as systemd calls it.
    pub(super) fn daemon(&self) -> &'static str {
        match daemon_pid_file(self.inventory) {
            Some(path) if path == paths::DAEMON_PID_FILES[1] => "virtqemud",
            _ => "libvirtd",
        }
    }

    /// Whether a VM is started again when its guest reboots.
    pub(super) fn relies_on_watch(&self) -> bool {
        let wanted = self.spec.into_iter().flat_map(|spec| spec.vms.values());
        let mut wanted = wanted.map(|vm| vm.on_guest_reboot);
        let mut applied = self.records().map(|record| record.on_guest_reboot);
        wanted.any(|reboot| reboot == GuestReboot::ColdBoot)
            || applied.any(|reboot| reboot == GuestReboot::ColdBoot)
    }

    /// The boot shares of the fleet and of the host's VMs, each with its VMs.
    pub(super) fn shares(&self) -> BTreeMap<String, BTreeSet<&'a str>> {
        shares(self.spec, self.inventory)
    }

    /// What a path is, where its links lead; none where that was not seen.
    pub(super) fn target(&self, path: &str) -> Option<&'a RawFile> {
        let place = self.inventory.leads_to(path)?;
        self.inventory.path(&place).present()
    }

    /// Whether there is something at a path, where its links lead; none where that was not seen.
    pub(super) fn is_there(&self, path: &str) -> Option<bool> {
        let place = self.inventory.leads_to(path)?;
        match self.inventory.path(&place) {
            Fact::Present(_) => Some(true),
            Fact::Absent => Some(false),
            Fact::NotObserved | Fact::Unreadable(_) => None,
        }
    }
}

/// The boot shares of a fleet and of a host's VMs, each with its VMs.
pub(super) fn shares<'a>(
    spec: Option<&'a Spec>,
    inventory: &'a Inventory,
) -> BTreeMap<String, BTreeSet<&'a str>> {
    let mut shares: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let wanted = spec.into_iter().flat_map(|spec| spec.vms.values());
    let wanted = wanted.map(|vm| (&vm.boot.share, vm.name.as_str()));
    let records = inventory.records.values();
    let applied = records.filter_map(|seen| seen.present()?.good());
    let applied = applied.map(|record| (&record.boot.share, record.vm.as_str()));
    for (share, vm) in wanted.chain(applied) {
        shares.entry(share.to_string()).or_default().insert(vm);
    }
    shares
}

/// Whether a file can be executed, belongs to root, and only root can write to it.
pub(super) fn is_roots_program(file: &RawFile) -> bool {
    file.not_roots().is_none() && file.is_executable()
}
