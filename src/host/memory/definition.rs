//! What libvirt 9.0 makes of a definition: the normal form that it dumps.
//!
//! Written after what the real one gave (`tests/captured`), for ARM machines whose devices are on virtio-mmio. It makes
//! no PCI addresses and no controllers for them: a device that is to have one brings it.

use super::element::Element;
use crate::host::primitives::CallError;
use crate::staging::DomainDisk;
use crate::values::Uuid;
use roxmltree::Document;

/// A definition in its normal form.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) uuid: String,
    /// With its secrets.
    pub(super) text: String,
}

/// The elements of a domain that its schema knows, in the order of a dump.
const DOMAIN: &str = "name uuid genid title description metadata maxMemory memory currentMemory memoryBacking blkiotune \
    memtune vcpu vcpus iothreads iothreadids cputune numatune resource sysinfo os features cpu clock \
    on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel";
const OS: &str = "type loader nvram kernel initrd cmdline dtb boot";
/// The devices that the schema knows, in the order of a dump.
const DEVICES: &str = "emulator disk controller lease filesystem interface smartcard serial parallel console channel input \
    tpm graphics sound audio video hostdev redirdev redirfilter hub watchdog memballoon rng panic shmem \
    memory vsock";
const DISK: &str = "driver auth source backingStore blockio mirror target iotune readonly shareable transient serial wwn \
    boot alias address";
const INTERFACE: &str = "mac source vlan target model alias address";
const CHARACTER_DEVICE: &str = "source log target alias address";

/// What QEMU's `virt` machine runs where nothing else is said.
const DEFAULT_CPU: &str = "cortex-a15";

/// Reads a definition as `virDomainDefineXMLFlags` with `VALIDATE` does, and gives it the UUID where it has none.
pub(super) fn normalise(
    xml: &str,
    capabilities: &str,
    new_uuid: &str,
) -> Result<Definition, CallError> {
    let mut domain = read(xml)?;
    let name = text_of(&domain, "name")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| CallError::other("missing domain name information"))?;
    let uuid = text_of(&domain, "uuid").unwrap_or_else(|| new_uuid.to_owned());
    let uuid = uuid.to_ascii_lowercase();
    if uuid.parse::<Uuid>().is_err() {
        return Err(CallError::other(format!(
            "XML error: malformed uuid element: {uuid}"
        )));
    }
    domain
        .child_or("uuid", || Element::new("uuid", &[]))
        .text
        .clone_from(&uuid);
    domain.unset("id");
    memory(&mut domain)?;
    processor(&mut domain);
    lifecycle(&mut domain);
    machine(&mut domain, capabilities)?;
    devices(&mut domain);
    domain.sort(DOMAIN);
    let text = domain.render();
    Ok(Definition { name, uuid, text })
}

/// A definition as it is dumped without the right to see its secrets.
pub(super) fn without_secrets(definition: &str) -> String {
    edited(definition, |domain| {
        for device in devices_of(domain) {
            if device.name == "graphics" {
                device.unset("passwd");
            }
        }
    })
}

/// What a process of this definition is dumped as. Only its number is put in: nothing that armfleet reads is told by the
/// aliases and labels that are there, too.
pub(super) fn live(definition: &str, id: u32) -> String {
    edited(definition, |domain| {
        let at = domain.attributes.len().min(1);
        domain
            .attributes
            .insert(at, ("id".to_owned(), id.to_string()));
    })
}

/// A definition with another name and UUID.
pub(super) fn renamed(definition: &str, name: &str, uuid: &str) -> String {
    edited(definition, |domain| {
        for (element, value) in [("name", name), ("uuid", uuid)] {
            let element = domain.child_or(element, || Element::new(element, &[]));
            value.clone_into(&mut element.text);
        }
    })
}

/// The text of an element, reached by these names.
pub(super) fn text_at(definition: &str, path: &[&str]) -> Option<String> {
    let document = Document::parse(definition).ok()?;
    let node = crate::xml::descend(document.root_element(), path)?;
    node.text().map(str::to_owned)
}

