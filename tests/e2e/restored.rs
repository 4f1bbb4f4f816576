//! A VM that libvirt restores with its memory has its kernel in it: nothing is staged for it.

use armfleet::paths;

use crate::fleet::{SHARE, VM, recipe};
use crate::host::{GuestFiles, TestHost};

/// A host whose VM was saved by these arguments of virsh, and whose share has got another kernel since.
fn saved(save: &[&str]) -> TestHost {
    let host = TestHost::with_applied(&recipe());
    // Before the guest runs, nothing of its share is in use, which would prevent a save.
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", "--paused", VM]).success();
    host.virsh(save).success();
    let files = GuestFiles::get();
    for file in [files.kernel(&files.second), files.initrd(&files.second)] {
        let name = file.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&file, host.path(format!("{SHARE}/{name}"))).unwrap();
    }
    host
}

/// Restores the VM by these arguments of virsh: it keeps its pair. Its next start boots the new one.
fn assert_restored_as_it_was(host: &TestHost, restore: &[&str]) {
    let vm = VM.parse().unwrap();
    let said = || host.read(paths::hook_seen(&vm));
    let pair = || host.read(paths::current_pair(&vm));
    let before = pair();

    host.virsh(restore).success();
    assert!(said().contains("restored with its memory"), "{}", said());
    assert_eq!(pair(), before);
    assert!(!host.path(paths::restoring(&vm)).exists());

    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", VM]).success();
    let second = &GuestFiles::get().second;
    assert!(said().contains(&format!("boots {second}")), "{}", said());
    assert!(pair().contains(second.as_str()));
}

#[test]
fn a_vm_restored_from_a_file_keeps_its_pair() {
    let host = saved(&["save", VM, "/srv/saved"]);
    assert_restored_as_it_was(&host, &["restore", "--paused", "/srv/saved"]);
}

#[test]
fn a_vm_restored_from_its_managed_save_keeps_its_pair() {
    let host = saved(&["managedsave", VM]);
    assert_restored_as_it_was(&host, &["start", VM]);
}
