//! What others do to a VM's disks and share between two applies: nothing is put back over it, and no VM is started with
//! other data than it had.

use crate::harness::{
    DATA, FLEET, IMAGE, RECORD, SHARE, UUID, VM, apply, apply_case, host_of, settled_host,
};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::inventory::{Look, RawStat};
use armfleet::plan::Policy;
use proptest::prelude::*;
use std::collections::BTreeMap;

const WRITE_RECORD: &str = "write_file /var/lib/armfleet/vms/armhf-vm/record.json";
const OVERLAY: &str = "/srv/armhf-vm.n.qcow2";

/// `virsh snapshot-create-as VM n --disk-only --no-metadata`.
fn take_snapshot(host: &Memory) {
    host.put_file(OVERLAY, "QFI\u{fb}").unwrap();
    let image = format!("type='raw'/>\n      <source file='{IMAGE}'/>");
    let overlay = format!("type='qcow2'/>\n      <source file='{OVERLAY}'/>");
    host.edit_domain(VM, |text| text.replace(&image, &overlay))
        .unwrap();
}

/// After the guest has written to its disk, an apply has something else to do.
fn used_host() -> Memory {
    let host = settled_host();
    apply(&host, &more_memory(), &Policy::default()).assert_converged();
    apply(&host, FLEET, &Policy::default()).assert_converged();
    host
}

fn more_memory() -> String {
    FLEET.replace("512MiB", "1GiB")
}

fn restarting() -> String {
    more_memory().replace("    vcpus: 1", "    vcpus: 1\n    restart: when-required")
}

#[test]
fn a_disk_on_a_snapshot_is_left_there_and_the_vm_not_started() {
    let (host, applied) = apply_case("disk-on-a-snapshot");
    applied.assert_did_nothing();
    assert!(host.dump_secure(UUID).unwrap().contains(OVERLAY));
}

#[test]
fn a_vm_on_a_snapshot_is_not_restarted_and_gets_its_other_changes() {
    let (host, applied) = apply_case("disk-on-a-snapshot-restarting");
    applied.assert_did(&["define", WRITE_RECORD]);
    let definition = host.dump_secure(UUID).unwrap();
    assert!(definition.contains(OVERLAY) && definition.contains("1048576"));
}

#[test]
fn a_vm_on_a_snapshot_is_stopped_where_the_file_says_so() {
    let fleet = FLEET.replace("    vcpus: 1", "    vcpus: 1\n    state: stopped");
    let host = host_of("disk-on-a-snapshot-restarting");
    let applied = apply(&host, &fleet, &Policy::default());
    assert!(
        applied.changes.contains(&format!("shutdown {UUID}")),
        "{:?}",
        applied.changes
    );
    assert!(host.dump_secure(UUID).unwrap().contains(OVERLAY));
}

#[test]
fn another_image_at_the_disks_path_is_not_started() {
    let (_, applied) = apply_case("image-replaced");
    applied.assert_did_nothing();
}

#[test]
fn another_image_is_used_when_the_user_accepts_it() {
    let (host, applied) = apply_case("image-accepted");
    applied.assert_did(&[WRITE_RECORD, &format!("start {UUID}")]);
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();
}

#[test]
fn a_shrunken_image_is_neither_grown_nor_started() {
    let (host, applied) = apply_case("image-shrunken");
    applied.assert_did_nothing();
    let seen = host.look(IMAGE, Look::Stat);
    assert_eq!(seen.present().unwrap().stat.size, 1 << 30);
}

#[test]
fn an_emptied_image_is_not_started() {
    let (_, applied) = apply_case("image-emptied");
    applied.assert_did_nothing();
}

#[test]
fn another_share_at_the_path_is_not_used() {
    let (_, applied) = apply_case("share-replaced");
    applied.assert_did_nothing();
}

#[test]
fn a_first_disk_or_a_share_is_not_replaced_by_an_empty_one_by_itself() {
    for (case, old, new) in [
        ("disk-elsewhere", IMAGE, "/srv/new.img"),
        ("share-elsewhere-unasked", SHARE, "/srv/new-boot"),
    ] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(host.look(new, Look::Stat).is_absent());
        assert!(applied.refused().contains(&format!("instead of {old}")));
    }
}

#[test]
fn a_disk_that_moved_with_its_data_is_no_new_one() {
    let host = settled_host();
    host.destroy(VM).unwrap();
    host.rename_file(IMAGE, "/srv/moved.img").unwrap();
    let fleet = FLEET.replace(IMAGE, "/srv/moved.img");
    apply(&host, &fleet, &Policy::default()).assert_converged();
    assert!(host.dump_secure(UUID).unwrap().contains("/srv/moved.img"));
    assert_eq!(host.bytes("/srv/moved.img").unwrap(), DATA.as_bytes());
}

