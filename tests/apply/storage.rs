//! Boot shares and disks: made where nothing is, grown, never overwritten.

use crate::harness::{
    DATA, FLEET, IMAGE, SHARE, UUID, VM, apply, apply_case, new_host, settled_host,
};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{CallErrorKind, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::Ended;
use armfleet::plan::Policy;
use armfleet::qcow2::{Backing, new_qcow2};

fn size(host: &Memory, path: &str) -> u64 {
    host.look(path, Look::Stat).present().unwrap().stat.size
}

#[test]
fn an_image_that_is_there_is_used_as_it_is() {
    let (host, applied) = apply_case("image-exists");
    applied.assert_converged();
    assert!(!applied.changes.iter().any(|call| call.contains(IMAGE)));
    assert_eq!(
        (host.bytes(IMAGE).unwrap(), size(&host, IMAGE)),
        (DATA.into(), 10 << 30)
    );
}

#[test]
fn an_image_that_is_too_small_grows() {
    let (host, applied) = apply_case("image-too-small");
    applied.assert_converged();
    assert_eq!(
        (host.bytes(IMAGE).unwrap(), size(&host, IMAGE)),
        (DATA.into(), 8 << 30)
    );
}

#[test]
fn a_running_vms_image_grows_through_libvirt() {
    let (host, applied) = apply_case("disk-grows");
    applied.assert_did(&[
        &format!("block_resize {IMAGE}"),
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
    ]);
    assert_eq!(
        (host.bytes(IMAGE).unwrap(), size(&host, IMAGE)),
        (DATA.into(), 9 << 30)
    );
}

#[test]
fn a_qcow2_image_is_made_and_grows_by_what_its_guest_sees() {
    let (host, applied) = apply_case("disks-qcow2-grow");
    applied.assert_converged();
    let sees = |host: &Memory, path| {
        let file = host.look(path, Look::Image);
        file.present().unwrap().qcow2().unwrap().unwrap().size
    };
    assert_eq!(
        (sees(&host, "/srv/b.qcow2"), sees(&host, "/srv/c.qcow2")),
        (2 << 30, 4 << 30)
    );
    assert_eq!(size(&host, "/srv/c.qcow2"), 256 << 10);
    assert!(
        applied
            .changes
            .contains(&"block_resize /srv/b.qcow2".to_owned())
    );
    let (host, applied) = apply_case("disks-qcow2-grow-off");
    applied.assert_converged();
    assert_eq!(sees(&host, "/srv/b.qcow2"), 2 << 30);
    assert!(
        applied
            .changes
            .contains(&"grow_qcow2 /srv/b.qcow2".to_owned())
    );
}

#[test]
fn an_image_that_the_running_vm_does_not_have_grows_by_itself() {
    let (host, applied) = apply_case("new-disk-grows");
    applied.assert_converged();
    assert!(
        applied
            .changes
            .contains(&"grow_image /srv/other.img".to_owned())
    );
    assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes());
}

#[test]
fn a_larger_image_than_wanted_is_fine() {
    let (host, applied) = apply_case("disk-larger-than-wanted");
    applied.assert_did_nothing();
    assert_eq!(size(&host, IMAGE), 8 << 30);
}

#[test]
fn an_image_that_is_gone_is_not_made_anew() {
    let (host, applied) = apply_case("image-gone");
    applied.assert_did_nothing();
    assert!(host.bytes(IMAGE).is_none());
}

#[test]
fn what_is_no_image_is_left_alone() {
    let (_, applied) = apply_case("image-is-a-socket");
    applied.assert_did_nothing();
}

#[test]
fn another_domains_image_is_not_taken() {
    let (_, applied) = apply_case("image-of-another-domain");
    assert_eq!(
        applied.refused(),
        format!("{VM}: {IMAGE} is used by domain other\n")
    );
    assert!(!applied.changes.contains(&"define".to_owned()));
}

#[test]
fn another_domain_on_our_image_is_told() {
    let (_, applied) = apply_case("image-shared");
    applied.assert_did_nothing();
    assert_eq!(applied.outcome.residual.notices.len(), 1);
}

#[test]
fn a_share_gets_its_owner_back_and_nothing_in_it_changes() {
    let (host, applied) = apply_case("share-owned-by-root");
    applied.assert_did(&[&format!("set_folder_owner {SHARE}")]);
    let inside = host.look(&format!("{SHARE}/vmlinuz-6.1.0-48-armmp"), Look::Stat);
    assert_eq!(inside.present().unwrap().stat.mode, 0o644);
}

#[test]
fn a_share_that_is_no_folder_is_left_alone() {
    let (host, applied) = apply_case("share-is-a-file");
    applied.assert_did_nothing();
    assert_eq!(host.bytes(SHARE).unwrap(), b"mine");
}

#[test]
fn a_share_that_is_gone_is_not_made_anew() {
    let (host, applied) = apply_case("share-gone");
    applied.assert_did_nothing();
    assert!(host.look(SHARE, Look::Stat).is_absent());
}

#[test]
fn a_file_system_that_is_not_mounted_gets_nothing() {
    let (host, applied) = apply_case("srv-not-mounted");
    applied.assert_did_nothing();
    assert!(host.look(SHARE, Look::Stat).is_absent() && host.look(IMAGE, Look::Stat).is_absent());
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let (_, applied) = apply_case("folder-missing");
    applied.assert_did_nothing();
}

