//! What fleet files mean beyond a VM's own keys: layers, ranges, placeholders, variables, several files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod cloud_init;
mod keys;

use armfleet::fleet::{FleetFile, Given, Spec, Vm, environment, read_files};
use armfleet::problem::Problems;
use armfleet::values::Secrets;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Reads files, each with its name, from a folder that is called after it.
fn read_with(files: &[(&str, &str)], given: &Given) -> Result<Spec, Problems> {
    let folders: Vec<String> = files
        .iter()
        .map(|(name, _)| format!("/home/{name}"))
        .collect();
    let files: Vec<_> = files
        .iter()
        .zip(&folders)
        .map(|((name, text), folder)| FleetFile {
            name,
            folder,
            bytes: text.as_bytes(),
        })
        .collect();
    read_files(&files, given)
}

fn read(text: &str) -> Spec {
    let read = read_with(&[("a", text)], &Given::default());
    read.unwrap_or_else(|problems| panic!("{text}{problems:#?}"))
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    pairs.collect()
}

fn vm<'s>(spec: &'s Spec, name: &str) -> &'s Vm {
    &spec.vms[&name.parse().unwrap()]
}

fn names(spec: &Spec) -> Vec<&str> {
    spec.vms.keys().map(|name| name.as_str()).collect()
}

/// The underlined parts of a wrong file's problems, each with its code and the other parts that are shown.
fn underlined(text: &str) -> Vec<(&'static str, &str, Vec<&str>)> {
    let problems = read_with(&[("a", text)], &Given::default()).expect_err(text);
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| {
            let others = problem
                .others
                .iter()
                .map(|other| &text[other.range.clone()]);
            (
                problem.code.name(),
                &text[problem.place.range.clone()],
                others.collect(),
            )
        })
        .collect();
    problems
}

