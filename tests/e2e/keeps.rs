//! What armfleet does not manage stays as it is, byte for byte.

use snapbox::assert_data_eq;

use crate::fleet::{CONSOLE, VM, recipe, stopped_recipe};
use crate::host::TestHost;

const SECRET: &str = "geheim17";

/// The recipe's domain, stopped, with what a user and other tools added to it, a password among it.
fn host_with_foreign_parts() -> TestHost {
    let host = TestHost::with_applied(&stopped_recipe());
    let osinfo = "<libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
                  <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo>";
    let devices = format!(
        "<controller type='pci' model='pcie-root-port'/>\
         <rng model='virtio'><backend model='random'>/dev/urandom</backend>\
         <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></rng>\
         <interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>\
         <graphics type='vnc' port='5999' passwd='{SECRET}'/>"
    );
    host.define(
        &host
            .definition(VM)
            .replace("<metadata>", "<title>by hand</title>\n<metadata>")
            .replace("</metadata>", &format!("{osinfo}</metadata>"))
            .replace("</devices>", &format!("{devices}</devices>")),
    );
    host
}

#[test]
fn an_edit_changes_its_own_lines_of_the_definition_and_no_other_byte() {
    let host = host_with_foreign_parts();
    let before = host.definition(VM);
    for foreign in [
        "<title>",
        "libosinfo",
        "type='pci' domain=",
        "passwd=",
        "rng",
    ] {
        assert!(before.contains(foreign), "no {foreign} in {before}");
    }
    host.assert_converged();
    host.write_fleet(&stopped_recipe().replace("512MiB", "256MiB"));
    host.apply().success();
    assert_eq!(host.definition(VM), before.replace("524288", "262144"));
    host.assert_converged();
}

#[test]
fn a_secret_in_the_definition_survives_and_is_told_to_nobody() {
    let host = host_with_foreign_parts();
    host.write_fleet(&stopped_recipe().replace("512MiB", "256MiB"));
    let said = [
        host.armfleet(&["plan", "--diff"]),
        host.command(crate::host::ARMFLEET)
            .args(["apply", "--auto-approve", "--diff"])
            .env("ARMFLEET_LOG", "trace")
            .output()
            .unwrap()
            .into(),
        host.armfleet(&["status"]),
        host.armfleet(&["show", VM]),
    ];
    for output in said {
        let text = output.stdout + &output.stderr;
        assert!(!text.contains(SECRET), "{text}");
    }
    let found = host.run(
        "grep",
        &["-rl", SECRET, "/var/lib/armfleet", "/run/armfleet"],
    );
    assert_eq!(
        (found.stdout.as_str(), found.code),
        ("", Some(1)),
        "{}",
        found.stderr
    );
    assert!(host.definition(VM).contains(&format!("passwd='{SECRET}'")));
}

#[test]
fn a_running_guest_keeps_its_memory_until_its_next_boot() {
    let host = TestHost::with_applied(&recipe());
    host.write_fleet(&recipe().replace("512MiB", "256MiB"));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (file changed)
      memory  512 MiB -> 256 MiB    at next boot: a running ARM guest cannot get more memory

1 to change.

"#]]
    );
    host.apply().success();
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i armhf-vm: runs with memory 512 MiB, is defined with 256 MiB
      from its next boot on

No changes.

"#]]
    );
    host.virsh(&["destroy", VM]).success();
    host.apply().success();
    let report = host.guest("report");
    let memory = report
        .lines()
        .find_map(|line| line.strip_prefix("guest: memory "))
        .unwrap();
    let memory: u32 = memory.strip_suffix(" KiB").unwrap().parse().unwrap();
    assert!((180_000..262_144).contains(&memory), "{memory} KiB");
    host.assert_converged();
}

#[test]
fn what_somebody_changed_by_hand_is_set_back_and_called_drift() {
    let host = TestHost::with_applied(&stopped_recipe());
    let wanted = host.definition(VM);
    host.define(&wanted.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (drifted)
      vcpus  2 -> 1

1 to change.

"#]]
    );
    host.apply().success();
    assert_eq!(host.definition(VM), wanted);
    host.assert_converged();
}

#[test]
fn a_console_log_that_leaves_the_file_leaves_the_definition_and_its_contents_stay() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write(CONSOLE, "former lines\n");
    let log = format!("    console: {{ log: {CONSOLE} }}\n");
    host.write_fleet(&stopped_recipe().replace(&log, ""));
    host.apply().success();
    assert!(!host.definition(VM).contains("<log "));
    assert_eq!(host.read(CONSOLE), "former lines\n");
    host.assert_converged();
}
