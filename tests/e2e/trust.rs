//! Saved plans are as powerful as root: who may have written one, what it may say, and how it is known.

use std::io::Write as _;
use std::process::Stdio;

use crate::fleet::{CONSOLE, SHARE, VM, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

const SAVED: &str = "saved.plan";

/// A host where nothing is applied yet, a saved plan that makes the VM, and the digest that was printed with it.
fn with_new_plan() -> (TestHost, String) {
    let host = TestHost::with_fleet(&stopped_recipe());
    let saved = host.armfleet(&["plan", "--out", SAVED]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    let (_, digest) = saved.stderr.split_once("SHA-256 ").unwrap();
    let digest = digest.lines().next().unwrap().to_owned();
    (host, digest)
}

fn apply(host: &TestHost, arguments: &[&str]) -> Output {
    host.armfleet(&[&["apply", "--plan"], arguments].concat())
}

/// That a plan is not used, and why; nothing was done, and libvirt has no domain.
#[track_caller]
fn assert_refused(host: &TestHost, ended: &Output, why: &[&str]) {
    assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
    for part in why {
        assert!(
            ended.stderr.contains(part),
            "no `{part}` in\n{}",
            ended.stderr
        );
    }
    assert_eq!(
        host.virsh(&["list", "--all", "--name"]).success().trim(),
        ""
    );
    assert!(!host.path(SHARE).exists());
}

#[test]
fn a_plan_whose_paths_were_edited_is_refused() {
    let (host, _) = with_new_plan();
    let text = host.read("/run/test/saved.plan");
    let edits: [(&[&str], &str); 3] = [
        (&[CONSOLE], "/etc/cron.d/x"),
        (&["/srv/armhf-vm.img", "/srv/{name}.img"], "/etc/evil.img"),
        (&[SHARE, "/srv/{name}-boot"], "/etc/newshare"),
    ];
    for (then, now) in edits {
        let edited = then
            .iter()
            .fold(text.clone(), |text, then| text.replace(then, now));
        assert_ne!(edited, text);
        host.write("/run/test/saved.plan", &edited);
        for arguments in [&["apply", "--plan", SAVED], &["show", "--plan", SAVED]] {
            let ended = host.armfleet(arguments);
            assert_refused(&host, &ended, &["[path-refused]", now, "plan --out"]);
        }
        assert!(!host.path(now).exists(), "{now}");
    }
}

#[test]
fn a_plan_that_others_can_write_is_known_by_its_digest_only() {
    let (host, digest) = with_new_plan();
    for mode in ["0620", "0602", "0666"] {
        host.run("chmod", &[mode, SAVED]).success();
        let why = [
            "users other than its owner can write it",
            mode,
            "chmod go-w saved.plan",
            "--plan-sha256",
        ];
        assert_refused(&host, &apply(&host, &[SAVED]), &why);
    }
    let other = "0".repeat(64);
    let refused = apply(&host, &[SAVED, "--plan-sha256", &other]);
    assert_refused(&host, &refused, &["its SHA-256 is", &digest]);
    let refused = apply(&host, &[SAVED, "--plan-sha256", "0123"]);
    assert_refused(&host, &refused, &["64 hexadecimal digits"]);
    let applied = apply(&host, &[SAVED, "--plan-sha256", &digest.to_uppercase()]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_eq!(host.state(VM), "shut off");
}

#[test]
fn the_remedy_for_a_plan_that_others_can_write_works() {
    let (host, _) = with_new_plan();
    host.run("chmod", &["0666", SAVED]).success();
    host.run("chown", &["nobody", SAVED]).success();
    let why = ["owned by uid", "chown root saved.plan"];
    assert_refused(&host, &apply(&host, &[SAVED]), &why);
    host.run("chown", &["root", SAVED]).success();
    host.run("chmod", &["go-w", SAVED]).success();
    apply(&host, &[SAVED]).success();
}

#[test]
fn a_plan_of_the_user_who_calls_sudo_is_trusted() {
    let (host, _) = with_new_plan();
    host.run("chown", &["1234", SAVED]).success();
    let as_caller = |uid: &str| -> Output {
        let mut command = host.command(ARMFLEET);
        command
            .args(["apply", "--plan", SAVED])
            .env("SUDO_UID", uid);
        command.output().unwrap().into()
    };
    assert_refused(&host, &as_caller("1235"), &["owned by uid 1234"]);
    as_caller("1234").success();
}

#[test]
fn a_link_and_a_fifo_are_no_plans() {
    let (host, digest) = with_new_plan();
    host.run("ln", &["-s", SAVED, "link.plan"]).success();
    host.run("mkfifo", &["fifo.plan"]).success();
    for trust in [&[][..], &["--plan-sha256", &digest]] {
        let ended = apply(&host, &[&["link.plan"], trust].concat());
        assert_refused(&host, &ended, &["symbolic link", "readlink -f link.plan"]);
        let ended = apply(&host, &[&["fifo.plan"], trust].concat());
        assert_refused(&host, &ended, &["not a regular file"]);
    }
    let shown = host.armfleet(&["show", "--plan", "fifo.plan"]);
    assert_refused(&host, &shown, &["not a regular file"]);
    host.armfleet(&["show", "--plan", "link.plan"]).success();
}

#[test]
fn a_plan_on_standard_input_is_known_by_its_digest() {
    let (host, digest) = with_new_plan();
    let bytes = host.read("/run/test/saved.plan");
    let from_stdin = |bytes: &str, arguments: &[&str]| -> Output {
        let mut command = host.command(ARMFLEET);
        command.args([&["apply", "--plan", "-"], arguments].concat());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended before it read anything.
        let _ = child.stdin.take().unwrap().write_all(bytes.as_bytes());
        child.wait_with_output().unwrap().into()
    };
    assert_refused(&host, &from_stdin(&bytes, &[]), &["--plan-sha256"]);
    let trust = ["--plan-sha256", digest.as_str()];
    let other = bytes.replace("64MiB", "65MiB");
    assert_refused(&host, &from_stdin(&other, &trust), &["its SHA-256 is"]);
    from_stdin(&bytes, &trust).success();
    assert_eq!(host.state(VM), "shut off");
}

#[test]
fn a_saved_plan_names_every_path_that_it_touches() {
    let (host, _) = with_new_plan();
    let mode = host.run("stat", &["-c", "%a", SAVED]).success();
    assert_eq!(mode, "600\n");
    let touched = [
        "/etc/libvirt/hooks/qemu.d/50-armfleet",
        "/srv/armhf-vm-boot",
        "/srv/armhf-vm.img",
        "/srv/seed/vmlinuz-",
        "/srv/seed/initrd.img-",
        CONSOLE,
        "/var/lib/armfleet",
    ];
    let shown = ["text", "markdown", "json"].map(|format| {
        host.armfleet(&["show", "--plan", SAVED, "--format", format])
            .success()
    });
    let applied = apply(&host, &[SAVED]).success();
    for text in shown.iter().chain([&applied]) {
        for path in touched {
            assert!(text.contains(path), "no {path} in\n{text}");
        }
    }
    assert!(applied.contains("Touches:\n"), "{applied}");
}

#[test]
fn a_plan_that_was_applied_says_when_and_by_whom() {
    let (host, _) = with_new_plan();
    apply(&host, &[SAVED]).success();
    let again = apply(&host, &[SAVED]);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
    assert_eq!(again.stderr.lines().count(), 2, "{}", again.stderr);
    for part in [
        "was applied before, at 2",
        "UTC by root: all steps done (plan ",
        "plan again",
    ] {
        assert!(
            again.stderr.contains(part),
            "no `{part}` in\n{}",
            again.stderr
        );
    }
}
