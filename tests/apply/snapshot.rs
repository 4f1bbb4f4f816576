//! Planning from a snapshot's file: as on the host, without its secrets, and not beyond what was observed.

use crate::harness::{
    FLEET, VM, new_host, plan_from, plan_of, settled_host, snapshot_of, spec, spec_with, text,
};
use armfleet::engine::{apply, observe_all, observe_and_plan};
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::{Executor, Observer};
use armfleet::inventory::Snapshot;
use armfleet::paths::KEY;
use armfleet::plan::Policy;
use armfleet::values::Secrets;
use proptest::prelude::*;

const VALUE: &str = "geheim<17>&co";

/// A fleet with a secret in its command line and in its cloud-init, and with what the file has else.
fn secretive(user_data: &str, rest: &str, secrets: Secrets) -> Spec {
    let fleet = FLEET.replace("root=/dev/vda1", "root=/dev/vda1 key={env.KEY} ro");
    let fleet = format!("{fleet}    cloud_init: {{ user_data: user-data }}\n{rest}");
    spec_with(&fleet, &[("user-data", user_data)], secrets)
}

const USER_DATA: &str = "#cloud-config\npassword: \"{env.KEY}\"\n";

fn valued(value: &str) -> Secrets {
    Secrets::new([("KEY".to_owned(), value.to_owned())].into())
}

fn unknown() -> Secrets {
    Secrets::default().or_unknown(["KEY".to_owned()])
}

#[track_caller]
fn applied(host: &Memory, spec: &Spec) {
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, spec, &Policy::default()).unwrap();
    let outcome = apply(&executor, spec, &Policy::default(), &plan, &()).unwrap();
    assert!(
        outcome.all_done() && outcome.residual.is_empty(),
        "{outcome:?}"
    );
}

fn planned(host: &Memory, spec: &Spec) -> String {
    text(&plan_of(host, spec, &Policy::default()))
}

fn planned_from(snapshot: &str, spec: &Spec) -> String {
    text(&plan_from(snapshot, spec, &Policy::default()))
}

/// What a plan says without its remarks about values that are not known.
fn without_values(plan: &str) -> String {
    let mut lines = plan.lines();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains("the value of {env.") {
            lines.next();
        } else {
            kept.push(line);
        }
    }
    kept.join("\n").trim().to_owned()
}

#[test]
fn a_snapshot_has_no_secret_and_plans_as_the_host_does_but_for_their_values() {
    let host = settled_host();
    let spec = secretive(USER_DATA, "", valued(VALUE));
    let without = secretive(USER_DATA, "", unknown());
    for (what, state) in [
        ("new", Box::new(|_: &Memory| ()) as Box<dyn Fn(&Memory)>),
        ("applied", Box::new(|host| applied(host, &spec))),
        (
            "drifted",
            Box::new(|host| {
                host.edit_domain(VM, |text| text.replace("524288", "1048576"))
                    .unwrap()
            }),
        ),
    ] {
        state(&host);
        let snapshot = snapshot_of(&host, &spec);
        for part in ["geheim", &armfleet_key(&host)] {
            assert!(
                part.is_empty() || !snapshot.contains(part),
                "{what}: {part}"
            );
        }
        let told = planned_from(&snapshot, &without);
        assert_eq!(
            without_values(&told),
            planned(&host, &spec).trim(),
            "{what}"
        );
        let places = ["cmdline", "cloud-init files"];
        for place in places {
            let line = format!("the value of {{env.KEY}} in its {place} was not observed");
            assert!(told.contains(&line), "{what}: {told}");
        }
    }
}

/// The key of the host's digests, as its file has it.
fn armfleet_key(host: &Memory) -> String {
    let text = host
        .bytes(KEY)
        .map(|bytes| String::from_utf8(bytes).unwrap());
    let key = text
        .as_deref()
        .and_then(|text| text.split('"').find(|part| part.len() == 64));
    key.unwrap_or_default().to_owned()
}

