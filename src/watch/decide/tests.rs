use super::*;
use crate::fleet::{DEFAULT_STOP_TIMEOUT, Handover};
use crate::mark::{Applied, BootRecord, Phase, Wanted};
use std::collections::BTreeSet;

mod properties;

pub(in crate::watch) const UUID: &str = "729407af-9814-8a14-ab03-bb922bf75d3d";
const NOW: Moment = Moment(1_000_000);

pub(in crate::watch) fn record() -> Record {
    Record {
        fleet: "obs".parse().unwrap(),
        vm: "armhf-vm".parse().unwrap(),
        uuid: UUID.parse().unwrap(),
        applied: Applied::default(),
        secret_cmdlines: BTreeSet::new(),
        cmdline_digest: None,
        state: DesiredState::Running,
        autostart: true,
        on_guest_reboot: GuestReboot::ColdBoot,
        stop_timeout: DEFAULT_STOP_TIMEOUT,
        protect: false,
        phase: Phase::Own,
        boot: BootRecord {
            share: "/srv/armhf-vm-boot".parse().unwrap(),
            handover: Handover::Copy,
            seed: false,
            wanted: Wanted::Auto,
            ways: Default::default(),
            fresh: Default::default(),
            confirm_within: None,
        },
        applied_by: None,
    }
}

fn guest(state: RunState, off: Off) -> Guest {
    Guest {
        name: "armhf-vm".to_owned(),
        uuid: UUID.to_owned(),
        state,
        off,
    }
}

fn run(number: u64) -> Option<RunStamp> {
    Some(RunStamp {
        ino: number,
        mtime_ns: 0,
    })
}

/// A VM that went off, with a run that was noted to have begun a minute ago.
fn off(off: Off, end: Option<RunEnd>) -> Seen {
    let note = RunNote {
        began: Some(Moment(NOW.0 - 60_000)),
        end,
        ..RunNote::of(run(1))
    };
    Seen {
        record: record(),
        guest: Some(guest(RunState::Off, off)),
        holding: Holding::Free,
        run: run(1),
        note: Some(note),
        guest_stop: None,
        trial: None,
    }
}

fn running(end: Option<RunEnd>) -> Seen {
    Seen {
        guest: Some(guest(RunState::Running, Off::Unknown)),
        ..off(Off::Unknown, end)
    }
}

fn event(happening: Happening) -> Heard {
    Heard::Event(happening, run(1))
}

fn end_after(seen: &Seen, heard: Heard) -> (Option<RunEnd>, Act) {
    let decision = decide(seen, heard, NOW);
    let note = decision.note.or_else(|| seen.note.clone());
    (note.and_then(|note| note.end), decision.act)
}

const DUE: RunEnd = RunEnd::Reboot { due: NOW };

#[test]
fn what_qemu_tells_first_is_what_counts() {
    use Cause::{Outside, PowerOff, Reset};
    let table = [
        (None, Reset, Some(DUE)),
        (None, PowerOff, Some(RunEnd::PowerOff)),
        (None, Outside, None),
        (Some(DUE), Outside, Some(DUE)),
        (Some(DUE), PowerOff, Some(DUE)),
        (Some(RunEnd::PowerOff), Reset, Some(RunEnd::PowerOff)),
        (Some(RunEnd::PowerOff), Outside, Some(RunEnd::PowerOff)),
        // The guest was asked to power off, and did something else much later.
        (Some(RunEnd::Asked), Reset, Some(DUE)),
        (Some(RunEnd::Asked), PowerOff, Some(RunEnd::PowerOff)),
        (Some(RunEnd::Asked), Outside, Some(RunEnd::Asked)),
    ];
    for (before, cause, after) in table {
        let told = end_after(&running(before.clone()), event(Happening::Shutdown(cause)));
        assert_eq!(told, (after, Act::Rest), "{before:?} {cause:?}");
    }
}

