//! From keys to a definition, and back.

use super::*;
use serde_json::json;
use std::collections::BTreeMap;

/// Keys of a VM that are nothing in its definition.
const NOT_IN_A_DEFINITION: [&str; 9] = [
    "host",
    "userland",
    "state",
    "autostart",
    "stop_timeout",
    "restart",
    "protect",
    "boot.from",
    "adopt.from",
];

/// A VM with keys as a fleet file has them, by their full names.
fn vm_with(keys: &BTreeMap<String, String>) -> Vm {
    let mut map = serde_json::Map::new();
    for (key, value) in keys {
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        match key.split_once('.') {
            None => map.insert(key.clone(), value),
            Some((list, key)) if list.ends_with("[0]") => {
                let list = map
                    .entry(list.trim_end_matches("[0]"))
                    .or_insert(json!([{}]));
                list[0]
                    .as_object_mut()
                    .unwrap()
                    .insert(key.to_owned(), value)
            }
            Some((outer, key)) => {
                let outer = map.entry(outer).or_insert(json!({}));
                outer.as_object_mut().unwrap().insert(key.to_owned(), value)
            }
        };
    }
    let file = json!({ "fleet": "obs", "vms": { "armhf-vm": map } });
    let spec = read_fleet(file.to_string().as_bytes(), "fleet.yaml", "/");
    spec.unwrap().vms.into_values().next().unwrap()
}

/// Some of a VM's keys, each with a few of its values.
fn some_keys() -> impl Strategy<Value = BTreeMap<String, String>> {
    let one_of = |key: &str, values: &'static [&'static str]| {
        let key = key.to_owned();
        let value = proptest::option::of(proptest::sample::select(values));
        let pair = value.prop_map(move |value| value.map(|value| (key.clone(), value.to_owned())));
        pair.boxed()
    };
    let optional = vec![
        one_of("accel", &["auto", "kvm", "tcg"]),
        one_of("arch", &["arm64"]),
        one_of("cpu.model", &["cortex-a53"]),
        one_of("cpu.pin", &["0", "0-3,8"]),
        one_of("machine", &["virt", "virt-7.2"]),
        one_of("vcpus", &["1", "2", "8"]),
        one_of("transport", &["mmio", "pci"]),
        one_of("rng", &["true", "false"]),
        one_of("agent", &["true", "false"]),
        one_of("memory_backing", &["default", "hugepages"]),
        one_of("boot.handover", &["copy", "link"]),
        one_of("boot.share", &["/srv/boot", "/srv/a b & 'c'"]),
        one_of("console.log", &["/var/log/vm.log"]),
        one_of("on_guest_reboot", &["cold-boot", "warm", "stop"]),
        one_of("disks[0].path", &["/srv/d.img", "/srv/<e>.img"]),
        one_of("disks[0].format", &["raw", "qcow2"]),
        one_of("disks[0].readonly", &["true"]),
        one_of("disks[0].cache", &["none", "directsync"]),
        one_of("disks[0].io", &["threads", "io_uring"]),
        one_of("disks[0].discard", &["unmap", "ignore"]),
        one_of("shares[0].path", &["/srv/ccache", "/srv/c d & 'e'"]),
        one_of("shares[0].access", &["mapped", "squash", "passthrough"]),
        one_of("shares[0].readonly", &["true"]),
        one_of("networks[0].bridge", &["br0", "br-lan.1"]),
        one_of("networks[0].model", &["virtio"]),
        one_of("networks[0].mac", &["52:54:00:12:34:56"]),
    ];
    let needed = (32u32..3072, "[a-z=<>&'/ ]{0,30}x");
    (optional, needed, "[a-z0-9]{1,19}").prop_map(|(optional, (memory, cmdline), name)| {
        let mut keys: BTreeMap<_, _> = optional.into_iter().flatten().collect();
        if keys.contains_key("disks[0].path") {
            keys.insert("disks[0].name".to_owned(), format!("d{name}"));
        } else {
            keys.retain(|key, _| !key.starts_with("disks"));
        }
        if keys.contains_key("shares[0].path") {
            keys.insert("shares[0].tag".to_owned(), format!("t{name}"));
            keys.entry("shares[0].access".to_owned())
                .or_insert("mapped".to_owned());
        } else {
            keys.retain(|key, _| !key.starts_with("shares"));
        }
        if !keys.contains_key("networks[0].bridge") {
            keys.retain(|key, _| !key.starts_with("networks"));
        }
        keys.entry("arch".to_owned()).or_insert("armhf".to_owned());
        if keys.get("accel").is_some_and(|accel| accel == "kvm") {
            keys.remove("cpu.model");
        }
        keys.insert("memory".to_owned(), format!("{memory}MiB"));
        keys.insert("boot.cmdline".to_owned(), cmdline);
        keys
    })
}

