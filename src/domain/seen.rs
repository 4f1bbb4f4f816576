//! A definition's properties as they are, whatever is wanted of them.

use super::edit::DeviceRef;
use super::kind::devices;
use super::kinds::KINDS;
use super::row::Row;
use super::rows::{DOMAIN_ROWS, MEMORY};
use super::value::Value;
use crate::fleet::Vm;
use crate::inventory::{Look, with_folder};
use crate::mark::CONSOLE_LOG;
use crate::values::Size;
use crate::xml;
use roxmltree::{Document, Node};
use std::collections::BTreeMap;

/// Every property that the table knows, with its device, as a plan shows it; none if the text is not XML.
#[must_use]
pub fn properties(definition: &str) -> BTreeMap<String, String> {
    let Ok(document) = xml::parse(definition) else {
        return BTreeMap::new();
    };
    let mut properties = BTreeMap::new();
    read("", DOMAIN_ROWS, document.root_element(), &mut properties);
    for kind in KINDS {
        for (key, node) in devices(&document, kind) {
            let device = DeviceRef {
                kind: kind.id.clone(),
                key: key.to_owned(),
            };
            read(&format!("{device} "), kind.rows, node, &mut properties);
        }
    }
    properties
}

/// What a domain's disks, shares and console log use of the host, with the folders around, and how closely planning looks at
/// each; nothing if the text is not XML.
#[must_use]
pub fn uses(definition: &str) -> Vec<(String, Look)> {
    let Ok(document) = xml::parse(definition) else {
        return Vec::new();
    };
    let log = DOMAIN_ROWS.iter().find(|row| row.id == CONSOLE_LOG);
    let log = log.and_then(|row| row.read(document.root_element()));
    let mut uses: Vec<_> = log
        .map(|path| (path.to_string(), Look::Log))
        .into_iter()
        .collect();
    let mut below = Vec::new();
    for kind in KINDS {
        let Some(look) = kind.look else { continue };
        for (_, node) in devices(&document, kind).filter(|(key, node)| (kind.is_one)(key, *node)) {
            let path = kind.source(node).map(|path| path.to_string());
            uses.extend(path.map(|path| (path.clone(), look(&path))));
            below.extend(
                (kind.backing)(node)
                    .into_iter()
                    .map(|path| (path, Look::Image)),
            );
        }
    }
    let uses = uses
        .iter()
        .flat_map(|(path, look)| with_folder(path, *look));
    let is_path = |(path, _): &(String, Look)| path.starts_with('/');
    uses.chain(below).filter(is_path).collect()
}

/// The memory of a domain's guest; none if the text is not XML, or says nothing of it.
#[must_use]
pub fn memory_of(definition: &str) -> Option<Size> {
    let document = xml::parse(definition).ok()?;
    let row = DOMAIN_ROWS.iter().find(|row| row.id == MEMORY)?;
    match row.read(document.root_element())? {
        Value::Kib(kib) => Some(Size::from_bytes(kib.checked_mul(1024)?)),
        Value::Count(_) | Value::Text(_) => None,
    }
}

fn read(device: &str, rows: &[Row], scope: Node<'_, '_>, into: &mut BTreeMap<String, String>) {
    let values = rows.iter().filter_map(|row| {
        let value = row.read(scope)?;
        Some((format!("{device}{}", row.id), value.to_string()))
    });
    into.extend(values);
}

/// Whether a definition has another architecture than its VM.
#[must_use]
pub fn has_other_arch(vm: &Vm, definition: &Document<'_>) -> bool {
    arch_of(definition).is_some_and(|arch| arch != vm.arch.libvirt)
}

/// The architecture of a definition, as libvirt calls it.
#[must_use]
pub fn arch_of<'a>(definition: &'a Document<'_>) -> Option<&'a str> {
    let kind = xml::descend(definition.root_element(), &["os", "type"])?;
    kind.attribute("arch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_domain_uses_is_looked_at_as_its_vm_would_have_it() {
        let definition = "<domain><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/top.qcow2'/>
    <backingStore type='file'><format type='raw'/><source file='/base/b.img'/></backingStore><target dev='vda' bus='virtio'/></disk>
  <disk type='block' device='disk'><source dev='/dev/vg/root'/><target dev='vdb' bus='virtio'/></disk>
  <disk type='network' device='disk'><source protocol='rbd' name='a/b'/><target dev='vdc' bus='virtio'/></disk>
  <filesystem type='mount' accessmode='mapped'><source dir='/srv/boot'/><target dir='virtio-boot'/></filesystem>
  <filesystem type='mount' accessmode='mapped'><source dir='/more'/><target dir='all'/></filesystem>
  <serial type='pty'><log file='/var/log/a.log' append='on'/></serial>
</devices></domain>";
        let mut seen = uses(definition);
        seen.sort_by(|(one, _), (other, _)| one.cmp(other));
        seen.dedup();
        let seen: Vec<_> = seen
            .iter()
            .map(|(path, look)| format!("{path} {look:?}"))
            .collect();
        assert_eq!(
            seen,
            [
                "/ Stat",
                "/base/b.img Image",
                "/dev/vg/root Device",
                "/more FurtherShare",
                "/srv Room",
                "/srv Stat",
                "/srv/boot Share",
                "/srv/top.qcow2 Image",
                "/var/log Stat",
                "/var/log/a.log Log",
            ]
        );
        assert_eq!(uses("no XML"), []);
    }
}
