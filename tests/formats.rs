//! A plan in every format: of one model, the same bytes for the same plan, within budget, and harmless.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;
#[path = "formats/pictures.rs"]
mod pictures;
#[path = "formats/policy.rs"]
mod policy;

use armfleet::host::memory::Memory;
use armfleet::inventory::AddressSource;
use armfleet::mark::{Action, Beginning, CalledFrom, Entry, Event, Kept, StepTrace, read_entry};
use armfleet::plan::{About, Notice, Plan, Refusal, touched_paths};
use armfleet::report::{
    AddressStatus, ApplyEnd, ApplyReport, HistoryReport, JournalLine, MARKDOWN_LIMIT, Paint,
    PlanReport, StatusReport, VmReport, render_dot, render_history, render_json, render_markdown,
    render_mermaid, render_metrics, render_plan, render_vm, schemas,
};
use harness::applied::{applied, edit_domain, empty_host, plan_on, see, spec, vm};
use std::collections::BTreeSet;
use std::path::Path;

/// A host with three VMs, and the file edited since: one grows, one is new, one left, one drifted.
fn example() -> (armfleet::fleet::Spec, Memory) {
    let before = [
        vm("obs-01", "2GiB", ""),
        vm("obs-02", "2GiB", ""),
        vm("obs-03", "512MiB", ""),
        vm("obs-13", "512MiB", ""),
        vm("obs-04", "1GiB", ", restart: when-required"),
    ];
    let host = applied(&spec(&format!("fleet: obs\nvms:\n{}", before.concat())));
    edit_domain(&host, "obs-03", ">1</vcpu>", ">2</vcpu>");
    let after = [
        vm("obs-01", "2GiB", ", state: stopped"),
        vm("obs-02", "3GiB", ""),
        vm("obs-03", "512MiB", ""),
        vm("new", "512MiB", ""),
        vm("obs-04", "2GiB", ", restart: when-required"),
    ];
    (spec(&format!("fleet: obs\nvms:\n{}", after.concat())), host)
}

