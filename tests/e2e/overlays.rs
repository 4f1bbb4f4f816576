//! Disks that are copied from a base image, or that lie over one.

use armfleet::qcow2::{Backing, new_qcow2};
use std::fs;
use std::process::Command;

/// What a command prints, which must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{errors}"
    );
    text
}

#[test]
fn qemu_reads_a_new_overlay_as_what_it_was_made_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (raw, qcow2) = (path("base.img"), path("base.qcow2"));
    fs::write(&raw, vec![7; 1 << 20]).unwrap();
    output(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2],
    );
    for (base, format) in [(&raw, "raw"), (&qcow2, "qcow2")] {
        let overlay = path("overlay.qcow2");
        let backing = Backing { path: base, format };
        let (head, length) = new_qcow2(3 << 20, Some(backing));
        fs::write(&overlay, head).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&overlay).unwrap();
        file.set_len(length).unwrap();
        let checked = output("qemu-img", &["check", "-f", "qcow2", &overlay]);
        assert!(checked.contains("No errors"), "{checked}");
        let seen = output(
            "qemu-img",
            &["info", "-f", "qcow2", "--output=json", &overlay],
        );
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["virtual-size"], 3 << 20, "{seen}");
        assert_eq!(seen["backing-filename"], base.as_str(), "{seen}");
        assert_eq!(seen["backing-filename-format"], format, "{seen}");
        let below = "read -P 7 0 1M";
        let after = "read -P 0 1M 2M";
        let read = output("qemu-io", &["-c", below, "-c", after, &overlay]);
        assert!(!read.contains("failed"), "{read}");
        // What QEMU itself makes is read as well.
        output(
            "qemu-img",
            &[
                "create", "-q", "-f", "qcow2", "-b", base, "-F", format, &overlay,
            ],
        );
        let made = fs::read(&overlay).unwrap();
        let made = armfleet::qcow2::Qcow2::read(armfleet::qcow2::Qcow2::head(&made));
        let backing_of = made.unwrap().unwrap().backing.unwrap();
        assert!(backing_of.is(backing), "{backing_of:?}");
    }
}
