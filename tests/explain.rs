//! Whatever can be written in a fleet file, and whatever can be wrong with one, is explained, and truly so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use armfleet::fleet::explain::{KeyText, KeyTopic, ProblemTopic, Topic, explain, topics};
use armfleet::fleet::{Spec, read_fleet};
use armfleet::problem::{HostCheck, ProblemKind};
use armfleet::report::{Paint, render_topic_list, render_topics};
use serde_yaml::{Mapping, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// A file with everything that must be given, and every map that a key can be in.
const BASE: &str = "
fleet: obs-workers
vars: { release: { default: trixie } }
profiles: { worker: {} }
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0, seed: { kernel: a, initrd: b } }
    disks: [{ path: /srv/scratch.img, size: 1GiB }]
    networks: [{ network: default }]
    shares: [{ tag: scratch, path: /srv/shared }]
    cloud_init: { user_data: c }
    console: {}
";

fn keys() -> Vec<KeyTopic> {
    let keys = topics().into_iter().filter_map(|topic| match topic {
        Topic::Key(topic) => Some(topic),
        Topic::Problem(_) | Topic::HostCheck(_) => None,
    });
    keys.collect()
}

fn explained_keys() -> Vec<(String, KeyText)> {
    let keys = keys().into_iter();
    keys.filter_map(|topic| Some((topic.key, topic.about?)))
        .collect()
}

fn read(value: &Value) -> Spec {
    let text = serde_yaml::to_string(&with_system_disk(value.clone())).unwrap();
    read_fleet(text.as_bytes(), "fleet.yaml", "/home/me/fleet")
        .unwrap_or_else(|problems| panic!("{text}{problems:#?}"))
}

/// The base with a piece of a file merged over it; of a list, the first entry.
fn merged(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Mapping(mut base), Value::Mapping(over)) => {
            for (key, value) in over {
                let below = base.remove(&key).unwrap_or(Value::Null);
                base.insert(key, merged(below, value));
            }
            base.into()
        }
        (Value::Sequence(mut base), Value::Sequence(over)) if !base.is_empty() => {
            let first = over.into_iter().next().unwrap();
            base[0] = merged(base[0].clone(), first);
            base.into()
        }
        (_, over) => over,
    }
}

/// The base with an installer instead of a seed.
fn with_installer(mut base: Value) -> Value {
    let vm = &mut base["vms"]["armhf-vm"];
    vm["boot"].as_mapping_mut().unwrap().remove("seed").unwrap();
    vm["install"] = serde_yaml::from_str("{ kernel: a, initrd: b, cmdline: c }").unwrap();
    base
}

/// The same with a system disk in front of one that is made anew at each start, which cannot be the first.
fn with_system_disk(mut fleet: Value) -> Value {
    let disks = &mut fleet["vms"]["armhf-vm"]["disks"];
    if disks[0].get("fresh").is_some() {
        let system = serde_yaml::from_str("{ path: /srv/system.img, size: 1GiB }").unwrap();
        disks.as_sequence_mut().unwrap().insert(0, system);
    }
    fleet
}

/// The base without a network for an example that has one of its own, and with a disk that can have the example's keys.
fn fitting(mut base: Value, example: &Value) -> Value {
    let networks = &example["vms"]["armhf-vm"]["networks"];
    let is_source = |key: &&str| networks[0].get(key).is_some();
    if ["bridge", "direct", "user"].iter().any(is_source) {
        let vm = base["vms"]["armhf-vm"].as_mapping_mut().unwrap();
        vm.remove("networks").unwrap();
    }
    // What lies over a base image is a qcow2 image, and a base image has a path.
    let disk = &mut base["vms"]["armhf-vm"]["disks"][0];
    for key in ["from", "backing"] {
        if example["vms"]["armhf-vm"]["disks"][0].get(key).is_some() {
            disk["path"] = "/srv/scratch.qcow2".into();
            disk[key] = serde_yaml::from_str("{ path: /srv/base.img }").unwrap();
        }
    }
    base
}

