//! Saved plans: applied as they were reviewed, or not at all.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;

use armfleet::boot::SHIM;
use armfleet::fleet::{FleetSource, KeptFile, Spec, Text};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives, Reads};
use armfleet::inventory::digest;
use armfleet::paths;
use armfleet::plan::{
    MovedFact, Plan, Policy, SavedPlan, SavedPlanError, Staleness, plan, touched_paths,
};
use armfleet::problem::{ProblemKind, Problems};
use armfleet::values::{HostPath, Secrets};
use harness::applied::{applied, edit_domain, empty_host, perform, plan_on, see, spec, vm};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

fn yaml(vms: &[String]) -> String {
    format!("fleet: obs\nvms:\n{}", vms.concat())
}

fn fleet(vms: &[String]) -> Spec {
    spec(&yaml(vms))
}

fn source(text: &str) -> FleetSource {
    let file = KeptFile {
        name: "fleet.yaml".to_owned(),
        folder: "/home/me/fleet".to_owned(),
        text: text.to_owned(),
    };
    FleetSource {
        files: vec![file],
        vars: BTreeMap::new(),
        texts: BTreeMap::new(),
    }
}

/// A host with two VMs, and the file wanting more memory for one and a larger disk for the other.
fn example() -> (String, Memory) {
    let host = applied(&fleet(&[vm("a", "1GiB", ""), vm("b", "1GiB", "")]));
    let larger = vm("b", "1GiB", "").replace("8GiB", "16GiB");
    (yaml(&[vm("a", "2GiB", ""), larger]), host)
}

fn text(yaml: &str, host: &Memory, secrets: &Secrets) -> String {
    let policy = Policy::default();
    let spec = source(yaml).read(secrets.clone(), None).unwrap();
    let saved = SavedPlan::new(
        source(yaml),
        &policy,
        &plan_on(&spec, host),
        &see(&spec, host),
    );
    saved.unwrap().render().unwrap()
}

fn save(yaml: &str, host: &Memory) -> SavedPlan {
    SavedPlan::read(text(yaml, host, &Secrets::default()).as_bytes()).unwrap()
}

fn again(saved: &SavedPlan, host: &Memory) -> (Plan, Option<Staleness>) {
    again_with(saved, host, Secrets::default())
}

fn again_with(saved: &SavedPlan, host: &Memory, secrets: Secrets) -> (Plan, Option<Staleness>) {
    let spec = saved.source.read(secrets, None).unwrap();
    let seen = see(&spec, host);
    let plan = plan(&spec, &seen, &saved.policy);
    let staleness = saved.staleness(&plan, &seen);
    (plan, staleness)
}

fn stale(saved: &SavedPlan, host: &Memory) -> Staleness {
    again(saved, host).1.unwrap()
}

/// The facts that moved, as `subject: what then -> now`.
fn moved(staleness: &Staleness) -> Vec<String> {
    let words = |moved: &MovedFact| {
        let what = moved.what.as_deref().unwrap_or("it");
        let (then, now) = moved.values.clone().unwrap_or_default();
        format!("{}: {what} {then} -> {now}", moved.subject)
    };
    staleness.moved.iter().map(words).collect()
}

fn ids(steps: &[armfleet::plan::MovedStep]) -> Vec<&str> {
    steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn a_plan_reads_back_as_it_was_saved() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    let planned = plan_on(&spec(&yaml), &host);
    assert_eq!(
        (&saved.plan.steps, &saved.plan.notices),
        (&planned.steps, &planned.notices)
    );
    let (plan, staleness) = again(&saved, &host);
    assert_eq!((plan.digest(), staleness), (saved.plan.digest(), None));
}

#[test]
fn memory_changed_by_virsh_makes_it_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    edit_domain(&host, "a", "1048576", "1572864");
    let stale = stale(&saved, &host);
    assert_eq!(ids(&stale.different), ["domain/a"]);
    assert_eq!(moved(&stale), ["domain a: memory 1 GiB -> 1536 MiB"]);
    assert!(stale.gone.is_empty() && stale.new.is_empty());
}

