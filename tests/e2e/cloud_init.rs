//! The disk from which cloud-init reads, as a guest and cloud-init itself see it.

use std::fs::File;
use std::io::Read as _;
use std::process::Command;

use crate::fleet::{VM, recipe, stopped_recipe};
use crate::host::TestHost;

const FOLDER: &str = "/var/lib/armfleet/vms/armhf-vm/cloud-init";
const KEYS: &str = "    cloud_init: { user_data: user-data, meta_data: meta-data, network_config: network-config }\n";

/// Writes the file beside the fleet file.
fn write(host: &TestHost, name: &str, text: &str) {
    host.write(format!("/run/test/{name}"), text);
}

fn with_files(host: &TestHost) {
    write(
        host,
        "user-data",
        "#cloud-config\nhostname: {name}\nlist: {{a: 1}}\n",
    );
    write(host, "meta-data", "local-hostname: {name}-{fleet}\n");
    write(host, "network-config", "version: 2\n");
}

/// What the guest finds by the label, mounted read-only.
fn told(host: &TestHost) -> String {
    host.guest("run mkdir -p /cidata && mount -t vfat -o ro $(findfs LABEL=CIDATA) /cidata");
    let told = host.guest("run cd /cidata && ls && cat meta-data user-data network-config");
    host.guest("run umount /cidata");
    told
}

