//! What the environment gives to a fleet file as a secret: the domain has it, and nobody is told.

mod everywhere;

use crate::fleet::{VM, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

/// What the variable holds at first, and after it was changed.
const SECRETS: [&str; 2] = ["geheim<17>&co", "hunter2\"é"];

fn keyed(recipe: &str) -> String {
    recipe.replace("root=/dev/vda1", "root=/dev/vda1 key={env.KEY}")
}

/// What armfleet says, in traces too, and with which code it ends.
fn said(host: &TestHost, arguments: &[&str], secret: &str) -> (Option<i32>, String) {
    let mut command = host.command(ARMFLEET);
    let command = command.args(arguments).env("KEY", secret);
    let output: Output = command
        .env("ARMFLEET_LOG", "trace")
        .output()
        .unwrap()
        .into();
    (output.code, output.stdout + &output.stderr)
}

#[track_caller]
fn assert_silent(text: &str) {
    for secret in SECRETS {
        let parts = [secret, &secret[..7], &secret[8..]];
        for part in parts {
            assert!(!text.contains(part), "{part}\n{text}");
        }
    }
}

#[test]
fn a_secret_is_in_the_domain_and_told_to_nobody() {
    let host = TestHost::with_fleet(&keyed(&stopped_recipe()));
    let looks: [&[&str]; 12] = [
        &["validate"],
        &["validate", "--format", "json"],
        &["plan", "--diff"],
        &["plan", "--diff", "--format", "json"],
        &["plan", "--diff", "--format", "markdown"],
        &["plan", "--graph", "plan.mmd"],
        &["plan", "--graph", "plan.dot"],
        &["status"],
        &["status", "--format", "json"],
        &["show", VM],
        &["show", VM, "--format", "json"],
        &["apply", "--auto-approve", "--diff"],
    ];
    for (secret, count) in SECRETS.iter().zip(1..) {
        for arguments in looks {
            let (code, text) = said(&host, arguments, secret);
            assert_eq!(code, Some(0), "{arguments:?}\n{text}");
            assert_silent(&text);
        }
        let (_, plan) = said(&host, &["plan"], secret);
        assert!(plan.contains("No changes."), "{count}: {plan}");
        let (definition, xml) = (host.definition(VM), secret.replace('&', "&amp;"));
        let xml = xml
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        assert!(definition.contains(&format!("key={xml}<")), "{definition}");
    }
    let mode = host.run("stat", &["-c", "%a %u", "/var/lib/armfleet/key.json"]);
    assert_eq!(mode.stdout, "600 0\n");
}

/// The environment has the variable no more either.
#[test]
fn a_secret_that_the_fleet_file_names_no_more_is_told_to_nobody() {
    let host = TestHost::with_fleet(&keyed(&stopped_recipe()));
    let no_vm = "fleet: recipe\nvms: {}\n".to_owned();
    let removal: &[&str] = &["--allow-removal=1"];
    for (fleet, options) in [(stopped_recipe(), &[][..]), (no_vm, removal)] {
        host.write_fleet(&keyed(&stopped_recipe()));
        let (code, text) = said(&host, &["apply", "--auto-approve"], SECRETS[0]);
        assert_eq!(code, Some(0), "{text}");
        host.write_fleet(&fleet);
        let looks: [&[&str]; 10] = [
            &["plan", "--diff"],
            &["plan", "--diff", "--format", "json"],
            &["plan", "--diff", "--format", "markdown"],
            &["plan", "--graph", "plan.mmd"],
            &["plan", "--out", "saved.plan"],
            &["show", "--plan", "saved.plan", "--diff"],
            &["status"],
            &["status", "--format", "json"],
            &["apply", "--auto-approve", "--diff"],
            &["history", "--format", "json"],
        ];
        for look in looks {
            let given = if matches!(look[0], "plan" | "apply") {
                options
            } else {
                &[]
            };
            let mut command = host.command(ARMFLEET);
            let command = command.args(look).args(given).env("ARMFLEET_LOG", "trace");
            let output: Output = command.output().unwrap().into();
            let text = output.stdout + &output.stderr;
            assert_eq!(output.code, Some(0), "{look:?}\n{text}");
            assert_silent(&text);
        }
        let files = [
            "/var/lib/armfleet",
            "/run/armfleet",
            "plan.mmd",
            "saved.plan",
        ];
        let found = host.run(
            "grep",
            &[&["-rlE", "geheim|17(>|&gt;)"], &files[..]].concat(),
        );
        assert_eq!(found.stdout, "");
    }
}

#[test]
fn a_plan_with_a_secret_is_saved_without_it() {
    let host = TestHost::with_fleet(&keyed(&stopped_recipe()));
    let apply = ["apply", "--plan", "saved.plan"];
    for secret in SECRETS {
        let looks: [&[&str]; 2] = [&["plan", "--out", "saved.plan"], &apply];
        for arguments in looks {
            let (code, text) = said(&host, arguments, secret);
            assert_eq!(code, Some(0), "{arguments:?}\n{text}");
            assert_silent(&text);
        }
        let shown = host.armfleet(&["show", "--plan", "saved.plan", "--diff"]);
        assert!(shown.stdout.contains("key={env.KEY}"), "{}", shown.stdout);
        assert_silent(&(host.read("/run/test/saved.plan") + &shown.success()));
        let (_, plan) = said(&host, &["plan"], secret);
        assert!(plan.contains("No changes."), "{plan}");
        let (code, text) = said(&host, &apply, secret);
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains("was applied before"), "{text}");
        assert_silent(&text);
    }
    // The plan was made with one value, and the domain has it; with another there would be more to do.
    host.write_fleet(&keyed(&stopped_recipe()).replace("512MiB", "768MiB"));
    let (code, text) = said(&host, &["plan", "--out", "saved.plan"], SECRETS[1]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said(&host, &apply, SECRETS[0]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("cmdline"), "{text}");
    assert_silent(&text);
    let unset = host.armfleet(&apply);
    assert_eq!(unset.code, Some(4), "{}", unset.stdout);
    for why in [
        "the environment variable `KEY` is not set",
        "-> set it for armfleet apply",
    ] {
        assert!(unset.stderr.contains(why), "{}", unset.stderr);
    }
    let (code, text) = said(&host, &apply, SECRETS[1]);
    assert_eq!(code, Some(0), "{text}");
}