#[test]
fn a_vm_is_shown_with_every_key_as_the_file_has_it() {
    let (spec, host) = example();
    let seen = see(&spec, &host);
    let libvirt = seen.libvirt.present().unwrap();
    let vm = &spec.vms[&"obs-01".parse().unwrap()];
    let text = render_vm(&VmReport::new(&spec.fleet, vm, libvirt));
    let (keys, domain) = text.split_once("\n\n").unwrap();
    assert!(domain.starts_with("<domain"), "{domain}");
    snapbox::assert_data_eq!(
        keys,
        snapbox::str![[r#"
obs-01:
  arch: armhf
  userland: armhf
  memory: 2GiB
  memory_backing: default
  boot.cmdline: console=ttyAMA0 root=/dev/vda1
  boot.from: share
  boot.share: /srv/obs-01-boot
  boot.handover: copy
  boot.seed.kernel: /srv/seed/vmlinuz
  boot.seed.initrd: /srv/seed/initrd.img
  host: local
  accel: auto
  machine: virt
  vcpus: 1
  disks[0].path: /srv/obs-01.img
  disks[0].name: obs-01
  disks[0].size: 8GiB
  disks[0].format: raw
  state: stopped
  autostart: false
  on_guest_reboot: stop
  stop_timeout: 2min
  restart: never
  protect: false
"#]]
    );
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/formats")
        .join(name);
    snapbox::assert_data_eq!(text, snapbox::Data::read_from(&path, None).raw());
}

#[test]
fn a_host_where_the_file_was_applied_has_an_empty_plan() {
    let spec = spec(&format!("fleet: obs\nvms:\n{}", vm("a", "512MiB", "")));
    let plan = plan_on(&spec, &applied(&spec));
    assert!(plan.is_empty() && plan.notices.is_empty(), "{plan:#?}");
}

#[test]
fn every_format_of_the_example_is_as_recorded() {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let report = PlanReport::new(&plan, Some(&plan.definitions(&see(&spec, &host))));
    golden("plan.txt", &render_plan(&report, Paint::Plain));
    golden("plan-colours.txt", &render_plan(&report, Paint::Colours));
    // The picture in README.md.
    let no_diffs = PlanReport::new(&plan, None);
    let picture = render_plan(&no_diffs, Paint::Colours);
    snapbox::assert_data_eq!(picture, snapbox::file!["formats/plan.term.svg"]);
    golden("plan.md", &render_markdown(&report));
    golden("plan.json", &render_json(&report).unwrap());
    golden("plan.dot", &render_dot(&report));
    golden("plan.mmd", &render_mermaid(&report));
    golden(
        "apply.json",
        &render_json(&ApplyReport::new(&plan, None)).unwrap(),
    );
    let vms: Vec<_> = spec.vms.values().collect();
    let mut status = StatusReport::new(&vms, &plan, &see(&spec, &host));
    status.vms[1].addresses = [
        ("192.0.2.5", Some("farm"), AddressSource::Lease),
        ("2001:db8::5", None, AddressSource::Agent),
    ]
    .map(|(address, network, source)| AddressStatus {
        address: address.to_owned(),
        network: network.map(str::to_owned),
        mac: "52:fe:00:00:00:01".to_owned(),
        source,
    })
    .into();
    golden("status.prom", &render_metrics(&status));
    let status = render_json(&status).unwrap();
    golden("status.json", &status);
    valid("status.schema.json", &status);
}

/// The words of a text that are names of armfleet's numbers.
fn numbers(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_lowercase());
    words
        .filter(|word| word.starts_with("armfleet_vm_") || word.starts_with("armfleet_watcher_"))
        .collect()
}

#[test]
fn every_alert_is_on_numbers_that_there_are_and_every_number_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let vm = vm("a", "512MiB", "").replace("on_guest_reboot: stop", "on_guest_reboot: cold-boot");
    let spec = spec(&format!("fleet: obs\nvms:\n{vm}"));
    let host = empty_host();
    let vms: Vec<_> = spec.vms.values().collect();
    let report = StatusReport::new(&vms, &plan_on(&spec, &host), &see(&spec, &host));
    let metrics = render_metrics(&report);
    let known = numbers(&metrics);
    let rules = read("examples/prometheus/armfleet.rules.yml");
    let rules: serde_yaml::Value = serde_yaml::from_str(&rules).unwrap();
    let alerts = rules["groups"][0]["rules"].as_sequence().unwrap();
    for alert in alerts {
        let used = numbers(alert["expr"].as_str().unwrap());
        assert!(used.is_subset(&known), "{used:?} {known:?}");
        assert!(alert["annotations"]["action"].is_string());
    }
    let readme = read("README.md");
    assert_eq!(known, numbers(&readme));
    assert_eq!(known.len(), 9);
}

#[test]
fn a_saved_plan_names_its_paths_in_every_format() {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let mut report = PlanReport::new(&plan, None);
    report.paths = Some(touched_paths(&plan, &spec));
    golden("saved.txt", &render_plan(&report, Paint::Plain));
    golden("saved.md", &render_markdown(&report));
    let json = render_json(&report).unwrap();
    valid("plan.schema.json", &json);
    assert!(json.contains("\"path\": \"/srv/new.img\""), "{json}");
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let render = || {
        let (spec, host) = example();
        let plan = plan_on(&spec, &host);
        let report = PlanReport::new(&plan, Some(&plan.definitions(&see(&spec, &host))));
        let json = render_json(&report).unwrap();
        [
            json,
            render_markdown(&report),
            render_plan(&report, Paint::Colours),
            render_mermaid(&report),
        ]
    };
    assert_eq!(render(), render());
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, schema) in schemas() {
        let text = render_json(&schema).unwrap();
        snapbox::assert_data_eq!(
            text,
            snapbox::Data::read_from(&folder.join(name), None).raw()
        );
    }
}

