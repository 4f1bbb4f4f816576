//! What a fleet file means, and that no file brings the reader down. What is said about wrong files is in
//! `tests/invalid`.

use super::*;
use crate::fleetfile::Written;
use crate::problem::{Problem, Problems};
use crate::values::{Secrets, Size};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn read(text: &str) -> Result<Spec, Problems> {
    read_fleet(text.as_bytes(), "fleet.yaml", "/home/me/fleet")
}

/// The VM of a file with only one.
fn vm(text: &str) -> Vm {
    let spec = read(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    spec.vms.into_values().next().unwrap()
}

/// The problems of a file, as code and underlined text.
fn underlined(text: &str) -> Vec<(&'static str, &str)> {
    let problems = read(text).expect_err("a problem");
    let part = |problem: &Problem| &text[problem.place.range.clone()];
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| (problem.code.name(), part(problem)))
        .collect();
    problems
}

/// The VM of design section 1, in as few words as it takes.
const SHORTEST: &str = "
fleet: obs-workers
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: \"/srv/{name}.img\", size: 8GiB }]
";

#[test]
fn what_is_left_out_has_the_documented_default() {
    let vm = vm(SHORTEST);
    let written = vm.written();
    let keys = written.flat();
    let expected = [
        ("arch", "armhf"),
        ("memory", "512MiB"),
        ("boot.cmdline", "console=ttyAMA0 root=/dev/vda1"),
        ("boot.from", "share"),
        ("boot.share", "/srv/armhf-vm-boot"),
        ("boot.handover", "copy"),
        ("host", "local"),
        ("accel", "auto"),
        ("machine", "virt"),
        ("vcpus", "1"),
        ("disks[0].path", "/srv/armhf-vm.img"),
        ("disks[0].name", "armhf-vm"),
        ("disks[0].size", "8GiB"),
        ("disks[0].format", "raw"),
        ("state", "running"),
        ("autostart", "true"),
        ("on_guest_reboot", "cold-boot"),
        ("stop_timeout", "2min"),
        ("restart", "never"),
        ("protect", "false"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(keys, expected);
    assert_eq!(vm.stop_timeout, DEFAULT_STOP_TIMEOUT);
    assert_eq!(read(SHORTEST).unwrap().fleet.as_str(), "obs-workers");
}

#[test]
fn null_is_as_good_as_nothing() {
    let with_nulls = format!(
        "{SHORTEST}    accel: ~\n    machine: null\n    vcpus:\n    console: {{ log: ~ }}\n    state: ~\n    stop_timeout: ~\n"
    );
    assert_eq!(vm(&with_nulls), vm(SHORTEST));
    assert!(read("fleet: f\nvms:\n").unwrap().vms.is_empty());
    assert!(read("fleet: f\nvms: {}\n").unwrap().vms.is_empty());
}

#[test]
fn a_stopped_vm_does_not_start_with_its_host_unless_told_to() {
    let stopped = format!("{SHORTEST}    state: stopped\n");
    assert!(!vm(&stopped).autostart);
    assert!(vm(&format!("{stopped}    autostart: true\n")).autostart);
    assert!(!vm(&format!("{SHORTEST}    autostart: false\n")).autostart);
}

#[test]
fn placeholders_expand_in_texts() {
    let text = SHORTEST.replace(
        "console=ttyAMA0 root=/dev/vda1",
        "\"a={name} b={fleet} c={host} d={{name}}\"",
    );
    let cmdline = vm(&text).boot.cmdline;
    assert_eq!(
        cmdline.as_str(),
        "a=armhf-vm b=obs-workers c=local d={name}"
    );
}

#[test]
fn seeds_are_on_the_host_or_beside_the_file() {
    let seed = |kernel: &str| {
        let seed = format!("boot: {{ seed: {{ kernel: {kernel}, initrd: /srv/initrd }}, ");
        let vm = vm(&SHORTEST.replace("boot: { ", &seed));
        vm.boot.seed.unwrap().kernel.as_str().to_owned()
    };
    assert_eq!(seed("/srv/vmlinuz"), "/srv/vmlinuz");
    assert_eq!(seed("seed/vmlinuz"), "/home/me/fleet/seed/vmlinuz");
    assert_eq!(seed("./vmlinuz"), "/home/me/fleet/vmlinuz");
    assert_eq!(seed("../../vmlinuz"), "/home/vmlinuz");
    assert_eq!(seed("../../../../vmlinuz"), "/vmlinuz");
}

#[test]
fn aliases_anchors_marks_and_line_ends_change_nothing() {
    let expected = read(SHORTEST);
    let windows = format!("\u{feff}{}", SHORTEST.replace('\n', "\r\n"));
    assert_eq!(read(&windows), expected);
    let document = format!("---{SHORTEST}...\n");
    assert_eq!(read(&document), expected);
    let aliased = SHORTEST.replace(
        "memory: 512MiB",
        "memory: &m 512MiB\n    stop_timeout: &t 2min",
    ) + "  other: { arch: armhf, memory: *m, stop_timeout: *t, boot: { cmdline: a } }\n";
    let spec = read(&aliased).unwrap();
    assert_eq!(
        spec.vms[&"other".parse().unwrap()].memory,
        Size::from_bytes(512 << 20)
    );
}

#[test]
fn words_that_other_languages_take_for_truth_are_texts() {
    let text = "fleet: no\nvms:\n  yes: { arch: armhf, memory: 1GiB, boot: { cmdline: on } }\n  012: { arch: armhf, memory: 1GiB, boot: { cmdline: 1.10 } }\n";
    let spec = read(text).unwrap();
    assert_eq!(spec.fleet.as_str(), "no");
    assert!(spec.vms.contains_key(&"yes".parse().unwrap()));
    assert_eq!(
        spec.vms[&"012".parse().unwrap()].boot.cmdline.as_str(),
        "1.10"
    );
}

/// For each kind of mistake: a change of the shortest file, and what is underlined then.
#[test]
fn what_is_underlined_is_the_mistake() {
    let cases = [
        ("memory:", "memroy:", "unknown-key", "memroy"),
        ("memory:", "\"memroy\":", "unknown-key", "\"memroy\""),
        ("memory: 512MiB", "memory: 8G", "wrong-value", "8G"),
        (
            "memory: 512MiB",
            "memory:   '8G'   # é",
            "wrong-value",
            "'8G'",
        ),
        ("memory: 512MiB", "memory: &m 8G", "wrong-value", "8G"),
        (
            "memory: 512MiB",
            "memory: >-\n      8G\n\n",
            "wrong-value",
            "8G",
        ),
        ("memory: 512MiB", "memory: 4GiB", "memory-range", "4GiB"),
        ("memory: 512MiB", "memory: 1GB", "memory-fraction", "1GB"),
        ("memory: 512MiB", "memory: [é]", "wrong-type", "["),
        ("memory: 512MiB", "memory:", "missing-key", "memory"),
        ("arch: armhf", "arch: arm64", "not-supported-yet", "arm64"),
        (
            "arch: armhf",
            "arch: armhf\n    profile: é",
            "unknown-profile",
            "é",
        ),
        ("armhf-vm", "bücher", "wrong-value", "bücher"),
        ("armhf-vm", "\"obs-[1-é]\"", "range", "1-é"),
        ("{name}", "{nmae}", "placeholder", "{nmae}"),
        ("{name}", "é{nmae}{name}", "placeholder", "{nmae}"),
        (
            "{name}",
            "\\x41{nmae}",
            "placeholder",
            "\"/srv/\\x41{nmae}.img\"",
        ),
        (
            "/srv/{name}.img",
            "srv/é.img",
            "wrong-value",
            "\"srv/é.img\"",
        ),
        (
            "/srv/{name}.img",
            "/srv/{name}-boot/e",
            "shared-path",
            "\"/srv/{name}-boot/e\"",
        ),
        ("size: 8GiB", "size: 0GiB", "disk-size", "0GiB"),
        ("console=ttyAMA0 root=/dev/vda1", "*é", "syntax", "*é"),
        (
            "fleet: obs-workers",
            "fleet: obs-workers\nfleet: b",
            "duplicate-key",
            "fleet",
        ),
        ("fleet: obs-workers", "fleet: !e obs-workers", "tag", "!e"),
        ("arch: armhf", "arch: armhf\n    <<: {}", "merge-key", "<<"),
    ];
    for (from, to, code, part) in cases {
        let text = SHORTEST.replacen(from, to, 1);
        assert_eq!(underlined(&text), [(code, part)], "{text}");
        let marked = format!("\u{feff}# é\n{text}");
        assert_eq!(underlined(&marked), [(code, part)], "{marked}");
    }
}

#[test]
fn one_mistake_does_not_hide_another() {
    let text = SHORTEST
        .replace("arch: armhf", "arch: armhfp")
        .replace("512MiB", "512")
        .replace("boot: {", "boot: { share: relative, ")
        .replace("8GiB", "8G")
        + "    colour: blue\n  other:\n    arch: armhf\n    memory: 4GiB\n    boot: { cmdline: a }\n    disks: [{ path: /srv/armhf-vm.img }]\n";
    let codes: Vec<_> = underlined(&text)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    let expected = [
        "wrong-value",
        "wrong-value",
        "wrong-value",
        "wrong-value",
        "unknown-key",
        "memory-range",
        "shared-path",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let text = format!("{SHORTEST}#{}\n", "x".repeat(1 << 20));
    assert_eq!(underlined(&text), [("file-too-large", "")]);
}

/// A text as YAML with its braces doubled.
fn quoted(text: &str) -> String {
    serde_json::to_string(&text.replace('{', "{{").replace('}', "}}")).unwrap()
}

/// Keys with their values, both as YAML in one line.
type Entries = Vec<(String, String)>;

/// How the keys of a map are ordered.
type Order<'a> = &'a dyn Fn(&mut Entries);

fn flow(entries: impl Iterator<Item = (String, String)>, order: Order<'_>) -> String {
    let mut entries: Entries = entries.collect();
    order(&mut entries);
    let entries = entries.iter().map(|(key, value)| format!("{key}: {value}"));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// What is written, as YAML in one line.
fn yaml(written: &Written, order: Order<'_>) -> String {
    match written {
        Written::Nothing => "null".to_owned(),
        Written::Plain(text) => text.clone(),
        Written::Text(text) => quoted(text),
        Written::List(entries) => {
            let entries = entries.iter().map(|entry| yaml(entry, order));
            format!("[{}]", entries.collect::<Vec<_>>().join(", "))
        }
        Written::Map(entries) => {
            let key = |key: &String| serde_json::to_string(key).unwrap();
            let entries = entries.iter();
            flow(
                entries.map(|(name, value)| (key(name), yaml(value, order))),
                order,
            )
        }
    }
}

/// A spec as a fleet file that says everything.
fn file(spec: &Spec, order: Order<'_>) -> String {
    let vms = spec.vms.iter();
    let vms = vms.map(|(name, vm)| (quoted(name.as_str()), yaml(&vm.written(), order)));
    let mut file = vec![
        ("fleet".to_owned(), quoted(spec.fleet.as_str())),
        ("vms".to_owned(), flow(vms, order)),
    ];
    order(&mut file);
    let lines = file.iter().map(|(key, value)| format!("{key}: {value}\n"));
    lines.collect()
}

prop_compose! {
    /// A component of a path, as strange as it may be.
    fn component()(text in "[ -~éß計]{1,12}") -> String {
        let text = text.replace(['/', '"', ','], "_");
        if text.starts_with('.') { format!("x{text}") } else { text }
    }
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,20}".prop_filter("no name", |name| name != "null")
}

prop_compose! {
    fn boot(vm: String)(
        folder in component(),
        cmdline in "[!-~é][ -~é]{0,200}",
        seed in proptest::option::of((component(), component())),
        confirm_within in proptest::option::of(10u64..86_400),
        link in any::<bool>(),
    ) -> Boot {
        let seed = seed.map(|(kernel, initrd)| Seed {
            kernel: format!("/seeds/{kernel}-k").parse().unwrap(),
            initrd: format!("/seeds/{initrd}-i").parse().unwrap(),
        });
        Boot {
            from: BootFrom::Share,
            share: format!("/shares/{folder}/{vm}").parse().unwrap(),
            handover: if link { Handover::Link } else { Handover::Copy },
            cmdline: cmdline.parse().unwrap(),
            seed,
            confirm_within: confirm_within.map(Duration::from_secs),
        }
    }
}

prop_compose! {
    fn install()(
        kernel in component(),
        initrd in component(),
        cmdline in "[!-~é][ -~é]{0,200}",
        files in proptest::collection::btree_map(component(), component(), 0..4),
    ) -> Install {
        let path = |folder: &str, name: &str| format!("{folder}/{name}-x").parse().unwrap();
        let files = files.iter().map(|(to, from)| (path("", to), path("/files", from)));
        Install {
            kernel: path("/installers", &kernel),
            initrd: path("/installers", &initrd),
            cmdline: cmdline.parse().unwrap(),
            files: files.collect(),
        }
    }
}

prop_compose! {
    fn disk(vm: String)(
        folder in component(),
        name in name(),
        size in proptest::option::of(1u64..1 << 50),
    ) -> Disk {
        Disk {
            name: name.parse().unwrap(),
            path: format!("/disks/{folder}/{vm}.img").parse().unwrap(),
            size: size.map(|sectors| Size::from_bytes(sectors * 512)),
            format: DiskFormat::Raw,
        }
    }
}

fn any_vm(name: String) -> impl Strategy<Value = Vm> {
    let accel = prop_oneof![Just(Accel::Auto), Just(Accel::Kvm), Just(Accel::Tcg)];
    let state = prop_oneof![Just(DesiredState::Running), Just(DesiredState::Stopped)];
    let numbers = (32u64..=3072, 1u32..=8, 1u64..=86_400);
    let disks = proptest::collection::vec(disk(name.clone()), 0..=1);
    let log = proptest::option::of(component());
    let reboot = prop_oneof![
        Just(GuestReboot::ColdBoot),
        Just(GuestReboot::Warm),
        Just(GuestReboot::Stop)
    ];
    let words = (
        accel,
        state,
        reboot,
        self::name(),
        any::<(bool, Option<bool>, bool, bool)>(),
    );
    let install = proptest::option::of(install());
    (numbers, words, boot(name.clone()), disks, log, install).prop_map(
        move |(
            (mib, vcpus, seconds),
            (accel, state, on_guest_reboot, machine, (autostart, pci, patient, protect)),
            boot,
            disks,
            log,
            install,
        )| Vm {
            name: name.parse().unwrap(),
            accel,
            machine: machine.parse().unwrap(),
            memory: Size::from_bytes(mib << 20),
            vcpus,
            transport: pci.map(|pci| if pci { Transport::Pci } else { Transport::Mmio }),
            install: install.filter(|_| {
                let created = disks.first().is_some_and(|disk| disk.size.is_some());
                boot.seed.is_none() && created
            }),
            boot,
            disks,
            console: Console {
                log: log.map(|log| format!("/logs/{log}/{name}.log").parse().unwrap()),
            },
            state,
            autostart,
            on_guest_reboot,
            stop_timeout: Duration::from_secs(seconds),
            restart: if patient {
                Restart::Never
            } else {
                Restart::WhenRequired
            },
            protect,
            ..vm(SHORTEST)
        },
    )
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let names = proptest::collection::btree_set(name(), 0..4);
    let vms = names
        .prop_flat_map(|names: BTreeSet<String>| names.into_iter().map(any_vm).collect::<Vec<_>>());
    (name(), vms).prop_map(|(fleet, vms)| Spec {
        fleet: fleet.parse().unwrap(),
        vms: vms.into_iter().map(|vm| (vm.name.clone(), vm)).collect(),
        secrets: Secrets::default(),
    })
}

/// An order of keys that depends on a number alone.
fn shuffled(seed: u64) -> impl Fn(&mut Entries) {
    move |entries| {
        let rank = |key: &str| {
            key.bytes().fold(seed, |rank, byte| {
                (rank ^ u64::from(byte))
                    .wrapping_mul(0x0100_0000_01b3)
                    .rotate_left(29)
            })
        };
        entries.sort_by_key(|(key, _)| rank(key));
    }
}

proptest! {
    #[test]
    fn a_spec_written_as_a_file_reads_as_itself(spec in any_spec(), seed: u64) {
        let text = file(&spec, &shuffled(seed));
        prop_assert_eq!(read(&text), Ok(spec), "{}", text);
    }
}

#[test]
fn an_installer_is_read_with_its_files() {
    let file = format!(
        "{SHORTEST}    install:\n      kernel: netboot/vmlinuz\n      initrd: /srv/initrd.gz\n      cmdline: auto {{name}}\n      \
         files:\n        /preseed.cfg: \"{{name}}.cfg\"\n        /etc/late: ../late\n"
    );
    let path = |text: &str| text.parse().unwrap();
    let install = vm(&file).install.unwrap();
    assert_eq!(install.kernel, path("/home/me/fleet/netboot/vmlinuz"));
    assert_eq!(install.initrd, path("/srv/initrd.gz"));
    assert_eq!(install.cmdline.as_str(), "auto armhf-vm");
    let files = [
        (path("/etc/late"), path("/home/me/late")),
        (path("/preseed.cfg"), path("/home/me/fleet/armhf-vm.cfg")),
    ];
    assert_eq!(install.files, BTreeMap::from(files));
}
