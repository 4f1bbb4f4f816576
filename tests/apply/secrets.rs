//! What a fleet takes from the environment: the domain has it, and every plan, record and journal has the template.

use crate::harness::{FLEET, RECORD, UUID, VM, observe_for, settled_host};
use armfleet::domain::Cause;
use armfleet::engine::{apply, observe_and_plan};
use armfleet::fleet::{FleetFile, Given, Spec, read_files};
use armfleet::host::Executor;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives as _, Reads as _};
use armfleet::inventory::Inventory;
use armfleet::mark::{Record, read_record};
use armfleet::paths::{JOURNAL, KEY};
use armfleet::plan::{Act, Plan, Policy, plan};
use armfleet::values::Secrets;
use std::collections::BTreeMap;

/// What the file has after `root=/dev/vda1`.
fn spec(rest: &str, values: &[(&str, &str)]) -> Spec {
    with_secrets(rest, Secrets::new(texts(values)))
}

fn with_secrets(rest: &str, secrets: Secrets) -> Spec {
    let fleet = FLEET.replace("root=/dev/vda1", &format!("root=/dev/vda1{rest}"));
    let file = FleetFile {
        name: "fleet.yaml",
        folder: "/fleet",
        bytes: fleet.as_bytes(),
    };
    let vars = BTreeMap::new();
    read_files(
        &[file],
        &Given {
            vars,
            secrets,
            ..Given::default()
        },
    )
    .unwrap()
}

fn texts(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    let texts = values.iter();
    texts
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn planned(host: &Memory, spec: &Spec) -> Plan {
    plan(spec, &see(host, spec), &Policy::default())
}

fn see(host: &Memory, spec: &Spec) -> Inventory {
    Inventory::read(observe_for(host, spec), spec)
}

/// Applies a fleet, after which there is nothing to do.
#[track_caller]
fn applied(host: &Memory, spec: &Spec) {
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, spec, &Policy::default()).unwrap();
    let outcome = apply(&executor, spec, &Policy::default(), &plan, &()).unwrap();
    assert!(outcome.all_done(), "{:?}", outcome.ended);
    assert!(outcome.residual.is_empty(), "{:?}", outcome.residual.steps);
}

/// How a plan changes the command line, and why.
fn change(host: &Memory, spec: &Spec) -> Option<(String, String, Option<Cause>)> {
    let plan = planned(host, spec);
    let mut changes = plan.steps.iter().flat_map(|step| &step.changes);
    let change = changes.find(|change| change.what.to_string() == "cmdline")?;
    let text = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or_default();
        let cmdline = text.strip_prefix("console=ttyAMA0 root=/dev/vda1");
        cmdline.unwrap_or(text).to_owned()
    };
    Some((text(&change.before), text(&change.after), change.cause))
}

fn record(host: &Memory) -> Record {
    read_record(&host.bytes(RECORD).unwrap()).unwrap()
}

fn edit_cmdline(host: &Memory, from: &str, to: &str) {
    let edit = |text: &str| {
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    };
    host.edit_domain(VM, edit).unwrap();
}

#[test]
fn the_record_keeps_the_template_and_a_keyed_digest() {
    let host = settled_host();
    let keyed = |value| spec(" key={env.KEY}", &[("KEY", value)]);
    applied(&host, &keyed("hunter2"));
    assert!(host.dump_secure(UUID).unwrap().contains("key=hunter2<"));
    let first = record(&host);
    let template = "console=ttyAMA0 root=/dev/vda1 key={env.KEY}";
    assert_eq!(first.applied.cmdline(), Some(template));
    assert_eq!(change(&host, &keyed("hunter2")), None);
    // Another value is a change of what is wanted, by the digest.
    let other = change(&host, &keyed("swordfish")).unwrap();
    let (former, present) = (" key={a former env.KEY}", " key={env.KEY}");
    let file_changed = Some(Cause::FileChanged);
    assert_eq!(other, (former.into(), present.into(), file_changed));
    applied(&host, &keyed("swordfish"));
    let second = record(&host);
    assert_eq!(second.applied.cmdline(), Some(template));
    assert!(first.cmdline_digest.is_some() && first.cmdline_digest != second.cmdline_digest);
    for value in ["hunter2", "swordfish"] {
        for path in [RECORD, JOURNAL, KEY] {
            let text = String::from_utf8(host.bytes(path).unwrap()).unwrap();
            assert!(!text.contains(value), "{path}: {text}");
        }
    }
}

