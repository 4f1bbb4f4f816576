//! Boot shares and disks: made where nothing is, grown, never overwritten.

use crate::bed::{
    DATA, FLEET, IMAGE, SHARE, UUID, VM, apply, found, found_on, found_with, new_host, settled_host,
};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{CallErrorKind, Owner, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::Ended;
use armfleet::plan::Policy;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

fn size(host: &Memory, path: &str) -> u64 {
    host.look(path, Look::Stat).present().unwrap().stat.size
}

fn user_of_the_image() -> String {
    format!(
        "<domain type='qemu'><name>other</name><memory>1024</memory><os><type arch='armv7l' machine='virt'>hvm</type></os>\
         <devices><disk type='file' device='disk'><source file='{IMAGE}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
}

#[test]
fn an_image_that_is_there_is_used_as_it_is() {
    let host = new_host();
    host.create_image(IMAGE, 10 << 30).unwrap();
    host.write_image(IMAGE, DATA).unwrap();
    let (host, applied) = found_on(host, "image-exists", None, FLEET);
    applied.assert_converged();
    assert!(!applied.changes.iter().any(|call| call.contains(IMAGE)));
    assert_eq!(
        (host.bytes(IMAGE).unwrap(), size(&host, IMAGE)),
        (DATA.into(), 10 << 30)
    );
}

#[test]
fn an_image_that_is_too_small_grows() {
    let host = new_host();
    host.create_image(IMAGE, 1 << 30).unwrap();
    host.write_image(IMAGE, DATA).unwrap();
    let (host, applied) = found_on(host, "image-too-small", None, FLEET);
    applied.assert_converged();
    assert_eq!(
        (host.bytes(IMAGE).unwrap(), size(&host, IMAGE)),
        (DATA.into(), 8 << 30)
    );
}

#[test]
fn a_running_vms_image_grows_through_libvirt() {
    let (host, applied) = found("disk-grows", &FLEET.replace("8GiB", "9GiB"), |_| {});
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
fn an_image_that_the_running_vm_does_not_have_grows_by_itself() {
    let fleet = FLEET.replace(IMAGE, "/srv/other.img");
    let (host, applied) = found("new-disk-grows", &fleet, |host| {
        host.create_image("/srv/other.img", 1 << 30).unwrap();
        host.write_image("/srv/other.img", DATA).unwrap();
    });
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
    let (host, applied) = found(
        "disk-larger-than-wanted",
        &FLEET.replace("8GiB", "7GiB"),
        |_| {},
    );
    applied.assert_did_nothing();
    assert_eq!(size(&host, IMAGE), 8 << 30);
}

#[test]
fn an_image_that_is_gone_is_not_made_anew() {
    let (host, applied) = found("image-gone", FLEET, |host| host.remove(IMAGE));
    applied.assert_did_nothing();
    assert!(host.bytes(IMAGE).is_none());
}

#[test]
fn what_is_no_image_is_left_alone() {
    let (_, applied) = found("image-is-a-socket", FLEET, |host| {
        host.put_special(IMAGE).unwrap()
    });
    applied.assert_did_nothing();
}

#[test]
fn another_domains_image_is_not_taken() {
    let host = new_host();
    host.create_image(IMAGE, 8 << 30).unwrap();
    host.define(&user_of_the_image()).unwrap();
    let (_, applied) = found_on(host, "image-of-another-domain", None, FLEET);
    assert_eq!(
        applied.refused(),
        format!("{VM}: {IMAGE} is used by domain other\n")
    );
    assert!(!applied.changes.contains(&"define".to_owned()));
}

#[test]
fn another_domain_on_our_image_is_told() {
    let (_, applied) = found("image-shared", FLEET, |host| {
        host.define(&user_of_the_image()).unwrap()
    });
    applied.assert_did_nothing();
    assert_eq!(applied.outcome.residual.notices.len(), 1);
}

#[test]
fn a_share_gets_its_owner_back_and_nothing_in_it_changes() {
    let (host, applied) = found("share-owned-by-root", FLEET, |host| {
        host.put_guest_file(SHARE, "vmlinuz-6.1.0-48-armmp", "kernel")
            .unwrap();
        host.own(&format!("{SHARE}/vmlinuz-6.1.0-48-armmp"), 0o644, ROOT)
            .unwrap();
        host.own(SHARE, 0o755, ROOT).unwrap();
    });
    applied.assert_did(&[&format!("set_folder_owner {SHARE}")]);
    let inside = host.look(&format!("{SHARE}/vmlinuz-6.1.0-48-armmp"), Look::Stat);
    assert_eq!(inside.present().unwrap().stat.mode, 0o644);
}

#[test]
fn a_share_that_is_no_folder_is_left_alone() {
    let (host, applied) = found("share-is-a-file", FLEET, |host| {
        host.remove(SHARE);
        host.put_file(SHARE, "mine").unwrap();
    });
    applied.assert_did_nothing();
    assert_eq!(host.bytes(SHARE).unwrap(), b"mine");
}

#[test]
fn a_share_that_is_gone_is_not_made_anew() {
    let (host, applied) = found("share-gone", FLEET, |host| {
        host.destroy(VM).unwrap();
        host.remove(SHARE);
    });
    applied.assert_did_nothing();
    assert!(host.look(SHARE, Look::Stat).is_absent());
}

#[test]
fn a_file_system_that_is_not_mounted_gets_nothing() {
    let (host, applied) = found("srv-not-mounted", FLEET, |host| {
        host.destroy(VM).unwrap();
        host.remove("/srv");
        host.make_folder("/srv", 0o755, None).unwrap();
    });
    applied.assert_did_nothing();
    assert!(host.look(SHARE, Look::Stat).is_absent() && host.look(IMAGE, Look::Stat).is_absent());
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let fleet = FLEET
        .replace(IMAGE, "/srv/images/vm.img")
        .replace("/var/log/armhf-vm.log", "/var/log/vms/armhf-vm.log");
    let (_, applied) = found("folder-missing", &fleet, |_| {});
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
            "{SHARE} cannot be a boot share: its file system keeps no extended attributes"
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
    let (host, applied) = found(
        "disk-left-the-file",
        &FLEET.replace("    disks: [{ path: /srv/armhf-vm.img, size: 8GiB }]\n", ""),
        |_| {},
    );
    applied.assert_did(&[
        "define",
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
    ]);
    assert!(!host.dump_secure(UUID).unwrap().contains(IMAGE));
    assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes());
}

#[test]
fn a_share_elsewhere_is_made_and_the_old_one_stays() {
    let (host, applied) = found_with(
        "share-elsewhere",
        Some("--allow-replace armhf-vm"),
        &FLEET.replace(SHARE, "/srv/boot"),
        |host| {
            host.put_guest_file(SHARE, "config", "kept").unwrap();
        },
    );
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