/// A piece of a file with another value at its last key.
fn with_value(piece: &Value, value: &Value) -> Value {
    match piece {
        Value::Mapping(map) if map.len() == 1 => {
            let inner = map.iter().map(|(key, inner)| match inner {
                Value::Mapping(_) | Value::Sequence(_) => (key.clone(), with_value(inner, value)),
                _ => (key.clone(), value.clone()),
            });
            inner.collect::<Mapping>().into()
        }
        Value::Sequence(list) => list.iter().map(|inner| with_value(inner, value)).collect(),
        other => panic!("{other:?} is not one key below the other"),
    }
}

fn is_sentence(text: &str) -> bool {
    text.len() > 15
        && text.ends_with('.')
        && !text.starts_with(char::is_whitespace)
        && !text.contains("  ")
        && !text.contains('\n')
}

#[test]
fn every_key_is_explained_in_sentences() {
    for (key, about) in explained_keys() {
        assert!(is_sentence(about.meaning), "{key}: {:?}", about.meaning);
        assert!(!about.value.is_empty(), "{key}");
        assert!(!about.effect.ends_with('.'), "{key}");
        let absence = about.absence.unwrap_or_default();
        assert!(!absence.ends_with('.'), "{key}: {absence}");
    }
}

#[test]
fn every_problem_is_explained_in_sentences() {
    let problems = topics().into_iter().filter_map(|topic| match topic {
        Topic::Problem(topic) | Topic::HostCheck(topic) => Some(topic),
        Topic::Key(_) => None,
    });
    let problems: Vec<&ProblemTopic> = problems.collect();
    assert_eq!(
        problems.len(),
        ProblemKind::ALL.len() + HostCheck::ALL.len()
    );
    for topic in problems {
        for text in [topic.meaning, topic.why, topic.remedy] {
            assert!(is_sentence(text), "{}: {text:?}", topic.code);
        }
    }
}

#[test]
fn every_key_has_an_example_that_is_valid() {
    let base: Value = serde_yaml::from_str(BASE).unwrap();
    let installed = with_installer(base.clone());
    for (key, about) in explained_keys() {
        let example: Value = serde_yaml::from_str(&about.example).unwrap();
        let base = match example["vms"]["armhf-vm"].get("install") {
            Some(_) => installed.clone(),
            None => base.clone(),
        };
        let with_example = merged(fitting(base, &example), example);
        assert_eq!(read(&with_example).vms.len(), 1, "{key}");
    }
}

#[test]
fn every_default_is_what_leaving_the_key_out_does() {
    let base: Value = serde_yaml::from_str(BASE).unwrap();
    let mut defaults = 0;
    for (key, about) in explained_keys() {
        let Some(default) = about.default else {
            continue;
        };
        let example: Value = serde_yaml::from_str(&about.example).unwrap();
        let explicit = merged(base.clone(), with_value(&example, &as_yaml(default)));
        assert_ne!(explicit, base, "{key}");
        assert_eq!(read(&explicit), read(&base), "{key}");
        defaults += 1;
    }
    assert!(defaults >= 8, "only {defaults} defaults were tried");
}

/// A default as YAML reads it without quotes, or, where it is a text with braces, between quotes.
fn as_yaml(default: &str) -> Value {
    match serde_yaml::from_str(default) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => default.into(),
    }
}

#[test]
fn every_key_is_used_by_an_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut used = BTreeSet::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|suffix| suffix == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let file: Value = serde_yaml::from_str(&text).unwrap();
            note_keys(&file, "", &mut used);
        }
    }
    for (key, _) in explained_keys() {
        assert!(used.contains(&key), "no example uses `{key}`");
    }
}