#[test]
fn what_libvirt_and_others_made_of_a_vm_gives_back_what_still_is_its() {
    let given = read_back(&vm().name, STORED).unwrap();
    let said = |key: &str| given.get(key).map(String::as_str);
    assert_eq!(said("machine"), Some("virt-7.2"));
    assert_eq!(said("disks[0].path"), Some("/srv/by-hand.img"));
    assert_eq!(said("disks[1].path"), Some("/srv/armhf-vm.img"));
    assert_eq!(said("disks[1].name"), Some("armhf-vm"));
    let other = STORED
        .replace("armv7l", "riscv64")
        .replacen("type='virtio-mmio'", "type='pci'", 1)
        .replace("type='raw'", "type='vmdk'")
        .replace("/var/lib/armfleet/vms/armhf-vm/", "/elsewhere/")
        .replace("'virtio-boot'", "'another'")
        .replace("<on_reboot>destroy", "<on_reboot>preserve");
    let given = read_back(&vm().name, &other).unwrap();
    let not_said = [
        "arch",
        "transport",
        "disks[1].format",
        "boot.handover",
        "boot.share",
        "on_guest_reboot",
    ];
    for key in not_said {
        assert_eq!(given.get(key), None, "{key}");
    }
    assert_eq!(given["boot.cmdline"], "console=ttyAMA0 root=/dev/vda1");
}

proptest! {
    /// Every row goes both ways.
    #[test]
    fn the_definition_of_a_new_vm_gives_its_keys_back(keys in some_keys()) {
        let vm = vm_with(&keys);
        let (definition, applied) = created(&vm);
        let given = read_back(&vm.name, &definition).unwrap();
        let is_emulated = applied.rows[&ACCEL] == "qemu";
        let said = Vm {
            accel: if is_emulated { Accel::Tcg } else { Accel::Kvm },
            cpu: Cpu {
                model: vm.cpu.model.clone().or_else(|| Some(vm.arch.emulated_cpu?.parse().unwrap())).filter(|_| is_emulated),
                ..vm.cpu.clone()
            },
            transport: vm.transport.or(Some(vm.arch.transport)),
            // A device that is not there gives nothing.
            agent: Some(true).filter(|_| vm.agent != Some(false)),
            rng: Some(true).filter(|_| vm.rng != Some(false)),
            on_guest_reboot: match vm.on_guest_reboot {
                GuestReboot::Warm => GuestReboot::Warm,
                GuestReboot::ColdBoot | GuestReboot::Stop => GuestReboot::Stop,
            },
            ..vm.clone()
        };
        let written = said.written().into_iter();
        let written = written.filter(|(key, _)| !NOT_IN_A_DEFINITION.contains(&key.as_str()));
        // An element that is not there gives nothing.
        let written = written.filter(|(_, value)| value != MemoryBacking::Default.as_str());
        // What an interface is called stands in no definition.
        let written = written.filter(|(key, _)| key != "networks[0].name");
        let mut written: BTreeMap<_, _> = written.collect();
        // What was chosen for it does.
        let chosen = given.iter().filter(|(key, _)| key.starts_with("networks[0]."));
        for (key, value) in chosen {
            written.entry(key.clone()).or_insert(value.clone());
        }
        prop_assert_eq!(&given, &written);
        let again = compared(&vm_with(&given), None, &definition);
        prop_assert_eq!((again.edits, again.refusals, again.moved), (vec![], vec![], vec![]));
    }
}