#[test]
fn what_is_off_is_started_or_left_as_its_end_says() {
    let other = |off: Off| Some(RunEnd::Other(off.describe().to_owned()));
    let table = [
        (Some(DUE), Off::Shutdown, Some(DUE), Act::Start),
        (Some(DUE), Off::Unknown, Some(DUE), Act::Start),
        // Its own start failed, and was noted as due again.
        (Some(DUE), Off::Failed, Some(DUE), Act::Start),
        (Some(DUE), Off::Destroyed, other(Off::Destroyed), Act::Rest),
        (Some(DUE), Off::Saved, other(Off::Saved), Act::Rest),
        (
            Some(RunEnd::PowerOff),
            Off::Shutdown,
            Some(RunEnd::PowerOff),
            Act::Rest,
        ),
        (
            Some(RunEnd::Asked),
            Off::Shutdown,
            Some(RunEnd::Asked),
            Act::Rest,
        ),
        (None, Off::Shutdown, Some(DUE), Act::Start),
        (None, Off::Unknown, Some(DUE), Act::Start),
        (None, Off::Destroyed, other(Off::Destroyed), Act::Rest),
        (None, Off::Crashed, other(Off::Crashed), Act::Rest),
        (None, Off::Migrated, other(Off::Migrated), Act::Rest),
        (None, Off::Saved, other(Off::Saved), Act::Rest),
        (None, Off::Failed, other(Off::Failed), Act::Rest),
        (None, Off::Snapshot, other(Off::Snapshot), Act::Rest),
        (None, Off::Daemon, other(Off::Daemon), Act::Rest),
    ];
    for (before, why, after, act) in table {
        for heard in [Heard::Due, event(Happening::Stopped(why))] {
            let decision = end_after(&off(why, before.clone()), heard);
            assert_eq!(
                decision,
                (after.clone(), act),
                "{before:?} {why:?} {heard:?}"
            );
        }
    }
}

#[test]
fn a_stop_that_nobody_saw_asks_the_guests_own_note() {
    for (guest_stop, act) in [
        (None, Act::Start),
        (Some(GuestStop::Reboot), Act::Start),
        (Some(GuestStop::PowerOff), Act::Rest),
    ] {
        let seen = Seen {
            guest_stop,
            ..off(Off::Shutdown, None)
        };
        assert_eq!(decide(&seen, Heard::Due, NOW).act, act, "{guest_stop:?}");
    }
    // What was told of it may still be under way.
    let decision = decide(&off(Off::Shutdown, None), Heard::Look, NOW);
    assert_eq!(decision.act, Act::Again(NOW.after(SECOND_GLANCE)));
    assert_eq!(decision.note, None);
    // What QEMU told counts more.
    let seen = Seen {
        guest_stop: Some(GuestStop::PowerOff),
        ..off(Off::Shutdown, Some(DUE))
    };
    assert_eq!(decide(&seen, Heard::Look, NOW).act, Act::Start);
}

#[test]
fn what_did_not_run_since_the_host_booted_is_not_started() {
    let seen = Seen {
        run: None,
        note: None,
        ..off(Off::Unknown, None)
    };
    assert_eq!(decide(&seen, Heard::Look, NOW).act, Act::Rest);
}

#[test]
fn a_note_of_another_run_says_nothing_of_this_one() {
    let seen = Seen {
        run: run(2),
        ..off(Off::Shutdown, Some(RunEnd::PowerOff))
    };
    assert_eq!(decide(&seen, Heard::Due, NOW).act, Act::Start);
}

#[test]
fn only_what_armfleet_is_to_keep_running_is_started() {
    let stopped = Record {
        state: DesiredState::Stopped,
        ..record()
    };
    let stop = Record {
        on_guest_reboot: GuestReboot::Stop,
        ..record()
    };
    let warm = Record {
        on_guest_reboot: GuestReboot::Warm,
        ..record()
    };
    let another = Record {
        uuid: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
        ..record()
    };
    for record in [stopped, stop, warm, another] {
        let seen = Seen {
            record,
            ..off(Off::Shutdown, Some(DUE))
        };
        assert_eq!(decide(&seen, Heard::Look, NOW).act, Act::Rest);
    }
    let gone = Seen {
        guest: None,
        ..off(Off::Shutdown, Some(DUE))
    };
    assert_eq!(decide(&gone, Heard::Look, NOW).act, Act::Rest);
    assert_eq!(decide(&running(Some(DUE)), Heard::Look, NOW).act, Act::Rest);
}

/// A VM whose kernel may give a sign of life until this moment.
fn on_trial(until: Moment, end: Option<RunEnd>) -> Seen {
    Seen {
        trial: Some(OnTrial {
            kernel: "6.1.0-50-armmp".to_owned(),
            within: Duration::from_secs(60),
            until,
        }),
        ..running(end)
    }
}

