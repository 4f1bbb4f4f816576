//! A fleet with secrets is changed in every way, and the values are looked for byte by byte in all that is said and kept but
//! the disk for cloud-init.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;

use crate::fleet::{HOOK_BINARY, JOURNAL, VM, recipe};
use crate::host::{ARMFLEET, Output, TestHost};

/// The values of `KEY`, of `ONE` and of `TWO`, and one that a hand wrote; some are a part of others.
const KEYS: [&str; 3] = ["geheim<17>&co", "hunter2\"é", "geheim<17>"];
const ONE: &str = "swordfish";
const TWO: &str = "swordfish/2";
const BY_HAND: &str = "byhand<99>&";

/// Each command with the ways to call it that show or keep something.
const COMMANDS: &[(&str, &[&[&str]])] = &[
    ("init", &[&["init", "--from-host", "new.yaml"]]),
    (
        "validate",
        &[&["validate"], &["validate", "--format", "json"]],
    ),
    (
        "plan",
        &[
            &["plan", "--diff"],
            &["plan", "--diff", "--no-secrets"],
            &["plan", "--diff", "--format", "json"],
            &["plan", "--diff", "--format", "markdown"],
            &["plan", "--drift-only", "--diff"],
            &["plan", "--graph", "plan.mmd"],
            &["plan", "--graph", "plan.dot"],
            &["plan", "--out", "saved.plan"],
        ],
    ),
    (
        "apply",
        &[
            &["apply"],
            &["apply", "--drift-only", "--auto-approve", "--vm", "none*"],
        ],
    ),
    (
        "status",
        &[
            &["status"],
            &["status", "--format", "json"],
            &["status", "--format", "openmetrics"],
        ],
    ),
    ("doctor", &[&["doctor"], &["doctor", "--format", "json"]]),
    (
        "show",
        &[
            &["show", VM],
            &["show", VM, "--format", "json"],
            &["show", "--plan", "saved.plan", "--diff"],
            &["show", "--plan", "saved.plan", "--diff", "--format", "json"],
            &["show", "--plan", "saved.plan", "--format", "markdown"],
        ],
    ),
    (
        "diff",
        &[
            &["diff", "fleet.yaml", "fleet.yaml", "--diff"],
            &["diff", "fleet.yaml", "fleet.yaml", "--format", "json"],
        ],
    ),
    (
        "snapshot",
        &[
            &["snapshot"],
            &["snapshot", "--out", "host.snapshot"],
            &["snapshot", "--all"],
            &["plan", "--diff", "--from-snapshot", "host.snapshot"],
            &["status", "--from-snapshot", "host.snapshot"],
            &["show", VM, "--from-snapshot", "host.snapshot"],
        ],
    ),
    (
        "boot",
        &[
            &["boot", "list", VM],
            &["boot", "list", VM, "--format", "json"],
            &["boot", "use", VM, "none"],
            &["boot", "retry", VM],
            &["boot", "extract", VM],
        ],
    ),
    ("guest-setup", &[&["guest-setup"]]),
    (
        "history",
        &[
            &["history", "--diff"],
            &["history", VM, "--last", "99"],
            &["history", "--last", "99", "--format", "json"],
        ],
    ),
    // It runs all the while.
    ("watch", &[]),
    // On the VM itself they would change what the rest looks at.
    ("start", &[&["start", "another"]]),
    ("stop", &[&["stop", "another"]]),
    ("restart", &[&["restart", "another"]]),
    ("console", &[&["console", VM]]),
    ("logs", &[&["logs", VM], &["logs", "--qemu", VM]]),
    ("hold", &[&["hold", VM, "--why", "a test"]]),
    ("release", &[&["release", VM]]),
    ("explain", &[&["explain", "cmdline"]]),
    ("schema", &[&["schema"]]),
    ("completions", &[&["completions", "bash"]]),
    ("man", &[&["man", "plan"]]),
];

fn fleet(cmdline: &str) -> String {
    let cmdline = format!("cmdline: 'console=ttyAMA0 root=/dev/vda1{cmdline}'");
    let mut recipe = recipe().replace("cmdline: console=ttyAMA0 root=/dev/vda1", &cmdline);
    if cmdline.contains("{env.KEY}") {
        recipe += "    cloud_init: { user_data: user-data }\n";
    }
    recipe.replace(
        "on_guest_reboot: stop",
        "stop_timeout: 1s\n    state: stopped",
    )
}

