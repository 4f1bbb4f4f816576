//! What the environment gives to a fleet file as a secret: the domain has it, and nobody is told.

use crate::fleet::{VM, recipe, stopped_recipe};
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
        &["plan", "--graph", "plan.svg"],
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
    // Of what armfleet keeps, only the record has it, which like libvirt's own file is root's alone.
    let files = ["/var/lib/armfleet", "/run/armfleet", "plan.svg", "plan.dot"];
    let found = host.run("grep", &[&["-rlF", "hunter2"], &files[..]].concat());
    assert_eq!(
        found.stdout,
        format!("/var/lib/armfleet/vms/{VM}/record.json\n")
    );
    let mode = host.run("stat", &["-c", "%a %u", found.stdout.trim()]);
    assert_eq!(mode.stdout, "600 0\n");
}

#[test]
fn a_plan_with_a_secret_is_not_saved() {
    let host = TestHost::with_fleet(&keyed(&recipe()));
    let (code, text) = said(&host, &["plan", "--out", "saved.plan"], SECRETS[0]);
    assert_eq!(code, Some(3), "{text}");
    assert_silent(&text);
    assert_eq!(host.run("ls", &["saved.plan"]).code, Some(2));
}
