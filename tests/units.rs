//! The systemd units of `examples/systemd`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use armfleet::boot::GUEST_SETUP;
use std::process::Command;

const WATCH: &str = include_str!("../examples/systemd/armfleet-watch.service");

fn values<'a>(unit: &'a str, key: &'a str) -> Vec<&'a str> {
    let values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).collect()
}

#[test]
fn the_watcher_ends_before_the_host_ends_its_guests() {
    assert!(values(WATCH, "After").contains(&"libvirt-guests.service"));
    assert!(values(WATCH, "Before").is_empty());
    // It outlives a restart of libvirtd.
    for key in ["Requires", "BindsTo", "PartOf", "Requisite"] {
        assert!(values(WATCH, key).is_empty(), "{key}");
    }
    assert_eq!(values(WATCH, "Type"), ["notify"]);
    assert_eq!(values(WATCH, "ExecStart"), ["/usr/bin/armfleet", "watch"]);
}

/// Where there is systemd, it understands every line. Its check wants the command to be there.
#[test]
fn systemd_understands_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    let (_, guest) = GUEST_SETUP.split_once("<<'UNIT'\n").unwrap();
    let (guest, _) = guest.split_once("UNIT\n").unwrap();
    let guest = guest.replace("/usr/local/sbin/armfleet-guest", "/bin/true");
    let copy = folder.path().join("armfleet-guest.service");
    std::fs::write(&copy, guest).unwrap();
    verify.arg(copy);
    let mut units = 0;
    for unit in std::fs::read_dir(examples).unwrap() {
        let unit = unit.unwrap().path();
        let text = std::fs::read_to_string(&unit).unwrap();
        let built = text.replace("/usr/bin/armfleet", env!("CARGO_BIN_EXE_armfleet"));
        let copy = folder.path().join(unit.file_name().unwrap());
        std::fs::write(&copy, built).unwrap();
        verify.arg(copy);
        units += 1;
    }
    assert_eq!(units, 8);
    if let Ok(verified) = verify.output() {
        let said = String::from_utf8_lossy(&verified.stderr);
        let about: Vec<_> = said
            .lines()
            .filter(|line| line.contains("armfleet"))
            .collect();
        assert!(about.is_empty(), "{about:?}");
    }
}
