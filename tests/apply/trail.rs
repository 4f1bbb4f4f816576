//! What was done is told: who did it, when, from where, with what success, and what was there before.

use crate::harness::{
    FLEET, UUID, VM, apply, apply_over, new_host, observe, plan, settled_host, spec,
};
use armfleet::fleet::Given;
use armfleet::host::intercept::{Failing, Intercepted, Killed};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives as _, Reads as _};
use armfleet::host::{Caller, Executor};
use armfleet::inventory::{Look, digest};
use armfleet::mark::{CalledFrom, read_entry};
use armfleet::paths;
use armfleet::plan::Policy;
use armfleet::report::{
    ApplyEnd, HistoryReport, JournalLine, Paint, PastAct, WayBack, render_history,
};
use armfleet::values::{Secrets, VmName};
use std::collections::BTreeMap;

const JOURNAL: &str = "/var/lib/armfleet/journal.jsonl";

fn history_of(host: &Memory) -> HistoryReport {
    let mut lines = Vec::new();
    for age in (0..=paths::OLDER_JOURNALS).rev() {
        let file = paths::older_journal(age);
        let text = host.bytes(&file).unwrap_or_default();
        let read = text.split(|byte| *byte == b'\n').enumerate();
        lines.extend(
            read.filter(|(_, line)| !line.is_empty())
                .map(|(at, line)| JournalLine {
                    file: file.clone(),
                    number: at + 1,
                    entry: read_entry(line),
                }),
        );
    }
    HistoryReport::new(lines, false)
}

fn ends(report: &HistoryReport) -> Vec<ApplyEnd> {
    let applies = report.acts.iter().filter_map(|act| act.apply.as_ref());
    applies.map(|apply| apply.end).collect()
}

fn caller() -> Caller {
    Caller {
        from: CalledFrom {
            machine: "desk".to_owned(),
            files: vec!["/home/anna/fleet.yaml".to_owned()],
            client: Some("192.0.2.7".to_owned()),
        },
    }
}

fn applied_by(host: &Memory, caller: Caller, fleet: &str) {
    let intercepted = Intercepted {
        calls: host.clone(),
        by: &armfleet::host::intercept::Recording::default(),
    };
    let performer = Executor::locked(intercepted).unwrap().called_by(caller);
    let outcome = apply_over(&performer, fleet, &Policy::default());
    assert!(outcome.all_done() && outcome.untold.is_empty());
}

