//! Plans as products: saved and applied later, read by programs, chosen from, refused.

use serde_json::Value;

use crate::fleet::{DISK, RECORD, SHARE, SHIM, VM, recipe, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

const SAVED: &str = "saved.plan";

/// The recipe's VM with more memory and a larger disk.
fn grown() -> String {
    stopped_recipe()
        .replace("memory: 512MiB", "memory: 768MiB")
        .replace("size: 64MiB", "size: 128MiB")
}

/// A host where the recipe is applied, and a saved plan that makes the VM grow.
fn with_saved_plan() -> TestHost {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(&grown());
    host.armfleet(&["plan", "--out", SAVED]).success();
    host
}

fn apply_saved(host: &TestHost) -> Output {
    host.armfleet(&["apply", "--plan", SAVED])
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr))
}

#[test]
fn a_saved_plan_is_applied_whatever_the_file_says_by_then() {
    let host = with_saved_plan();
    host.write_fleet("this is no fleet file any more");
    let shown = host.armfleet(&["show", "--plan", SAVED]).success();
    assert!(shown.contains("512 MiB -> 768 MiB"), "{shown}");
    let applied = apply_saved(&host);
    assert_eq!(
        applied.code,
        Some(0),
        "{}{}",
        applied.stdout,
        applied.stderr
    );
    assert!(
        host.virsh(&["dumpxml", VM])
            .success()
            .contains("<memory unit='KiB'>786432</memory>")
    );
    assert_eq!(host.path(DISK).metadata().unwrap().len(), 128 << 20);
    host.write_fleet(&grown());
    host.assert_converged();
    let again = apply_saved(&host);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
}

/// What happens to a host behind a saved plan's back, and what the refusal says of it.
struct Move {
    name: &'static str,
    happens: fn(&TestHost),
    /// A step that differs.
    step: &'static str,
    /// The fact that moved.
    fact: &'static str,
}

const MOVES: [Move; 6] = [
    Move {
        name: "memory changed by virsh",
        happens: |host| drop(host.virsh(&["setmaxmem", VM, "640M", "--config"]).success()),
        step: "domain/armhf-vm is not as it was planned",
        fact: "domain armhf-vm: memory 512 MiB -> 640 MiB",
    },
    Move {
        name: "the disk grown",
        happens: |host| drop(host.run("truncate", &["-s", "256M", DISK]).success()),
        step: "disk/armhf-vm/armhf-vm was planned, and is no longer needed",
        fact: "/srv/armhf-vm.img: size 64 MiB -> 256 MiB",
    },
    Move {
        name: "the hook replaced",
        happens: |host| host.write(SHIM, "#!/bin/sh\n"),
        step: "hook/qemu was not planned, and is needed now",
        fact: "/etc/libvirt/hooks/qemu.d/50-armfleet: size ",
    },
    Move {
        name: "the share deleted",
        happens: |host| drop(host.run("rm", &["-r", SHARE]).success()),
        step: "domain/armhf-vm was planned, and is no longer needed",
        fact: "/srv/armhf-vm-boot: folder -> absent",
    },
    Move {
        name: "the VM started",
        happens: |host| drop(host.virsh(&["start", VM]).success()),
        step: "stop/armhf-vm was not planned, and is needed now",
        fact: "domain armhf-vm: state off -> running",
    },
    Move {
        name: "the record edited",
        happens: |host| {
            host.write(
                RECORD,
                host.read(RECORD)
                    .replace("\"root\"", "\"rood\"")
                    .replace("512 MiB", "511 MiB"),
            )
        },
        step: "is not as it was planned",
        fact: "/var/lib/armfleet/vms/armhf-vm/record.json: contents changed",
    },
];

#[test]
fn a_stale_plan_does_nothing_and_says_what_moved() {
    const EVERYWHERE: [&str; 3] = ["/srv", "/etc/libvirt", "/var/lib/armfleet"];
    for Move {
        name,
        happens,
        step,
        fact,
    } in MOVES
    {
        let host = with_saved_plan();
        happens(&host);
        let before = host.listing(&EVERYWHERE);
        let ended = apply_saved(&host);
        let said = &ended.stderr;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(3), ""),
            "{name}: {said}"
        );
        for part in ["is stale", "nothing was done", step, fact] {
            assert!(said.contains(part), "{name}: no `{part}` in\n{said}");
        }
        assert_eq!(host.listing(&EVERYWHERE), before, "{name}");
    }
}