#[test]
fn a_disk_grown_by_hand_makes_it_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    host.truncate("/srv/b.img", 16 << 30).unwrap();
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["disk/b/b", "record/b"]);
    let values = ["/srv/b.img: size 8 GiB -> 16 GiB"];
    assert!(
        moved(&stale).contains(&values[0].to_owned()),
        "{:?}",
        moved(&stale)
    );
}

#[test]
fn a_replaced_hook_makes_it_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    // As long as ours, and another one.
    let other = SHIM.replace("/bin/sh", "/bin/SH");
    host.put_file(paths::SHIM, other).unwrap();
    host.own(paths::SHIM, 0o755, ROOT).unwrap();
    let stale = stale(&saved, &host);
    assert_eq!(ids(&stale.new), ["hook/qemu", "reload/libvirtd"]);
    assert_eq!(moved(&stale), [format!("{}: contents  -> ", paths::SHIM)]);
}

#[test]
fn a_deleted_share_makes_it_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    host.remove("/srv/a-boot");
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["domain/a", "record/a"]);
    assert_eq!(moved(&stale), ["/srv/a-boot: it folder -> absent"]);
}

#[test]
fn a_network_that_was_stopped_and_a_bridge_that_went_make_it_stale() {
    let host = empty_host();
    host.put_network("farm", true, true);
    host.put_network_device("br0", true);
    host.put_network_device("vnet0", false);
    let yaml = yaml(&[vm(
        "a",
        "1GiB",
        ", networks: [{ network: farm }, { bridge: br0 }]",
    )]);
    let saved = save(&yaml, &host);
    // What libvirt makes for domains comes and goes.
    host.put_network_device("vnet1", false);
    assert!(again(&saved, &host).1.is_none());
    host.put_network("farm", false, true);
    host.put_network_device("br0", false);
    let stale = stale(&saved, &host);
    assert!(stale.gone.contains(&"domain/a".to_owned()), "{stale:?}");
    assert_eq!(
        moved(&stale),
        [
            "network device br0: it bridge -> device",
            "network farm: state active -> not active"
        ]
    );
}

#[test]
fn a_vm_that_was_started_or_stopped_makes_it_stale() {
    let (yaml, host) = example();
    host.destroy("a").unwrap();
    let saved = save(&yaml, &host);
    host.start(&host.uuid_of("a").unwrap()).unwrap();
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["start/a"]);
    assert_eq!(moved(&stale), ["domain a: state off -> running"]);
}

#[test]
fn an_edited_record_makes_it_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    let path = "/var/lib/armfleet/vms/b/record.json";
    // As long as ours, and another fleet's.
    let record = String::from_utf8(host.bytes(path).unwrap()).unwrap();
    let other = record.replace("\"obs\"", "\"web\"");
    host.put_file(path, other).unwrap();
    host.own(path, 0o600, ROOT).unwrap();
    let stale = stale(&saved, &host);
    assert_eq!(ids(&stale.different), ["record/b"]);
    assert_eq!(moved(&stale), [format!("{path}: contents  -> ")]);
}

#[test]
fn what_no_step_rests_on_may_move() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    host.put_guest_file("/srv/a-boot", "config", "kept")
        .unwrap();
    assert_eq!(again(&saved, &host).1, None);
}

#[test]
fn the_fleet_file_is_not_looked_at_again() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    assert_eq!(saved.source.read(Secrets::default(), None), Ok(spec(&yaml)));
    assert_eq!(again(&saved, &host).1, None);
}

#[test]
fn an_applied_plan_is_stale() {
    let (yaml, host) = example();
    let saved = save(&yaml, &host);
    let after = perform(&host, &saved.plan);
    assert!(stale(&saved, &after).gone.contains(&"domain/a".to_owned()));
}