#[test]
fn an_apply_is_told_with_all_its_steps() {
    let host = new_host();
    let planned = plan(&host, FLEET, &Policy::default());
    applied_by(&host, caller(), FLEET);
    let report = history_of(&host);
    assert_eq!((report.acts.len(), report.damaged.len()), (1, 0));
    let PastAct {
        by, apply, steps, ..
    } = &report.acts[0];
    let apply = apply.as_ref().unwrap();
    assert_eq!(by, "root");
    assert_eq!(apply.plan, planned.digest());
    assert_eq!((apply.planned, apply.end), (Some(9), ApplyEnd::Done));
    assert_eq!(apply.from, Some(caller().from));
    let mut told: Vec<_> = steps.iter().map(|step| step.id.clone()).collect();
    let mut done: Vec<_> = planned
        .steps
        .iter()
        .map(|step| step.id.to_string())
        .collect();
    told.sort();
    done.sort();
    assert_eq!(told, done);
    let text = render_history(&report, Paint::Plain);
    for word in [
        "anna/fleet.yaml",
        "(from 192.0.2.7)",
        "fleet lab",
        "done   > start",
        "armfleet stop armhf-vm",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn where_nothing_is_done_nothing_is_told() {
    let host = settled_host();
    let before = host.bytes(JOURNAL);
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();
    assert_eq!(host.bytes(JOURNAL), before);
}

#[test]
fn a_definition_is_kept_before_and_after_each_change() {
    let host = settled_host();
    let before = host
        .domain(UUID)
        .unwrap()
        .inactive
        .present()
        .unwrap()
        .clone();
    applied_by(&host, caller(), &FLEET.replace("512MiB", "1GiB"));
    let after = host
        .domain(UUID)
        .unwrap()
        .inactive
        .present()
        .unwrap()
        .clone();
    let mut report = history_of(&host);
    report.only(&VM.parse::<VmName>().unwrap());
    let step = report
        .steps_mut()
        .find(|step| step.kind == "domain")
        .unwrap();
    let (old, new) = step.definitions().unwrap();
    for (path, text) in [(&old, &before), (&new, &after)] {
        assert_eq!(host.bytes(path).unwrap(), text.as_bytes());
        assert_eq!(
            *path,
            paths::kept_definition(&VM.parse().unwrap(), &digest(text))
        );
        assert_eq!(
            host.look(path, Look::Stat).present().unwrap().stat.mode,
            0o600
        );
    }
    let folder = host.look("/var/lib/armfleet/history/armhf-vm", Look::Stat);
    assert_eq!(folder.present().unwrap().stat.mode, 0o700);
    step.compare(&before, &after);
    assert_eq!(
        step.way_back,
        Some(WayBack::Command(format!("virsh define {old}")))
    );
    assert_eq!(step.changes, ["memory 512 MiB -> 1 GiB"]);
    let text = render_history(&report, Paint::Plain);
    assert!(
        text.contains("-  <memory unit='KiB'>524288</memory>")
            && text.contains("+  <memory unit='KiB'>1048576</memory>")
            && text.contains("The next apply"),
        "{text}"
    );
    // What it says is right: the definition comes back, and the plan wants the change again.
    host.define(&before).unwrap();
    assert_eq!(
        host.domain(UUID).unwrap().inactive.present().unwrap(),
        &before
    );
}

#[test]
fn a_password_is_never_kept_and_that_is_said() {
    let host = settled_host();
    let definition = host.dump_secure(UUID).unwrap();
    let with = definition.replace(
        "</devices>",
        "<graphics type='vnc' port='-1' autoport='yes' passwd='hunter2'/></devices>",
    );
    host.define(&with).unwrap();
    assert!(host.dump_secure(UUID).unwrap().contains("hunter2"));
    applied_by(&host, caller(), &FLEET.replace("512MiB", "1GiB"));
    assert!(host.dump_secure(UUID).unwrap().contains("hunter2"));
    let mut report = history_of(&host);
    let step = report
        .steps_mut()
        .find(|step| step.before.is_some())
        .unwrap();
    let (old, new) = step.definitions().unwrap();
    for path in [old.as_str(), new.as_str(), JOURNAL] {
        let text = String::from_utf8(host.bytes(path).unwrap()).unwrap();
        assert!(!text.contains("hunter2"), "{path}: {text}");
    }
    let way = step.way_back.as_ref().unwrap().command();
    assert!(
        way.starts_with("virsh edit armhf-vm") && way.ends_with("secrets are not in it"),
        "{way}"
    );
}

#[test]
fn a_secret_of_the_environment_is_in_neither_journal_nor_history() {
    let keyed = FLEET.replace("root=/dev/vda1", "root=/dev/vda1 token={env.TOKEN}");
    let read = |fleet: &str, value: &str| {
        let secrets = Secrets::new(BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]));
        let file = armfleet::fleet::FleetFile {
            name: "fleet.yaml",
            folder: "/fleet",
            bytes: fleet.as_bytes(),
        };
        let vars = BTreeMap::new();
        armfleet::fleet::read_files(
            &[file],
            &Given {
                vars,
                secrets,
                ..Given::default()
            },
        )
        .unwrap()
    };
    let host = settled_host();
    // The last one names the variable no more, and the environment has another value.
    for (fleet, value, is_there) in [
        (keyed.as_str(), "hunter2hunter2", true),
        (&keyed, "swordfish-77", true),
        (FLEET, "another", false),
    ] {
        let spec = read(fleet, value);
        let performer = Executor::locked(host.clone()).unwrap();
        let (plan, _) =
            armfleet::engine::observe_and_plan(&performer, &spec, &Policy::default()).unwrap();
        let outcome =
            armfleet::engine::apply(&performer, &spec, &Policy::default(), &plan, &()).unwrap();
        assert!(outcome.all_done(), "{:?}", outcome.ended);
        assert_eq!(host.dump_secure(UUID).unwrap().contains(value), is_there);
    }
    let mut report = history_of(&host);
    let mut paths = vec![JOURNAL.to_owned()];
    for step in report.steps_mut() {
        paths.extend(
            step.definitions()
                .into_iter()
                .flat_map(|(old, new)| [old, new]),
        );
    }
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        let text = String::from_utf8(host.bytes(&path).unwrap()).unwrap();
        for value in ["hunter2hunter2", "swordfish-77"] {
            assert!(!text.contains(value), "{path}: {text}");
        }
    }
}