/// The images, as (target, path), and the folders of a definition.
pub(super) fn sources(definition: &str) -> (Vec<String>, Vec<String>) {
    let Ok(document) = Document::parse(definition) else {
        return (Vec::new(), Vec::new());
    };
    let sources = |device: &str, attributes: &[&str]| {
        let devices = document
            .descendants()
            .filter(|node| node.has_tag_name(device));
        let sources = devices.filter_map(|node| crate::xml::child(node, "source"));
        let named = sources.flat_map(|source| {
            let values = attributes
                .iter()
                .filter_map(move |name| source.attribute(*name));
            values.map(str::to_owned)
        });
        named.collect::<Vec<_>>()
    };
    (
        sources("disk", &["file", "dev"]),
        sources("filesystem", &["dir"]),
    )
}

/// The disks of a definition, as its hook sees them.
pub(super) fn disks(definition: &str) -> Vec<DomainDisk> {
    let document = Document::parse(definition).ok();
    document.map_or_else(Vec::new, |document| {
        DomainDisk::all_of(document.root_element())
    })
}

/// libvirt's name of a definition's instruction set.
pub(super) fn arch(definition: &str) -> Option<String> {
    let document = Document::parse(definition).ok()?;
    let os = crate::xml::child(document.root_element(), "os")?;
    Some(crate::xml::child(os, "type")?.attribute("arch")?.to_owned())
}

fn edited(definition: &str, edit: impl FnOnce(&mut Element)) -> String {
    let Ok(document) = Document::parse(definition) else {
        return definition.to_owned();
    };
    let mut domain = Element::read(document.root_element());
    edit(&mut domain);
    domain.render()
}

fn read(xml: &str) -> Result<Element, CallError> {
    let document = Document::parse(xml)
        .map_err(|error| CallError::other(format!("(domain_definition): {error}")))?;
    let domain = Element::read(document.root_element());
    let devices = domain
        .child("devices")
        .map_or(&[][..], |devices| &devices.children);
    let unknown = |elements: &[Element], known: &str| {
        let known: Vec<_> = known.split(' ').collect();
        elements
            .iter()
            .any(|element| !known.contains(&element.name.as_str()))
    };
    if domain.name != "domain" || unknown(&domain.children, DOMAIN) || unknown(devices, DEVICES) {
        return Err(CallError::other(
            "XML document failed to validate against schema: Element domain failed to validate content",
        ));
    }
    Ok(domain)
}

fn text_of(domain: &Element, name: &str) -> Option<String> {
    domain.child(name).map(|child| child.text.clone())
}

/// In KiB; what the guest has at first is at most what it can have.
fn memory(domain: &mut Element) -> Result<(), CallError> {
    let read = |element: Option<&Element>| -> Result<Option<u64>, CallError> {
        let Some(element) = element else {
            return Ok(None);
        };
        let factor = match element.attribute("unit").unwrap_or("KiB") {
            "KiB" | "k" => 1,
            "MiB" | "M" => 1 << 10,
            "GiB" | "G" => 1 << 20,
            unit => {
                return Err(CallError::other(format!(
                    "invalid argument: unknown suffix '{unit}'"
                )));
            }
        };
        let number = element.text.trim().parse::<u64>().ok();
        let kib = number.and_then(|number| number.checked_mul(factor));
        kib.map(Some)
            .ok_or_else(|| CallError::other("XML error: invalid value for memory"))
    };
    let most = read(domain.child("memory"))?
        .ok_or_else(|| CallError::other("XML error: missing memory element"))?;
    let first = read(domain.child("currentMemory"))?.map_or(most, |first| first.min(most));
    for (name, kib) in [("memory", most), ("currentMemory", first)] {
        let element = domain.child_or(name, || Element::new(name, &[]));
        element.set("unit", "KiB");
        element.text = kib.to_string();
    }
    Ok(())
}

