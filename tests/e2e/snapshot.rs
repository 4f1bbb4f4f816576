//! Snapshot files: taken on a host, and used where there is none.

use std::fs;
use std::process::Command;

use crate::fleet::{VM, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

const FILE: &str = "host.snapshot";

/// A folder of another machine: a fleet file and a snapshot, no libvirt, no privileges.
struct Elsewhere {
    folder: tempfile::TempDir,
}

impl Elsewhere {
    fn new(snapshot: &str, fleet: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), snapshot).unwrap();
        let elsewhere = Self { folder };
        elsewhere.write_fleet(fleet);
        elsewhere
    }

    fn write_fleet(&self, fleet: &str) {
        fs::write(self.folder.path().join("fleet.yaml"), fleet).unwrap();
    }

    fn armfleet(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("unshare");
        // Without a way to the machine's own libvirt.
        command
            .args([
                "--mount",
                "--net",
                "sh",
                "-c",
                "mount -t tmpfs none /run && exec \"$@\"",
                "sh",
            ])
            .arg(ARMFLEET)
            .args(arguments)
            .current_dir(self.folder.path());
        command.output().unwrap().into()
    }
}

#[track_caller]
fn below_header(output: &Output, code: i32) -> (String, String) {
    assert_eq!(
        output.code,
        Some(code),
        "{}{}",
        output.stdout,
        output.stderr
    );
    let (header, rest) = output.stdout.split_once('\n').unwrap();
    (header.to_owned(), rest.to_owned())
}

#[test]
fn a_snapshot_plans_elsewhere_as_its_host_does() {
    let host = TestHost::with_applied(&stopped_recipe());
    let larger = stopped_recipe().replace("memory: 512MiB", "memory: 768MiB");
    // A file of the fleet that it was taken for, and all that the host has.
    host.armfleet(&["snapshot", "--out", FILE]).success();
    let taken = host.read(format!("/run/test/{FILE}"));
    let all = host
        .armfleet(&["snapshot", "--all", "fleet.yaml"])
        .success();
    for snapshot in [&taken, &all] {
        let elsewhere = Elsewhere::new(snapshot, &stopped_recipe());
        for (fleet, code) in [(stopped_recipe(), 0), (larger.clone(), 2)] {
            host.write_fleet(&fleet);
            elsewhere.write_fleet(&fleet);
            let plan = ["plan", "--detailed-exitcode", "--diff"];
            let (_, here) = below_header(&host.armfleet(&plan), code);
            let from = [&plan[..], &["--from-snapshot", FILE]].concat();
            let (header, there) = below_header(&elsewhere.armfleet(&from), code);
            assert_eq!(there, here);
            assert!(
                header.contains("libvirt 9.0.0 · snapshot of 20"),
                "{header}"
            );
            assert!(header.ends_with(" old"), "{header}");
        }
    }
    let elsewhere = Elsewhere::new(&taken, &larger);
    let status = ["status", "--from-snapshot", FILE];
    let told = elsewhere.armfleet(&status).success();
    assert!(
        told.contains(VM) && told.contains("i snapshot of 20"),
        "{told}"
    );
    let shown = elsewhere
        .armfleet(&["show", VM, "--from-snapshot", FILE])
        .success();
    assert_eq!(shown, host.armfleet(&["show", VM]).success());
    let json = elsewhere.armfleet(&["plan", "--from-snapshot", FILE, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["basis"]["kind"], "snapshot", "{json}");
    // What nobody looked at is said, and rests on nothing.
    elsewhere.write_fleet(&(stopped_recipe() + &second_vm("other")));
    let incomplete = elsewhere.armfleet(&["plan", "--from-snapshot", FILE]);
    let (_, told) = below_header(&incomplete, 1);
    assert!(
        told.contains("? other: ") && told.contains("not observed"),
        "{told}"
    );
}

#[test]
fn what_is_no_snapshot_is_refused_with_what_to_do() {
    let host = TestHost::with_fleet(&stopped_recipe());
    let taken = host.armfleet(&["snapshot"]).success();
    let later = taken.replace("armfleet-snapshot/1", "armfleet-snapshot/2");
    let cut = &taken[..taken.len() / 2];
    for (text, says, remedy) in [
        (
            later.as_str(),
            "its format is armfleet-snapshot/2",
            "upgrade armfleet",
        ),
        (
            cut,
            "it is not a file of this kind",
            "armfleet snapshot --out FILE",
        ),
        (
            "",
            "it is not a file of this kind",
            "armfleet snapshot --out FILE",
        ),
        (
            "fleet: lab\n",
            "it is not a file of this kind",
            "armfleet snapshot --out FILE",
        ),
        (
            "{\"format\": \"armfleet-plan/1\"}",
            "its format is armfleet-plan/1",
            "armfleet snapshot --out FILE",
        ),
    ] {
        let elsewhere = Elsewhere::new(text, &stopped_recipe());
        let refused = elsewhere.armfleet(&["plan", "--from-snapshot", FILE]);
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
        for part in ["cannot use the snapshot host.snapshot", says, remedy] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    let elsewhere = Elsewhere::new(&taken, &stopped_recipe());
    for path in ["none", ".", "/dev/zero"] {
        let refused = elsewhere.armfleet(&["plan", "--from-snapshot", path]);
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    }
    let both = elsewhere.armfleet(&["plan", "--from-snapshot", FILE, "--out", "saved.plan"]);
    assert_eq!(both.code, Some(4), "{}", both.stderr);
    // A snapshot that would tell nothing replaces none.
    host.kill_libvirtd();
    host.write("/run/test/host.snapshot", &taken);
    let failed = host.armfleet(&["snapshot", "--out", FILE]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(host.read("/run/test/host.snapshot"), taken);
}
