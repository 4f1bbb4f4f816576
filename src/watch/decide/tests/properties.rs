//! What holds whatever is seen, and whatever happens.

use super::*;
use crate::watch::vm_queue::VmQueue;
use proptest::prelude::*;

/// Anything that may be seen of a VM.
fn anything() -> impl Strategy<Value = (Seen, Heard)> {
    let end = prop_oneof![
        Just(None),
        Just(Some(RunEnd::Asked)),
        Just(Some(RunEnd::PowerOff)),
        Just(Some(RunEnd::Other("it crashed".to_owned()))),
        moments().prop_map(|due| Some(RunEnd::Reboot { due })),
        moments().prop_map(|due| Some(RunEnd::Silent { due })),
    ];
    let state = (0u32..8, 0u32..10).prop_map(|(state, reason)| RunState::read(state, reason));
    let causes = vec![Cause::Reset, Cause::PowerOff, Cause::Outside];
    let cause = proptest::sample::select(causes);
    let happening = prop_oneof![
        cause.prop_map(Happening::Shutdown),
        Just(Happening::Started),
        (0u32..9).prop_map(|reason| Happening::Stopped(Off::from_reason(reason))),
    ];
    let number = || proptest::option::of(1u64..3);
    let heard = prop_oneof![
        (happening, number()).prop_map(|(what, number)| Heard::Event(what, number.and_then(run))),
        Just(Heard::Look),
        Just(Heard::Due),
    ];
    let policies = vec![GuestReboot::ColdBoot, GuestReboot::Warm, GuestReboot::Stop];
    let wish = (
        proptest::sample::select(policies),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let seen = (proptest::option::of((state, 0u32..9)), number(), number());
    let rest = (end, proptest::option::of(moments()), heard);
    (wish, seen, rest).prop_map(
        |((on_guest_reboot, wanted, is_held, another), (guest, present, noted), rest)| {
            let (end, until, heard) = rest;
            let state = if wanted {
                DesiredState::Running
            } else {
                DesiredState::Stopped
            };
            let guest = guest.map(|(state, reason)| Guest {
                uuid: if another { "another" } else { UUID }.to_owned(),
                ..self::guest(state, Off::from_reason(reason))
            });
            let trial = until.and_then(|until| on_trial(until, None).trial);
            let seen = Seen {
                record: Record {
                    state,
                    on_guest_reboot,
                    ..record()
                },
                guest,
                holding: if is_held { held() } else { Holding::Free },
                run: present.and_then(run),
                note: Some(RunNote {
                    end,
                    ..RunNote::of(noted.and_then(run))
                }),
                guest_stop: None,
                trial,
            };
            (seen, heard)
        },
    )
}

fn moments() -> impl Strategy<Value = Moment> {
    (NOW.0 - 100_000..NOW.0 + 100_000).prop_map(Moment)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn nothing_is_done_to_a_vm_that_it_does_not_call_for((seen, heard) in anything()) {
        let decision = decide(&seen, heard, NOW);
        let state = seen.guest.as_ref().map(|guest| guest.state);
        let ours = seen.record.on_guest_reboot == GuestReboot::ColdBoot
            && seen.guest.as_ref().is_none_or(|guest| guest.uuid == UUID);
        let free = ours && seen.holding == Holding::Free && seen.record.state == DesiredState::Running;
        let note = decision.note.as_ref().or(seen.note.as_ref());
        let end = note.and_then(|note| note.end.as_ref());
        match decision.act {
            Act::Rest => {}
            Act::Again(moment) => prop_assert!(ours && moment > NOW),
            Act::Start => {
                prop_assert!(free && state == Some(RunState::Off));
                let due = matches!(end, Some(RunEnd::Reboot { due } | RunEnd::Silent { due }) if *due <= NOW);
                prop_assert!(due, "{end:?}");
            }
            Act::Cut => {
                prop_assert!(free && state == Some(RunState::Running));
                prop_assert!(seen.trial.is_some_and(|trial| trial.until <= NOW));
            }
        }
        if !ours {
            prop_assert!(decision.note.is_none());
        }
    }
}

/// A host with one VM, whose watcher may die and come back.
struct World {
    runs: bool,
    off: Off,
    stamp: u64,
    note: Option<RunNote>,
    /// What the guest wrote since its last start.
    guest_stop: Option<GuestStop>,
    guest_writes: bool,
    queue: VmQueue,
    alive: bool,
    now: Moment,
    /// What the world knows, and the watcher may not.
    last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    Reboot,
    PowerOff { certain: bool },
    Destroy { certain: bool },
    Runs,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Reboot,
    PowerOff,
    Destroy,
    Start,
    Deliver,
    WatcherDies,
    ConnectionBreaks,
    WatcherReturns,
    Time(u16),
}

impl World {
    fn new(guest_writes: bool) -> Self {
        let mut world = Self {
            runs: false,
            off: Off::Unknown,
            stamp: 0,
            note: None,
            guest_stop: None,
            guest_writes,
            queue: VmQueue::default(),
            alive: true,
            now: NOW,
            last: Last::Runs,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        (self.runs, self.guest_stop, self.last) = (true, None, Last::Runs);
        self.stamp += 1;
        self.tell(Happening::Started);
    }

    fn tell(&mut self, what: Happening) {
        if self.alive {
            self.queue.tell(what, run(self.stamp));
        }
    }

    fn stop(&mut self, cause: Option<Cause>, off: Off, last: Last) {
        if !self.runs {
            return;
        }
        (self.runs, self.off, self.last) = (false, off, last);
        for cause in cause.into_iter().chain([Cause::Outside]) {
            self.tell(Happening::Shutdown(cause));
        }
        self.tell(Happening::Stopped(off));
    }

    fn do_it(&mut self, deed: Deed) {
        match deed {
            Deed::Reboot => {
                self.guest_says(GuestStop::Reboot);
                self.stop(Some(Cause::Reset), Off::Shutdown, Last::Reboot);
            }
            Deed::PowerOff => {
                self.guest_says(GuestStop::PowerOff);
                let certain = self.guest_writes || self.alive;
                let last = Last::PowerOff { certain };
                self.stop(Some(Cause::PowerOff), Off::Shutdown, last);
            }
            Deed::Destroy => {
                let last = Last::Destroy { certain: true };
                self.stop(None, Off::Destroyed, last);
            }
            Deed::Start if !self.runs => self.start(),
            Deed::Start => {}
            Deed::Deliver => {
                if let Some(heard) = self.queue.next(self.now) {
                    self.decide(heard);
                }
            }
            Deed::WatcherDies => {
                self.alive = false;
                // What it was told and has not noted is lost, unless the guest noted it.
                if let (Last::PowerOff { certain }, false) = (&mut self.last, self.guest_writes) {
                    *certain = matches!(
                        self.note,
                        Some(RunNote { run, end: Some(RunEnd::PowerOff), .. }) if run == self::run(self.stamp)
                    );
                }
                self.queue = VmQueue::default();
            }
            // What was told and not yet decided is decided later, in its order.
            Deed::ConnectionBreaks => self.alive = false,
            Deed::WatcherReturns => {
                self.alive = true;
                self.queue.look();
            }
            Deed::Time(seconds) => self.now = self.now.after(Duration::from_secs(seconds.into())),
        }
    }

    fn guest_says(&mut self, stop: GuestStop) {
        if self.runs && self.guest_writes {
            self.guest_stop = Some(stop);
        }
    }

    fn decide(&mut self, heard: Heard) {
        let state = if self.runs {
            RunState::Running
        } else {
            RunState::Off
        };
        let seen = Seen {
            record: record(),
            guest: Some(guest(state, self.off)),
            holding: Holding::Free,
            run: run(self.stamp),
            note: self.note.clone(),
            guest_stop: self.guest_stop,
            trial: None,
        };
        let decision = decide(&seen, heard, self.now);
        if let Some(note) = decision.note {
            self.note = Some(note);
        }
        if decision.act == Act::Start {
            assert!(!self.runs, "started while it ran");
            let note = self.note.clone().unwrap();
            self.start();
            self.note = Some(begun(&note, run(self.stamp), self.now));
        }
        if let Act::Again(moment) = decision.act {
            self.queue.again(moment);
        }
    }

    /// A watcher comes and has all the time it needs.
    fn settle(&mut self) {
        self.do_it(Deed::WatcherReturns);
        for _ in 0..1000 {
            match (self.queue.next(self.now), self.queue.wakes()) {
                (Some(heard), _) => self.decide(heard),
                (None, Some(moment)) => self.now = moment,
                (None, None) => return,
            }
        }
        panic!("no end of it");
    }
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => Just(Deed::Reboot),
        2 => Just(Deed::PowerOff),
        2 => Just(Deed::Destroy),
        2 => Just(Deed::Start),
        8 => Just(Deed::Deliver),
        1 => Just(Deed::WatcherDies),
        1 => Just(Deed::ConnectionBreaks),
        2 => Just(Deed::WatcherReturns),
        2 => (0u16..2000).prop_map(Deed::Time),
    ];
    proptest::collection::vec(deed, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn whatever_happens_a_rebooted_vm_runs_and_a_stopped_one_stays_off(deeds in deeds(), guest_writes: bool) {
        let mut world = World::new(guest_writes);
        for deed in deeds {
            world.do_it(deed);
        }
        let last = world.last;
        world.settle();
        match last {
            Last::Runs | Last::Reboot => prop_assert!(world.runs, "{last:?}"),
            // Cut power is seen in libvirt's own reason, a power-off in the guest's own note, whoever listened.
            Last::Destroy { certain: true } | Last::PowerOff { certain: true } => prop_assert!(!world.runs, "{last:?}"),
            Last::Destroy { certain: false } | Last::PowerOff { certain: false } => {}
        }
    }

    #[test]
    fn a_power_off_that_was_heard_is_never_forgotten(
        before in proptest::collection::vec(any::<bool>(), 0..3),
        after in proptest::collection::vec(any::<bool>(), 0..6),
    ) {
        let mut world = World::new(false);
        world.do_it(Deed::Deliver);
        for _ in before {
            world.do_it(Deed::WatcherDies);
            world.do_it(Deed::WatcherReturns);
            world.do_it(Deed::Deliver);
        }
        world.do_it(Deed::PowerOff);
        world.do_it(Deed::Deliver);
        for dies in after {
            world.do_it(if dies { Deed::WatcherDies } else { Deed::ConnectionBreaks });
            // libvirtd was restarted, too, and has forgotten why.
            world.off = Off::Unknown;
            world.do_it(Deed::WatcherReturns);
            world.do_it(Deed::Deliver);
            world.do_it(Deed::Time(2));
        }
        world.settle();
        prop_assert!(!world.runs);
    }
}