#[test]
fn an_image_of_another_format_is_not_attached_as_raw() {
    let (host, applied) = apply_case("image-of-another-format");
    assert!(host.uuid_of(VM).is_err());
    assert!(applied.refused().contains("a VDI image"));
    let seen = host.look(IMAGE, Look::Stat);
    assert_eq!(seen.present().unwrap().stat.size, 1 << 30);
}

/// A record of version 0.1.0 has no places.
#[test]
fn what_an_earlier_version_did_not_record_is_filled_in_with_the_next_change() {
    let host = settled_host();
    let text = String::from_utf8(host.bytes(RECORD).unwrap()).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    for device in record["applied"]["devices"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        device.as_object_mut().unwrap().remove("place");
    }
    host.put_file(RECORD, record.to_string()).unwrap();
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();
    apply(&host, &more_memory(), &Policy::default()).assert_did(&["define", WRITE_RECORD]);
    let text = String::from_utf8(host.bytes(RECORD).unwrap()).unwrap();
    assert_eq!(text.matches("\"place\"").count(), 2, "{text}");
}

/// What somebody does to a VM that armfleet keeps.
#[derive(Debug, Clone, Copy)]
enum Outside {
    Snapshot,
    BackingChain,
    OtherFile,
    BlockDevice,
    OtherTarget,
    Detach,
    AttachAnother,
    OtherShare,
    OtherKernel,
    ReplaceImage,
    Shrink,
    Empty,
    RemoveImage,
    LinkImage,
    ReplaceShare,
    RemoveShare,
    LinkShare,
    Undefine,
    Stop,
}

const OUTSIDE: [Outside; 19] = [
    Outside::Snapshot,
    Outside::BackingChain,
    Outside::OtherFile,
    Outside::BlockDevice,
    Outside::OtherTarget,
    Outside::Detach,
    Outside::AttachAnother,
    Outside::OtherShare,
    Outside::OtherKernel,
    Outside::ReplaceImage,
    Outside::Shrink,
    Outside::Empty,
    Outside::RemoveImage,
    Outside::LinkImage,
    Outside::ReplaceShare,
    Outside::RemoveShare,
    Outside::LinkShare,
    Outside::Undefine,
    Outside::Stop,
];

impl Outside {
    /// Whether the domain's definition is changed; what is lost with the record is not known of a file.
    fn is_of_the_domain(self) -> bool {
        !matches!(
            self,
            Self::ReplaceImage
                | Self::Shrink
                | Self::Empty
                | Self::RemoveImage
                | Self::LinkImage
                | Self::ReplaceShare
                | Self::RemoveShare
                | Self::LinkShare
                | Self::Undefine
        )
    }

    /// Things are done to what is there by then, or not at all.
    fn act(self, host: &Memory) {
        let replace = |from: &str, to: &str| {
            let _ = host.edit_domain(VM, |text| text.replacen(from, to, 1));
        };
        let source = format!("<source file='{IMAGE}'/>");
        let other = "/srv/other.img";
        match self {
            Self::Snapshot => {
                if host.uuid_of(VM).is_ok() {
                    take_snapshot(host);
                }
            }
            Self::BackingChain => replace(
                &source,
                &format!(
                    "{source}\n      <backingStore type='file'><format type='raw'/><source file='{other}'/></backingStore>"
                ),
            ),
            Self::OtherFile => replace(&source, &format!("<source file='{other}'/>")),
            Self::BlockDevice => replace(&source, "<source dev='/dev/vg/vm'/>"),
            Self::OtherTarget => replace("dev='vdz'", "dev='vdq'"),
            Self::Detach => {
                let _ = host.edit_domain(VM, without_disk);
            }
            Self::AttachAnother => replace(
                "  <devices>\n",
                &format!(
                    "  <devices>\n    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{other}'/><target dev='vdb' bus='virtio'/><address type='virtio-mmio'/></disk>\n"
                ),
            ),
            Self::OtherShare => replace(&format!("dir='{SHARE}'"), "dir='/srv/other-boot'"),
            Self::OtherKernel => replace("/boot/current/vmlinuz", "/boot/mine"),
            Self::ReplaceImage => {
                host.put_file(IMAGE, "somebody else's").unwrap();
                host.truncate(IMAGE, 8 << 30).unwrap();
            }
            Self::Shrink => drop(host.truncate(IMAGE, 4)),
            Self::Empty => {
                if host.truncate(IMAGE, 0).is_ok() {
                    host.truncate(IMAGE, 8 << 30).unwrap();
                }
            }
            Self::RemoveImage => host.remove(IMAGE),
            Self::LinkImage => host.put_link(IMAGE, other).unwrap(),
            Self::ReplaceShare => {
                host.remove(SHARE);
                host.make_folder(SHARE, 0o700, None).unwrap();
            }
            Self::RemoveShare => host.remove(SHARE),
            Self::LinkShare => {
                host.remove(SHARE);
                host.put_link(SHARE, "/srv/other-boot").unwrap();
            }
            Self::Undefine => {
                let _ = host.destroy(VM);
                let _ = host.undefine_domain(VM);
            }
            Self::Stop => drop(host.destroy(VM)),
        }
    }
}

