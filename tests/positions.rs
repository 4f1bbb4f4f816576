//! Where each kind of mistake is underlined: a table, in which `«»` stand around what must be, to the character.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use armfleet::fleet::{FleetFile, Given, read_files};
use armfleet::problem::{Problem, ProblemKind};
use armfleet::values::Secrets;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What every VM of the table says unless its row says otherwise.
const BASE: &str = "arch: armhf, memory: 512MiB, boot: { cmdline: console=ttyAMA0 }";

/// A code, and a file, or with `vm: ` before it what a VM of a file says beside [`BASE`].
const TABLE: &[(ProblemKind, &str)] = &[
    (ProblemKind::ControlCharacter, "fleet: f\nvms: {«\u{1b}»}\n"),
    (ProblemKind::Syntax, "fleet: «\"»f\n"),
    (ProblemKind::Syntax, "fleet: f\nvms: {}\n«@»x: 1\n"),
    (ProblemKind::Syntax, "fleet: f\nvms:\n  one: «*two»\n"),
    (
        ProblemKind::Syntax,
        "fleet: f\nvms: { a: {}, b: «*two», c: {} }\n",
    ),
    (
        ProblemKind::Syntax,
        "fleet: \"a\\n\\\\«\\w»orkers\"\nvms: {}\n",
    ),
    (ProblemKind::Syntax, "fleet: f\nvms: «]»\n"),
    (ProblemKind::Syntax, "fleet: f\nvms:\n«\t»one: {}\n"),
    (ProblemKind::EmptyFile, "«~»\n"),
    (
        ProblemKind::SeveralDocuments,
        "fleet: f\nvms: {}\n«---»\nfleet: g\n",
    ),
    (ProblemKind::Tag, "fleet: «!!str» f\nvms: {}\n"),
    (ProblemKind::Tag, "fleet: f\nvms: {}\nvars: «!include» {}\n"),
    (ProblemKind::MergeKey, "vm: «<<»: a"),
    (ProblemKind::BadKey, "fleet: f\nvms:\n  «[»a]: {}\n"),
    (ProblemKind::BadKey, "fleet: f\nvms:\n  «~»: {}\n"),
    (ProblemKind::UnknownKey, "fleet: f\nvms: {}\n«vsm»: {}\n"),
    (ProblemKind::UnknownKey, "vm: «memroy»: 1GiB"),
    (
        ProblemKind::UnknownKey,
        "vm: disks: [{ path: /srv/a.img, «sise»: 1GiB }]",
    ),
    (ProblemKind::UnknownKey, "vm: «'größe'»: 1"),
    (
        ProblemKind::UnknownKey,
        "fleet: f\nvms: {}\nprofiles: { p: { «\"memroy\"»: 1GiB } }\n",
    ),
    (ProblemKind::DuplicateKey, "fleet: f\nvms: {}\n«fleet»: g\n"),
    (ProblemKind::DuplicateKey, "vm: vcpus: 1, «vcpus»: 2"),
    (
        ProblemKind::MissingKey,
        "fleet: f\nvms: { «vm»: { arch: armhf, boot: { cmdline: a } } }\n",
    ),
    (
        ProblemKind::MissingKey,
        "fleet: f\nvms: { vm: { arch: armhf, memory: 1GiB, «boot»: {} } }\n",
    ),
    (
        ProblemKind::MissingKey,
        "fleet: f\nvms: { vm: { arch: armhf, «memory»: ~, boot: { cmdline: a } } }\n",
    ),
    (ProblemKind::MissingKey, "vm: disks: [«{» size: 1GiB }]"),
    (ProblemKind::WrongType, "fleet: f\nvms: «[»]\n"),
    (ProblemKind::WrongType, "vm: vcpus: «two»"),
    (ProblemKind::WrongType, "vm: vcpus: «'2'»"),
    (ProblemKind::WrongType, "vm: autostart: «yes»"),
    (ProblemKind::WrongType, "vm: disks: «/srv/a.img»"),
    (ProblemKind::WrongType, "vm: disks: [{ path: «{»name} }]"),
    (ProblemKind::WrongValue, "fleet: «a b»\nvms: {}\n"),
    (
        ProblemKind::WrongValue,
        "fleet: f\nvms:\n  «a/b»: { arch: armhf, memory: 1GiB, boot: { cmdline: a } }\n",
    ),
    (ProblemKind::WrongValue, "vm: state: «started»"),
    (
        ProblemKind::WrongValue,
        "vm: stop_timeout: «120»   # seconds",
    ),
    (ProblemKind::WrongValue, "vm: stop_timeout: &t «'é'»   # é"),
    (ProblemKind::WrongValue, "vms: {}\nfleet: >-\n  «a b»\n\n"),
    (ProblemKind::WrongValue, "vm: console: { log: «log/x» }"),
    (
        ProblemKind::WrongValue,
        "vm: disks: [{ path: /srv/a.img, size: «\"8G\"» }]",
    ),
    (ProblemKind::NotSupportedYet, "vm: «was»: old"),
    (ProblemKind::NotSupportedYet, "vm: host: «other»"),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/«{nmae}».log' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/é«{»name' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/«{index}»' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/«{}»' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/a«}»b' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: '/log/«{»a {name}' }",
    ),
    (
        ProblemKind::Placeholder,
        "vm: console: { log: «\"/log\\x2f{nmae}\"» }",
    ),
    (
        ProblemKind::Variable,
        "vm: console: { log: '/log/«{var.x}»' }",
    ),
    (
        ProblemKind::Variable,
        "fleet: f\nvms: {}\nvars: { «v»: {} }\n",
    ),
    (
        ProblemKind::Variable,
        "fleet: f\nvms: {}\nvars: { «1v»: { default: a } }\n",
    ),
    (
        ProblemKind::Variable,
        "fleet: f\nvms: {}\nvars: { v: { required: «true», default: a } }\n",
    ),
    (
        ProblemKind::Environment,
        "fleet: '«{env.TOKEN}»'\nvms: {}\n",
    ),
    (
        ProblemKind::Environment,
        "vm: console: { log: '/log/«{env.TOKEN}»' }",
    ),
    (ProblemKind::Range, "fleet: f\nvms: { 'a«[»1-2': {} }\n"),
    (ProblemKind::Range, "fleet: f\nvms: { 'a1-2«]»': {} }\n"),
    (
        ProblemKind::Range,
        "fleet: f\nvms: { 'é[1,«9-2»,3]': {} }\n",
    ),
    (ProblemKind::Range, "fleet: f\nvms: { 'a[1-2]«]»': {} }\n"),
    (ProblemKind::Range, "fleet: f\nvms: { 'a«[»[1-2]': {} }\n"),
    (ProblemKind::Range, "fleet: f\nvms: { 'a«[1,]»': {} }\n"),
    (ProblemKind::Range, "fleet: f\nvms: { 'a[«1-2-3»]': {} }\n"),
    (ProblemKind::Range, "fleet: f\nvms: { 'a[«1-»]': {} }\n"),
    (
        ProblemKind::Range,
        "fleet: f\nvms: { 'a[3,«1-9/0»]': {} }\n",
    ),
    (ProblemKind::Range, "fleet: f\nvms: { 'a[«1-010»]': {} }\n"),
    (
        ProblemKind::RangesMeet,
        "fleet: f\ndefaults: { arch: armhf, memory: 1GiB, boot: { cmdline: a } }\nvms:\n  a[1-3]: ~\n  «a[3-4]»: ~\n",
    ),
    (
        ProblemKind::TooManyVms,
        "fleet: f\nvms:\n  «a[1-10001]»: ~\n",
    ),
    (ProblemKind::UnknownProfile, "vm: profile: «worker»"),
    (
        ProblemKind::SharedPath,
        "vm: disks: [{ path: «/srv/vm-boot/disk» }]",
    ),
    (
        ProblemKind::DuplicateDisk,
        "vm: disks: [{ path: /srv/a.img, name: root }, { path: /srv/b.img, name: «root» }]",
    ),
    (
        ProblemKind::DiskPlace,
        "vm: disks: [{ path: /srv/a.img, target: vda }, { path: /srv/b.img, target: «vda» }]",
    ),
    (
        ProblemKind::DiskPlace,
        "vm: disks: [{ path: /srv/a.img, serial: s }, { path: /srv/b.img, serial: «s» }]",
    ),
    (
        ProblemKind::DiskIo,
        "vm: disks: [{ path: /srv/a.img, io: «native», cache: writeback }]",
    ),
    (
        ProblemKind::NetworkSource,
        "vm: networks: [«{» name: lan }]",
    ),
    (
        ProblemKind::NetworkSource,
        "vm: networks: [{ bridge: br0, network: «default», name: lan }]",
    ),
    (
        ProblemKind::DuplicateNetwork,
        "vm: networks: [{ bridge: br0 }, { bridge: «br0» }]",
    ),
    (
        ProblemKind::DuplicateNetwork,
        "vm: networks: [{ bridge: br0, mac: '52:00:00:00:00:01' }, { bridge: br1, mac: «'52:00:00:00:00:01'» }]",
    ),
    (
        ProblemKind::NetworkModel,
        "vm: networks: [{ bridge: br0, model: «e1000» }]",
    ),
    (
        ProblemKind::NetworkVlan,
        "vm: networks: [{ bridge: br0, vlan: «7» }]",
    ),
    (
        ProblemKind::DuplicateShare,
        "vm: shares: [{ tag: t, path: /srv/a }, { tag: «t», path: /srv/b }]",
    ),
    (
        ProblemKind::FreshDisk,
        "vm: disks: [{ path: /srv/a.img, size: 1GiB, fresh: «each-start» }]",
    ),
    (
        ProblemKind::BaseImage,
        "vm: disks: [{ path: /srv/a.img, from: { path: «/srv/a.img» } }]",
    ),
    (
        ProblemKind::SharedMac,
        "fleet: f\ndefaults: { arch: armhf, memory: 1GiB, boot: { cmdline: a } }\nvms:\n  a: { networks: [{ bridge: br0, mac: '52:00:00:00:00:01' }] }\n  b: { networks: [{ bridge: br0, mac: «'52:00:00:00:00:01'» }] }\n",
    ),
    (
        ProblemKind::MemoryRange,
        "fleet: f\nvms: { vm: { arch: armhf, memory: «4GiB», boot: { cmdline: a } } }\n",
    ),
    (
        ProblemKind::MemoryFraction,
        "fleet: f\nvms: { vm: { arch: armhf, memory: «1GB», boot: { cmdline: a } } }\n",
    ),
    (ProblemKind::VcpuRange, "vm: vcpus: «99»"),
    (
        ProblemKind::ForeignUserland,
        "vm: arch: armhf, userland: «arm64»",
    ),
    (
        ProblemKind::CpuModel,
        "vm: accel: kvm, cpu: { model: «cortex-a57» }",
    ),
    (
        ProblemKind::PathRefused,
        "vm: disks: [{ path: «/etc/disk» }]",
    ),
    (
        ProblemKind::PathRefused,
        "vm: console: { log: «/var/lib/armfleet/log» }",
    ),
    (
        ProblemKind::ShareTooGeneral,
        "fleet: f\nvms: { vm: { arch: armhf, memory: 1GiB, boot: { cmdline: a, share: «/srv» } } }\n",
    ),
    (
        ProblemKind::DiskSize,
        "vm: disks: [{ path: /srv/a.img, size: «0GiB» }]",
    ),
    (
        ProblemKind::DiskFormat,
        "vm: disks: [{ path: «/srv/a.qcow2», format: raw }]",
    ),
    (
        ProblemKind::SeedPair,
        "fleet: f\nvms: { vm: { arch: armhf, memory: 1GiB, boot: { cmdline: a, seed: { kernel: a, initrd: «./a» } } } }\n",
    ),
    (
        ProblemKind::InstallAndSeed,
        "fleet: f\nvms: { vm: { arch: armhf, memory: 1GiB, boot: { cmdline: a, seed: { kernel: a, initrd: b } }, disks: [{ path: /srv/a.img, size: 1GiB }], «install»: { kernel: c, initrd: d, cmdline: e } } }\n",
    ),
    (
        ProblemKind::InstallDisk,
        "vm: «install»: { kernel: c, initrd: d, cmdline: e }",
    ),
    (
        ProblemKind::InstallDisk,
        "vm: install: { kernel: c, initrd: d, cmdline: e }, disks: [{ path: «/srv/a.img» }]",
    ),
    (
        ProblemKind::ConfirmWithin,
        "fleet: f\nvms: { vm: { arch: armhf, memory: 1GiB, boot: { cmdline: a, confirm_within: «2s» } } }\n",
    ),
    (ProblemKind::StopTimeout, "vm: stop_timeout: «2d»"),
    (
        ProblemKind::TextFile,
        "vm: cloud_init: { user_data: «../data» }",
    ),
];