#[test]
fn an_incomplete_plan_cannot_be_saved() {
    let (yaml, host) = example();
    host.make_unreadable("/srv/b.img", "a bad sector");
    let spec = spec(&yaml);
    let (plan, seen) = (plan_on(&spec, &host), see(&spec, &host));
    let saved = SavedPlan::new(source(&yaml), &Policy::default(), &plan, &seen);
    let error = saved.unwrap_err();
    assert!(error.to_string().contains("a bad sector"), "{error}");
}

#[test]
fn a_file_that_is_no_plan_of_this_version_is_refused() {
    let (yaml, host) = example();
    let text = text(&yaml, &host, &Secrets::default());
    let read = |text: &str| SavedPlan::read(text.as_bytes()).unwrap_err();
    let version = format!("\"armfleet\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(
        matches!(read(&text.replace(&version, "\"armfleet\": \"99.0.0\"")), SavedPlanError::OtherVersion(other) if other == "99.0.0")
    );
    assert!(matches!(
        read(&text.replace("saved-plan/2", "saved-plan/1")),
        SavedPlanError::OtherFormat(_)
    ));
    for hostile in [
        text[..text.len() / 2].to_owned(),
        String::new(),
        text.replace("/srv/b.img", "/srv/../etc/b.img"),
        text.replace("\"vm\": \"a\"", "\"vm\": \"../a\""),
        text.replace("\"steps\"", "\"setps\""),
    ] {
        assert!(matches!(read(&hostile), SavedPlanError::NotAPlan(_)));
    }
}