#[test]
fn a_trail_that_cannot_be_written_undoes_nothing_and_is_said() {
    let fleet = FLEET.replace("512MiB", "1GiB");
    let history = "write_file /var/lib/armfleet/history/armhf-vm/";
    let host = settled_host();
    let recording = armfleet::host::intercept::Recording::default();
    let fork = host.fork();
    let performer = Executor::locked(Intercepted {
        calls: fork,
        by: &recording,
    })
    .unwrap();
    apply_over(&performer, &fleet, &Policy::default());
    let mut written: Vec<_> = recording.changes();
    written.retain(|call| call.starts_with(history) || call.starts_with("append_line"));
    assert!(written.len() >= 6, "{written:?}");
    for (at, call) in written.iter().enumerate() {
        let before = written[..at].iter().filter(|other| *other == call).count();
        let failing = Failing::new(call, before);
        let host = host.fork();
        let performer = Executor::locked(Intercepted {
            calls: host.clone(),
            by: &failing,
        })
        .unwrap();
        let outcome = apply_over(&performer, &fleet, &Policy::default());
        assert!(failing.has_failed(), "{call}");
        assert!(outcome.all_done() && outcome.residual.is_empty(), "{call}");
        assert_eq!(outcome.untold.len(), 1, "{call}");
    }
}

#[test]
fn an_apply_that_was_killed_has_no_end() {
    let host = new_host();
    let killed = Killed::at(70);
    let performer = Executor::locked(Intercepted {
        calls: host.clone(),
        by: &killed,
    })
    .unwrap();
    apply_over(&performer, FLEET, &Policy::default());
    assert!(killed.is_dead());
    drop(performer);
    applied_by(&host, caller(), FLEET);
    let report = history_of(&host);
    assert_eq!(ends(&report), [ApplyEnd::CutOff, ApplyEnd::Done]);
    let text = render_history(&report, Paint::Plain);
    assert!(text.contains("did not end: it was killed"), "{text}");
}

#[test]
fn a_removed_vm_is_remembered() {
    let host = settled_host();
    let policy = crate::harness::case::policy(Some("--allow-removal=1"));
    apply(&host, crate::harness::EMPTY, &policy).assert_converged();
    let mut report = history_of(&host);
    report.only(&VM.parse::<VmName>().unwrap());
    let step = report
        .steps_mut()
        .find(|step| step.kind == "domain")
        .unwrap();
    let kept = step.before.clone().unwrap();
    let path = paths::kept_definition(&VM.parse().unwrap(), &kept.sha256);
    assert!(host.bytes(&path).is_some());
    assert!(
        step.way_back
            .as_ref()
            .unwrap()
            .command()
            .contains("in the fleet file again")
    );
    // It is no leftover: the VM can come again.
    apply(&host, FLEET, &Policy::default()).assert_converged();
    assert!(observe(&host, FLEET).domains.present().is_some());
    assert_eq!(spec(FLEET).vms.len(), 1);
}

#[test]
fn a_large_journal_is_put_aside_and_the_oldest_goes() {
    let host = settled_host();
    let line = "x".repeat(1 << 19);
    for round in 0..=paths::OLDER_JOURNALS + 1 {
        for _ in 0..8 {
            host.append_line(JOURNAL, &line).unwrap();
        }
        let memory = if round % 2 == 0 { "1GiB" } else { "512MiB" };
        applied_by(&host, caller(), &FLEET.replace("512MiB", memory));
        let size = |age| {
            host.bytes(&paths::older_journal(age))
                .map(|bytes| bytes.len())
        };
        assert!(size(0).unwrap() < 1 << 20, "{round}");
        for age in 1..=paths::OLDER_JOURNALS + 1 {
            let kept = age <= (round + 1).min(paths::OLDER_JOURNALS);
            assert_eq!(size(age).is_some(), kept, "{age} in {round}");
        }
    }
    let report = history_of(&host);
    assert_eq!(report.damaged.len(), 8 * paths::OLDER_JOURNALS);
    assert_eq!(report.acts.len(), paths::OLDER_JOURNALS + 1);
}

#[test]
fn damaged_lines_are_said_and_hide_nothing_else() {
    let host = new_host();
    applied_by(&host, caller(), FLEET);
    let text = String::from_utf8(host.bytes(JOURNAL).unwrap()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    for lost in 0..lines.len() {
        for damaged in [
            "",
            "{",
            "\u{0}",
            &lines[lost][..lines[lost].len() / 2],
            "null",
            "[]",
        ] {
            let kept = lines.iter().enumerate();
            let kept = kept.map(|(at, line)| JournalLine {
                file: JOURNAL.to_owned(),
                number: at + 1,
                entry: read_entry(if at == lost { damaged } else { line }.as_bytes()),
            });
            let report = HistoryReport::new(kept.collect(), false);
            assert_eq!(report.damaged.len(), 1);
            assert_eq!(report.damaged[0].line, lost + 1);
            assert_eq!(report.acts.len(), 1, "{damaged}");
            let steps = if lost == 0 || lost == lines.len() - 1 {
                9
            } else {
                8
            };
            assert_eq!(report.acts[0].steps.len(), steps);
            assert_eq!(
                ends(&report)[0] == ApplyEnd::Done,
                lost == 0,
                "{lost} {:?}",
                ends(&report)
            );
        }
    }
}