fn valid(schema: &str, document: &str) {
    let (_, schema) = schemas()
        .into_iter()
        .find(|(name, _)| *name == schema)
        .unwrap();
    let validator = jsonschema::draft7::new(schema.as_value()).unwrap();
    let document = serde_json::from_str(document).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn real_reports_are_valid() {
    let (spec, host) = example();
    let mut plan = plan_on(&spec, &host);
    for inventory in [None, Some(&plan.definitions(&see(&spec, &host)))] {
        valid(
            "plan.schema.json",
            &render_json(&PlanReport::new(&plan, inventory)).unwrap(),
        );
    }
    valid(
        "apply.schema.json",
        &render_json(&ApplyReport::new(&plan, None)).unwrap(),
    );
    let vms: Vec<_> = spec.vms.values().collect();
    let status = StatusReport::new(&vms, &plan, &see(&spec, &host));
    valid("status.schema.json", &render_json(&status).unwrap());
    plan.steps.clear();
    valid(
        "plan.schema.json",
        &render_json(&PlanReport::new(&plan, None)).unwrap(),
    );
}

#[test]
fn a_schema_refuses_what_is_no_report() {
    let (_, schema) = schemas()
        .into_iter()
        .find(|(name, _)| *name == "plan.schema.json")
        .unwrap();
    let validator = jsonschema::draft7::new(schema.as_value()).unwrap();
    let plan = plan_on(&example().0, &empty_host());
    let report = PlanReport::new(&plan, None);
    let mut document = serde_json::to_value(&report).unwrap();
    assert!(validator.is_valid(&document));
    document["steps"][0]["action"] = "explode".into();
    assert!(!validator.is_valid(&document));
}

#[test]
fn a_vm_that_is_called_as_a_part_of_the_host_is_not_told_of_that_part() {
    let spec = spec(&format!("fleet: obs\nvms:\n{}", vm("hook", "512MiB", "")));
    let host = applied(&spec);
    let mut plan = plan_on(&spec, &host);
    for subject in [About::HOOK, About::Path("hook".to_owned())] {
        plan.notices.push(Notice {
            subject,
            what: "it is not there".to_owned(),
            outlook: String::new(),
            pending_restart: false,
        });
    }
    let vms: Vec<_> = spec.vms.values().collect();
    let status = StatusReport::new(&vms, &plan, &see(&spec, &host));
    assert!(status.vms[0].notices.is_empty(), "{status:#?}");
}

/// 500 VMs, of which 20 get more memory.
fn large() -> (armfleet::fleet::Spec, Memory) {
    let names: Vec<String> = (0..500).map(|number| format!("obs-{number:03}")).collect();
    let file = |memory: &dyn Fn(usize) -> &'static str| {
        let vms = names
            .iter()
            .enumerate()
            .map(|(at, name)| vm(name, memory(at), ""));
        spec(&format!("fleet: obs\nvms:\n{}", vms.collect::<String>()))
    };
    let host = applied(&file(&|_| "2GiB"));
    (file(&|at| if at % 25 == 0 { "3GiB" } else { "2GiB" }), host)
}

#[test]
fn twenty_changes_among_five_hundred_vms_stay_readable() {
    let (spec, host) = large();
    let inventory = see(&spec, &host);
    let plan = plan_on(&spec, &host);
    let report = PlanReport::new(&plan, Some(&plan.definitions(&inventory)));
    let changed = plan.steps.iter().filter(|step| !step.changes.is_empty());
    assert_eq!(changed.count(), 20);
    let text = render_plan(&PlanReport::new(&plan, None), Paint::Plain);
    assert!(text.lines().count() < 100, "{text}");
    let markdown = render_markdown(&report);
    assert!(markdown.chars().count() <= MARKDOWN_LIMIT);
    assert!(
        !markdown.contains("Cut at") && !markdown.contains("obs-001"),
        "{markdown}"
    );
    valid("plan.schema.json", &render_json(&report).unwrap());
}

/// 500 VMs of which nothing is the same, so that none can stand for another: each restarts for its own amount of memory, and
/// of each second one something is refused.
fn five_hundred_restarts() -> (armfleet::fleet::Spec, Memory) {
    let file = |more: usize| {
        let vms = (0..500).map(|number| {
            let memory = format!("{}MiB", 300 + number + more);
            vm(
                &format!("obs-{number:03}"),
                &memory,
                ", restart: when-required",
            )
        });
        spec(&format!("fleet: obs\nvms:\n{}", vms.collect::<String>()))
    };
    (file(512), applied(&file(0)))
}