/// What is wrong with the fleet file of a plan whose text was edited.
fn problems(text: &str) -> Vec<ProblemKind> {
    let saved = SavedPlan::read(text.as_bytes()).unwrap();
    let problems: Problems = saved.source.read(Secrets::default(), None).unwrap_err();
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn every_check_of_the_fleet_file_runs_on_a_plan_again() {
    let logged = yaml(&[vm("a", "2GiB", ", console: { log: /var/log/a.log }")]);
    let text = text(&logged, &empty_host(), &Secrets::default());
    for (then, now, code) in [
        ("/var/log/a.log", "/etc/cron.d/x", ProblemKind::PathRefused),
        ("/srv/a.img", "/etc/evil.img", ProblemKind::PathRefused),
        (
            "arch: armhf",
            "arch: armhf, boot.share: /etc",
            ProblemKind::UnknownKey,
        ),
        (
            "cmdline: console",
            "share: /etc/newshare, cmdline: console",
            ProblemKind::PathRefused,
        ),
        (
            "cmdline: console",
            "share: /opt, cmdline: console",
            ProblemKind::ShareTooGeneral,
        ),
        ("memory: 2GiB", "memory: 9GiB", ProblemKind::MemoryRange),
        ("/srv/a.img", "/srv/a-boot/a.img", ProblemKind::SharedPath),
        ("/srv/a.img", "/srv/a.vmdk", ProblemKind::NotSupportedYet),
    ] {
        assert!(text.contains(then), "{then}");
        assert_eq!(problems(&text.replace(then, now)), [code], "{now}");
    }
}

#[test]
fn a_plan_whose_steps_alone_were_edited_is_stale() {
    let (yaml, host) = example();
    let text = text(&yaml, &host, &Secrets::default());
    let edited = text.replace("\"to\": 17179869184", "\"to\": 99999999999");
    assert!(edited != text);
    let saved = SavedPlan::read(edited.as_bytes()).unwrap();
    assert_eq!(ids(&stale(&saved, &host).different), ["disk/b/b"]);
}

#[test]
fn a_plan_names_every_path_that_it_touches() {
    let spec = fleet(&[vm("a", "1GiB", ", console: { log: /var/log/a.log }")]);
    let host = empty_host();
    let touched = touched_paths(&plan_on(&spec, &host), &spec);
    let lines: Vec<String> = touched
        .iter()
        .map(|touched| format!("{} {}", touched.path, touched.what))
        .collect();
    assert_eq!(
        lines,
        [
            "/etc/libvirt/hooks/qemu.d/50-armfleet libvirt's hook: written",
            "/run/armfleet locks",
            "/run/libvirtd.pid libvirt's daemon: made to look for hooks",
            "/srv/a-boot created, owner and mode set; boot share of a",
            "/srv/a.img created; disk a of a",
            "/srv/seed/initrd.img seed of a: copied",
            "/srv/seed/vmlinuz seed of a: copied",
            "/var/lib/armfleet records, kernels, history and journal",
            "/var/log/a.log console log of a",
        ]
    );
    let spec = fleet(&[vm("a", "1GiB", "")]);
    assert_eq!(touched_paths(&plan_on(&spec, &applied(&spec)), &spec), []);
}

fn key(value: &str) -> Secrets {
    Secrets::new(BTreeMap::from([("KEY".to_owned(), value.to_owned())]))
}

/// A fleet with a secret, and a host where it was applied with this value.
fn keyed(value: &str) -> (String, Memory) {
    let yaml = |memory| {
        let vms = [vm("a", memory, "").replace("root=/dev/vda1", "key={env.KEY}")];
        yaml(&vms).replace(
            "cmdline: console=ttyAMA0 key={env.KEY}",
            "cmdline: \"console=ttyAMA0 key={env.KEY}\"",
        )
    };
    let host = applied(&source(&yaml("1GiB")).read(key(value), None).unwrap());
    (yaml("2GiB"), host)
}

#[test]
fn a_saved_plan_holds_the_template_of_a_secret_and_no_value() {
    let (yaml, host) = keyed("geheim-17<&");
    for value in ["geheim-17<&", "hunter2\"é"] {
        let text = text(&yaml, &host, &key(value));
        for part in ["geheim-17", "hunter2"] {
            assert!(!text.contains(part), "{text}");
        }
        let saved = SavedPlan::read(text.as_bytes()).unwrap();
        assert_eq!(again_with(&saved, &host, key(value)).1, None);
        let (plan, _) = again_with(&saved, &host, key(value));
        assert_eq!(plan.digest(), saved.plan.digest());
        let steps = serde_json::to_string(&plan.steps).unwrap();
        assert!(!steps.contains("hunter2"), "{steps}");
        let problems = saved.source.read(Secrets::default(), None).unwrap_err();
        let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [ProblemKind::Environment]);
        let shown = saved.source.read_templates().unwrap();
        assert_eq!(shown.vms.len(), 1);
    }
}

/// Without the variable nothing in the fleet file tells which part of the domain's command line is a secret.
#[test]
fn a_secret_that_the_fleet_file_names_no_more_is_not_saved() {
    let (keyed, host) = keyed("geheim-17<&");
    let others = yaml(&[vm("b", "1GiB", "")]);
    for yaml in [keyed.replace(" key={env.KEY}", " quiet"), others] {
        let saved = text(&yaml, &host, &Secrets::default());
        assert!(!saved.contains("geheim"), "{saved}");
        let saved = SavedPlan::read(saved.as_bytes()).unwrap();
        assert_eq!(again(&saved, &host).1, None);
    }
}

