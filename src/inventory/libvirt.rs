//! libvirt's capabilities, as far as planning needs them.

use super::raw::{RawBits32, RawLibvirt};
use crate::values::CpuSet;
use crate::xml::{self, XmlError, child, descend};
use std::collections::BTreeMap;

/// What a host's libvirt can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Libvirt {
    /// Major × 1,000,000 + minor × 1,000 + release.
    pub version: u32,
    /// Who owns what QEMU works with, from the DAC security model; `None` where libvirt does not change owners.
    pub qemu_owner: Option<(u32, u32)>,
    /// The host's memory in bytes, of all NUMA cells; `None` where libvirt does not tell.
    pub memory: Option<u64>,
    /// The host's CPUs that are online; `None` where libvirt does not tell.
    pub cpus: Option<CpuSet>,
    /// What an arm64 host does with guests of 32 bits; `None` where that was not asked.
    pub bits32: Option<RawBits32>,
    /// The security models by which it confines QEMU: `apparmor`, `dac`, `selinux`.
    pub confined_by: Vec<String>,
    /// What it can run, by libvirt's name of the architecture.
    pub guests: BTreeMap<String, GuestSupport>,
}

/// What a host offers for one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestSupport {
    /// The program that runs such guests.
    pub emulator: Option<String>,
    /// Domain types: `qemu`, `kvm`.
    pub domain_types: Vec<String>,
    /// Machine name to the versioned machine it stands for; a name that stands for itself maps to itself.
    pub machines: BTreeMap<String, String>,
    /// Machine name to the most virtual CPUs that it takes, where QEMU tells.
    pub most_vcpus: BTreeMap<String, u32>,
}

impl Libvirt {
    /// Reads the capabilities' XML.
    ///
    /// # Errors
    /// When they are not XML.
    pub fn read(raw: &RawLibvirt) -> Result<Self, XmlError> {
        let document = xml::parse(&raw.capabilities)?;
        let root = document.root_element();
        let mut guests: BTreeMap<String, GuestSupport> = BTreeMap::new();
        for arch in root
            .children()
            .filter(|node| node.has_tag_name("guest"))
            .filter_map(|node| child(node, "arch"))
        {
            let support = guests
                .entry(arch.attribute("name").unwrap_or_default().to_owned())
                .or_default();
            for node in arch.descendants() {
                match node.tag_name().name() {
                    "emulator" if support.emulator.is_none() => {
                        support.emulator = node.text().map(str::to_owned);
                    }
                    "domain" => support
                        .domain_types
                        .extend(node.attribute("type").map(str::to_owned)),
                    "machine" => {
                        let name = node.text().unwrap_or_default().to_owned();
                        let canonical = node
                            .attribute("canonical")
                            .map_or_else(|| name.clone(), str::to_owned);
                        let most = node.attribute("maxCpus").and_then(|most| most.parse().ok());
                        support
                            .most_vcpus
                            .extend(most.map(|most| (name.clone(), most)));
                        support.machines.entry(name).or_insert(canonical);
                    }
                    _ => {}
                }
            }
        }
        Ok(Self {
            version: raw.version,
            qemu_owner: qemu_owner(root),
            memory: memory(root),
            cpus: cpus(root),
            bits32: raw.bits32.clone(),
            confined_by: confined_by(root),
            guests,
        })
    }

    /// The version as people write it.
    #[must_use]
    pub fn version_text(&self) -> String {
        format!(
            "{}.{}.{}",
            self.version / 1_000_000,
            self.version / 1_000 % 1_000,
            self.version % 1_000
        )
    }
}