#[test]
fn five_hundred_changes_fit_and_every_interruption_and_refusal_is_named() {
    let (spec, host) = five_hundred_restarts();
    let mut plan = plan_on(&spec, &host);
    let refused = plan.interruptions().into_iter().step_by(2).enumerate();
    plan.refusals = refused
        .map(|(at, interruption)| Refusal {
            subject: About::from(&interruption.vm),
            why: format!("its image is not the one that was applied: inode {at}"),
            remedy: "armfleet apply --accept VM".to_owned(),
            check: None,
            allowed_by: None,
        })
        .collect();
    let report = PlanReport::new(&plan, Some(&plan.definitions(&see(&spec, &host))));
    let markdown = render_markdown(&report);
    let count = markdown.chars().count();
    assert!(
        (MARKDOWN_LIMIT - 5_000..=MARKDOWN_LIMIT).contains(&count),
        "{count}"
    );
    let (named, rest) = markdown.split_once("#### Refused").unwrap();
    let rows = named.matches("| **restarted** |").count();
    assert!((20..500).contains(&rows), "{rows}");
    assert!(named.contains(&format!(
        "**Also restarted**: `obs-[{rows:03}-499]` ({} VMs)",
        500 - rows
    )));
    let (refused, changes) = rest.split_once("#### Changes").unwrap();
    let lines = refused.matches(" To do: ").count();
    assert!((20..250).contains(&lines), "{lines}");
    let others = format!("`obs-[{:03}-498/2]` ({} VMs)", 2 * lines, 250 - lines);
    assert!(
        refused.contains(&format!("**Also refused**: {others}.")),
        "{others} in {refused}"
    );
    assert!(changes.contains("\nAlso changed: `obs-["), "{changes}");
    assert!(
        markdown.contains("**Cut at 60000 characters: "),
        "{}",
        &markdown[markdown.len() - 500..]
    );
    assert_eq!(
        markdown.matches("<details>").count(),
        markdown.matches("</details>").count()
    );
    assert_eq!(markdown, render_markdown(&report));
}

#[test]
fn five_hundred_vms_that_change_alike_are_told_as_one() {
    let names: Vec<String> = (0..500).map(|number| format!("obs-{number:03}")).collect();
    let vms: String = names.iter().map(|name| vm(name, "2GiB", "")).collect();
    let spec = spec(&format!("fleet: obs\nvms:\n{vms}"));
    let plan = plan_on(&spec, &empty_host());
    let markdown = render_markdown(&PlanReport::new(&plan, None));
    assert!(markdown.chars().count() < 3_000, "{markdown}");
    assert!(
        markdown.contains("- `obs-[000-499]` (500 VMs)\n")
            && markdown.contains("  - **create** disk `/srv/{name}.img`"),
        "{markdown}"
    );
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "\u{1b}[2J`x` </details> | @all [a](http://e) \u{202e}\n/close ```";
    let (spec, host) = example();
    let mut plan: Plan = plan_on(&spec, &host);
    plan.notices.push(Notice {
        subject: About::Vm(hostile.to_owned()),
        what: hostile.to_owned(),
        outlook: hostile.to_owned(),
        pending_restart: true,
    });
    plan.refusals.push(Refusal {
        subject: About::Vm(hostile.to_owned()),
        why: hostile.to_owned(),
        remedy: hostile.to_owned(),
        check: None,
        allowed_by: None,
    });
    let first = plan.steps.first_mut().unwrap();
    first.reason = hostile.to_owned();
    let report = PlanReport::new(&plan, None);
    let text = render_plan(&report, Paint::Plain);
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'),
        "{text}"
    );
    let markdown = render_markdown(&report);
    assert!(
        !markdown
            .lines()
            .any(|line| line.starts_with("/close") || line.starts_with("```\n"))
    );
    assert_eq!(
        markdown.matches("<details>").count(),
        markdown.matches("\n</details>").count()
    );
    for picture in [render_mermaid(&report), render_dot(&report)] {
        assert!(!picture.contains('\u{1b}'), "{picture}");
    }
}