#[test]
fn the_nearer_says_more() {
    let spec = read("
fleet: f
defaults: { arch: armhf, memory: 100MiB, vcpus: 1, stop_timeout: 1s, boot: { cmdline: d, share: '/srv/d/{name}' } }
profiles:
  p: { memory: 200MiB, vcpus: 2, stop_timeout: 2s, boot: { cmdline: p } }
vms:
  'a[1-2]': { profile: p, vcpus: 3, stop_timeout: 3s, boot: { cmdline: 'r{index}' } }
  a2: { stop_timeout: 4s }
  b:
");
    let said = |name| {
        let vm = vm(&spec, name);
        let mib = vm.memory.bytes() >> 20;
        (
            mib,
            vm.vcpus,
            vm.stop_timeout.as_secs(),
            vm.boot.cmdline.as_str(),
            vm.boot.share.as_str(),
        )
    };
    assert_eq!(said("b"), (100, 1, 1, "d", "/srv/d/b"));
    assert_eq!(said("a1"), (200, 3, 3, "r1", "/srv/d/a1"));
    assert_eq!(said("a2"), (200, 3, 4, "r2", "/srv/d/a2"));
}

#[test]
fn maps_merge_lists_replace_and_null_clears() {
    let spec = read(
        "
fleet: f
defaults:
  arch: armhf
  memory: 100MiB
  boot: { cmdline: d, seed: { kernel: /k, initrd: /i } }
  disks: [{ path: '/srv/{name}.img', size: 1GiB, name: root }]
  console: { log: '/log/{name}' }
  profile: p
profiles:
  p: { console: ~ }
vms:
  a: {}
  b: { boot: { seed: { kernel: /other } }, disks: [{ path: /b.img }] }
  c: { boot: { seed: ~ }, disks: ~ }
  d: { console: { log: /log/of-d } }
  e: { profile: ~ }
",
    );
    let seed = |name| {
        let seed = vm(&spec, name).boot.seed.as_ref();
        seed.map(|seed| (seed.kernel.as_str(), seed.initrd.as_str()))
    };
    assert_eq!(seed("a"), Some(("/k", "/i")));
    assert_eq!(seed("b"), Some(("/other", "/i")));
    assert_eq!(seed("c"), None);
    assert_eq!(vm(&spec, "b").disks[0].name.as_str(), "b");
    assert_eq!(vm(&spec, "b").disks[0].size, None);
    assert!(vm(&spec, "c").disks.is_empty());
    let log = |name| vm(&spec, name).console.log.as_ref().map(|log| log.as_str());
    assert_eq!(log("a"), None);
    assert_eq!(log("d"), Some("/log/of-d"));
    assert_eq!(log("e"), Some("/log/e"));
}

#[test]
fn ranges_name_their_vms_and_explicit_ones_are_merged_over_them() {
    let spec = read(
        "
fleet: f
vms:
  'obs-[08-11,20]': { arch: armhf, memory: 1GiB, boot: { cmdline: 'n={index} {name}' } }
  obs-09: { memory: 2GiB }
  obs-9: { arch: armhf, memory: 1GiB, boot: { cmdline: a } }
  'r[1-2]n[1-4/3]': { arch: armhf, memory: 1GiB, boot: { cmdline: '{index}' } }
",
    );
    let expected = [
        "obs-08", "obs-09", "obs-10", "obs-11", "obs-20", "obs-9", "r1n1", "r1n4", "r2n1", "r2n4",
    ];
    assert_eq!(names(&spec), expected);
    assert_eq!(vm(&spec, "obs-09").memory.bytes(), 2 << 30);
    assert_eq!(vm(&spec, "obs-09").boot.cmdline.as_str(), "n=09 obs-09");
    assert_eq!(vm(&spec, "r2n4").boot.cmdline.as_str(), "2-4");
}

/// The VMs of a range.
fn members(range: &str) -> Spec {
    read(&format!(
        "fleet: f\nvms: {{ '{range}': {{ arch: armhf, memory: 1GiB, boot: {{ cmdline: a }} }} }}\n"
    ))
}

/// As `nodeset -e` of ClusterShell expands them; the names are sorted.
#[test]
fn ranges_name_what_cluster_shell_says() {
    for (range, expected) in [
        ("a[9-11]b", "a10b a11b a9b"),
        ("a[1-9/2,15]", "a1 a15 a3 a5 a7 a9"),
        ("a[1-10/4]", "a1 a5 a9"),
        ("r[1-2]n[01-02]", "r1n01 r1n02 r2n01 r2n02"),
        ("a[5]", "a5"),
        ("a[007,3]", "a007 a3"),
        ("a[0-2]", "a0 a1 a2"),
        ("a[1][2]", "a12"),
    ] {
        assert_eq!(names(&members(range)).join(" "), expected);
    }
}

#[test]
fn placeholders_stand_for_values_of_every_kind() {
    let given = Given {
        vars: texts(&[("state", "stopped"), ("cpus", "3"), ("odd", "{name}")]),
        secrets: Secrets::default(),
        ..Given::default()
    };
    let text = "
fleet: '{var.fleet}'
vars:
  fleet: { default: f }
  state: { required: true }
  cpus: { default: 1 }
  size: { default: 2 }
  on: { default: true }
  odd: { description: taken as it is }
vms:
  a:
    arch: armhf
    memory: '{var.size}GiB'
    vcpus: '{var.cpus}'
    state: '{var.state}'
    autostart: '{var.on}'
    stop_timeout: '{var.size}min'
    boot: { cmdline: '{name} {fleet} {host} {{x}} {var.odd}' }
    disks: [{ path: '/srv/{var.fleet}/{name}.img', name: '{fleet}-root', size: '{var.size}GiB' }]
";
    let spec = read_with(&[("a", text)], &given).unwrap();
    let vm = vm(&spec, "a");
    assert_eq!(spec.fleet.as_str(), "f");
    assert_eq!(
        (vm.memory.bytes(), vm.vcpus, vm.autostart),
        (2 << 30, 3, true)
    );
    assert_eq!(vm.stop_timeout.as_secs(), 120);
    assert_eq!(vm.boot.cmdline.as_str(), "a f local {x} {name}");
    assert_eq!(vm.disks[0].path.as_str(), "/srv/f/a.img");
    assert_eq!(vm.disks[0].name.as_str(), "f-root");
    // A number between quotes is a text, unless a placeholder made it.
    let quoted =
        "fleet: f\nvms: { a: { arch: armhf, memory: 1GiB, vcpus: '3', boot: { cmdline: a } } }\n";
    assert_eq!(underlined(quoted)[0].0, "wrong-type");
}

/// The longest text has 8192 bytes, and no value of a placeholder is added to a longer one.
#[test]
fn a_text_does_not_grow_without_end() {
    let (value, uses) = ("y".repeat(8000), "{var.x}".repeat(1000));
    let text = format!("fleet: '{uses}'\nvms: {{}}\nvars: {{ x: {{ default: {value} }} }}\n");
    let problems = read_with(&[("a", &text)], &Given::default()).unwrap_err();
    assert!(problems[0].message.contains("has 16000 bytes"));
}

#[test]
fn secrets_are_asked_for_and_never_told() {
    let text = "fleet: f # {env.COMMENT}\nvms: { a: { arch: armhf, memory: 1GiB, boot: { cmdline: 'k={env.TOKEN}' } } }\n";
    let asked: Vec<_> = environment(text.as_bytes()).into_iter().collect();
    assert_eq!(asked, ["COMMENT", "TOKEN"]);
    assert!(environment(b"\xff{env.X}").is_empty());
    let literal: Vec<_> = environment(b"{{env.X}} {{{env.Y}}}").into_iter().collect();
    assert_eq!(literal, ["Y"]);
    let given = |value: &str| Given {
        vars: BTreeMap::new(),
        secrets: Secrets::new(texts(&[("TOKEN", value)])),
        ..Given::default()
    };
    let spec = read_with(&[("a", text)], &given("hunter2")).unwrap();
    assert_eq!(vm(&spec, "a").boot.cmdline.as_str(), "k={env.TOKEN}");
    assert_eq!(spec.secrets.filled("k={env.TOKEN}"), "k=hunter2");
    assert!(!format!("{spec:?}").contains("hunter2"));
    let long = format!("hunter2{}", "é".repeat(1000));
    let problems = read_with(&[("a", text)], &given(&long)).unwrap_err();
    assert!(!format!("{problems:?}").contains("hunter2"));
    let problems = read_with(&[("a", text)], &Given::default()).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|problem| problem.message.contains("`TOKEN` is not set"))
    );
}