#[test]
fn an_incomplete_plan_is_not_saved() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(&grown());
    host.run("chmod", &["0777", "/run/test"]).success();
    let refused = host.run_as_nobody(ARMFLEET, &["plan", "--out", SAVED]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused
            .stderr
            .contains("an incomplete plan cannot be saved"),
        "{}",
        refused.stderr
    );
    assert!(!host.path("/run/test/saved.plan").exists());
}

#[test]
fn another_versions_plan_is_refused_with_the_remedy() {
    let host = with_saved_plan();
    let text = host.read("/run/test/saved.plan");
    let version = format!("\"armfleet\": \"{}\"", env!("CARGO_PKG_VERSION"));
    host.write(
        "/run/test/saved.plan",
        text.replace(&version, "\"armfleet\": \"99.0.0\""),
    );
    for arguments in [&["apply", "--plan", SAVED][..], &["show", "--plan", SAVED]] {
        let ended = host.armfleet(arguments);
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("armfleet 99.0.0 made it") && ended.stderr.contains("plan --out"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_saved_plan_removes_only_with_leave() {
    let host = TestHost::with_applied(
        &(stopped_recipe() + &second_vm("other-vm") + &second_vm("third-vm")),
    );
    host.write_fleet(&(stopped_recipe() + &second_vm("other-vm")));
    let refused = host.armfleet(&["plan", "--out", SAVED]);
    assert_eq!(refused.code, Some(3), "{}", refused.stdout);
    host.armfleet(&["plan", "--out", SAVED, "--allow-removal"])
        .success();
    apply_saved(&host).success();
    assert_ne!(host.virsh(&["domstate", "third-vm"]).code, Some(0));
    host.assert_converged();
}

#[test]
fn programs_read_what_was_done() {
    let host = TestHost::with_fleet(&recipe());
    let planned = host.armfleet(&["plan", "--format", "json"]);
    assert_eq!(json(&planned)["format"], "armfleet-plan/1");
    let apply = || host.armfleet(&["apply", "--auto-approve", "--format", "json"]);
    let first = json(&apply());
    assert_eq!(first["plan"], json(&planned)["digest"]);
    assert_eq!(
        (&first["changed"], &first["failed"], &first["settled"]),
        (&true.into(), &false.into(), &true.into())
    );
    let steps = first["steps"].as_array().unwrap();
    assert!(
        steps
            .iter()
            .all(|step| step["result"] == "done" && step["seconds"].is_f64()),
        "{steps:#?}"
    );
    let second = apply();
    assert_eq!(second.code, Some(0));
    assert_eq!(
        (
            &json(&second)["changed"],
            json(&second)["steps"].as_array().unwrap().len()
        ),
        (&false.into(), 0)
    );
    host.write_fleet(&recipe().replace("memory: 512MiB", "memory: 768MiB"));
    let grown = json(&apply());
    assert_eq!(grown["pending_restart"][0]["vm"], VM);
    let status = json(&host.armfleet(&["status", "--format", "json"]));
    assert_eq!(
        (
            &status["vms"][0]["state"],
            &status["vms"][0]["pending_restart"]
        ),
        (&"running".into(), &true.into())
    );
}

#[test]
fn a_failed_step_is_told_with_its_causes() {
    let host = TestHost::with_fleet(&recipe());
    host.run("mkdir", &["-p", "/etc/libvirt/hooks/qemu.d"])
        .success();
    let theirs = "/etc/libvirt/hooks/qemu.d/90-theirs";
    host.write(theirs, "#!/bin/sh\n[ \"$2\" != prepare ]\n");
    host.run("chmod", &["0755", theirs]).success();
    let ended = host.armfleet(&["apply", "--auto-approve", "--format", "json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let report = json(&ended);
    let steps = report["steps"].as_array().unwrap();
    let start = steps
        .iter()
        .find(|step| step["id"] == "start/armhf-vm")
        .unwrap();
    assert_eq!(
        (&start["result"], &report["failed"], &report["changed"]),
        (&"failed".into(), &true.into(), &true.into())
    );
    assert!(start["error"].as_array().unwrap().len() >= 2, "{start:#}");
}

#[test]
fn drift_is_told_from_what_the_file_changed() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(&grown());
    host.virsh(&["setvcpus", VM, "2", "--config", "--maximum"])
        .success();
    let plan = host.armfleet(&["plan"]).success();
    assert!(
        plan.contains("(changed in the file, and drifted)"),
        "{plan}"
    );
    host.armfleet(&["apply", "--auto-approve", "--drift-only"])
        .success();
    let drift = host.armfleet(&["plan", "--drift-only", "--detailed-exitcode"]);
    assert_eq!(drift.code, Some(0), "{}", drift.stdout);
    assert!(
        host.virsh(&["dumpxml", VM])
            .success()
            .contains("<memory unit='KiB'>524288</memory>")
    );
    let rest = host.armfleet(&["plan", "--detailed-exitcode"]);
    assert_eq!(rest.code, Some(2));
    assert!(
        rest.stdout.contains("(file changed)") && !rest.stdout.contains("drifted"),
        "{}",
        rest.stdout
    );
}

#[test]
fn a_protected_vm_is_not_stopped_until_the_file_says_so() {
    let protected = recipe() + "    protect: true\n";
    let host = TestHost::with_applied(&protected);
    host.write_fleet(&(protected + "    state: stopped\n"));
    assert_eq!(host.apply().code, Some(3));
    host.write_fleet("fleet: recipe\nvms: {}\n");
    let removal = host.armfleet(&["apply", "--auto-approve", "--allow-removal=9"]);
    assert_eq!(removal.code, Some(3), "{}", removal.stdout);
    assert!(
        removal.stdout.contains("it is protected"),
        "{}",
        removal.stdout
    );
    assert_eq!(host.state(VM), "running");
}

#[test]
fn a_restart_when_required_boots_what_was_defined() {
    let host = TestHost::with_applied(&recipe());
    assert!(
        host.guest_say(VM, "report")
            .success()
            .contains("guest: cpus 1\n")
    );
    host.write_fleet(&(recipe() + "    restart: when-required\n    vcpus: 2\n"));
    let plan = host.armfleet(&["plan"]).success();
    assert!(plan.contains("Interrupts: armhf-vm (restarted)."), "{plan}");
    host.apply().success();
    assert!(
        host.guest_say(VM, "report")
            .success()
            .contains("guest: cpus 2\n")
    );
    host.assert_converged();
}

#[test]
fn only_chosen_vms_change() {
    let host = TestHost::with_applied(&(stopped_recipe() + &second_vm("other-vm")));
    host.write_fleet(&(grown() + &second_vm("other-vm").replace("512MiB", "1GiB")));
    host.armfleet(&["apply", "--auto-approve", "--vm", "other-*"])
        .success();
    let memory = |vm: &str| host.virsh(&["dominfo", vm]).success();
    assert!(memory(VM).contains("524288 KiB") && memory("other-vm").contains("1048576 KiB"));
    let nobody = host.armfleet(&["plan", "--vm", "nobody"]);
    assert_eq!(nobody.code, Some(3), "{}", nobody.stdout);
    assert_eq!(
        host.armfleet(&["plan", "--host", "elsewhere"]).code,
        Some(4)
    );
}

#[test]
fn a_plan_is_drawn() {
    let host = TestHost::with_fleet(&recipe());
    host.armfleet(&["plan", "--graph", "order.mmd"]).success();
    host.armfleet(&["plan", "--graph", "order.dot"]).success();
    assert!(host.read("/run/test/order.mmd").contains("start armhf-vm"));
    assert!(host.read("/run/test/order.dot").contains("-> s"));
    assert_eq!(
        host.armfleet(&["plan", "--graph", "order.bmp"]).code,
        Some(4)
    );
    let markdown = host
        .armfleet(&["plan", "--format", "markdown", "--diff"])
        .success();
    assert!(
        markdown.contains("```mermaid") && markdown.contains("+<domain type='qemu'>"),
        "{markdown}"
    );
}