#[test]
fn a_word_that_differs_is_marked_within_its_line() {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let report = PlanReport::new(&plan, Some(&plan.definitions(&see(&spec, &host))));
    let coloured = render_plan(&report, Paint::Colours);
    assert!(
        coloured.contains("\u{1b}[1m\u{1b}[4m\u{1b}[32m"),
        "{coloured:?}"
    );
    let plain = render_plan(&report, Paint::Plain);
    assert!(
        plain.contains("-  <memory unit='KiB'>2097152</memory>\n")
            && plain.contains("+  <memory unit='KiB'>3145728</memory>\n")
    );
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn an_interrupted_vm_is_named_with_reason_and_remedy() {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let report = PlanReport::new(&plan, None);
    let named: Vec<_> = report
        .interruptions
        .iter()
        .map(|seen| (seen.vm.as_str(), seen.fate.word()))
        .collect();
    assert_eq!(
        named,
        [
            ("obs-01", "stopped"),
            ("obs-04", "restarted"),
            ("obs-13", "removed")
        ]
    );
    assert!(
        report
            .interruptions
            .iter()
            .all(|seen| !seen.why.is_empty() && !seen.avoid.is_empty())
    );
}

#[test]
fn a_stopped_domain_is_no_interruption() {
    let (spec, host) = example();
    for name in ["obs-01", "obs-04", "obs-13"] {
        host.destroy(name).unwrap();
    }
    assert!(plan_on(&spec, &host).interruptions().is_empty());
}

/// A journal with an apply that worked, one that was killed, one that failed, and what a watcher did.
fn journal() -> Vec<JournalLine> {
    let kept = |digit: &str, whole| {
        let sha256 = digit.repeat(64);
        Some(Kept {
            sha256,
            whole,
            templates: true,
        })
    };
    let began = |plan: &str| {
        Event::Began(Beginning {
            plan: plan.repeat(64),
            fleet: "obs".to_owned(),
            host: "local".to_owned(),
            steps: 2,
            from: CalledFrom {
                machine: "desk".to_owned(),
                files: vec!["/home/anna/fleet.yaml".to_owned()],
                client: Some("192.0.2.7".to_owned()),
            },
        })
    };
    let ended = |plan: &str| Event::Ended {
        plan: plan.repeat(64),
        interrupted: false,
    };
    let domain = StepTrace {
        plan: Some("a".repeat(64)),
        id: "domain/obs-02".to_owned(),
        vm: Some("obs-02".parse().unwrap()),
        action: Action::Change,
        kind: "domain".to_owned(),
        subject: "obs-02".to_owned(),
        reason: "file changed".to_owned(),
        changes: vec!["memory 2 GiB -> 3 GiB".to_owned()],
        milliseconds: 41,
        error: Vec::new(),
        hook: None,
        before: kept("1", true),
        after: kept("2", true),
    };
    let start = |plan: Option<&str>, error: &[&str]| StepTrace {
        plan: plan.map(|plan| plan.repeat(64)),
        id: "start/obs-02".to_owned(),
        action: Action::Start,
        kind: "start".to_owned(),
        reason: "state: running".to_owned(),
        changes: Vec::new(),
        milliseconds: 2_345,
        error: error.iter().map(ToString::to_string).collect(),
        before: None,
        after: None,
        ..domain.clone()
    };
    let secret = StepTrace {
        plan: Some("b".repeat(64)),
        before: kept("2", false),
        after: kept("3", false),
        ..domain.clone()
    };
    let events = [
        began("a"),
        Event::Step(domain.clone()),
        Event::Step(start(Some("a"), &[])),
        ended("a"),
        began("b"),
        Event::Step(secret),
        began("c"),
        Event::Step(start(
            Some("c"),
            &["cannot start obs-02", "no \u{1b}[31mkernel\nat all"],
        )),
        ended("c"),
        Event::Step(start(None, &[])),
    ];
    let mut lines: Vec<_> = (1..)
        .zip(events)
        .map(|(number, event)| JournalLine {
            file: "journal.jsonl".to_owned(),
            number,
            entry: Ok(Entry {
                at: 1_700_000_000 + number as u64,
                by: "anna".to_owned(),
                event,
            }),
        })
        .collect();
    lines.push(JournalLine {
        file: "journal.jsonl".to_owned(),
        number: lines.len() + 1,
        entry: read_entry(b"{\"format\": \"armfleet-jou"),
    });
    lines
}

#[test]
fn a_history_is_as_recorded_and_valid() {
    let mut report = HistoryReport::new(journal(), false);
    let ends = report.acts.iter().map(|act| Some(act.apply.as_ref()?.end));
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [
            Some(ApplyEnd::Done),
            Some(ApplyEnd::CutOff),
            Some(ApplyEnd::Failed),
            None
        ]
    );
    let first = report.steps_mut().next().unwrap();
    first.compare("<memory>2</memory>\n", "<memory>3</memory>\n");
    let text = render_history(&report, Paint::Plain);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    golden("history.txt", &text);
    let json = render_json(&report).unwrap();
    golden("history.json", &json);
    valid("history.schema.json", &json);
    // The last apply has not ended: it may be at work.
    let mut under_way = journal();
    under_way.truncate(6);
    let report = HistoryReport::new(under_way, true);
    let last = report.acts.last().unwrap().apply.as_ref().unwrap();
    assert_eq!(last.end, ApplyEnd::UnderWay);
}