/// Codes whose files are too large, or no text, for a table, or are beside the fleet file; each has a test of its own below,
/// beside the reader or in `tests/invalid/cloud-init`.
const ELSEWHERE: [ProblemKind; 7] = [
    ProblemKind::FileTooLarge,
    ProblemKind::NotUtf8,
    ProblemKind::TooDeep,
    ProblemKind::TooManyAliases,
    ProblemKind::CmdlineLength,
    ProblemKind::CloudInitHeader,
    ProblemKind::CloudInitMetadata,
];

/// The file of a row without its marks, and the part between them.
fn unmarked(row: &str) -> (String, Range<usize>) {
    let text = match row.strip_prefix("vm: ") {
        Some(said) => match said.split_once("   #") {
            Some((said, comment)) => {
                format!("fleet: f\nvms:\n  vm: {{ {BASE}, {said} }}   #{comment}\n")
            }
            None => format!("fleet: f\nvms:\n  vm: {{ {BASE}, {said} }}\n"),
        },
        None => row.to_owned(),
    };
    let (before, rest) = text.split_once('«').unwrap();
    let (part, after) = rest.split_once('»').unwrap();
    (
        format!("{before}{part}{after}"),
        before.len()..before.len() + part.len(),
    )
}

fn problems(bytes: &[u8]) -> Vec<Problem> {
    let given = Given {
        vars: BTreeMap::new(),
        secrets: Secrets::new(BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())])),
        ..Given::default()
    };
    let file = FleetFile {
        name: "fleet.yaml",
        folder: "/home/me/fleet",
        bytes,
    };
    let problems = read_files(&[file], &given).expect_err(&String::from_utf8_lossy(bytes));
    problems.iter().cloned().collect()
}

