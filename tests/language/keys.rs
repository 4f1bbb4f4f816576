//! What a VM's keys mean, and that what was read can be written and read again.

use super::{read, read_with, vm};
use armfleet::fleet::{DEFAULT_STOP_TIMEOUT, Given, Vm};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SHORTEST: &str = "
fleet: obs-workers
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: \"/srv/{name}.img\", size: 8GiB }]
";

/// The VM of the shortest file with these lines more.
fn with(lines: &str) -> Vm {
    vm(&read(&format!("{SHORTEST}{lines}")), "armhf-vm").clone()
}

/// That keys have the defaults that they declare is in `tests/explain.rs`.
#[test]
fn what_is_left_out_follows_from_the_other_keys() {
    let vm = with("");
    assert_eq!(vm.disks[0].name.as_str(), "armhf-vm");
    assert_eq!(vm.stop_timeout, DEFAULT_STOP_TIMEOUT);
    assert!(vm.autostart);
    assert!(!with("    state: stopped\n").autostart);
    assert!(with("    state: stopped\n    autostart: true\n").autostart);
    assert!(!with("    autostart: false\n").autostart);
}

#[test]
fn null_is_as_good_as_nothing() {
    let nulls = "    accel: ~\n    machine: null\n    vcpus:\n    console: { log: ~ }\n    state: ~\n    stop_timeout: ~\n";
    assert_eq!(with(nulls), with(""));
    assert!(read("fleet: f\nvms:\n").vms.is_empty());
    assert!(read("fleet: f\nvms: {}\n").vms.is_empty());
}

#[test]
fn paths_are_on_the_host_or_beside_the_file() {
    for (written, path) in [
        ("/srv/vmlinuz", "/srv/vmlinuz"),
        ("seed/{name}", "/home/a/seed/armhf-vm"),
        ("./vmlinuz", "/home/a/vmlinuz"),
        ("../vmlinuz", "/home/vmlinuz"),
        ("../../../../vmlinuz", "/vmlinuz"),
    ] {
        let files = format!("{{ /preseed.cfg: '{written}' }}");
        let install = with(&format!(
            "    install: {{ kernel: '{written}', initrd: /i, cmdline: a, files: {files} }}\n"
        ));
        let install = install.install.unwrap();
        assert_eq!(install.kernel.as_str(), path);
        let target = "/preseed.cfg".parse().unwrap();
        assert_eq!(install.files[&target].as_str(), path);
    }
}

#[test]
fn aliases_anchors_marks_and_line_ends_change_nothing() {
    let expected = read(SHORTEST);
    let windows = format!("\u{feff}{}", SHORTEST.replace('\n', "\r\n"));
    assert_eq!(read(&windows), expected);
    assert_eq!(read(&format!("---{SHORTEST}...\n")), expected);
    let aliased = SHORTEST.replace("512MiB", "&m 512MiB")
        + "  other: { arch: armhf, memory: *m, boot: { cmdline: a } }\n";
    assert_eq!(vm(&read(&aliased), "other").memory.bytes(), 512 << 20);
}

#[test]
fn words_that_other_languages_take_for_truth_are_texts() {
    let text = "fleet: no\nvms:\n  yes: { arch: armhf, memory: 1GiB, boot: { cmdline: on } }\n  012: { arch: armhf, memory: 1GiB, boot: { cmdline: 1.10 } }\n";
    let spec = read(text);
    assert_eq!(spec.fleet.as_str(), "no");
    assert_eq!(vm(&spec, "yes").boot.cmdline.as_str(), "on");
    assert_eq!(vm(&spec, "012").boot.cmdline.as_str(), "1.10");
}

