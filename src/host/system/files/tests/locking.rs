use super::*;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_lock_that_is_held_says_by_whom_and_can_be_had_afterwards() {
    let sandbox = Sandbox::new();
    let lock = |note, patience| sandbox.host.lock("/run/armfleet/vm/a.lock", note, patience);
    let held = lock("pid 1, root, since noon", Duration::ZERO).unwrap();
    let Err(error) = lock("me", Duration::from_millis(120)) else {
        panic!("it was taken twice")
    };
    assert_eq!(error.kind, CallErrorKind::Locked);
    assert!(
        error
            .why
            .ends_with("a.lock is held by pid 1, root, since noon"),
        "{error}"
    );
    drop(held);
    drop(lock("a much shorter note", Duration::ZERO).unwrap());
    let held = lock("n", Duration::ZERO).unwrap();
    assert_eq!(text(&sandbox, "/run/armfleet/vm/a.lock"), "n");
    drop(held);
    assert_eq!(stat(&sandbox, "/run/armfleet").mode, 0o700);
    assert_eq!(stat(&sandbox, "/run/armfleet/vm").mode, 0o700);
    assert_eq!(stat(&sandbox, "/run/armfleet/vm/a.lock").mode, 0o600);
}

#[test]
fn a_lock_is_waited_for() {
    let sandbox = Sandbox::new();
    let held = sandbox.host.lock("/lock", "first", Duration::ZERO).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        let second = sandbox
            .host
            .lock("/lock", "second", Duration::from_secs(60));
        assert!(second.is_ok());
    });
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(30));
}

#[test]
fn a_lock_is_not_made_behind_a_link() {
    let sandbox = Sandbox::new();
    sandbox.folder("/run/armfleet");
    sandbox.folder("/others");
    sandbox.file("/others/a.lock", "kept");
    sandbox.symlink("../../others", "/run/armfleet/vm");
    let lock = sandbox
        .host
        .lock("/run/armfleet/vm/a.lock", "me", Duration::ZERO);
    let why = lock.err().unwrap().why;
    assert!(why.contains("/run/armfleet/vm is a symbolic link"), "{why}");
    assert_eq!(text(&sandbox, "/others/a.lock"), "kept");
    sandbox.symlink("../../../others", "/run/armfleet/staging");
    let lock = sandbox
        .host
        .lock("/run/armfleet/staging/deep/a.lock", "me", Duration::ZERO);
    assert!(lock.is_err());
    assert_eq!(
        sandbox
            .names()
            .iter()
            .filter(|name| name.contains("deep"))
            .count(),
        0
    );
}
