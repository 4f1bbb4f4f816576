//! A first kernel out of a disk, by libguestfs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use snapbox::assert_data_eq;

use crate::fleet::{DISK, SHARE, VM, recipe};
use crate::host::{ARMFLEET, GuestFiles, Output, TestHost};
use crate::install::{disk, with_failed_installation};

/// Where there is KVM, it need not work; emulation always does.
fn extract(host: &TestHost) -> Output {
    let mut command = host.command(ARMFLEET);
    command.args(["boot", "extract", VM]);
    let command = command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    Output::from(command.output().unwrap())
}

/// Makes the disk one file system, from a folder.
fn lay(host: &TestHost, folder: &Path) {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-d"]).arg(folder);
    let made = mke2fs.arg(host.path(DISK)).arg("64M").status().unwrap();
    assert!(made.success());
}

/// What an installer leaves: the kernel in /boot, and in / the links to it.
fn installed_disk(host: &TestHost) {
    let (files, folder) = (GuestFiles::get(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fs::create_dir(folder.join("boot")).unwrap();
    let first = &files.first;
    for (from, kind) in [
        (files.kernel(first), "vmlinuz"),
        (files.initrd(first), "initrd.img"),
    ] {
        let name = format!("boot/{kind}-{first}");
        fs::copy(from, folder.join(&name)).unwrap();
        symlink(&name, folder.join(kind)).unwrap();
    }
    lay(host, folder);
}

#[test]
fn an_installation_whose_late_command_failed_is_brought_to_its_end() {
    let host = with_failed_installation();
    installed_disk(&host);
    let before = disk(&host);
    let first = &GuestFiles::get().first;
    assert_data_eq!(
        extract(&host).success().replace(first, "FIRST"),
        snapbox::str![[r#"
/srv/armhf-vm-boot has FIRST, out of /dev/sda of /srv/armhf-vm.img. `armfleet apply` goes on with it.

"#]]
    );
    assert_eq!(disk(&host), before);
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {first}"));
    host.assert_converged();
    assert_data_eq!(
        extract(&host).stderr,
        snapbox::str![[r#"
error: armhf-vm runs, and its guest may be writing to /srv/armhf-vm.img
  -> armfleet stop armhf-vm, then try again

"#]]
    );
}

#[test]
fn a_disk_without_a_kernel_stays_as_it_is() {
    let host = TestHost::with_fleet(&recipe());
    let missing = extract(&host);
    assert_eq!(missing.code, Some(3));
    assert_data_eq!(
        missing.stderr,
        snapbox::str![[r#"
error: /srv/armhf-vm.img is not there
  -> armfleet plan

"#]]
    );

    // Half of a pair, and what no shell should ever see.
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("boot")).unwrap();
    for name in ["vmlinuz-1", "vmlinuz-$(reboot)", "initrd.img-'; !reboot"] {
        fs::write(folder.join("boot").join(name), "no kernel").unwrap();
    }
    lay(&host, folder);
    let before = disk(&host);
    let nothing = extract(&host);
    assert_eq!(nothing.code, Some(1));
    assert_data_eq!(
        nothing.stderr,
        snapbox::str![[r#"
Looking into /srv/armhf-vm.img, which may take a minute.
error: cannot take a kernel out of /srv/armhf-vm.img
  caused by: no file system of /srv/armhf-vm.img has a kernel with its initrd; /dev/sda, /boot: `initrd.img-1` is not there

"#]]
    );
    assert_eq!(disk(&host), before);
    assert_eq!(host.path(SHARE).read_dir().unwrap().count(), 0);
}

#[test]
fn without_libguestfs_it_says_what_to_install() {
    let host = TestHost::with_fleet(&recipe());
    host.write(DISK, [0; 512]);
    let path = "PATH=/nonexistent";
    let missing = host.run("env", &[path, ARMFLEET, "boot", "extract", VM]);
    assert_eq!(missing.code, Some(1));
    assert_data_eq!(
        missing.stderr,
        snapbox::str![[r#"
Looking into /srv/armhf-vm.img, which may take a minute.
error: cannot take a kernel out of /srv/armhf-vm.img
  caused by: guestfish is not installed
  -> apt install guestfish

"#]]
    );
}
