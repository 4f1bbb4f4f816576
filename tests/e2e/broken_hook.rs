//! A hook that cannot do its work harms no running VM, and stops only those that have nothing to boot.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use snapbox::assert_data_eq;

use crate::fleet::{HOOK_BINARY, SHIM, VM, recipe, second_vm, stopped_recipe};
use crate::host::TestHost;

/// Never started, so nothing is staged for it.
const UNSTAGED: &str = "new-vm";

/// What somebody, or a half-installed package, may leave where the hook's binary belongs.
struct Broken {
    name: &'static str,
    bytes: Option<&'static [u8]>,
    mode: u32,
}

const BROKEN: [Broken; 7] = [
    Broken {
        name: "missing",
        bytes: None,
        mode: 0,
    },
    Broken {
        name: "text that is no program",
        bytes: Some(b"garbage (\n"),
        mode: 0o755,
    },
    Broken {
        name: "a program cut off",
        bytes: Some(b"\x7fELF\x02\x01\x01\0\0\0\0\0"),
        mode: 0o755,
    },
    Broken {
        name: "empty",
        bytes: Some(b""),
        mode: 0o755,
    },
    Broken {
        name: "not executable",
        bytes: Some(b"#!/bin/sh\nexit 40\n"),
        mode: 0o644,
    },
    Broken {
        name: "crashing",
        bytes: Some(b"#!/bin/sh\nkill -s SEGV $$\n"),
        mode: 0o755,
    },
    Broken {
        name: "of another libc",
        bytes: Some(b"#!/nowhere/ld.so\n"),
        mode: 0o755,
    },
];

impl Broken {
    fn install(&self, host: &TestHost) {
        let path = host.path(HOOK_BINARY);
        if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        if let Some(bytes) = self.bytes {
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(self.mode)).unwrap();
        }
    }
}

#[test]
fn with_a_broken_binary_running_vms_stay_and_staged_ones_start() {
    let host = TestHost::with_applied(&(recipe() + &second_vm(UNSTAGED)));
    for broken in &BROKEN {
        let name = broken.name;
        broken.install(&host);
        // reconnect
        let process = host.run("pgrep", &["qemu-system"]).success();
        host.restart_libvirtd();
        assert_eq!(host.state(VM), "running", "{name}");
        assert_eq!(
            host.run("pgrep", &["qemu-system"]).success(),
            process,
            "{name}"
        );
        // stopped, release, prepare, start, started
        host.virsh(&["destroy", VM]).success();
        let started = host.virsh(&["start", VM]);
        assert_eq!(started.code, Some(0), "{name}: {}", started.stderr);
        // restore: the guest has not run, so nothing of its share is in use
        host.virsh(&["destroy", VM]).success();
        host.virsh(&["start", "--paused", VM]).success();
        host.virsh(&["save", VM, "/srv/saved"]).success();
        let restored = host.virsh(&["restore", "--running", "/srv/saved"]);
        assert_eq!(restored.code, Some(0), "{name}: {}", restored.stderr);
        assert_eq!(host.state(VM), "running", "{name}");
        // Without anything staged, QEMU finds no kernel where there is no binary; else the hook says what to do.
        let refused = host.virsh(&["start", UNSTAGED]);
        assert_eq!(refused.code, Some(1), "{name}");
        let said = if broken.bytes.is_some() {
            "no kernel is staged for new-vm. Install armfleet again, then start the VM."
        } else {
            "/var/lib/armfleet/vms/new-vm/boot/current/vmlinuz"
        };
        assert!(refused.stderr.contains(said), "{name}: {}", refused.stderr);
        assert_eq!(host.state(UNSTAGED), "shut off", "{name}");
    }
}

/// The plan's refusals and what follows them.
fn refusals(host: &TestHost) -> String {
    let planned = host.planned(3);
    assert!(!planned.contains("  > start "), "{planned}");
    let (_, rest) = planned.split_once("  ! ").unwrap();
    let (refusals, _) = rest.split_once("\n\n").unwrap();
    format!("  ! {refusals}\n")
}