#[test]
fn an_inventory_and_a_plan_hold_no_secret() {
    let host = settled_host();
    let values = [("ONE", "geheim<17>"), ("TWO", "geheim<17>&co")];
    let keyed = spec(" pair={env.ONE}:{env.TWO} \\\"{env.ONE}\\\"", &values);
    let silent = |spec: &Spec| {
        let seen = see(&host, spec);
        let plan = plan(spec, &seen, &Policy::default());
        let json = serde_json::to_string(&plan).unwrap();
        for text in [
            format!("{spec:?}"),
            format!("{seen:?}"),
            format!("{plan:?}"),
            json,
        ] {
            assert!(!text.contains("geheim"), "{text}");
        }
    };
    silent(&keyed);
    applied(&host, &keyed);
    assert!(
        host.dump_secure(UUID)
            .unwrap()
            .contains("pair=geheim&lt;17&gt;:geheim&lt;17&gt;&amp;co ")
    );
    silent(&keyed);
    silent(&spec(" quiet", &[]));
    edit_cmdline(&host, "pair=", "quiet pair=");
    silent(&keyed);
    silent(&spec(" quiet", &[]));
}

#[test]
fn what_a_hand_wrote_is_hidden_where_it_is_no_word_of_a_template() {
    for (rest, edited, dropped) in [
        // The same form with another value.
        (
            " key=byhand7 ro",
            " key={a former env.KEY} ro",
            " key={a former env.KEY} ro",
        ),
        // Words moved, added or left out.
        (" ro key=byhand7", " ro {hidden}", " ro {hidden}"),
        (" ro key=hunter2", " ro {hidden}", " ro {hidden}"),
        (
            " key=hunter2 ro debug",
            " {hidden} ro {hidden}",
            " {hidden} ro {hidden}",
        ),
        (" quiet", " {hidden}", " quiet"),
        (" ab ro", " {hidden} ro", " {hidden} ro"),
        (
            " key={env.KEY} ro",
            " key={a former env.KEY} ro",
            " key={a former env.KEY} ro",
        ),
    ] {
        let host = settled_host();
        let keyed = spec(" key={env.KEY} ro", &[("KEY", "hunter2")]);
        applied(&host, &keyed);
        edit_cmdline(&host, " key=hunter2 ro", rest);
        let (before, after, cause) = change(&host, &keyed).unwrap();
        assert_eq!(
            (before.as_str(), after.as_str()),
            (edited, " key={env.KEY} ro")
        );
        assert_eq!(cause, Some(Cause::Drifted), "{rest}");
        let quiet = spec(" quiet", &[]);
        let before = change(&host, &quiet).map_or(" quiet".to_owned(), |(before, ..)| before);
        assert_eq!(before, dropped, "{rest}");
        applied(&host, &keyed);
        assert_eq!(change(&host, &keyed), None);
    }
}

/// The record of a version that knew no templates.
fn record_of_an_earlier_version(host: &Memory) {
    let mut record = record(host);
    record.secret_cmdlines.clear();
    record.cmdline_digest = None;
    let domain = host.domain(UUID).unwrap();
    let cmdline = armfleet::inventory::cmdline(domain.inactive.present().unwrap()).unwrap();
    let row = armfleet::mark::CMDLINE;
    record.applied.rows.insert(row, cmdline);
    let text = armfleet::mark::render_record(&record).unwrap();
    host.put_file(RECORD, text).unwrap();
}

#[test]
fn a_record_of_an_earlier_version_counts_as_secret_where_the_file_names_one() {
    let host = settled_host();
    applied(&host, &spec(" key={env.KEY} ro", &[("KEY", "hunter2")]));
    record_of_an_earlier_version(&host);
    let same = spec(" key={env.KEY} ro", &[("KEY", "hunter2")]);
    assert_eq!(planned(&host, &same).steps, []);
    for (rest, before) in [
        (" key={env.KEY} ro", " key={a former env.KEY} ro"),
        (" ro key={env.KEY}", " {hidden} ro"),
    ] {
        let other = spec(rest, &[("KEY", "swordfish")]);
        let change = change(&host, &other).unwrap();
        let file_changed = Some(Cause::FileChanged);
        assert_eq!(change, (before.to_owned(), rest.to_owned(), file_changed));
        let seen = see(&host, &other);
        let facts = format!("{seen:?}");
        assert!(!facts.contains("hunter2"), "{facts}");
    }
    // What only the record has still is hidden in whatever is printed.
    let without_domain = host.fork();
    without_domain.destroy(VM).unwrap();
    without_domain.undefine_domain(VM).unwrap();
    let seen = see(
        &without_domain,
        &spec(" key={env.KEY} ro", &[("KEY", "swordfish")]),
    );
    let said = seen.redaction.secrets().redact("no file hunter2");
    assert_eq!(said, "no file {a former env.KEY}");
    applied(&host, &spec(" key={env.KEY} ro", &[("KEY", "swordfish")]));
    assert!(record(&host).cmdline_digest.is_some());
}