/// As it is, behind a byte order mark, behind other characters, and with the line breaks of other systems.
fn guises(text: &str, part: &Range<usize>) -> [(String, Range<usize>); 4] {
    let behind = |before: &str| {
        let (start, end) = (part.start + before.len(), part.end + before.len());
        (format!("{before}{text}"), start..end)
    };
    let breaks = |end: usize| text[..end].matches('\n').count();
    let carriages = part.start + breaks(part.start)..part.end + breaks(part.end);
    [
        behind(""),
        behind("\u{feff}"),
        behind("# größe 計算\n"),
        (text.replace('\n', "\r\n"), carriages),
    ]
}

#[test]
fn what_is_underlined_is_the_offending_part_and_nothing_else() {
    for (code, row) in TABLE {
        let (text, part) = unmarked(row);
        for (text, part) in guises(&text, &part) {
            let found = problems(text.as_bytes());
            let of_code = found.iter().filter(|problem| problem.code == *code);
            let places: Vec<_> = of_code.map(|problem| problem.place.range.clone()).collect();
            let shown: Vec<_> = places.iter().map(|place| &text[place.clone()]).collect();
            assert_eq!(places, [part], "{code} underlines {shown:?} in {text}");
        }
    }
}

#[test]
fn every_kind_of_problem_is_in_the_table() {
    let mut codes: BTreeSet<ProblemKind> = TABLE.iter().map(|(code, _)| *code).collect();
    codes.extend(ELSEWHERE);
    let missing: Vec<_> = ProblemKind::ALL
        .iter()
        .filter(|code| !codes.contains(code))
        .collect();
    assert_eq!(missing, [&ProblemKind::Syntax; 0]);
}

