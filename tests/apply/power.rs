//! Starting and stopping by hand: every state with every request, and what forbids it.

use crate::harness::scenario::install_kernel;
use crate::harness::{FLEET, SHARE, UUID, VM, apply, host_of, settled_host};
use armfleet::engine::{observe_kept, perform};
use armfleet::host::Executor;
use armfleet::host::intercept::{Intercepted, Recording};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Reads as _;
use armfleet::plan::{Power, PowerOutcome, PowerPlan, PowerRequest, power};
use armfleet::report::{Paint, render_power, render_remarks};
use std::fmt::Write as _;
use std::time::Duration;

const ALL: [Power; 4] = [Power::Start, Power::Stop, Power::PowerOff, Power::Restart];

/// What came of a request.
struct Asked {
    plan: PowerPlan,
    outcome: PowerOutcome,
    text: String,
    /// The calls that change something, but for the journal and the locks of VMs.
    changes: Vec<String>,
}

fn request(power: Power, vms: &[&str]) -> PowerRequest {
    PowerRequest {
        power,
        vms: vms.iter().map(|vm| vm.parse().unwrap()).collect(),
        pending: false,
        timeout: None,
    }
}

fn ask(host: &Memory, request: &PowerRequest) -> Asked {
    let intercepted = Intercepted {
        calls: host.clone(),
        by: Recording::default(),
    };
    let executor = Executor::unlocked(intercepted);
    let plan = power(&observe_kept(&executor, request).unwrap(), request);
    let outcome = perform(&executor, &plan, &());
    let text = render_remarks(&plan, Paint::Plain) + &render_power(&plan, request.power, &outcome);
    let mut changes = executor.calls().by.changes();
    changes.retain(|call| !call.starts_with("append_line ") && !call.starts_with("lock "));
    Asked {
        plan,
        outcome,
        text,
        changes,
    }
}

#[test]
fn every_state_with_every_request() {
    let mut page = String::new();
    for case in [
        "no-op",
        "off",
        "stopping",
        "paused-by-a-user",
        "paused-at-work",
        "paused-by-an-io-error",
        "asleep",
        "crashed",
        "unknown-state",
        "managed-save",
        "transient",
    ] {
        for power in ALL {
            let host = host_of(case);
            let asked = ask(&host, &request(power, &[VM]));
            let state = host.domain(UUID).map(|domain| domain.state);
            let state = state.map_or("gone".to_owned(), |state| state.to_string());
            let command = power.command();
            let _ = writeln!(page, "{case}: {command}\n{}", asked.text.trim_end());
            for call in &asked.changes {
                let _ = writeln!(page, "    {call}");
            }
            let _ = writeln!(page, "    then its state is {state}\n");
        }
    }
    let golden = snapbox::file!["power.txt"];
    snapbox::assert_data_eq!(page, golden.raw());
}

/// Asked twice, the second time there is nothing to do.
#[test]
fn what_is_so_already_is_no_failure() {
    for power in [Power::Start, Power::Stop, Power::PowerOff] {
        let host = settled_host();
        ask(&host, &request(power, &[VM]));
        let again = ask(&host, &request(power, &[VM]));
        assert!(again.changes.is_empty() && again.plan.refusals.is_empty());
        assert!(again.text.contains("already"), "{}", again.text);
    }
}