/// A host whose VM has the key in its user data, too.
fn host_with(fleet: &str) -> TestHost {
    let host = TestHost::with_fleet(fleet);
    let user_data = "#cloud-config\npassword: {env.KEY}\n";
    host.write("/run/test/user-data", user_data);
    host
}

/// A host whose commands get the secrets.
struct Secretive {
    host: TestHost,
    key: Option<&'static str>,
}

impl Secretive {
    /// What a command says, which is none of the secrets.
    #[track_caller]
    fn say(&self, arguments: &[&str]) -> Output {
        let mut command = self.host.command(ARMFLEET);
        command.args(arguments);
        if let Some(key) = self.key {
            command.env("KEY", key).env("ONE", ONE).env("TWO", TWO);
        }
        let traced = command
            .env("ARMFLEET_LOG", "trace")
            .env("RUST_LOG", "trace");
        let output: Output = traced.output().unwrap().into();
        let what = format!("armfleet {}", arguments.join(" "));
        assert_silent(&what, &format!("{}{}", output.stdout, output.stderr));
        output
    }

    #[track_caller]
    fn apply(&self, code: i32) {
        let output = self.say(&["apply", "--auto-approve", "--diff"]);
        assert_eq!(
            output.code,
            Some(code),
            "{}{}",
            output.stdout,
            output.stderr
        );
    }

    /// Calls every command, and looks through all that was kept.
    #[track_caller]
    fn look_everywhere(&self) {
        for call in COMMANDS.iter().flat_map(|(_, calls)| *calls) {
            self.say(call);
        }
        self.look_at_files();
    }

    /// The same by those that show most.
    #[track_caller]
    fn look(&self) {
        for call in [
            &["plan", "--diff"][..],
            &["plan", "--diff", "--format", "json"],
            &["plan", "--out", "saved.plan"],
            &["status"],
            &["history", VM, "--last", "99"],
        ] {
            self.say(call);
        }
        self.look_at_files();
    }

    /// libvirt's own logs have every command line of QEMU, and the guest's kernel prints its own; no other file has it.
    #[track_caller]
    fn look_at_files(&self) {
        const FORMS: &str = "/run/forms";
        let lines: String = all_forms().map(|(_, form)| form + "\n").collect();
        self.host.write(FORMS, lines);
        let folders = [
            "/var/lib/armfleet",
            "/run/armfleet",
            "/run/test",
            "/var/log",
        ];
        let options = [
            "-rlaF",
            "-f",
            FORMS,
            "--exclude-dir=libvirt",
            "--exclude=armhf-vm.log",
            // The texts for cloud-init are on its disk alone.
            "--exclude=[1-4].img",
        ];
        let found = self
            .host
            .run("grep", &[&options[..], &folders[..]].concat());
        assert_eq!(
            (found.stdout.as_str(), found.code),
            ("", Some(1)),
            "{}",
            found.stderr
        );
    }
}

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    for (value, form) in all_forms() {
        assert!(!text.contains(&form), "{value} in {what}:\n{text}");
    }
}

fn all_forms() -> impl Iterator<Item = (&'static str, String)> {
    let values = KEYS.into_iter().chain([ONE, TWO, BY_HAND]);
    values.flat_map(|value| forms(value).into_iter().map(move |form| (value, form)))
}

/// A value as it may be written: as it is, in JSON, XML, a URL or a debugger's text, in hexadecimal, and in Base64 wherever it
/// begins in that.
fn forms(value: &str) -> BTreeSet<String> {
    let json = serde_json::to_string(value).unwrap();
    let xml = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let url: String = value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let texts = [
        value.to_owned(),
        json.trim_matches('"').to_owned(),
        format!("{value:?}").trim_matches('"').to_owned(),
        xml.clone(),
        xml.replace('"', "&quot;"),
        url.to_lowercase(),
        url,
        hex.to_uppercase(),
        hex,
    ];
    let base64 = (0..3).map(|before| base64_at(before, value.as_bytes()));
    texts.into_iter().chain(base64).collect()
}