/// A file of a disk of the host's.
fn on_disk(host: &TestHost, disk: &str, name: &str) -> String {
    let file = File::open(host.path(format!("{FOLDER}/{disk}"))).unwrap();
    let volume = fatfs::FileSystem::new(ReadOnly(file), fatfs::FsOptions::new()).unwrap();
    let mut text = String::new();
    let mut file = volume.root_dir().open_file(name).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// A disk that only is looked at.
struct ReadOnly(File);

impl std::io::Read for ReadOnly {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl std::io::Seek for ReadOnly {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl std::io::Write for ReadOnly {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_guest_reads_what_the_files_say_and_gets_what_changed_at_its_next_boot() {
    let host = TestHost::with_fleet(&(recipe() + KEYS));
    with_files(&host);
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, "disk vda 67108864 serial armhf-vm ro 0");
    host.assert_reported(&report, "disk vdb 65536 serial - ro 1");
    let first = told(&host);
    for part in [
        "meta-data",
        "instance-id: ",
        "local-hostname: armhf-vm-recipe",
        "#cloud-config",
        "hostname: armhf-vm",
        "list: {a: 1}",
        "version: 2",
    ] {
        assert!(
            first.lines().any(|line| line.trim().starts_with(part)),
            "{part}: {first}"
        );
    }
    assert_eq!(first.matches("network-config").count(), 1, "{first}");
    host.guest("run ! echo x 2>/dev/null >/dev/vdb");
    host.assert_converged();

    write(&host, "user-data", "#!/bin/sh\necho second\n");
    let planned = host.planned(2);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "~ cloud-init armhf-vm its files changed",
        &format!("cloud-init cidata file {FOLDER}/1.img -> {FOLDER}/2.img at next boot"),
        "its cloud-init files changed, and its instance-id did not",
    ] {
        assert!(words(&planned).contains(line), "{line}\n{planned}");
    }
    host.apply().success();
    // The running guest has the disk that it had, and nothing is left to do.
    assert_eq!(told(&host), first);
    assert!(host.planned(0).contains("from its next boot on"));
    host.shut_down();
    host.apply().success();
    let second = told(&host);
    assert!(
        second.contains("echo second") && !second.contains("cloud-config"),
        "{second}"
    );
    host.assert_converged();

    // A file that is gone, while the guest runs and while it is off.
    std::fs::remove_file(host.path(format!("{FOLDER}/2.img"))).unwrap();
    let planned = host.planned(2);
    assert!(planned.contains("2.img is gone"), "{planned}");
    host.apply().success();
    assert_eq!(told(&host), second);
    host.shut_down();
    host.apply().success();
    assert_eq!(told(&host), second);

    host.write_fleet(&recipe());
    host.apply().success();
    assert!(!host.path(FOLDER).exists());
    host.planned(0);
    assert_eq!(told(&host), second);
    host.shut_down();
    host.apply().success();
    let report = host.guest("report");
    assert!(!report.contains("vdb"), "{report}");
    host.assert_converged();
}

/// QEMU's user, which all VMs share, reads it and cannot change it, whether the VM runs or not.
#[test]
fn the_disk_stays_roots_and_goes_with_the_vm() {
    let host = TestHost::with_fleet(&(recipe() + KEYS));
    with_files(&host);
    host.apply().success();
    let stat = |path: &str| {
        let path = format!("{FOLDER}{path}");
        host.run("stat", &["-c", "%a %U", &path]).success()
    };
    let assert_private = || {
        assert_eq!(stat("/1.img"), "644 root\n");
        assert_eq!(
            (stat(""), stat("/cloud-init.json")),
            ("710 root\n".into(), "600 root\n".into())
        );
        let read = host.run_as_nobody("cat", &[format!("{FOLDER}/1.img")]);
        assert_ne!(read.code, Some(0));
    };
    assert_private();
    let qemu = [
        "--reuid=libvirt-qemu",
        "--regid=libvirt-qemu",
        "--clear-groups",
        "--",
    ];
    let as_qemu = |command: &str| {
        let command = ["sh", "-c", command];
        host.run("setpriv", &[&qemu[..], &command].concat()).code
    };
    assert_eq!(as_qemu(&format!("cat {FOLDER}/1.img >/dev/null")), Some(0));
    for change in ["echo x >>", "rm ", "touch "] {
        assert_ne!(
            as_qemu(&format!("{change}{FOLDER}/1.img")),
            Some(0),
            "{change}"
        );
    }
    host.shut_down();
    assert_private();
    host.write_fleet(&(stopped_recipe() + KEYS));
    host.apply().success();
    host.assert_converged();
    host.write_fleet("fleet: recipe\nvms: {}\n");
    let removed = host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"]);
    removed.success();
    assert!(!host.path(FOLDER).exists());
    assert_eq!(host.virsh(&["dominfo", VM]).code, Some(1));
}

/// A text that leads out of the fleet's folder is not read, whoever asks.
#[test]
fn a_link_out_of_the_folder_is_refused_with_its_place() {
    let host =
        TestHost::with_fleet(&(stopped_recipe() + "    cloud_init: { user_data: user-data }\n"));
    let link = host.run("ln", &["-s", "/etc/shadow", "/run/test/user-data"]);
    link.success();
    let refused = host.plan();
    assert_eq!(refused.code, Some(4));
    for part in [
        "error[text-file]: a link on the way to /run/test/user-data leads out of /run/test",
        "fleet.yaml:",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    std::fs::remove_file(host.path("/run/test/user-data")).unwrap();
    write(&host, "user-data", "packages: []\n");
    let refused = host.plan();
    assert!(
        refused.stderr.contains("--> user-data:1:1"),
        "{}",
        refused.stderr
    );
}

/// A plan is made on one text; another is not applied, whether or not the host had a key by then.
#[test]
fn a_saved_plan_is_applied_with_the_files_of_then() {
    let host = TestHost::with_fleet(&(stopped_recipe() + KEYS));
    with_files(&host);
    let save = ["plan", "--out", "saved.plan"];
    let apply = ["apply", "--plan", "saved.plan"];
    host.armfleet(&save).success();
    assert!(!host.read("/run/test/saved.plan").contains("hostname"));
    write(&host, "user-data", "#!/bin/sh\n");
    let refused = host.armfleet(&apply);
    assert_eq!(refused.code, Some(4), "{}", refused.stdout);
    assert!(
        refused
            .stderr
            .contains("/run/test/user-data is not the file of then"),
        "{}",
        refused.stderr
    );
    host.armfleet(&save).success();
    host.armfleet(&apply).success();
    assert_eq!(on_disk(&host, "1.img", "user-data"), "#!/bin/sh\n");

    write(&host, "user-data", "#!/bin/sh\n# reviewed\n");
    host.armfleet(&save).success();
    write(&host, "user-data", "#!/bin/sh\n# other\n");
    let refused = host.armfleet(&apply);
    assert_eq!(
        refused.code,
        Some(3),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    // Another file with the same text is as good.
    std::fs::remove_file(host.path("/run/test/user-data")).unwrap();
    write(&host, "user-data", "#!/bin/sh\n# reviewed\n");
    host.armfleet(&apply).success();
    assert_eq!(
        on_disk(&host, "2.img", "user-data"),
        "#!/bin/sh\n# reviewed\n"
    );
}

#[test]
fn cloud_init_accepts_the_example() {
    let root = env!("CARGO_MANIFEST_DIR");
    let host = TestHost::with_fleet(&(stopped_recipe() + KEYS));
    for name in ["user-data", "meta-data", "network-config"] {
        let text = std::fs::read_to_string(format!("{root}/examples/cloud-init/{name}")).unwrap();
        write(&host, name, &text);
    }
    host.apply().success();
    let user_data = on_disk(&host, "1.img", "user-data");
    assert!(user_data.contains("hostname: armhf-vm\n"), "{user_data}");
    assert!(user_data.contains("${HOME:-/root}"), "{user_data}");
    let network = on_disk(&host, "1.img", "network-config");
    assert!(network.contains("{ driver: virtio_net }"), "{network}");
    let judge = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("user-data");
        std::fs::write(&file, text).unwrap();
        let script = Command::new(format!("{root}/tests/guest/cloud-init"))
            .arg(format!("{root}/target/cloud-init"))
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[script.stdout, script.stderr].concat()).into_owned();
        (script.status.success(), said)
    };
    let (accepted, said) = judge(&user_data);
    assert!(accepted, "{said}");
    // It would have said so.
    assert!(!judge(&user_data.replace("runcmd:", "runcmd: 7 #")).0);
    assert!(!judge(&user_data.replace("#cloud-config", "# cloud-config")).0);
}