fn processor(domain: &mut Element) {
    let vcpu = domain.child_or("vcpu", || Element::new("vcpu", &[]).saying("1"));
    if vcpu.attribute("placement").is_none() {
        vcpu.attributes
            .insert(0, ("placement".to_owned(), "static".to_owned()));
    }
    if vcpu.attribute("current") == Some(&vcpu.text.clone()) {
        vcpu.unset("current");
    }
    if domain.attribute("type") != Some("kvm") && domain.child("cpu").is_none() {
        let model = Element::new("model", &[("fallback", "forbid")]).saying(DEFAULT_CPU);
        let cpu = Element::new("cpu", &[("mode", "custom"), ("match", "exact")]).holding([model]);
        domain.children.push(cpu);
    }
    for cpu in domain
        .children
        .iter_mut()
        .filter(|child| child.name == "cpu")
    {
        if cpu.attribute("check").is_none() {
            cpu.set("check", "none");
        }
    }
}

fn lifecycle(domain: &mut Element) {
    for (name, default) in [
        ("on_poweroff", "destroy"),
        ("on_reboot", "restart"),
        ("on_crash", "destroy"),
    ] {
        domain.child_or(name, || Element::new(name, &[]).saying(default));
    }
    domain.child_or("clock", || Element::new("clock", &[("offset", "utc")]));
}

/// The versioned machine, the emulator, what boots without a kernel, and the interrupt controller.
fn machine(domain: &mut Element, capabilities: &str) -> Result<(), CallError> {
    let domain_type = domain.attribute("type").unwrap_or_default().to_owned();
    let os = domain.child_or("os", || Element::new("os", &[]));
    let kind = os.child_or("type", || Element::new("type", &[]));
    let arch = kind.attribute("arch").unwrap_or_default().to_owned();
    let wanted = kind.attribute("machine").unwrap_or_default().to_owned();
    let unsupported = || {
        CallError::other(format!(
            "unsupported configuration: no emulator for {domain_type} {arch} {wanted}"
        ))
    };
    let document = Document::parse(capabilities).map_err(|_| unsupported())?;
    let host = |node: &roxmltree::Node<'_, '_>| {
        node.has_tag_name("arch") && node.attribute("name") == Some(&arch)
    };
    let host = document.descendants().find(host).ok_or_else(unsupported)?;
    let runs = |node: roxmltree::Node<'_, '_>| {
        node.has_tag_name("domain") && node.attribute("type") == Some(&domain_type)
    };
    if !host.children().any(runs) {
        return Err(unsupported());
    }
    let mut machines = host.children().filter(|node| node.has_tag_name("machine"));
    let machine = machines
        .find(|machine| machine.text() == Some(&wanted))
        .ok_or_else(unsupported)?;
    kind.set("machine", machine.attribute("canonical").unwrap_or(&wanted));
    os.child_or("boot", || Element::new("boot", &[("dev", "hd")]));
    os.sort(OS);
    let emulator = crate::xml::child(host, "emulator").and_then(|emulator| emulator.text());
    let emulator = emulator.unwrap_or_default().to_owned();
    domain
        .child_or("features", || Element::new("features", &[]))
        .child_or("gic", || Element::new("gic", &[("version", "2")]));
    domain
        .child_or("devices", || Element::new("devices", &[]))
        .child_or("emulator", || {
            Element::new("emulator", &[]).saying(&emulator)
        });
    Ok(())
}

fn devices_of(domain: &mut Element) -> &mut Vec<Element> {
    &mut domain
        .child_or("devices", || Element::new("devices", &[]))
        .children
}