/// What bytes are in Base64 after so many others, without the digits that depend on their neighbours.
fn base64_at(before: usize, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = std::iter::repeat_n(0, before)
        .chain(bytes.iter().copied())
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let digits = bits.chunks_exact(6).map(|six| {
        let digit = six
            .iter()
            .fold(0, |digit, bit| digit << 1 | usize::from(*bit));
        char::from(DIGITS[digit])
    });
    digits.skip((before * 8).div_ceil(6)).collect()
}

#[test]
fn every_command_is_looked_at() {
    let help = std::process::Command::new(ARMFLEET)
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let line = line.strip_prefix("  ")?;
            (!line.starts_with(' ')).then(|| line.split(' ').next())?
        });
    let names: BTreeSet<&str> = names.filter(|name| *name != "help").collect();
    let known: BTreeSet<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
    assert_eq!(base64_at(1, b"hunter2"), "h1bnRlcj");
}

#[test]
fn secrets_are_nowhere_but_in_the_domain_and_on_its_disk() {
    let host = host_with(&fleet(" key={env.KEY}"));
    let watcher = host.watch();
    let mut secretive = Secretive {
        host,
        key: Some(KEYS[0]),
    };
    secretive.apply(0);
    secretive.look_everywhere();

    // Another value, another template, the key elsewhere, several in one word.
    let cmdlines = [
        (KEYS[1], " key={env.KEY}"),
        (KEYS[1], " key={env.KEY} quiet"),
        (KEYS[0], " quiet key={env.KEY}"),
        (KEYS[2], " quiet pair={env.ONE}:{env.TWO},{env.KEY}"),
    ];
    for (key, cmdline) in cmdlines {
        secretive.key = Some(key);
        secretive.host.write_fleet(&fleet(cmdline));
        secretive.look();
        secretive.apply(0);
        let xml = key.replace('&', "&amp;").replace('<', "&lt;");
        let xml = xml.replace('>', "&gt;").replace('"', "&quot;");
        let definition = secretive.host.definition(VM);
        assert!(definition.contains(&xml), "{definition}");
        let told = format!("password: {key}\n");
        let disks = "/var/lib/armfleet/vms/armhf-vm/cloud-init";
        let found = secretive.host.run("grep", &["-raF", &told, disks]);
        assert_eq!(found.code, Some(0), "{}", found.stderr);
    }

    // By hand: another value, other words.
    let definition = secretive.host.definition(VM);
    let xml = BY_HAND
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    for edited in [
        definition.replace("pair=", &format!("other={xml} pair=")),
        definition.replace(ONE, &xml),
    ] {
        secretive.host.define(&edited);
        fs::remove_file(secretive.host.path("/run/test/domain.xml")).unwrap();
        secretive.look_everywhere();
        secretive.host.write_fleet(&fleet(" quiet"));
        secretive.look();
        secretive
            .host
            .write_fleet(&fleet(" quiet pair={env.ONE}:{env.TWO},{env.KEY}"));
        secretive.apply(0);
    }

    // A saved plan, an apply that fails, one that is killed.
    secretive
        .host
        .write_fleet(&fleet(" key={env.KEY}").replace("state: stopped", "state: running"));
    assert_eq!(
        secretive.say(&["plan", "--out", "saved.plan"]).code,
        Some(0)
    );
    let hook = secretive.host.path(HOOK_BINARY);
    let aside = hook.with_extension("aside");
    fs::rename(&hook, &aside).unwrap();
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::metadata(&aside).unwrap().permissions()).unwrap();
    assert_eq!(
        secretive.say(&["apply", "--plan", "saved.plan"]).code,
        Some(1)
    );
    secretive.look_at_files();
    fs::rename(&aside, &hook).unwrap();
    let begun = secretive.host.read(JOURNAL).matches("\"began\"").count();
    let variable = format!("KEY={}", KEYS[2]);
    let killed = [
        &variable,
        "ARMFLEET_LOG=trace",
        ARMFLEET,
        "apply",
        "--auto-approve",
    ];
    let mut killed = secretive.host.spawn("env", &killed);
    let host = &secretive.host;
    killed.wait_until(|| host.read(JOURNAL).matches("\"began\"").count() > begun);
    killed.signal(Signal::KILL);
    let said = killed.wait();
    assert_silent("the killed apply", &(said.stdout + &said.stderr));
    secretive.look();
    secretive.apply(0);
    secretive.look_everywhere();

    // The file names none any more, while the VM runs with one; then it has no VM.
    secretive.key = None;
    secretive.host.write_fleet(&fleet(" quiet"));
    secretive.look_everywhere();
    secretive.host.virsh(&["destroy", VM]).success();
    secretive.apply(0);
    secretive.look();
    secretive.host.write_fleet("fleet: recipe\nvms: {}\n");
    let removed = secretive.say(&["apply", "--auto-approve", "--allow-removal=1", "--diff"]);
    assert_eq!(
        removed.code,
        Some(0),
        "{}{}",
        removed.stdout,
        removed.stderr
    );
    secretive.look_everywhere();
    watcher.signal(Signal::TERM);
    watcher.wait();
    assert_silent("the watcher's log", &secretive.host.log());
}

