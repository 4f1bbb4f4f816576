//! The systemd units of `examples/systemd`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
fn systemd_understands_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("armfleet-watch.service");
    let built = WATCH.replace("/usr/bin/armfleet", env!("CARGO_BIN_EXE_armfleet"));
    std::fs::write(&unit, built).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output();
    if let Ok(verified) = verified {
        let said = String::from_utf8_lossy(&verified.stderr);
        let about: Vec<_> = said
            .lines()
            .filter(|line| line.contains("armfleet-watch"))
            .collect();
        assert!(about.is_empty(), "{about:?}");
    }
}