/// A running domain keeps its command line until it stops.
#[test]
fn the_template_of_a_former_secret_is_kept_as_long_as_the_domain_has_it() {
    let (keyed, host) = keyed("geheim-17<&");
    let quiet = |memory: &str| {
        let yaml = keyed.replace(" key={env.KEY}", " quiet");
        spec(&yaml.replace("2GiB", memory))
    };
    let templates = |host: &Memory| -> Vec<String> {
        let seen = see(&quiet("2GiB"), host);
        let record = seen.record(&"a".parse().unwrap());
        let record = record.present().and_then(|seen| seen.good()).unwrap();
        record.secret_cmdlines.iter().cloned().collect()
    };
    let template = "console=ttyAMA0 key={env.KEY}";
    assert_eq!(templates(&host), [template]);
    let live = live_of(&host);
    assert!(live.contains("geheim"), "{live}");
    let host = perform(&host, &plan_on(&quiet("2GiB"), &host));
    assert_eq!(templates(&host), [template]);
    let plan = plan_on(&quiet("3GiB"), &host);
    assert!(!plan.redaction.secrets().redact(&live).contains("geheim"));
    let host = perform(&host, &plan);
    assert_eq!(templates(&host), [template]);
    host.destroy("a").unwrap();
    host.start(&host.uuid_of("a").unwrap()).unwrap();
    let host = perform(&host, &plan_on(&quiet("1GiB"), &host));
    assert_eq!(templates(&host), [""; 0]);
}

fn live_of(host: &Memory) -> String {
    let domain = host.domain(&host.uuid_of("a").unwrap()).unwrap();
    domain.live.present().unwrap().clone()
}

#[test]
fn the_secret_of_now_is_compared_with_the_domain() {
    let (yaml, host) = keyed("geheim-17");
    let saved = |value| SavedPlan::read(text(&yaml, &host, &key(value)).as_bytes()).unwrap();
    // The domain has this value, so that the cmdline is no part of the plan; with another value it becomes one.
    let (_, staleness) = again_with(&saved("geheim-17"), &host, key("hunter2"));
    let changes = |staleness: &Staleness| -> Vec<String> {
        let changes = staleness.different.iter().flat_map(|step| &step.changes);
        changes.map(|change| change.what.to_string()).collect()
    };
    let staleness = staleness.unwrap();
    assert_eq!(changes(&staleness), ["memory", "cmdline"]);
    assert_eq!(moved(&staleness), [""; 0]);
    // What was planned to change still does, whichever value it becomes.
    assert_eq!(
        again_with(&saved("hunter2"), &host, key("swordfish")).1,
        None
    );
    let (_, staleness) = again_with(&saved("hunter2"), &host, key("geheim-17"));
    assert_eq!(changes(&staleness.unwrap()), ["memory"]);
}

#[test]
fn a_secret_may_be_a_part_of_other_words() {
    let (yaml, host) = keyed("copy");
    let saved = SavedPlan::read(text(&yaml, &host, &key("copy")).as_bytes()).unwrap();
    assert_eq!(again_with(&saved, &host, key("copy")).1, None);
}

#[test]
fn a_plan_without_the_values_of_secrets_is_not_saved() {
    let (yaml, host) = keyed("geheim-17");
    let spec = source(&yaml).read_templates().unwrap();
    let (plan, seen) = (plan_on(&spec, &host), see(&spec, &host));
    let saved = SavedPlan::new(source(&yaml), &Policy::default(), &plan, &seen);
    let error = saved.unwrap_err();
    assert!(
        error.to_string().ends_with("without the values of KEY"),
        "{error}"
    );
}