#[test]
fn a_kernel_that_says_nothing_in_time_is_cut_off_and_the_vm_started() {
    const SILENT: RunEnd = RunEnd::Silent { due: NOW };
    let later = NOW.after(Duration::from_secs(1));
    assert_eq!(
        end_after(&on_trial(later, None), Heard::Look),
        (None, Act::Again(later))
    );
    for heard in [Heard::Look, Heard::Due] {
        let seen = on_trial(NOW, None);
        let decision = decide(&seen, heard, NOW);
        assert_eq!(decision.act, Act::Cut, "{heard:?}");
        let said = decision.say.unwrap();
        assert!(said.starts_with("6.1.0-50-armmp gave no sign of life within 1min"));
        assert_eq!(end_after(&seen, heard), (Some(SILENT), Act::Cut));
    }
    // It spoke after all, before its power was cut.
    let spoke = running(Some(SILENT));
    assert_eq!(end_after(&spoke, Heard::Look), (None, Act::Rest));
    // It rebooted by itself before its power was cut.
    let told = event(Happening::Shutdown(Cause::Reset));
    assert_eq!(
        end_after(&on_trial(NOW, Some(SILENT)), told),
        (Some(DUE), Act::Rest)
    );
    for heard in [Heard::Look, event(Happening::Stopped(Off::Destroyed))] {
        let cut = off(Off::Destroyed, Some(SILENT));
        assert_eq!(end_after(&cut, heard), (Some(SILENT), Act::Start));
    }
    let unwanted = Record {
        state: DesiredState::Stopped,
        ..record()
    };
    let seen = Seen {
        record: unwanted,
        ..on_trial(NOW, None)
    };
    assert_eq!(end_after(&seen, Heard::Due), (None, Act::Rest));
    let held = Seen {
        holding: held(),
        ..on_trial(NOW, None)
    };
    let again = Act::Again(NOW.after(HOLD_GLANCE));
    assert_eq!(end_after(&held, Heard::Due), (None, again));
}

fn held() -> Holding {
    Holding::Held(Hold {
        by: "anna".to_owned(),
        at: 0,
        until: None,
        why: None,
    })
}

#[test]
fn a_held_vm_is_looked_at_again_and_not_started() {
    for holding in [held(), Holding::Unreadable("damaged".to_owned())] {
        let seen = Seen {
            holding,
            ..off(Off::Shutdown, None)
        };
        let decision = decide(&seen, Heard::Due, NOW);
        assert_eq!(decision.act, Act::Again(NOW.after(HOLD_GLANCE)));
        assert_eq!(decision.note.unwrap().end, Some(DUE));
    }
}

#[test]
fn a_former_runs_stop_says_nothing_of_what_runs() {
    let seen = running(None);
    let decision = decide(&seen, event(Happening::Stopped(Off::Destroyed)), NOW);
    assert_eq!((decision.note, decision.act), (None, Act::Rest));
    // Not even of what has stopped again.
    let seen = Seen {
        run: run(2),
        ..off(Off::Shutdown, None)
    };
    let late = event(Happening::Shutdown(Cause::PowerOff));
    assert_eq!(end_after(&seen, late), (None, Act::Rest));
}

#[test]
fn a_stop_is_noted_even_if_libvirt_is_gone() {
    let seen = Seen {
        guest: None,
        ..off(Off::Unknown, None)
    };
    let decision = decide(&seen, event(Happening::Stopped(Off::Destroyed)), NOW);
    assert!(matches!(decision.note.unwrap().end, Some(RunEnd::Other(_))));
}

#[test]
fn a_loop_is_slowed_down_and_a_good_run_ends_it() {
    let mut note = RunNote::of(run(1));
    let mut now = NOW;
    let mut pauses = Vec::new();
    for number in 1..12 {
        note = begun(&note, run(number), now);
        now = now.after(Duration::from_secs(3));
        note = rebooted(&note, now);
        let Some(RunEnd::Reboot { due }) = note.end else {
            unreachable!()
        };
        pauses.push(due.since(now).as_secs());
        now = due;
    }
    assert_eq!(pauses, [0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
    let long = begun(&note, run(20), now);
    let after = rebooted(&long, now.after(GOOD_RUN));
    assert_eq!(after.streak, 1);
    let off = ended(&long, RunEnd::PowerOff, now.after(GOOD_RUN));
    assert_eq!(off.streak, 0);
}

#[test]
fn a_start_that_failed_is_tried_again_later() {
    let note = failed(&RunNote::of(run(1)), run(2), NOW);
    let Some(RunEnd::Reboot { due }) = note.end else {
        unreachable!()
    };
    assert_eq!(due.since(NOW), FIRST_PAUSE);
    let seen = Seen {
        run: run(2),
        note: Some(note),
        ..off(Off::Failed, None)
    };
    assert_eq!(decide(&seen, Heard::Look, NOW).act, Act::Again(due));
    assert_eq!(decide(&seen, Heard::Look, due).act, Act::Start);
    assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
}
