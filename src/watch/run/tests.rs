//! Which VM is looked at when, and that bad guests do not make a good one wait.

use super::*;
use crate::host::guests::{Cause, Guest, GuestAnswer, GuestCall, Happening, Off};
use crate::host::primitives::Held;
use crate::inventory::{Fact, RawFile, RunState};
use crate::mark::render_record;
use crate::paths;
use crate::watch::faults::own_file;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

fn vms(names: &str) -> BTreeSet<VmName> {
    names
        .chars()
        .map(|name| name.to_string().parse().unwrap())
        .collect()
}

const NOW: Moment = Moment(10_000);

/// Of those that are ready; capital letters have been busy for long.
fn next(ready: &str, busy: &str, costly: &str) -> String {
    let long = |name: &VmName| busy.contains(&name.as_str().to_uppercase());
    let busy = vms(&busy.to_lowercase()).into_iter();
    let busy = busy.map(|vm| {
        let since = if long(&vm) { Moment(0) } else { NOW };
        (vm, since)
    });
    let next = places(vms(ready).iter(), &busy.collect(), &vms(costly), NOW);
    next.iter().map(VmName::as_str).collect()
}

#[test]
fn costly_vms_have_one_place_together() {
    assert_eq!(next("abcdef", "", ""), "abcd");
    assert_eq!(next("abcdef", "ab", ""), "cd");
    assert_eq!(next("abcdef", "", "abcd"), "aef");
    assert_eq!(next("abcdef", "x", "abcdx"), "ef");
    assert_eq!(next("abcd", "x", "abcdx"), "");
    assert_eq!(next("bcd", "a", "bcd"), "b");
}

#[test]
fn a_vm_that_takes_long_keeps_no_other_waiting() {
    assert_eq!(next("efgh", "abcd", ""), "");
    assert_eq!(next("efgh", "Abcd", ""), "e");
    assert_eq!(next("efgh", "ABCD", ""), "e");
    assert_eq!(next("efgh", "ABC", ""), "ef");
    assert_eq!(next("efgh", "ABCDe", ""), "");
}

/// Four guests whose starts take until the honest one has started, and the honest one, the last by name.
const BAD: [&str; 4] = ["a", "b", "c", "d"];
const HONEST: &str = "z";

/// A host whose guests have all rebooted.
#[derive(Default)]
struct Crowd {
    honest_runs: Mutex<Option<Instant>>,
    honest_started: Condvar,
    bad_starts: Mutex<usize>,
}

impl Crowd {
    fn guest(name: &str) -> Guest {
        Guest {
            name: name.to_owned(),
            uuid: Self::uuid(name),
            state: RunState::Off,
            off: Off::Shutdown,
        }
    }

    fn uuid(name: &str) -> String {
        let first = name.as_bytes()[0];
        format!("729407af-9814-8a14-ab03-bb922bf75d{first:02x}")
    }

    fn look(path: &str) -> Fact<RawFile> {
        let names = BAD.into_iter().chain([HONEST]);
        let found = names.into_iter().find_map(|name| {
            let vm: VmName = name.parse().unwrap();
            let mut record = super::super::decide::tests::record();
            record.uuid = Self::uuid(name).parse().unwrap();
            record.vm = vm.clone();
            match path {
                _ if path == paths::record(&vm) => Some(render_record(&record).unwrap()),
                _ if path == paths::hook_seen(&vm) => Some(String::new()),
                _ => None,
            }
        });
        found.map_or(Fact::Absent, |text| Fact::Present(own_file(1, text)))
    }

    fn start(&self, uuid: &str) {
        if uuid == Self::uuid(HONEST) {
            self.honest_runs
                .lock()
                .unwrap()
                .get_or_insert(Instant::now());
            self.honest_started.notify_all();
            return;
        }
        *self.bad_starts.lock().unwrap() += 1;
        let waits = self.honest_runs.lock().unwrap();
        let limit = Duration::from_secs(20);
        let waited = self
            .honest_started
            .wait_timeout_while(waits, limit, |runs| runs.is_none());
        drop(waited.unwrap());
    }
}

struct Unlocked;
impl Held for Unlocked {}

impl Guests for Crowd {
    fn ask(&self, call: GuestCall<'_>) -> Result<GuestAnswer, CallError> {
        use GuestCall as C;
        Ok(match call {
            C::Guests {} => Vec::new().into(),
            C::Guest { name } => Self::guest(name).into(),
            C::Start { uuid } => {
                self.start(uuid);
                ().into()
            }
            C::Look { path, .. } => Self::look(path).into(),
            C::Cut { .. } | C::Write { .. } | C::AppendLine { .. } => ().into(),
            C::Lock { .. } => GuestAnswer::Lock(Box::new(Unlocked)),
        })
    }

    fn now(&self) -> u64 {
        0
    }

    fn moment(&self) -> Moment {
        uptime()
    }
}

fn uptime() -> Moment {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Moment(1_000_000).after(BEGAN.get_or_init(Instant::now).elapsed())
}

struct Silent;

impl Supervisor for Silent {
    fn ready(&self) {}
    fn status(&self, _: &str) {}
    fn alive(&self) {}
    fn stopping(&self) {}
}

#[test]
fn four_guests_with_endless_starts_do_not_delay_an_honest_one() {
    let crowd = Arc::new(Crowd::default());
    let host = Arc::clone(&crowd);
    let connect = Arc::new(move |tell: Tell| {
        for name in BAD.into_iter().chain([HONEST]) {
            for what in [
                Happening::Shutdown(Cause::Reset),
                Happening::Stopped(Off::Shutdown),
            ] {
                let name = name.to_owned();
                tell(Event::Domain { name, what });
            }
        }
        Ok(Arc::clone(&host) as Arc<dyn Guests>)
    });
    let watcher = Watcher::new(connect, uptime, &Silent);
    let (ender, began) = (watcher.ender(), Instant::now());
    let ends = thread::spawn({
        let crowd = Arc::clone(&crowd);
        move || {
            let runs = crowd.honest_runs.lock().unwrap();
            let limit = Duration::from_secs(20);
            let waited = crowd
                .honest_started
                .wait_timeout_while(runs, limit, |runs| runs.is_none());
            let started = *waited.unwrap().0;
            ender.end();
            started
        }
    });
    watcher.run();
    let started = ends.join().unwrap().unwrap();
    assert_eq!(*crowd.bad_starts.lock().unwrap(), BAD.len());
    let waited = started.duration_since(began);
    // Half a second until the bad ones have taken long; the rest is for a busy machine.
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}