fn devices(domain: &mut Element) {
    let devices = domain.child_or("devices", || Element::new("devices", &[]));
    devices.child_or("controller", || {
        Element::new(
            "controller",
            &[("type", "pci"), ("index", "0"), ("model", "pcie-root")],
        )
    });
    devices.child_or("audio", || {
        Element::new("audio", &[("id", "1"), ("type", "none")])
    });
    console(devices);
    let mmio = |device: &Element| {
        let address = device.child("address");
        address.and_then(|address| address.attribute("type")) == Some("virtio-mmio")
    };
    let on_mmio = devices.children.iter().any(mmio);
    for device in &mut devices.children {
        match device.name.as_str() {
            "disk" => {
                device.child_or("driver", || {
                    Element::new("driver", &[("name", "qemu"), ("type", "raw")])
                });
            }
            "interface" => {
                device.child_or("model", || Element::new("model", &[("type", "virtio")]));
            }
            "rng" => {}
            _ => continue,
        }
        // Once one device is on virtio-mmio, all of these kinds are.
        if on_mmio {
            device.child_or("address", || {
                Element::new("address", &[("type", "virtio-mmio")])
            });
        }
        match device.name.as_str() {
            "disk" => device.sort(DISK),
            "interface" => device.sort(INTERFACE),
            _ => {}
        }
    }
    devices.sort(DEVICES);
    let target = |disk: &Element| {
        let target = disk
            .child("target")
            .and_then(|target| target.attribute("dev"));
        target.map(|name| (name.len(), name.to_owned()))
    };
    if let Some(first) = devices
        .children
        .iter()
        .position(|device| device.name == "disk")
    {
        let disks = devices
            .children
            .iter()
            .filter(|device| device.name == "disk")
            .count();
        devices.children[first..first + disks].sort_by_key(target);
    }
}

/// The first serial port and the console are one device, told twice.
fn console(devices: &mut Element) {
    let Some(known) = devices.child("serial").or_else(|| devices.child("console")) else {
        return;
    };
    let kind = known.attribute("type").unwrap_or("pty").to_owned();
    let shared: Vec<_> = known
        .children
        .iter()
        .filter(|child| matches!(child.name.as_str(), "source" | "log"))
        .cloned()
        .collect();
    let model = Element::new("model", &[("name", "pl011")]);
    let port = Element::new("target", &[("type", "system-serial"), ("port", "0")]).holding([model]);
    let serial = devices.child_or("serial", || {
        Element::new("serial", &[("type", &kind)]).holding(shared.clone())
    });
    serial.child_or("target", || port);
    serial.sort(CHARACTER_DEVICE);
    let console = devices.child_or("console", || Element::new("console", &[("type", &kind)]));
    console
        .children
        .retain(|child| !matches!(child.name.as_str(), "source" | "log"));
    console.children.extend(shared);
    console.child_or("target", || {
        Element::new("target", &[("type", "serial"), ("port", "0")])
    });
    console.sort(CHARACTER_DEVICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: &str = include_str!("../../../tests/captured/capabilities-9.0.xml");
    const NEW: &str = include_str!("../../../tests/captured/armhf-new.xml");
    const NEW_STORED: &str = include_str!("../../../tests/captured/armhf-new-9.0.xml");
    const STORED: &str = include_str!("../../../tests/captured/armhf-stored-9.0.xml");
    const BY_HAND: &str = include_str!("../../../tests/captured/by-hand.xml");
    const BY_HAND_STORED: &str = include_str!("../../../tests/captured/by-hand-9.0.xml");

    fn normal(xml: &str) -> String {
        normalise(xml, CAPABILITIES, "977d0417-7b79-4066-9b35-08bae370ed20")
            .unwrap()
            .text
    }

    #[test]
    fn a_definition_becomes_what_libvirt_made_of_it() {
        assert_eq!(normal(NEW), NEW_STORED);
        assert_eq!(normal(BY_HAND), BY_HAND_STORED);
    }

    #[test]
    fn what_libvirt_dumped_stays_as_it_is() {
        for text in [NEW_STORED, STORED, BY_HAND_STORED] {
            assert_eq!(normal(text), text);
            assert_eq!(without_secrets(text), text);
        }
    }
}