#[test]
fn another_value_of_a_secret_is_not_told_by_a_snapshot() {
    let host = settled_host();
    applied(&host, &secretive(USER_DATA, "", valued("swordfish")));
    let snapshot = snapshot_of(&host, &secretive(USER_DATA, "", valued(VALUE)));
    assert!(!snapshot.contains("swordfish") && !snapshot.contains("geheim"));
    let told = planned_from(&snapshot, &secretive(USER_DATA, "", unknown()));
    assert!(told.contains("No changes."), "{told}");
    assert!(told.contains("was not observed"), "{told}");
}

#[test]
fn texts_without_secrets_are_compared_though_the_hosts_key_stays_there() {
    let host = settled_host();
    let with = |user_data: &str| {
        let fleet = format!("{FLEET}    cloud_init: {{ user_data: user-data }}\n");
        spec_with(&fleet, &[("user-data", user_data)], Secrets::default())
    };
    let (first, second) = (with("#cloud-config\na: 1\n"), with("#cloud-config\na: 2\n"));
    applied(&host, &first);
    for taken_for in [&first, &second] {
        let snapshot = snapshot_of(&host, taken_for);
        if taken_for == &first {
            assert!(planned_from(&snapshot, &first).contains("No changes."));
        }
        assert_eq!(planned_from(&snapshot, &second), planned(&host, &second));
    }
}

#[test]
fn what_was_not_observed_is_said_and_planned_on_nothing() {
    let host = settled_host();
    let snapshot = snapshot_of(&host, &spec(FLEET));
    let more = FLEET.replace(
        "size: 8GiB }]",
        "size: 8GiB }, { path: /srv/more.img, size: 1GiB }]",
    );
    assert_ne!(more, FLEET);
    let moved = FLEET.replace(
        "    memory:",
        "    networks: [{ bridge: br0 }]\n    memory:",
    );
    let new = format!(
        "{FLEET}  other: {{ arch: armhf, memory: 1GiB, boot: {{ cmdline: root=/dev/vda1 }}, disks: [{{ path: /srv/other.img, size: 1GiB }}] }}\n"
    );
    // A folder of which no more was seen than that it is there.
    let closer = FLEET.replace(
        "    memory:",
        "    shares: [{ tag: all, path: /srv/seed/inner }]\n    memory:",
    );
    for fleet in [&more, &moved, &new, &closer] {
        let plan = plan_from(&snapshot, &spec(fleet), &Policy::default());
        let told = text(&plan);
        assert!(!plan.is_complete(), "{told}");
        assert!(told.contains("not observed"), "{told}");
        assert_eq!(plan.steps, [], "{told}");
    }
    // What was observed is planned.
    let larger = FLEET.replace("512MiB", "1GiB");
    assert_eq!(
        planned_from(&snapshot, &spec(&larger)),
        planned(&host, &spec(&larger))
    );
}

#[test]
fn a_snapshot_of_all_serves_a_fleet_that_it_was_not_taken_for() {
    for host in [new_host(), settled_host()] {
        let (query, seen) = observe_all(&Observer(host.clone()), None).unwrap();
        let snapshot = Snapshot::new(query, seen, None).0.render().unwrap();
        let (plan, on_host) = (
            planned_from(&snapshot, &spec(FLEET)),
            planned(&host, &spec(FLEET)),
        );
        match on_host.contains("No changes.") {
            true => assert_eq!(plan, on_host),
            false => assert!(plan.contains("not observed"), "{plan}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// It comes from another machine.
    #[test]
    fn no_snapshot_panics(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[ -~]{0,8}"), 1..4),
    ) {
        thread_local!(static TEXT: String = snapshot_of(&settled_host(), &spec(FLEET)));
        let mut text = TEXT.with(Clone::clone);
        for (at, length, put) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &put);
            }
        }
        if let Ok(snapshot) = Snapshot::read(text.as_bytes()) {
            let _ = observe_and_plan(&snapshot, &spec(FLEET), &Policy::default());
        }
    }
}