#[test]
fn without_the_hosts_key_no_digest_is_compared() {
    let host = settled_host();
    let keyed = spec(" key={env.KEY} ro", &[("KEY", "hunter2")]);
    applied(&host, &keyed);
    let first = record(&host).cmdline_digest;
    host.remove(KEY);
    assert_eq!(change(&host, &keyed), None);
    let (.., cause) = change(&host, &spec(" key={env.KEY} ro", &[("KEY", "swordfish")])).unwrap();
    assert_eq!(cause, Some(Cause::FileChanged));
    // The next apply makes another key, and keeps digests by that.
    applied(&host, &keyed);
    assert!(host.bytes(KEY).is_some());
    assert_eq!(record(&host).cmdline_digest, first);
}

#[test]
fn a_key_that_another_user_could_have_made_is_not_used() {
    let host = settled_host();
    let keyed = spec(" key={env.KEY} ro", &[("KEY", "hunter2")]);
    host.put_file(KEY, "{}").unwrap();
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, &keyed, &Policy::default()).unwrap();
    let outcome = apply(&executor, &keyed, &Policy::default(), &plan, &()).unwrap();
    assert!(!outcome.all_done());
}

#[test]
fn a_secret_without_a_value_is_compared_with_nothing() {
    let host = settled_host();
    let unknown = |rest: &str| {
        let names = ["KEY".to_owned()];
        with_secrets(rest, Secrets::default().or_unknown(names))
    };
    applied(&host, &spec(" key={env.KEY} ro", &[("KEY", "hunter2 17")]));
    let same = planned(&host, &unknown(" key={env.KEY} ro"));
    assert_eq!(same.steps, []);
    let notices: Vec<_> = same.notices.iter().map(|notice| &notice.what).collect();
    assert!(
        notices.contains(&&"the value of {env.KEY} in its cmdline was not observed".to_owned()),
        "{notices:?}"
    );
    // The words around it are compared, and so are all other rows.
    let (before, after, _) = change(&host, &unknown(" key={env.KEY} rw")).unwrap();
    assert_eq!(
        (before.as_str(), after.as_str()),
        (" key={env.KEY} ro", " key={env.KEY} rw")
    );
    edit_cmdline(&host, " ro", " rw");
    let (before, ..) = change(&host, &unknown(" key={env.KEY} ro")).unwrap();
    assert!(
        !before.contains("hunter2") && before.contains("{hidden}"),
        "{before}"
    );
}

#[test]
fn only_drift_is_put_right_with_the_former_value_in_the_record() {
    let host = settled_host();
    applied(&host, &spec(" key={env.KEY} ro", &[("KEY", "hunter2")]));
    let before = record(&host);
    let other = spec(" key={env.KEY} ro", &[("KEY", "swordfish")]);
    host.edit_domain(VM, |text| text.replace("524288", "1048576"))
        .unwrap();
    let policy = Policy {
        drift_only: true,
        ..Policy::default()
    };
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, &other, &policy).unwrap();
    assert!(!plan.is_empty());
    let outcome = apply(&executor, &other, &policy, &plan, &()).unwrap();
    assert!(outcome.all_done(), "{:?}", outcome.ended);
    let after = record(&host);
    assert_eq!(after.applied.cmdline(), before.applied.cmdline());
    assert_eq!(after.cmdline_digest, before.cmdline_digest);
    assert!(host.dump_secure(UUID).unwrap().contains("key=hunter2 "));
}

/// Between a plan and its apply: the definition is another one, though its template is the same.
#[test]
fn a_value_that_was_changed_after_the_plan_is_noticed() {
    let host = settled_host();
    let keyed = spec(" key={env.KEY} ro", &[("KEY", "hunter2")]);
    applied(&host, &keyed);
    let more = {
        let mut more = keyed.clone();
        let vm = more.vms.values_mut().next().unwrap();
        vm.memory = "1GiB".parse().unwrap();
        more
    };
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, &more, &Policy::default()).unwrap();
    let defines = |plan: &Plan| {
        plan.steps
            .iter()
            .any(|step| matches!(step.act, Act::Define { .. }))
    };
    assert!(defines(&plan));
    edit_cmdline(&host, "key=hunter2", "key=byhand7");
    let outcome = apply(&executor, &more, &Policy::default(), &plan, &()).unwrap();
    assert!(!outcome.all_done());
    assert!(defines(&outcome.residual));
}

/// What stands for a hidden word means nothing in a fleet file.
#[test]
fn words_that_look_hidden_are_words() {
    let host = settled_host();
    let keyed = spec(" key={env.KEY} {{hidden}}", &[("KEY", "hunter2")]);
    applied(&host, &keyed);
    let cmdline = record(&host).applied.cmdline().map(str::to_owned);
    assert!(cmdline.unwrap().ends_with(" key={env.KEY} {hidden}"));
    assert_eq!(change(&host, &keyed), None);
}