/// Keys with texts that may stand there, as they are written again, and when a VM has the key.
const KEYS: [(&str, &str, When); 39] = [
    ("arch", "armhf|arm64", Always),
    ("memory", "[1-9][0-9]{2}MiB", Always),
    ("boot.cmdline", "[!-~é][ -~é]{0,200}", Always),
    ("boot.share", PATH, Maybe),
    ("boot.handover", "copy|link", Maybe),
    ("boot.confirm_within", "[1-5][1-9]s|[1-9]min|2h30min", Maybe),
    ("boot.seed.kernel", PATH, Seeded),
    ("boot.seed.initrd", PATH, Seeded),
    ("install.kernel", PATH, Installed),
    ("install.initrd", PATH, Installed),
    ("install.cmdline", "[!-~é][ -~é]{0,200}", Installed),
    ("install.files./preseed é", PATH, Installed),
    ("disks[0].path", PATH, Always),
    (
        "disks[0].size",
        "[1-9][0-9]{2}GiB|[1-9]{4}[1379]KiB",
        Always,
    ),
    ("disks[0].name", NAME, Always),
    ("disks[0].format", "raw|qcow2", Seeded),
    ("disks[0].target", "vd[a-z]", Maybe),
    ("disks[0].serial", "[A-Za-z0-9][A-Za-z0-9._-]{0,19}", Maybe),
    ("disks[0].readonly", "true|false", Maybe),
    ("disks[0].cache", "none|directsync", Always),
    ("disks[0].io", "threads|native|io_uring", Maybe),
    ("disks[0].discard", "unmap|ignore", Maybe),
    ("console.log", PATH, Maybe),
    ("accel", "auto|tcg", Maybe),
    ("cpu.model", NAME, Maybe),
    ("cpu.pin", "[1-9]|0-[1-9]|0,[2-9]", Maybe),
    ("machine", NAME, Maybe),
    ("vcpus", "[1-8]", Maybe),
    ("memory_backing", "default|hugepages", Maybe),
    ("transport", "mmio|pci", Maybe),
    ("rng", "true|false", Maybe),
    ("agent", "true|false", Maybe),
    ("state", "running|stopped", Maybe),
    ("autostart", "true|false", Maybe),
    ("on_guest_reboot", "cold-boot|warm|stop", Maybe),
    ("stop_timeout", "[1-5][1-9]s|[1-9]min|2h30min", Maybe),
    ("restart", "never|when-required", Maybe),
    ("protect", "true|false", Maybe),
    ("adopt.from", NAME, Maybe),
];
/// As strange as a path may be.
const PATH: &str = "/[ !#-+0-~éß計][ !#-+.0-~éß計-]{0,11}";
const NAME: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,20}";

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Always,
    Maybe,
    Seeded,
    Installed,
}
use When::{Always, Installed, Maybe, Seeded};

type Entries = Vec<(String, String)>;

prop_compose! {
    /// The keys of the VM of a number, in any order. Its paths are its own.
    fn any_keys(number: usize)(
        texts in KEYS.map(|(_, form, _)| form).to_vec(),
        given in proptest::collection::vec(any::<bool>(), KEYS.len()),
        first in prop_oneof![Just(Always), Just(Seeded), Just(Installed)],
    )(
        keys in Just(KEYS.iter().zip(texts).zip(given).filter_map(|(((key, form, when), text), given)| {
            let text = if *form == PATH { format!("/srv/{number}/{key}{text}") } else { text };
            (*when == Always || *when == first || *when == Maybe && given).then(|| ((*key).to_owned(), text))
        }).collect::<Entries>()).prop_shuffle(),
    ) -> Entries {
        keys
    }
}

/// A value as YAML, with its braces doubled.
fn yaml(text: &str) -> String {
    let plain = text.parse::<u64>().is_ok() || text.parse::<bool>().is_ok();
    let text = text.replace('{', "{{").replace('}', "}}");
    if plain { text } else { format!("{text:?}") }
}

/// Keys in full with their values as a map of YAML.
fn flow(keys: &Entries) -> String {
    let mut maps = BTreeSet::new();
    let entries = keys.iter().filter_map(|(key, value)| {
        let Some((map, _)) = key.split_once('.') else {
            return Some(format!("{key}: {}", yaml(value)));
        };
        let inside = |key: &str| Some(key.strip_prefix(map)?.strip_prefix('.')?.to_owned());
        let inner = keys.iter();
        let inner = inner.filter_map(|(key, value)| Some((inside(key)?, value.clone())));
        let inner = flow(&inner.collect());
        maps.insert(map).then(|| match map.strip_suffix("[0]") {
            Some(list) => format!("{list}: [{inner}]"),
            None => format!("{map}: {inner}"),
        })
    });
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

fn file<'k>(vms: impl Iterator<Item = (&'k String, &'k Entries)>) -> String {
    let vms = vms.map(|(name, keys)| format!("  {name:?}: {}\n", flow(keys)));
    format!("vms:\n{}fleet: f\n", vms.collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_fleet_written_as_a_file_reads_as_itself(
        names in proptest::collection::btree_set("[A-Z0-9][A-Za-z0-9._-]{0,20}", 3),
        keys in (any_keys(0), any_keys(1), any_keys(2)),
    ) {
        let vms = names.iter().zip([&keys.0, &keys.1, &keys.2]);
        let some = file(vms.clone());
        let spec = read_with(&[("a", &some)], &Given::default());
        let mut whole: BTreeMap<String, Entries> = BTreeMap::new();
        for (name, vm) in spec.iter().flat_map(|spec| &spec.vms) {
            whole.insert(name.to_string(), vm.written());
        }
        for (name, keys) in vms {
            let lost = keys.iter().find(|entry| !whole.get(name).is_some_and(|all| all.contains(entry)));
            prop_assert_eq!(lost, None, "{}{:?}", some, spec);
        }
        let again = file(whole.iter());
        prop_assert_eq!(read_with(&[("a", &again)], &Given::default()), spec, "{}", some);
    }
}