/// The sum of `<host><topology><cells><cell><memory unit='KiB'>`.
fn memory(capabilities: roxmltree::Node<'_, '_>) -> Option<u64> {
    let cells = descend(capabilities, &["host", "topology", "cells"])?;
    let of_cell = |cell| {
        let memory =
            child(cell, "memory").filter(|memory| memory.attribute("unit") == Some("KiB"))?;
        memory.text()?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let cells = cells.children().filter(|node| node.has_tag_name("cell"));
    let sum = cells.map(of_cell).sum::<Option<u64>>()?;
    Some(sum).filter(|sum| *sum > 0)
}

/// The numbers in `<host><topology><cells><cell><cpus><cpu id=…>`.
fn cpus(capabilities: roxmltree::Node<'_, '_>) -> Option<CpuSet> {
    let cells = descend(capabilities, &["host", "topology", "cells"])?;
    let cpus = cells.descendants().filter(|node| node.has_tag_name("cpu"));
    let numbers = cpus.map(|cpu| cpu.attribute("id")?.parse().ok());
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    (!numbers.is_empty()).then(|| numbers.into_iter().collect())
}

/// The models in `<host><secmodel><model>`; `none` is none.
fn confined_by(capabilities: roxmltree::Node<'_, '_>) -> Vec<String> {
    let host = child(capabilities, "host").into_iter();
    let models = host.flat_map(|host| host.children());
    let models = models.filter(|node| node.has_tag_name("secmodel"));
    let models = models.filter_map(|node| descend(node, &["model"])?.text());
    let models = models.filter(|model| *model != "none");
    models.map(str::to_owned).collect()
}

/// The owner in `<secmodel><model>dac</model><baselabel type='qemu'>+64055:+64055</baselabel>`.
fn qemu_owner(capabilities: roxmltree::Node<'_, '_>) -> Option<(u32, u32)> {
    let host = child(capabilities, "host")?;
    let dac = host
        .children()
        .filter(|node| node.has_tag_name("secmodel"))
        .find(|node| descend(*node, &["model"]).and_then(|model| model.text()) == Some("dac"))?;
    let label = dac
        .children()
        .find(|node| node.has_tag_name("baselabel") && node.attribute("type") == Some("qemu"))?;
    let (user, group) = label.text()?.split_once(':')?;
    let number = |text: &str| text.trim_start_matches('+').parse().ok();
    Some((number(user)?, number(group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_machines_come_from_the_capabilities() {
        let capabilities = "<capabilities><host><topology><cells num='2'><cell id='0'><memory unit='KiB'>1024</memory><cpus num='1'><cpu id='0'/></cpus></cell><cell id='1'><memory unit='KiB'>2048</memory><cpus num='1'><cpu id='2'/></cpus></cell></cells></topology>\
            <secmodel><model>apparmor</model><baselabel type='qemu'>x</baselabel></secmodel>\
            <secmodel><model>dac</model><baselabel type='kvm'>+1:+2</baselabel><baselabel type='qemu'>+64055:+105</baselabel></secmodel></host>\
            <guest><arch name='armv7l'><machine canonical='virt-7.2' maxCpus='512'>virt</machine><machine>virt-7.2</machine><domain type='qemu'/></arch></guest></capabilities>";
        let seen = Libvirt::read(&RawLibvirt {
            version: 9_000_000,
            capabilities: capabilities.to_owned(),
            bits32: None,
        })
        .unwrap();
        assert_eq!(seen.qemu_owner, Some((64055, 105)));
        assert_eq!(seen.version_text(), "9.0.0");
        assert_eq!(seen.confined_by, ["apparmor", "dac"]);
        let arm = &seen.guests["armv7l"];
        assert_eq!(arm.machines["virt"], "virt-7.2");
        assert_eq!(arm.machines["virt-7.2"], "virt-7.2");
        assert_eq!(arm.domain_types, ["qemu"]);
        assert_eq!(arm.most_vcpus.get("virt"), Some(&512));
        assert_eq!(arm.most_vcpus.get("virt-7.2"), None);
        assert_eq!(seen.memory, Some(3 << 20));
        assert_eq!(seen.cpus.unwrap().to_string(), "0,2");
    }
}
