//! Files that a later version of armfleet wrote: their VM is left alone, and so are they.

use crate::harness::kernels::whole;
use crate::harness::{EMPTY, FLEET, RECORD, UUID, VM, apply_case, plan, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::host::{Executor, Host, HostError};
use armfleet::inventory::Look;
use armfleet::mark::Wanted;

const SEED: &str = "/var/lib/armfleet/vms/armhf-vm/boot/seed/seed.json";
const TRIALS: &str = "/var/lib/armfleet/vms/armhf-vm/boot/trials.json";
const HOLD: &str = "/var/lib/armfleet/vms/armhf-vm/hold.json";
const RUN: &str = "/run/armfleet/runs/armhf-vm.json";

/// Has a file be one of the next version of its format.
fn make_later(host: &Memory, path: &str, kind: &str) {
    let text = format!("{{\"format\": \"armfleet-{kind}/2\"}}");
    host.put_file(path, &text).unwrap();
}

/// It names both versions and what to do, and the file is as it was.
#[track_caller]
fn assert_left(host: &Memory, path: &str, kind: &str, error: &HostError) {
    assert!(error.is_refusal());
    assert_eq!(error.remedy(), Some("upgrade armfleet on this host"));
    let source = std::error::Error::source(error).unwrap().to_string();
    for part in [
        format!("its format is armfleet-{kind}/2"),
        format!("reads up to armfleet-{kind}/1"),
    ] {
        assert!(source.contains(&part), "no `{part}` in {source}");
    }
    assert!(error.to_string().contains(path), "{error}");
    let seen = host.look(path, Look::Text);
    let text = seen.present().and_then(|file| file.text.clone());
    assert!(text.unwrap().contains("/2\""), "{path}");
}

#[test]
fn a_vm_with_a_later_record_is_left_alone() {
    let (_, applied) = apply_case("record-later");
    assert!(applied.outcome.ended.is_empty());
    assert!(applied.refused().contains("armfleet-record/2"));
}

#[test]
fn a_vm_with_a_later_record_that_left_the_file_stays() {
    let (host, applied) = apply_case("removal-with-later-record");
    assert!(applied.outcome.ended.is_empty());
    assert!(host.domain(UUID).is_ok());
}

#[test]
fn a_vm_with_a_later_hold_is_left_alone() {
    let (_, applied) = apply_case("hold-later");
    assert!(applied.outcome.ended.is_empty());
}

/// Whatever a plan says that was made before, no step writes over a file that has become a later version's.
#[test]
fn no_step_writes_over_what_a_later_version_wrote_since_it_was_planned() {
    let changed = FLEET
        .replace("512MiB", "768MiB")
        .replace("seed/initrd.img", "seed/other.img");
    let stopped = format!("{FLEET}    state: stopped\n");
    let cases = [
        (RECORD, "record", changed.as_str(), "record/"),
        (RECORD, "record", &stopped, "stop/"),
        (SEED, "seed", &changed, "seed/"),
        (RUN, "run", &stopped, "stop/"),
        (HOLD, "hold", &stopped, "stop/"),
        (RECORD, "record", EMPTY, "forget/"),
        (TRIALS, "trials", EMPTY, "forget/"),
        (SEED, "seed", EMPTY, "forget/"),
    ];
    for (path, kind, fleet, step) in cases {
        let host = settled_host();
        host.put_file(
            "/srv/seed/other.img-6.1.0-48-armmp",
            whole("initrd", "initrd 49"),
        )
        .unwrap();
        host.make_folder("/run/armfleet/runs", 0o700, None).ok();
        let policy = armfleet::plan::Policy {
            removal: armfleet::plan::Removal::UpTo(1),
            ..Default::default()
        };
        let steps = plan(&host, fleet, &policy).steps;
        let step = steps
            .iter()
            .find(|planned| planned.id.to_string().starts_with(step));
        make_later(&host, path, kind);
        let performer = Executor::locked(host.clone()).unwrap();
        let error = performer.perform(step.unwrap()).unwrap_err();
        assert_left(&host, path, kind, &error);
    }
}

#[test]
fn what_is_asked_of_generations_is_refused() {
    for (path, kind) in [(RECORD, "record"), (TRIALS, "trials")] {
        let host = settled_host();
        make_later(&host, path, kind);
        let vm = VM.parse().unwrap();
        let performer = Executor::locked(host.clone()).unwrap();
        assert_left(&host, path, kind, &performer.retry(&vm).unwrap_err());
        let listed = armfleet::host::generations(&host, &vm).unwrap_err();
        assert_left(&host, path, kind, &listed);
        if kind == "record" {
            let wanted = performer.want(&vm, Wanted::Auto).unwrap_err();
            assert_left(&host, path, kind, &wanted);
        }
    }
}