#[test]
fn what_forbids_it_is_named() {
    let refused = |host: &Memory, power| {
        let asked = ask(host, &request(power, &[VM]));
        assert!(asked.changes.is_empty(), "{:?}", asked.changes);
        assert!(!asked.plan.refusals.is_empty(), "{}", asked.text);
        asked.text
    };
    let host = settled_host();
    apply(
        &host,
        &format!("{FLEET}    protect: true\n"),
        &Default::default(),
    );
    for power in [Power::Stop, Power::PowerOff, Power::Restart] {
        assert!(refused(&host, power).contains("protected: not stopped"));
    }
    let host = settled_host();
    let hold = r#"{"format":"armfleet-hold/1","by":"anna","at":1,"until":null,"why":"backup"}"#;
    host.put_file(&format!("/var/lib/armfleet/vms/{VM}/hold.json"), hold)
        .unwrap();
    for power in ALL {
        let told = refused(&host, power);
        assert!(told.contains("held by anna") && told.contains("armfleet release armhf-vm"));
    }
    let host = settled_host();
    host.rename_domain(VM, "other").unwrap();
    assert!(refused(&host, Power::Stop).contains("its domain is gone"));
    let asked = ask(&host, &request(Power::Stop, &["other"]));
    assert!(
        asked
            .text
            .contains("its domain is armhf-vm, renamed by hand"),
        "{}",
        asked.text
    );
    let host = settled_host();
    host.put_file(&format!("/var/lib/armfleet/vms/{VM}/record.json"), "{")
        .unwrap();
    assert!(refused(&host, Power::Stop).contains("its record is damaged"));
    let asked = ask(&settled_host(), &request(Power::Stop, &["obs-*"]));
    assert!(
        asked.text.contains("armfleet keeps no VM of such a name"),
        "{}",
        asked.text
    );
}

#[test]
fn a_guest_that_does_not_listen_keeps_its_power_unless_it_is_cut() {
    let host = settled_host();
    host.deafen_guest(VM, u32::MAX).unwrap();
    let within = PowerRequest {
        timeout: Some(Duration::from_secs(30)),
        ..request(Power::Stop, &[VM])
    };
    let began = host.now();
    let asked = ask(&host, &within);
    assert_eq!((host.now() - began, asked.outcome.ended.len()), (30, 1));
    assert!(asked.text.contains("1 failed"), "{}", asked.text);
    assert!(host.domain(UUID).unwrap().live.present().is_some());
    let cut = ask(&host, &request(Power::PowerOff, &[VM]));
    assert!(
        cut.text.starts_with("  i armhf-vm: its fleet file"),
        "{}",
        cut.text
    );
    assert!(host.domain(UUID).unwrap().live.is_absent());
}

/// A stop takes as long as the last apply said, also of a VM that has left the file since.
#[test]
fn the_record_keeps_how_long_a_guest_may_take() {
    let host = settled_host();
    apply(
        &host,
        &format!("{FLEET}    stop_timeout: 7s\n"),
        &Default::default(),
    );
    host.deafen_guest(VM, u32::MAX).unwrap();
    let began = host.now();
    ask(&host, &request(Power::Stop, &[VM]));
    assert_eq!(host.now() - began, 7);
}

#[test]
fn only_what_waits_for_a_boot_is_restarted() {
    let pending = || PowerRequest {
        pending: true,
        ..request(Power::Restart, &[])
    };
    let host = settled_host();
    let asked = ask(&host, &pending());
    assert_eq!(
        (asked.plan.steps.len(), asked.text.as_str()),
        (0, "Nothing to do.\n")
    );

    let bigger = FLEET.replace("memory: 512MiB", "memory: 768MiB");
    assert_ne!(bigger, FLEET);
    apply(&host, &bigger, &Default::default());
    let asked = ask(&host, &pending());
    let reasons: Vec<_> = asked.plan.steps.iter().map(|step| &step.reason).collect();
    assert_eq!(reasons.len(), 2, "{}", asked.text);
    assert!(
        reasons[0].starts_with("armfleet restart: memory 512 MiB -> 768 MiB"),
        "{reasons:?}"
    );
    assert_eq!(asked.text, "Restarted: armhf-vm.\n");
    assert!(ask(&host, &pending()).plan.steps.is_empty());

    install_kernel(&host, SHARE, "6.1.0-50-armmp");
    let asked = ask(&host, &pending());
    assert!(
        asked.plan.steps[0].reason.contains("kernel "),
        "{:?}",
        asked.plan.steps
    );
    assert!(ask(&host, &pending()).plan.steps.is_empty());
    host.destroy(VM).unwrap();
    install_kernel(&host, SHARE, "6.1.0-51-armmp");
    assert!(ask(&host, &pending()).plan.steps.is_empty());
}