#[test]
fn several_files_are_one_fleet() {
    let one = "fleet: f\ndefaults: { arch: armhf }\nprofiles: { p: { memory: 1GiB } }\nvms: { a: { profile: q } }\n";
    let two = "defaults: { boot: { cmdline: c, seed: { kernel: k, initrd: i } } }\nprofiles: { q: { memory: 2GiB } }\nvms:\n  'b[1-2]': { profile: p, boot: { seed: { initrd: ./j } } }\n";
    let three = "vms:\nvars: { x: { default: y } }\n";
    let spec = read_with(
        &[("one", one), ("two", two), ("three", three)],
        &Given::default(),
    )
    .unwrap();
    assert_eq!(names(&spec), ["a", "b1", "b2"]);
    assert_eq!(vm(&spec, "a").memory.bytes(), 2 << 30);
    // Beside the file in which it is written.
    let seed = vm(&spec, "b2").boot.seed.clone().unwrap();
    assert_eq!(seed.kernel.as_str(), "/home/two/k");
    assert_eq!(seed.initrd.as_str(), "/home/two/j");
    let other_order = read_with(
        &[("three", three), ("two", two), ("one", one)],
        &Given::default(),
    );
    assert_eq!(other_order, Ok(spec));
    // Hosts may be in several files, too.
    let one = "fleet: f\nvms: {}\nhosts: { h: {} }\n";
    let two = "hosts: { local: { trust: [/a] }, i: {} }\n";
    let problems = read_with(&[("one", one), ("two", two)], &Given::default()).unwrap_err();
    let codes: Vec<_> = problems.iter().map(|problem| problem.code.name()).collect();
    assert_eq!(codes, ["not-supported-yet"; 2]);
}

#[test]
fn problems_are_in_the_file_that_they_are_in() {
    let one = "fleet: f\nprofiles: { p: { memory: 4GiB } }\n";
    let two = "# é\nvms: { a: { arch: armhf, profile: p, boot: { cmdline: b } }, c: {} }\n";
    let problems = read_with(&[("one", one), ("two", two)], &Given::default()).unwrap_err();
    let shown: Vec<_> = problems
        .iter()
        .flat_map(|problem| problem.others.iter().chain([&problem.place]))
        .map(|label| {
            let (file, range) = problems.locate(&label.range);
            let source = &problems.sources[file];
            (
                source.name.as_str(),
                std::str::from_utf8(&source.bytes[range]).unwrap(),
            )
        })
        .collect();
    let expected = [
        ("two", "p"),
        ("one", "4GiB"),
        ("two", "c"),
        ("two", "c"),
        ("two", "c"),
    ];
    assert_eq!(shown, expected);
}

/// A file in which a profile, a range and a VM meet.
const LAYERED: &str = "
fleet: f
vars: { v: { default: 1GiB } }
defaults: { arch: armhf, stop_timeout: 9s }
profiles:
  p: { memory: 1GiB, boot: { cmdline: p } }