/// The job of a pull request has no secrets.
#[test]
fn a_plan_needs_no_secrets() {
    let host = host_with(&fleet(" key={env.KEY}"));
    let mut secretive = Secretive {
        host,
        key: Some(KEYS[0]),
    };
    secretive.apply(0);
    secretive.key = None;
    assert_eq!(secretive.say(&["plan"]).code, Some(4));
    let plan = ["plan", "--no-secrets", "--detailed-exitcode"];
    let same = secretive.say(&plan);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let line = "the value of {env.KEY} in its cmdline was not observed";
    assert!(same.stdout.contains(line), "{}", same.stdout);
    let line = "the value of {env.KEY} in its cloud-init files was not observed";
    assert!(same.stdout.contains(line), "{}", same.stdout);
    let other = fleet(" key={env.KEY}").replace("512MiB", "768MiB");
    secretive.host.write_fleet(&other);
    let other = secretive.say(&plan);
    assert_eq!(other.code, Some(2), "{}{}", other.stdout, other.stderr);
    assert!(
        other.stdout.contains("memory") && !other.stdout.contains("key="),
        "{}",
        other.stdout
    );
    // It changes nothing, whatever it is given to.
    let saved = secretive.say(&["plan", "--no-secrets", "--out", "saved.plan"]);
    assert_eq!(saved.code, Some(3), "{}", saved.stderr);
    assert!(
        saved.stderr.contains("without the values of KEY"),
        "{}",
        saved.stderr
    );
    assert!(!secretive.host.path("/run/test/saved.plan").exists());
    let applied = secretive.say(&["apply", "--no-secrets", "--auto-approve"]);
    assert_eq!(applied.code, Some(4), "{}", applied.stderr);
    assert_eq!(secretive.say(&["validate", "--no-secrets"]).code, Some(0));
}

/// A version before 0.2 kept what a variable had held before, in history and journal.
#[test]
fn the_history_of_an_earlier_version_is_told_without_secrets() {
    let host = host_with(&fleet(" key={env.KEY}"));
    let mut secretive = Secretive {
        host,
        key: Some(KEYS[0]),
    };
    secretive.apply(0);
    secretive.key = Some(KEYS[1]);
    secretive.apply(0);
    let make_earlier = format!(
        "cd /var/lib/armfleet && sed -i 's/{{a former env.KEY}}/{ONE}/' journal.jsonl history/{VM}/*.xml && \
         sed -i 's/,\"templates\":true//' journal.jsonl && grep -l {ONE} journal.jsonl history/{VM}/*.xml | wc -l"
    );
    let count = secretive.host.run("sh", &["-c", &make_earlier]).success();
    assert_eq!(count, "2\n");
    // The file names none any more either.
    secretive.key = None;
    secretive.host.write_fleet(&fleet(" quiet"));
    let told = secretive.say(&["history", VM]).success();
    assert!(told.contains("key={a former env.KEY}"), "{told}");
    secretive.say(&["history", "--format", "json"]).success();
    secretive.say(&["history"]).success();
}
