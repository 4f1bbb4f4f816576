//! Runs one after another, and what is made of them.

use super::*;
use crate::boot::BootFileName;
use crate::boot::note::{FileNote, Origin, Timestamp};
use crate::values::Sha256Sum;
use sha2::{Digest, Sha256};

const BOOT_ID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

fn identity(ino: u64) -> Identity {
    Identity {
        dev: 1,
        ino,
        size: 5,
        mtime: Timestamp(0, 0),
        ctime: Timestamp(0, 0),
    }
}

fn note(version: &str) -> PairNote {
    let mut hash = Sha256::new();
    hash.update(version);
    let sha256 = Sha256Sum::of(hash);
    let file = |prefix: &str| FileNote {
        from: Origin {
            name: format!("{prefix}-{version}"),
            link: None,
            file: identity(version.len() as u64),
        },
        size: 5,
        sha256: sha256.clone(),
    };
    let name = BootFileName::new(format!("vmlinuz-{version}").as_bytes()).unwrap();
    PairNote {
        version: KernelVersion::of_kernel(&name),
        source: PairSource::Links,
        kernel: file("vmlinuz"),
        initrd: file("initrd.img"),
        kind: None,
    }
}

fn start(trials: &mut Trials, version: &str) -> GenerationId {
    let note = note(version);
    trials.begin(&note.id(), &note, None, false);
    note.id()
}

fn ran(seconds: u64) -> Evidence {
    Evidence {
        ran: Ran::For(Duration::from_secs(seconds)),
        ..Evidence::default()
    }
}

fn said(kernel: &str, ino: u64) -> Evidence {
    let confirmation = Confirmation {
        kernel: kernel.to_owned(),
        boot_id: BOOT_ID.to_owned(),
    };
    Evidence {
        confirmation: Some((identity(ino), confirmation)),
        ..ran(1)
    }
}

/// Trials in which version 1 has proved itself.
fn with_proved() -> Trials {
    let mut trials = Trials::default();
    start(&mut trials, "1");
    trials.decide(&ran(600), None);
    trials
}

#[test]
fn a_pair_that_gives_no_sign_three_times_fails_and_gives_way() {
    let mut trials = with_proved();
    for strike in 1..STRIKES {
        let id = start(&mut trials, "2");
        let outcome = trials.decide(&ran(3), None);
        assert_eq!(outcome, Some(TrialOutcome::Strike("2".to_owned(), strike)));
        assert_eq!(trials.failure(&id), None);
    }
    let id = start(&mut trials, "2");
    let outcome = trials.decide(&ran(3), None).unwrap();
    assert_eq!(
        outcome.to_string(),
        "2 failed: 3 starts without a sign of life"
    );
    assert_eq!(trials.failure(&id), Some(Failure::Strikes));
    assert_eq!(trials.retry(), std::slice::from_ref(&id));
    assert_eq!(trials.failure(&id), None);
}

#[test]
fn without_a_pair_that_works_none_fails() {
    let mut trials = Trials::default();
    for _ in 0..5 {
        let id = start(&mut trials, "1");
        trials.decide(&ran(3), Some(Duration::from_secs(2)));
        assert_eq!(trials.failure(&id), None);
    }
}

#[test]
fn a_pair_that_was_asked_for_does_not_fail() {
    let mut trials = with_proved();
    for _ in 0..5 {
        let note = note("2");
        trials.begin(&note.id(), &note, None, true);
        assert_eq!(trials.decide(&ran(3), None), None);
    }
}

#[test]
fn what_says_nothing_about_the_kernel_is_no_strike() {
    let mut trials = with_proved();
    for evidence in [Ran::NotAtAll, Ran::Unknown] {
        start(&mut trials, "2");
        let evidence = Evidence {
            ran: evidence,
            ..Evidence::default()
        };
        assert_eq!(trials.decide(&evidence, None), None);
    }
    assert_eq!(trials.decide(&ran(3), None), None, "decided twice");
}

#[test]
fn with_a_time_limit_one_silent_run_is_enough_and_only_the_guest_proves() {
    let limit = Some(Duration::from_secs(300));
    let mut trials = with_proved();
    start(&mut trials, "2");
    let outcome = trials.decide(&ran(301), limit).unwrap();
    assert_eq!(outcome.to_string(), "2 failed: no sign of life within 5min");
    start(&mut trials, "3");
    assert_eq!(
        trials.decide(&said("3", 9), limit),
        Some(TrialOutcome::Proved("3".to_owned(), Proof::Guest))
    );
}

#[test]
fn a_confirmation_counts_once_and_only_for_the_kernel_that_ran() {
    let mut trials = with_proved();
    start(&mut trials, "2");
    assert!(matches!(
        trials.decide(&said("1", 9), None),
        Some(TrialOutcome::Strike(..))
    ));
    start(&mut trials, "2");
    assert!(matches!(
        trials.decide(&said("2", 9), None),
        Some(TrialOutcome::Proved(..))
    ));
    // A copy of it, left by whom ever, under another kernel of the same version.
    let mut other = note("2");
    other.initrd.sha256 = other.kernel.sha256.clone();
    other.kernel.sha256 = note("5").kernel.sha256;
    trials.begin(&other.id(), &other, Some(identity(9)), false);
    assert!(matches!(
        trials.decide(&said("2", 9), None),
        Some(TrialOutcome::Strike(..))
    ));
    trials.begin(&other.id(), &other, Some(identity(9)), false);
    assert!(matches!(
        trials.decide(&said("2", 10), None),
        Some(TrialOutcome::Strike(..))
    ));
}