#[test]
fn a_plan_says_what_is_wrong_with_the_binary_and_starts_nothing() {
    let host = TestHost::with_fleet(&recipe());
    std::fs::remove_file(host.path(HOOK_BINARY)).unwrap();
    assert_data_eq!(
        refusals(&host),
        snapbox::str![[r#"
  ! hook: /usr/bin/armfleet-hook is not there, so no kernel can be handed over
      -> install armfleet's package, or copy armfleet-hook to /usr/bin/armfleet-hook
  ! armhf-vm: not started: the libvirt hook could not hand over its kernel
      -> see the hook's own line

"#]]
    );
    host.write(HOOK_BINARY, "");
    assert_data_eq!(
        refusals(&host),
        snapbox::str![[r#"
  ! hook: /usr/bin/armfleet-hook cannot be executed
      -> install armfleet's package, or copy armfleet-hook to /usr/bin/armfleet-hook
  ! armhf-vm: not started: the libvirt hook could not hand over its kernel
      -> see the hook's own line

"#]]
    );
}

#[test]
fn an_apply_fails_if_the_hook_did_not_run_although_the_vm_started() {
    let host = TestHost::with_applied(&recipe());
    host.virsh(&["destroy", VM]).success();
    BROKEN[1].install(&host);
    assert_data_eq!(
        stderr_of_failed_apply(&host),
        snapbox::str![[r#"
  failed start armhf-vm: armhf-vm started, but its hook did not run
      -> the libvirt hook did not run: check that /usr/bin/armfleet-hook runs, then apply again, or systemctl reload libvirtd

"#]]
    );
    assert_eq!(host.state(VM), "running");
}

fn stderr_of_failed_apply(host: &TestHost) -> String {
    let apply = host.apply();
    assert_eq!(apply.code, Some(1), "{}", apply.stderr);
    apply.stderr
}

#[test]
fn an_apply_that_cannot_start_a_vm_quotes_its_hook() {
    let host = TestHost::with_fleet(&recipe());
    BROKEN[1].install(&host);
    assert_data_eq!(
        stderr_of_failed_apply(&host),
        snapbox::str![[r#"
  failed start armhf-vm: cannot start armhf-vm
      /usr/bin/armfleet-hook: 2: Syntax error: newline unexpected (expecting ")")
      armfleet: /usr/bin/armfleet-hook cannot run, and no kernel is staged for armhf-vm. Install armfleet again, then start the VM.
      -> the libvirt hook did not run: check that /usr/bin/armfleet-hook runs, then apply again, or systemctl reload libvirtd

"#]]
    );
    assert_eq!(host.state(VM), "shut off");
}

#[test]
fn a_start_that_another_hook_ends_names_that_hook() {
    let host = TestHost::with_fleet(&recipe());
    let theirs = "/etc/libvirt/hooks/qemu.d/10-theirs";
    host.run("mkdir", &["-p", "/etc/libvirt/hooks/qemu.d"])
        .success();
    host.write(
        theirs,
        "#!/bin/sh\n[ \"$2\" != prepare ] || { echo 'no licence (yet)' >&2; exit 7; }\n",
    );
    std::fs::set_permissions(host.path(theirs), Permissions::from_mode(0o755)).unwrap();
    assert_data_eq!(
        stderr_of_failed_apply(&host),
        snapbox::str![[r#"
  failed start armhf-vm: cannot start armhf-vm
      the hook /etc/libvirt/hooks/qemu.d/10-theirs, which is not armfleet's, ended with exit status 7
      no licence (yet)

"#]]
    );
    std::fs::remove_file(host.path(theirs)).unwrap();
    host.apply().success();
    host.assert_converged();
}

#[test]
fn a_damaged_shim_is_repaired_and_foreign_hooks_are_not_touched() {
    let host = TestHost::with_fleet(&stopped_recipe());
    let foreign = [
        (
            "/etc/libvirt/hooks/qemu",
            "#!/bin/sh\n# theirs\nexit 0\n",
            0o700,
        ),
        (
            "/etc/libvirt/hooks/network",
            "theirs, and no program",
            0o600,
        ),
        (
            "/etc/libvirt/hooks/qemu.d/10-theirs",
            "#!/bin/sh\nexit 0 # theirs",
            0o755,
        ),
    ];
    host.run("mkdir", &["-p", "/etc/libvirt/hooks/qemu.d"])
        .success();
    for (path, text, mode) in foreign {
        host.write(path, text);
        std::fs::set_permissions(host.path(path), Permissions::from_mode(mode)).unwrap();
    }
    let listed = |host: &TestHost| {
        let listing = host.listing(&foreign.map(|(path, ..)| path));
        let texts = foreign.map(|(path, ..)| host.read(path));
        (listing, texts)
    };
    let theirs = listed(&host);
    host.apply().success();
    let shim = host.read(SHIM);

    let damages: [(&str, &dyn Fn()); 3] = [
        (
            "  ~ hook      /etc/libvirt/hooks/qemu.d/50-armfleet    its contents are not this version's\n",
            &|| {
                host.write(SHIM, "#!/bin/sh\nexit 1\n");
            },
        ),
        (
            "  ~ hook      /etc/libvirt/hooks/qemu.d/50-armfleet    its mode is 0644 instead of 0755\n",
            &|| {
                std::fs::set_permissions(host.path(SHIM), Permissions::from_mode(0o644)).unwrap();
            },
        ),
        (
            "  + hook      /etc/libvirt/hooks/qemu.d/50-armfleet    not installed\n",
            &|| {
                std::fs::remove_file(host.path(SHIM)).unwrap();
            },
        ),
    ];
    for (line, damage) in damages {
        damage();
        let planned = host.planned(2);
        assert!(planned.starts_with(line.trim_end()), "{planned}");
        host.apply().success();
        assert_eq!(host.read(SHIM), shim);
        host.assert_converged();
    }
    assert_eq!(listed(&host), theirs);
}

#[test]
fn a_domain_that_is_not_ours_starts_whatever_the_hook_is() {
    let host = TestHost::with_applied(&(recipe() + &second_vm(UNSTAGED)));
    let definition = host
        .definition(UNSTAGED)
        .replace(UNSTAGED, "foreign")
        .replace(
            "/var/lib/armfleet/vms/foreign",
            "/var/lib/armfleet/vms/armhf-vm",
        );
    let (before, rest) = definition.split_once("<uuid>").unwrap();
    let (_, after) = rest.split_once("</uuid>").unwrap();
    host.define(&format!("{before}{after}"));
    host.run("truncate", &["-s", "1M", "/srv/foreign.img"])
        .success();
    host.run("mkdir", &["/srv/foreign-boot"]).success();
    for broken in &BROKEN {
        broken.install(&host);
        let started = host.virsh(&["start", "foreign"]);
        assert_eq!(started.code, Some(0), "{}: {}", broken.name, started.stderr);
        host.virsh(&["destroy", "foreign"]).success();
    }
}
