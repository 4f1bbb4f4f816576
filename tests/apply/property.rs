//! Any sequence of changes of the file ends in an empty residual, and what others put into the domain survives all of it.

use crate::harness::{DATA, FLEET, IMAGE, UUID, VM, apply, new_host};
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::inventory::Look;
use proptest::prelude::*;

/// What the file says of the VM.
#[derive(Debug, Clone)]
struct Wanted {
    mib: u32,
    vcpus: u32,
    cmdline: String,
    log: Option<String>,
    disk: Option<u32>,
    runs: bool,
    autostart: bool,
}

/// What happens between two applies.
#[derive(Debug, Clone)]
enum Meanwhile {
    Nothing,
    Restart,
    Stop,
    Drift,
    LoseRecord,
    RemoveHook,
    RestartDaemon,
}

impl Wanted {
    /// The fleet file. A disk never gets smaller, so its size is the largest so far.
    fn fleet(&self, largest: u32) -> String {
        let log = self.log.as_ref().map_or_else(String::new, |log| {
            format!("    console: {{ log: /var/log/{log} }}\n")
        });
        let disk = self.disk.map_or_else(String::new, |_| {
            format!("    disks: [{{ name: root, path: {IMAGE}, size: {largest}GiB }}]\n")
        });
        let (head, _) = FLEET.split_once("    arch").unwrap();
        format!(
            "{head}    arch: armhf\n    memory: {}MiB\n    vcpus: {}\n    state: {}\n    autostart: {}\n    boot:\n      \
             share: /srv/armhf-vm-boot\n      cmdline: '{}'\n      seed: {{ kernel: /srv/seed/vmlinuz-6.1.0-48-armmp, initrd: \
             /srv/seed/initrd.img-6.1.0-48-armmp }}\n{log}{disk}",
            self.mib,
            self.vcpus,
            if self.runs { "running" } else { "stopped" },
            self.autostart,
            self.cmdline.replace('\'', "''"),
        )
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (
        64u32..3000,
        1u32..=8,
        "[a-z=/<>&'\" ]{0,20}x",
        proptest::option::of("[a-z]{1,8}\\.log"),
        proptest::option::of(1u32..40),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(mib, vcpus, cmdline, log, disk, runs, autostart)| Wanted {
            mib,
            vcpus,
            cmdline,
            log,
            disk,
            runs,
            autostart,
        })
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        3 => Just(Meanwhile::Nothing),
        1 => Just(Meanwhile::Restart),
        1 => Just(Meanwhile::Stop),
        1 => Just(Meanwhile::Drift),
        1 => Just(Meanwhile::LoseRecord),
        1 => Just(Meanwhile::RemoveHook),
        1 => Just(Meanwhile::RestartDaemon),
    ]
}

/// What a person put into the domain.
const BY_HAND: [&str; 4] = [
    "  <title>kept by hand</title>\n",
    "    <app:note xmlns:app=\"urn:example:other\">kept</app:note>\n",
    "    <interface type='user'>\n      <mac address='52:54:00:1f:d8:53'/>\n      <model type='virtio'/>\n      \
     <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n    </interface>\n",
    "    <graphics type='vnc' port='5999' passwd='5wordfis'/>\n",
];

fn with_things_by_hand(definition: &str) -> String {
    let [title, note, interface, graphics] = BY_HAND;
    definition
        .replace("</uuid>\n", &format!("</uuid>\n{title}"))
        .replace("  <metadata>\n", &format!("  <metadata>\n{note}"))
        .replace("    <serial ", &format!("{interface}    <serial "))
        .replace("    <audio ", &format!("{graphics}    <audio "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changes_in_any_order_are_applied(changes in proptest::collection::vec((wanted(), meanwhile()), 1..6)) {
        let host = new_host();
        let mut largest = 0;
        for (number, (wanted, happens)) in changes.iter().enumerate() {
            largest = largest.max(wanted.disk.unwrap_or(0));
            let fleet = wanted.fleet(largest);
            let applied = apply(&host, &fleet, &Default::default());
            let left = &applied.outcome.residual;
            prop_assert!(applied.outcome.all_done(), "{:#?}\n{}", applied.outcome.ended, fleet);
            prop_assert!(left.is_empty() && left.is_complete() && left.refusals.is_empty(), "{}\n{}", crate::harness::text(left), fleet);
            let runs = host.domain(UUID).unwrap().live.present().is_some();
            prop_assert_eq!(runs, wanted.runs);
            let definition = host.dump_secure(UUID).unwrap();
            if number == 0 {
                host.edit_domain(VM, with_things_by_hand).unwrap();
            } else {
                for kept in BY_HAND {
                    prop_assert!(definition.contains(kept), "{} is not in\n{}", kept, definition);
                }
            }
            let is_there = host.look(IMAGE, Look::Stat).present().is_some();
            if let Some(data) = host.bytes(IMAGE).filter(|data| !data.is_empty()) {
                prop_assert_eq!(data, DATA.as_bytes());
            } else if is_there {
                host.write_image(IMAGE, DATA).unwrap();
            }
            match happens {
                Meanwhile::Nothing => {}
                Meanwhile::Restart | Meanwhile::Stop if !runs => {}
                Meanwhile::Restart => {
                    host.destroy(VM).unwrap();
                    host.start(UUID).unwrap();
                }
                Meanwhile::Stop => host.destroy(VM).unwrap(),
                Meanwhile::Drift => host
                    .edit_domain(VM, |text| text.replace("<vcpu placement='static'>", "<vcpu placement='static'>1"))
                    .unwrap(),
                Meanwhile::LoseRecord => host.remove(crate::harness::RECORD),
                Meanwhile::RemoveHook => host.remove("/etc/libvirt/hooks/qemu.d/50-armfleet"),
                Meanwhile::RestartDaemon => host.restart_daemon(),
            }
        }
    }
}