#[test]
fn a_proved_pair_stays_proved() {
    let mut trials = with_proved();
    for _ in 0..5 {
        start(&mut trials, "1");
        assert_eq!(trials.decide(&ran(3), Some(Duration::from_secs(1))), None);
    }
    assert_eq!(trials.proved, Some(note("1").id()));
}

#[test]
fn failed_pairs_are_remembered_and_known_by_their_files() {
    let mut trials = with_proved();
    let id = start(&mut trials, "22");
    trials.decide(&ran(3), Some(Duration::from_secs(2)));
    trials.retain(&[]);
    assert_eq!(trials.pairs.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(trials.failed_files(&identity(2), &identity(2)), Some(&id));
    trials.seen_again(&id, identity(7), identity(8));
    assert_eq!(trials.failed_files(&identity(2), &identity(2)), None);
    assert_eq!(trials.failed_files(&identity(7), &identity(8)), Some(&id));
    let text = trials.render().unwrap();
    assert_eq!(Trials::read(text.as_bytes()).unwrap(), trials);
}

#[test]
fn stamps_tell_how_long_a_run_took() {
    let ran = |started, stopped| Ran::between(started, stopped);
    assert_eq!(ran(None, Some("9.0\n")), Ran::NotAtAll);
    assert_eq!(ran(Some("9.0\n"), None), Ran::Unknown);
    assert_eq!(ran(Some("9.0\n"), Some("3.0\n")), Ran::Unknown);
    assert_eq!(ran(Some("x"), Some("3.0\n")), Ran::Unknown);
    assert_eq!(ran(Some("-1"), Some("NaN")), Ran::Unknown);
    let took = ran(Some("9.25 1.0\n"), Some("12.75\n"));
    assert_eq!(took, Ran::For(Duration::from_millis(3500)));
}

#[test]
fn a_confirmation_is_two_words() {
    let read = |text: &str| Confirmation::read(text.as_bytes());
    let good = read(&format!("6.1.0-50-armmp {BOOT_ID}\n")).unwrap();
    assert_eq!(
        (good.kernel.as_str(), good.boot_id.as_str()),
        ("6.1.0-50-armmp", BOOT_ID)
    );
    for wrong in [
        "",
        "6.1",
        "6.1 not-a-boot-id",
        &format!("6.1 {BOOT_ID} more"),
        &format!("6.\u{1b}1 {BOOT_ID}"),
    ] {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
    assert_eq!(Confirmation::read(&[0xff, b' ', b'a']), None);
}

#[test]
fn an_end_that_somebody_wanted_is_no_strike() {
    let mut trials = with_proved();
    for _ in 0..2 * STRIKES {
        start(&mut trials, "2");
        let evidence = Evidence {
            was_ended: true,
            ..ran(3)
        };
        assert_eq!(trials.decide(&evidence, None), None);
    }
    // But the time in which it should have said something was over.
    let within = Duration::from_secs(10);
    let id = start(&mut trials, "2");
    let evidence = Evidence {
        was_ended: true,
        ..ran(10)
    };
    let outcome = trials.decide(&evidence, Some(within));
    let silent = Failure::Silent(10);
    assert_eq!(outcome, Some(TrialOutcome::Failed("2".to_owned(), silent)));
    assert_eq!(trials.failure(&id), Some(silent));
}

#[test]
fn strikes_never_exceed_their_limit() {
    let mut trials = Trials::default();
    for count in 1..=2 * STRIKES {
        start(&mut trials, "1");
        let strike = TrialOutcome::Strike("1".to_owned(), count.min(STRIKES));
        assert_eq!(trials.decide(&ran(3), None), Some(strike));
    }
}

#[test]
fn the_same_bytes_are_the_same_pair_with_the_better_name() {
    let mut trials = Trials::default();
    let note = note("1");
    let seed = PairNote {
        version: None,
        source: PairSource::Seed,
        ..note.clone()
    };
    trials.begin(&seed.id(), &seed, None, false);
    assert_eq!(
        trials.name_of(&note.id()),
        format!("generation {}", note.id())
    );
    for installed in [&note, &seed] {
        trials.begin(&installed.id(), installed, None, false);
        assert_eq!(trials.name_of(&note.id()), "1");
    }
    assert_eq!(trials.pairs.len(), 1);
}

#[test]
fn a_guest_is_heard_while_it_runs() {
    let mut trials = Trials::default();
    let id = start(&mut trials, "1");
    assert_eq!(trials.heard(None).pairs, trials.pairs);
    let heard = trials.heard(said("1", 7).confirmation);
    assert_eq!(heard.pairs[&id].standing, Standing::Proved(Proof::Guest));
}

#[test]
fn libvirts_log_tells_who_ended_a_run() {
    let destroyed = "2026-01-02 03:04:05.678+0000: shutting down, reason=destroyed\n";
    let shut_down = "2026-01-02 03:04:05.678+0000: shutting down, reason=shutdown\n";
    let begun = "2026-01-02 03:04:05.678+0000: starting up libvirt version: 9.0.0\n";
    for (log, ends) in [
        (String::new(), false),
        (format!("{begun}{destroyed}"), true),
        (format!("{destroyed}{begun}{shut_down}"), false),
        (format!("{shut_down}{begun}{destroyed}qemu: bye\n"), true),
        (format!("{destroyed}{begun}"), false),
    ] {
        assert_eq!(ends_destroyed(&log), ends, "{log}");
    }
}