vms:
  'a[1-2]': { profile: p, vcpus: 2 }
  a2: { console: { log: '/log/{name}' } }
";

/// For each kind of mistake: a change of the layered file, what is underlined then, and what else is shown.
#[test]
fn both_places_are_shown() {
    let cases: [(&str, &str, &str, &str, &[&str]); 14] = [
        ("memory: 1GiB", "memory: 8G", "wrong-value", "8G", &["p"]),
        (
            "memory: 1GiB",
            "memory: 4GiB",
            "memory-range",
            "4GiB",
            &["p"],
        ),
        (
            "memory: 1GiB",
            "memroy: 1GiB",
            "unknown-key",
            "memroy",
            &["p"],
        ),
        ("9s", "9", "wrong-value", "9", &["a2"]),
        ("9s", "0s", "stop-timeout", "0s", &["a2"]),
        ("vcpus: 2", "vcpus: é", "wrong-type", "é", &["a2"]),
        ("vcpus: 2", "vcpus: 99", "vcpu-range", "99", &["a2"]),
        (
            "cmdline: p",
            "cmdline: '{nmae}'",
            "placeholder",
            "{nmae}",
            &["p"],
        ),
        ("/log/{name}", "/log/{indx}", "placeholder", "{indx}", &[]),
        ("/log/{name}", "/log/{var.w}", "variable", "{var.w}", &[]),
        (
            "/log/{name}",
            "/srv/{name}-boot/e",
            "shared-path",
            "'/srv/{name}-boot/e'",
            &["a2"],
        ),
        ("profile: p", "profile: é", "unknown-profile", "é", &["a2"]),
        (
            "memory: 1GiB",
            "memory: '{var.v}0'",
            "wrong-value",
            "'{var.v}0'",
            &["p"],
        ),
        ("1GiB }", "8G }", "wrong-value", "8G", &["'{var.v}'", "a2"]),
    ];
    for (from, to, code, part, others) in cases {
        let mut text = LAYERED.to_owned();
        if from == "1GiB }" {
            text = text.replace("memory: 1GiB", "memory: '{var.v}'");
        }
        let text = text.replacen(from, to, 1);
        assert_eq!(underlined(&text), [(code, part, others.to_vec())], "{text}");
        let marked = format!("\u{feff}# é\n{text}");
        assert_eq!(
            underlined(&marked),
            [(code, part, others.to_vec())],
            "{marked}"
        );
    }
}

/// Ten thousand VMs, each with something of its own.
fn many_vms() -> String {
    let mut text = "fleet: f\ndefaults: { arch: armhf, boot: { cmdline: 'root={name}' } }\nprofiles: { p: { memory: 1GiB, disks: [{ path: '/srv/{name}.img', size: 8GiB }] } }\nvms:\n".to_owned();
    for n in 0..10_000 {
        text += &format!("  vm-{n:05}: {{ profile: p, vcpus: 2, console: {{ log: /log/{n} }} }}\n");
    }
    text
}

#[test]
fn ten_thousand_vms_are_read_in_time() {
    let range = "fleet: f\nvms: { 'vm-[00001-10000]': { arch: armhf, memory: 1GiB, boot: { cmdline: '{index}' }, disks: [{ path: '/srv/{name}.img', size: 8GiB }] } }\n";
    for text in [many_vms().as_str(), range] {
        let start = Instant::now();
        assert_eq!(read(text).vms.len(), 10_000);
        let seconds = start.elapsed().as_secs_f64();
        // Without optimisation, beside other tests.
        assert!(seconds < 20.0, "{seconds} s");
    }
}

/// The mistake of a layer is one problem, however many VMs it is in.
#[test]
fn a_mistake_that_many_vms_share_is_told_once() {
    let text = many_vms().replace("memory: 1GiB", "memory: 8G, vcpus: [], colour: '{name}'");
    let codes: Vec<_> = underlined(&text)
        .into_iter()
        .map(|(code, ..)| code)
        .collect();
    assert_eq!(codes, ["wrong-value", "wrong-type", "unknown-key"]);
}