#[test]
fn the_first_step_of_a_domain_says_what_it_expects() {
    let host = applied(&fleet(&[vm("a", "1GiB", "")]));
    let stopped = fleet(&[vm("a", "1GiB", ", state: stopped, autostart: false")]);
    let plan = plan_on(&stopped, &host);
    let expecting: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.expects.is_some())
        .collect();
    let [first] = expecting.as_slice() else {
        panic!("{:#?}", plan.steps);
    };
    assert_eq!(first.id.to_string(), "autostart/a");
    let domain = host.domain(&host.uuid_of("a").unwrap()).unwrap();
    let definition = domain.inactive.present().unwrap();
    assert_eq!(first.expects.as_ref(), Some(&digest(definition)));
    assert!(
        plan_on(&stopped, &empty_host())
            .steps
            .iter()
            .all(|step| step.expects.is_none())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // What a variable held before is found by its place in the command line, where a space begins another word.
    #[test]
    fn whatever_the_secrets_are_they_are_not_saved(old in "[!#-~é]{8,20}", new in "[ -~é]{8,20}") {
        let (yaml, _) = keyed("geheim-17");
        let source = source(&yaml);
        let (Ok(before), Ok(_)) = (source.read(key(&old), None), source.read(key(&new), None)) else {
            // No kernel command line can hold it.
            return Ok(());
        };
        prop_assume!(!yaml.contains(&old) && !yaml.contains(&new));
        let host = applied(&before);
        let text = text(&yaml, &host, &key(&new));
        for secret in [&old, &new] {
            let json = serde_json::to_string(secret).unwrap();
            prop_assert!(!text.contains(secret.as_str()) && !text.contains(json.trim_matches('"')));
        }
        let saved = SavedPlan::read(text.as_bytes()).unwrap();
        let (plan, staleness) = again_with(&saved, &host, key(&new));
        prop_assert_eq!(staleness, None);
        prop_assert_eq!(plan.digest(), saved.plan.digest());
    }

    #[test]
    fn no_damage_makes_it_panic(at in 0usize..20_000, byte in 0x20u8..0x7f) {
        let (yaml, host) = example();
        let mut text = text(&yaml, &host, &Secrets::default()).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(saved) = SavedPlan::read(&text)
            && saved.source.read(Secrets::default(), None).is_ok()
        {
            let _any = again(&saved, &host);
        }
    }
}

/// A fleet of one VM with user data, as a saved plan keeps it, and how it reads with this text.
fn with_user_data(text: &str, identity: &str) -> (FleetSource, Spec) {
    let kept = yaml(&[vm("a", "1GiB", ", cloud_init: { user_data: user-data }")]);
    let path: HostPath = "/home/me/fleet/user-data".parse().unwrap();
    let found = Text {
        name: "user-data".to_owned(),
        content: Ok(text.as_bytes().to_vec()),
        identity: Some(identity.to_owned()),
    };
    let texts = BTreeMap::from([(path, found)]);
    let mut source = source(&kept);
    source.texts = FleetSource::kept_texts(&texts);
    let spec = source.read(Secrets::default(), Some(texts)).unwrap();
    (source, spec)
}

/// The text that was reviewed is the one that is applied, and is not in the plan.
#[test]
fn another_user_data_than_was_planned_is_not_applied() {
    let saved_on = |host: &Memory, text: &str| {
        let (source, spec) = with_user_data(text, "1");
        let plan = plan_on(&spec, host);
        let saved = SavedPlan::new(source, &Policy::default(), &plan, &see(&spec, host)).unwrap();
        let text_of = saved.render().unwrap();
        assert!(!text_of.contains("geheim"), "{text_of}");
        SavedPlan::read(text_of.as_bytes()).unwrap()
    };
    let stale = |saved: &SavedPlan, host: &Memory, text: &str| {
        let (_, spec) = with_user_data(text, "1");
        let again = plan_on(&spec, host);
        saved.staleness(&again, &see(&spec, host)).is_some()
    };
    let (first, second) = ("#cloud-config\n# geheim\n", "#cloud-config\n# other\n");
    // With a key of the host, its digest tells.
    let host = applied(&with_user_data(first, "1").1);
    let saved = saved_on(&host, second);
    assert!(!stale(&saved, &host, second) && stale(&saved, &host, "#cloud-config\n"));
    let moved = |saved: &SavedPlan, identity: &str| {
        let (source, _) = with_user_data(first, identity);
        saved.moved_text(&source.texts).is_some()
    };
    assert!(!moved(&saved, "2"), "the digest tells");
    // Without one, it has to be the same file.
    let saved = saved_on(&empty_host(), first);
    assert!(!moved(&saved, "1") && moved(&saved, "2"));
    assert!(saved.moved_text(&BTreeMap::new()).is_some());
}