/// Notes the full names of all keys in a value.
fn note_keys(value: &Value, prefix: &str, used: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let key = format!("{prefix}{}", key.as_str().unwrap());
                used.insert(key.clone());
                let named = |prefix: &str, used: &mut BTreeSet<String>| {
                    let values = value.as_mapping().unwrap().values();
                    values.for_each(|value| note_keys(value, prefix, used));
                };
                match key.as_str() {
                    "vms" | "profiles" => named("", used),
                    "vars" => named("vars.", used),
                    "hosts" => named("hosts.", used),
                    "secrets" => named("secrets.", used),
                    "defaults" => note_keys(value, "", used),
                    _ => note_keys(value, &format!("{key}."), used),
                }
            }
        }
        Value::Sequence(list) => list.iter().for_each(|entry| note_keys(entry, prefix, used)),
        _ => {}
    }
}

#[test]
fn every_name_is_one_topic() {
    let topics = topics();
    let names: BTreeSet<_> = topics.iter().map(Topic::name).collect();
    assert_eq!(names.len(), topics.len());
    for topic in &topics {
        assert_eq!(explain(topic.name()), Ok(vec![topic.clone()]));
    }
}

#[test]
fn a_topic_is_found_as_people_write_it() {
    let names = |word| {
        let topics = explain(word).unwrap();
        let names = topics.iter().map(|topic| topic.name().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("cmdline"), ["boot.cmdline", "install.cmdline"]);
    assert_eq!(
        names("kernel"),
        ["boot.kernel", "boot.seed.kernel", "install.kernel"]
    );
    assert_eq!(names("vms.armhf-vm.boot.share"), ["boot.share"]);
    assert_eq!(names("vms.a.b.disks[0].path"), ["disks.path"]);
    assert_eq!(names("`memory`"), ["memory"]);
    assert_eq!(names("error[shared-path]:"), ["shared-path"]);
    assert_eq!(names("[free-space]"), ["free-space"]);
    assert_eq!(explain("memroy"), Err(Some("memory".to_owned())));
    assert_eq!(explain("unknown_key"), Err(Some("unknown-key".to_owned())));
    assert_eq!(explain("cmdlin"), Err(Some("cmdline".to_owned())));
    assert_eq!(explain("mem"), Err(Some("memory".to_owned())));
    assert_eq!(explain("stopTimeout"), Err(Some("stop_timeout".to_owned())));
    assert_eq!(explain(&"memory".repeat(1000)), Err(None));
    for nothing in ["", "quux", "vms.", "[", "]", "[[", ".", "error[]", "é["] {
        assert!(explain(nothing).is_err(), "{nothing:?}");
    }
}

#[test]
fn explanations_read_well() {
    let text = |word| render_topics(&explain(word).unwrap(), Paint::Plain);
    for topic in topics() {
        let text = render_topics(&[topic], Paint::Plain);
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    snapbox::assert_data_eq!(
        text("boot.share"),
        snapbox::str![[r#"
boot.share: a key of `boot`

The boot share: the folder on the host that the guest sees as /boot. It is
created if it is missing, and owned by QEMU's user. The guest owns everything in
it, so it cannot be shared with another VM or another use.

value      an absolute path on the VM's host; `{name}`, `{index}`, `{fleet}`,
           `{host}` and `{var.NAME}` are replaced in it
left out   `/srv/{name}-boot`
changes    take effect when the VM next starts

    vms:
      armhf-vm:
        boot:
          share: "/srv/{name}-boot"

"#]]
    );
    snapbox::assert_data_eq!(
        text("memory-range"),
        snapbox::str![[r#"
memory-range: a problem of a fleet file

Memory outside of what the guest can have.

why        A kernel and its initrd need at least 32 MiB. An armhf guest has at
           most 3 GiB: its memory begins at 1 GiB, and a 32-bit kernel without
           LPAE, such as Debian's armmp, sees nothing above 4 GiB.
remedy     Give from 32MiB to 3GiB, or to an arm64 guest more.

"#]]
    );
    let later = Topic::Key(KeyTopic {
        key: "later".to_owned(),
        of: "a VM",
        about: None,
    });
    snapbox::assert_data_eq!(
        render_topics(&[later], Paint::Plain),
        snapbox::str![[r#"
later: a key of a VM

Not supported yet: this version refuses it.

"#]]
    );
    let list = render_topic_list(&topics(), Paint::Plain);
    for line in list.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}