#[test]
fn files_that_would_become_enormous_are_refused_in_time() {
    let vms = "vms: { 'a[0001-9999]': {} }\n";
    let keys: String = (0..50_000).map(|n| format!("k{n}: 1, ")).collect();
    let disks = "{ path: '/{name}' }, ".repeat(20_000);
    let ranges: String = (0..5_000)
        .map(|n| format!("  'r[1-2]x{n}': {{}}\n  'r[2-3]x{n}': {{}}\n"))
        .collect();
    let profiles: String = (0..20_000)
        .map(|n| format!("p{n}: {{ profile: p{n} }}, "))
        .collect();
    let names: String = (0..20_000).map(|n| format!("profile{n}: {{}}, ")).collect();
    let uses: String = (0..5_000)
        .map(|n| format!("  v{n}: {{ profile: profil{n} }}\n"))
        .collect();
    let texts = [
        format!("fleet: f\ndefaults: {{ {keys} }}\n{vms}"),
        format!("fleet: f\ndefaults: {{ disks: [{disks}] }}\n{vms}"),
        format!("fleet: f\nvms:\n{ranges}"),
        format!("fleet: f\nprofiles: {{ {profiles} }}\n{vms}"),
        format!(
            "fleet: f\nvars: {{ x: {{ default: {} }} }}\ndefaults: {{ boot: {{ cmdline: '{}' }} }}\n{vms}",
            "y".repeat(8000),
            "{var.x}".repeat(1000)
        ),
        format!("fleet: f\nvms: {{ '{}': {{}} }}\n", "[1-9]".repeat(50_000)),
        format!("fleet: f\nvms: {{ 'a[{}]': {{}} }}\n", "1,".repeat(100_000)),
        format!("fleet: f\nvms: {{ 'a[{}1]': {{}} }}\n", "1,".repeat(9_000)),
        format!(
            "fleet: f\nvms:\n  ? '{}[00001-10000]'\n  : {{}}\n",
            "a".repeat(500_000)
        ),
        format!(
            "fleet: f\nvms:\n  ? '[1-9]{}'\n  : {{}}\n",
            "[1]".repeat(100_000)
        ),
        format!(
            "fleet: f\ndefaults: {{ boot: {{ cmdline: '{}' }} }}\n{vms}",
            "{x}".repeat(900)
        ),
        format!(
            "fleet: f\ndefaults: {{ boot: {{ cmdline: '{}' }} }}\n{vms}",
            "{ ".repeat(900)
        ),
        format!("fleet: f\nprofiles: {{ {names} }}\nvms:\n{uses}"),
    ];
    for text in texts {
        let start = Instant::now();
        assert!(read_with(&[("a", &text)], &Given::default()).is_err());
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < 20.0, "{seconds} s for {}…", &text[..60]);
    }
}

/// A VM of a range that is declared by its own name, too, is one VM.
#[test]
fn a_vm_counts_once() {
    let overrides: String = (0..10_000).map(|n| format!("  a{n:04}: ~\n")).collect();
    let vm = "{ arch: armhf, memory: 1GiB, boot: { cmdline: c } }";
    let text = format!("fleet: f\nvms:\n  'a[0000-9999]': {vm}\n{overrides}");
    assert_eq!(read(&text).vms.len(), 10_000);
    let more = format!("{text}  b: {vm}\n  c: {vm}\n");
    assert_eq!(underlined(&more), [("too-many-vms", "b", vec![])]);
}