fn without_disk(definition: &str) -> String {
    let Some(start) = definition.find("    <disk ") else {
        return definition.to_owned();
    };
    let end = definition[start..].find("</disk>\n").unwrap() + "</disk>\n".len();
    [&definition[..start], &definition[start + end..]].concat()
}

/// Every file and folder of `/srv` that matters, by inode.
type Bytes = BTreeMap<&'static str, (RawStat, Option<Vec<u8>>)>;

const KEPT: [&str; 6] = [
    IMAGE,
    OVERLAY,
    "/srv/other.img",
    SHARE,
    "/srv/other-boot",
    "/srv/other-boot/config",
];

fn bytes(host: &Memory) -> Bytes {
    let seen = KEPT.into_iter().filter_map(|path| {
        let seen = host.look(path, Look::Stat);
        Some((path, (seen.present()?.stat.clone(), host.bytes(path))))
    });
    seen.collect()
}

/// What a VM starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    disks: Vec<String>,
    image: Option<(u64, u64, Vec<u8>)>,
    share: Option<u64>,
}

fn start_of(host: &Memory) -> Start {
    let definition = host.dump_secure(UUID).unwrap();
    let is_of_a_disk = |line: &&str| {
        ["<driver ", "<source ", "<backingStore"]
            .iter()
            .any(|part| line.trim().starts_with(part))
    };
    let (_, devices) = definition.split_once("<devices>").unwrap();
    let lines = devices.lines().filter(is_of_a_disk);
    let stat = |path: &str| {
        host.look(path, Look::Stat)
            .present()
            .map(|file| file.stat.clone())
    };
    Start {
        disks: lines.map(|line| line.trim().to_owned()).collect(),
        image: stat(IMAGE).map(|stat| (stat.ino, stat.size, host.bytes(IMAGE).unwrap_or_default())),
        share: stat(SHARE).map(|stat| stat.ino),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_apply_destroys_a_byte_or_starts_a_vm_with_other_data(
        acts in proptest::collection::vec(proptest::sample::select(&OUTSIDE[..]), 1..4),
        lose_record in any::<bool>(),
        fleet in proptest::sample::select(vec![FLEET.to_owned(), more_memory(), restarting()]),
        seen_full in any::<bool>(),
    ) {
        let host = if seen_full { used_host() } else { settled_host() };
        host.put_file("/srv/other.img", "other data").unwrap();
        host.make_folder("/srv/other-boot", 0o700, None).unwrap();
        host.put_file("/srv/other-boot/config", "other guest's").unwrap();
        let before = start_of(&host);
        for act in &acts {
            act.act(&host);
        }
        if lose_record && acts.iter().all(|act| act.is_of_the_domain()) {
            host.remove(RECORD);
        }
        let meanwhile = bytes(&host);
        for _ in 0..2 {
            let applied = apply(&host, &fleet, &Policy::default());
            prop_assert!(applied.outcome.all_done(), "{:#?}", applied.outcome.ended);
            let after = bytes(&host);
            for (path, (stat, content)) in &meanwhile {
                let (now, content_now) = &after[path];
                prop_assert_eq!((now.ino, now.size, content_now), (stat.ino, stat.size, content), "{}", path);
            }
            if applied.changes.contains(&format!("start {UUID}")) {
                let started = start_of(&host);
                let by_hand = |line: &String| line.contains("other.img");
                let added = acts.iter().any(|act| matches!(act, Outside::AttachAnother));
                let plain = Start {
                    disks: started.disks.iter().filter(|line| !(added && by_hand(line))).cloned().collect(),
                    ..started
                };
                prop_assert_eq!(unique(plain), unique(before.clone()));
            }
        }
    }
}

/// A disk by hand has a driver like ours.
fn unique(mut start: Start) -> Start {
    start.disks.sort();
    start.disks.dedup();
    start
}