#[test]
fn a_share_is_not_made_where_links_cannot_be_kept() {
    let host = new_host();
    host.take_xattrs_away("/srv");
    let applied = apply(&host, FLEET, &Default::default());
    let failed: Vec<_> = applied
        .outcome
        .ended
        .values()
        .filter_map(|ended| match ended {
            Ended::Failed(error) => Some(error.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        failed,
        [format!(
            "{SHARE} cannot be a share: its file system keeps no extended attributes"
        )]
    );
    assert!(host.look(SHARE, Look::Stat).is_absent());
    assert!(host.uuid_of(VM).is_err());
}

#[test]
fn a_full_or_read_only_file_system_is_not_one_without_attributes() {
    for kind in [CallErrorKind::NoSpace, CallErrorKind::ReadOnly] {
        let host = new_host();
        host.close_folder("/srv", kind);
        let applied = apply(&host, FLEET, &Policy::default());
        let failed = applied
            .outcome
            .ended
            .values()
            .filter_map(|ended| match ended {
                Ended::Failed(error) => Some(error),
                _ => None,
            });
        let remedies: Vec<_> = failed
            .map(|error| {
                assert!(!error.to_string().contains("attributes"), "{error}");
                error.remedy.clone().unwrap_or_default()
            })
            .collect();
        assert!(
            !remedies.is_empty() && remedies.iter().all(|remedy| !remedy.is_empty()),
            "{remedies:?}"
        );
        assert!(host.look(SHARE, Look::Stat).is_absent());
    }
}

#[test]
fn a_disk_that_left_the_file_leaves_the_domain_and_stays_on_the_host() {
    let (host, applied) = apply_case("disk-left-the-file");
    applied.assert_did(&[
        "define",
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
    ]);
    assert!(!host.dump_secure(UUID).unwrap().contains(IMAGE));
    assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes());
}

#[test]
fn a_share_elsewhere_is_made_and_the_old_one_stays() {
    let (host, applied) = apply_case("share-elsewhere");
    applied.assert_did(&[
        "probe_xattr /srv",
        "make_folder /srv/boot",
        "define",
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
    ]);
    assert_eq!(host.bytes(&format!("{SHARE}/config")).unwrap(), b"kept");
}

/// QEMU passes through armfleet's folders. Killed between making one and setting its mode, an apply leaves it closed.
#[test]
fn a_folder_that_a_killed_apply_left_closed_is_opened() {
    let host = new_host();
    let folders = ["/var/lib/armfleet", "/var/lib/armfleet/vms"];
    for folder in folders {
        host.make_folder(folder, 0o700, None).unwrap();
    }
    apply(&host, FLEET, &Policy::default()).assert_converged();
    for folder in folders {
        let seen = host.look(folder, Look::Stat);
        assert_eq!(seen.present().unwrap().stat.mode, 0o711, "{folder}");
    }
}

#[test]
fn planning_sees_what_another_apply_is_about() {
    let host = settled_host();
    let held = armfleet::host::Executor::locked(host.clone()).unwrap();
    let refused = armfleet::host::Executor::locked(host.clone())
        .err()
        .unwrap();
    assert_eq!(refused.to_string(), "another apply is at work on this host");
    drop(held);
    assert!(armfleet::host::Executor::locked(host).is_ok());
}

/// A header may name any file of the host, or say what QEMU cannot take: whoever made the image wrote it.
#[test]
fn a_qcow2_image_whose_header_names_other_files_or_lies_is_never_attached() {
    const PATH: &str = "/srv/armhf-vm.qcow2";
    let fleet = FLEET.replace(IMAGE, PATH).replace(", size: 8GiB", "");
    assert!(fleet.contains(PATH) && !fleet.contains("8GiB"));
    let backing = Backing {
        path: "/etc/shadow",
        format: "raw",
    };
    let (overlay, _) = new_qcow2(8 << 30, Some(backing));
    let (head, _) = new_qcow2(8 << 30, None);
    let mut lying = vec![(overlay, "it lies over another image")];
    for (at, byte, why) in [
        (79, 4, "it keeps its data in another file"),
        (79, 0x80, "it has features that are not known"),
        (35, 1, "it is encrypted"),
        (7, 9, "it has a version of the format that is not known"),
        (23, 40, "its header makes no sense"),
    ] {
        let mut bytes = head.clone();
        bytes[at] = byte;
        lying.push((bytes, why));
    }
    for (bytes, why) in lying {
        let host = new_host();
        host.put_file(PATH, bytes.clone()).unwrap();
        let applied = apply(&host, &fleet, &Policy::default());
        let refused = applied.refused();
        assert!(refused.contains(why), "{why}: {refused}");
        assert!(host.uuid_of(VM).is_err(), "{why}");
        assert_eq!(host.bytes(PATH).unwrap(), bytes);
    }
    let host = new_host();
    host.put_file(PATH, head.clone()).unwrap();
    apply(&host, &fleet, &Policy::default()).assert_converged();
    assert_eq!(host.bytes(PATH).unwrap(), head);
}