/// What `armfleet validate` says, with its exit code, in a folder with these files.
fn validate(files: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_armfleet"))
        .arg("validate")
        .args(arguments)
        .current_dir(folder.path())
        .env("TOKEN", "hunter2")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[test]
fn the_command_line_takes_files_folders_and_variables() {
    let fleet = "fleet: f\nvars: { mem: { required: true } }\n";
    let vms =
        "vms: { a: { arch: armhf, memory: '{var.mem}', boot: { cmdline: 'k={env.TOKEN}' } } }\n";
    let more = "vms: { b: { arch: armhf, memory: 1GiB, boot: { cmdline: a } } }\n";
    let files = [
        ("f/1.yaml", fleet),
        ("f/2.yml", vms),
        ("f/.hidden.yaml", "["),
        ("f/notes.txt", "["),
        ("more.yaml", more),
    ];
    let two = "f, more.yaml: valid, 2 VMs in fleet f\n";
    let mem = "--var=mem=1GiB";
    assert_eq!(
        validate(&files, &["f", "-f", "more.yaml", mem]),
        (0, two.to_owned())
    );
    assert_eq!(
        validate(&files, &["f", "more.yaml", mem]),
        (0, two.to_owned())
    );
    let one = "f: valid, 1 VM in fleet f\n".to_owned();
    assert_eq!(validate(&files, &["--file", "f", mem]), (0, one));
    let (code, said) = validate(&files, &["f"]);
    assert!(code == 4 && said.contains("--> f/1.yaml:2:9"), "{said}");
    let (code, said) = validate(&files, &["f", "--var", "mem=hunter2"]);
    assert!(
        code == 4 && said.contains("`{env.TOKEN}` is not a size"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let (code, said) = validate(&files, &["f", "--var", "mem"]);
    assert!(code == 4 && said.contains("NAME=VALUE"), "{said}");
    let (code, said) = validate(&[("empty/x", "")], &["empty"]);
    assert!(
        code == 4 && said.contains("there is no fleet file in empty"),
        "{said}"
    );
}

/// A VM's keys with values, one for each.
const KEYS: [(&str, &str); 9] = [
    ("arch", "armhf"),
    ("memory", "64MiB"),
    ("vcpus", "2"),
    ("accel", "tcg"),
    ("state", "stopped"),
    ("stop_timeout", "3s"),
    ("disks", "[{ path: '/srv/{name}.img', size: 1GiB }]"),
    ("console", "{ log: '/log/{name}' }"),
    (
        "boot",
        "{ cmdline: '{name}', share: '/s/{name}', seed: { kernel: /k, initrd: /i } }",
    ),
];
/// Other values for the same keys, to be covered.
const COVERED: [&str; 9] = [
    "armhf",
    "99MiB",
    "1",
    "kvm",
    "running",
    "9s",
    "[{ path: /x }]",
    "~",
    "{ cmdline: x }",
];

proptest! {
    #[test]
    fn a_run_has_each_of_its_numbers_once(first in 0usize..2000, more in 0usize..200, step in 1usize..20) {
        let spec = members(&format!("a[{first}-{}/{step}]", first + more));
        let numbers: BTreeSet<_> = (first..=first + more).step_by(step).map(|number| format!("a{number}")).collect();
        prop_assert!(names(&spec).into_iter().eq(&numbers));
    }

    /// Wherever something is said, and whatever weaker layers said before, it is the same VM.
    #[test]
    fn layers_can_be_chosen_freely(places in prop::collection::vec((0usize..4, 0usize..4), 9)) {
        let mut layers: [Vec<String>; 4] = Default::default();
        for (((key, value), covered), (one, other)) in KEYS.iter().zip(COVERED).zip(&places) {
            layers[*one.max(other)].push(format!("{key}: {value}"));
            if one != other {
                layers[*one.min(other)].push(format!("{key}: {covered}"));
            }
        }
        let [defaults, profile, range, own] = layers.map(|layer| layer.join(", "));
        let text = format!("fleet: f\ndefaults: {{ {defaults} }}\nprofiles: {{ p: {{ {profile} }} }}\nvms: {{ 'a[1]': {{ {range} }}, a1: {{ profile: p, {own} }} }}\n");
        let plain = KEYS.map(|(key, value)| format!("{key}: {value}")).join(", ");
        prop_assert_eq!(read(&text), read(&format!("fleet: f\nprofiles: {{ p: {{}} }}\nvms: {{ a1: {{ profile: p, {plain} }} }}\n")));
    }

    /// Any text anywhere in the language is answered.
    #[test]
    fn any_piece_is_answered(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "fleet: f\n", "vms:\n", "vars:\n", "defaults:\n", "profiles:\n", "  a: { profile: p }\n", "  'a[1-3]':\n", "  p: { memory: 1GiB }\n",
            "  'b[1-3/2]': { profile: '{index}' }\n", "  v: { default: 1 }\n", "  v: { required: true }\n", "    memory: '{var.v}GiB'\n", "  a: ~\n", "  - a\n",
            "    boot: { cmdline: '{env.E}' }\n", "  arch: armhf\n", "  boot: &b { cmdline: '{name}{index}' }\n", "    boot: *b\n", "  memory: ~\n", "---\n",
        ]), 0..14),
        at in 0usize..14,
    ) {
        let at = at.min(pieces.len());
        let (one, two) = (pieces[..at].concat(), pieces[at..].concat());
        let read = read_with(&[("one", &one), ("two", &two)], &Given::default());
        if let Err(problems) = read {
            prop_assert!(!armfleet::report::render_problems(&problems, true).is_empty());
            let starts: Vec<_> = problems.iter().map(|problem| problem.place.range.start).collect();
            prop_assert!(starts.is_sorted());
            for label in problems.iter().flat_map(|problem| problem.others.iter().chain([&problem.place])) {
                let (file, range) = problems.locate(&label.range);
                prop_assert!(range.start <= range.end && range.end <= problems.sources[file].bytes.len());
            }
        }
    }
}
