//! Block devices as disks, with loop devices: what the guest sees of them, and what else the host does with them.

use crate::fleet::{VM, recipe, second_vm};
use crate::host::TestHost;

const BACKING: &str = "/srv/backing";

/// A loop device over a file of a test's host. It is the machine's, and outlives the host.
struct LoopDevice<'a> {
    host: &'a TestHost,
    node: String,
}

impl<'a> LoopDevice<'a> {
    fn over(host: &'a TestHost, file: &str, megabytes: u64) -> Self {
        resize(host, file, megabytes);
        let found = host.run("losetup", &["--find", "--show", file]).success();
        let node = found.trim().to_owned();
        Self { host, node }
    }
}

impl Drop for LoopDevice<'_> {
    fn drop(&mut self) {
        self.host.run("losetup", &["--detach", &self.node]);
    }
}

fn resize(host: &TestHost, file: &str, megabytes: u64) {
    let size = format!("{megabytes}M");
    host.run("truncate", &["--size", &size, file]).success();
}

/// A fleet whose VM has this device alone.
fn on_device(fleet: &str, vm: &str, device: &LoopDevice<'_>, size: &str) -> String {
    let image = "{ path: \"/srv/{name}.img\", size: 64MiB }";
    let disk = format!("{{ name: root, path: {}, size: {size} }}", device.node);
    let (before, its_own) = fleet.split_once(vm).unwrap();
    let text = format!("{before}{vm}{}", its_own.replacen(image, &disk, 1));
    assert_ne!(text, fleet);
    text
}

#[test]
fn a_guest_has_the_devices_bytes_and_nobody_else_gets_it() {
    let host = TestHost::with_fleet(&recipe());
    let device = LoopDevice::over(&host, BACKING, 32);
    host.write_fleet(&on_device(&recipe(), VM, &device, "32MiB"));
    host.apply().success();
    host.assert_reported(&host.guest("report"), "disk vda 33554432 serial root ro 0");
    host.guest("write-disk kept");
    host.assert_converged();
    host.run("sync", &[&device.node]).success();
    assert!(host.read(BACKING).starts_with("kept\n"));

    // For another VM of the file it is taken, also by another name.
    host.run("ln", &["-s", &device.node, "/srv/other"])
        .success();
    let both = on_device(&recipe(), VM, &device, "32MiB") + &second_vm("other");
    host.write_fleet(&on_device(&both, "other", &device, "32MiB"));
    let validated = host.armfleet(&["validate"]);
    assert_eq!(validated.code, Some(4), "{}", validated.stdout);
    let refused = "error[shared-path]: the disk of armhf-vm and the disk of other are the same\n";
    assert!(validated.stderr.contains(refused), "{}", validated.stderr);

    // A larger one is wanted than there is.
    host.shut_down();
    host.write_fleet(&on_device(&recipe(), VM, &device, "48MiB"));
    let remedy = format!(
        "  ! {VM}: its disk {0} has 32 MiB, and `size` asks for 48 MiB\n      -> grow the device (a logical volume: lvextend -L \
         50331648b {0}), or set size: 32MiB\n",
        device.node
    );
    assert!(host.planned(3).contains(&remedy), "{}", host.planned(3));
    resize(&host, BACKING, 48);
    host.run("losetup", &["--set-capacity", &device.node])
        .success();
    host.apply().success();
    host.assert_reported(&host.guest("report"), "disk vda 50331648 serial root ro 0");
    assert_eq!(host.guest("read-disk"), "guest: disk-text kept\n");
    host.assert_converged();
}

#[test]
fn a_device_that_the_host_itself_uses_is_refused() {
    let host = TestHost::with_fleet(&recipe());
    let device = LoopDevice::over(&host, BACKING, 32);
    host.run("mkfs.ext4", &["-q", &device.node]).success();
    host.run("mkdir", &["/srv/mounted"]).success();
    host.run("mount", &[&device.node, "/srv/mounted"]).success();
    host.write_fleet(&on_device(&recipe(), VM, &device, "32MiB"));
    let refused = format!(
        "  ! {VM}: its disk {} is in use by the host itself: it is mounted at /srv/mounted [path-in-use]\n      -> umount \
         /srv/mounted, or name another device\n",
        device.node
    );
    let planned = host.planned(3);
    assert!(planned.contains(&refused), "{planned}");
    host.run("umount", &["/srv/mounted"]).success();
    assert_eq!(host.plan().code, Some(2));

    // An image's path that leads to it is none, and it has no format of its own.
    host.run("ln", &["--symbolic", &device.node, "/srv/armhf-vm.img"])
        .success();
    host.write_fleet(&recipe());
    let planned = host.planned(3);
    assert!(
        planned.contains("its disk /srv/armhf-vm.img is not a plain file"),
        "{planned}"
    );
}