#[test]
fn what_fits_in_no_table_is_underlined_exactly_too() {
    let underlined = |bytes: &[u8]| {
        let found = problems(bytes);
        let [problem] = found.as_slice() else {
            return (ProblemKind::Syntax, bytes.to_owned());
        };
        (problem.code, bytes[problem.place.range.clone()].to_owned())
    };
    let long = "x".repeat(1100);
    let cmdline = format!(
        "fleet: f\nvms: {{ vm: {{ arch: armhf, memory: 1GiB, boot: {{ cmdline: {long} }} }} }}\n"
    );
    let deep = format!("fleet: f\nvms: {}\n", "[".repeat(100));
    let aliases = format!(
        "a: &a [{}]\nb: &b [{}]\nc: [{}]\n",
        "1,".repeat(999),
        "*a,".repeat(99),
        "*b,".repeat(99)
    );
    let cases: [(&[u8], ProblemKind, &[u8]); 5] = [
        (
            cmdline.as_bytes(),
            ProblemKind::CmdlineLength,
            long.as_bytes(),
        ),
        (deep.as_bytes(), ProblemKind::TooDeep, b"["),
        (aliases.as_bytes(), ProblemKind::TooManyAliases, b"*b"),
        (b"fleet: caf\xe9\n", ProblemKind::NotUtf8, b"\xe9"),
        (&[b' '; (1 << 20) + 1], ProblemKind::FileTooLarge, b""),
    ];
    for (bytes, code, part) in cases {
        assert_eq!(underlined(bytes), (code, part.to_owned()));
    }
}

/// In a text with escapes a word has no place of its own, so nothing is proposed for it.
#[test]
fn a_correction_stands_in_the_place_of_its_word() {
    let fix = |log: &str| {
        let (text, _) = unmarked(&format!("vm: console: {{ log: {log} }}"));
        problems(text.as_bytes())[0].fix.clone()
    };
    assert_eq!(fix("'/log/«{nmae}»'"), Some("{name}".to_owned()));
    assert_eq!(fix("«\"/log\\x2f{nmae}\"»"), None);
}
