//! Every call that a watcher makes fails once, or loses its answer, or is the last before the watcher is killed: what is to
//! run runs in the end, what was stopped stays off, and nothing is started twice.

use super::vm_queue::VmQueue;
use super::worker::{Worker, is_kept, stamp};
use crate::boot::{
    BootFileName, CONFIRMATION, GenerationId, Identity, KernelVersion, LastStart, PairSource,
    Proof, STOP_NOTE, Standing, Timestamp, Trial, Trials,
};
use crate::host::guests::{Cause, Guest, GuestAnswer, GuestCall, Guests, Happening, Off};
use crate::host::intercept::{Failing, Intercept, Intercepted, Killed, Recorded, Recording};
use crate::host::primitives::{CallError, Held};
use crate::inventory::{Fact, FileKind, RawFile, RawStat, RunState};
use crate::mark::{Moment, RunEnd, RunNote, read_run_note, render_record, render_run_note};
use crate::paths;
use crate::values::VmName;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

const SHARE: &str = "/srv/armhf-vm-boot";
const PAUSE: Duration = Duration::from_secs(2);

fn vm() -> VmName {
    "armhf-vm".parse().unwrap()
}

/// A host with one VM.
struct Host(Mutex<State>);

struct State {
    runs: bool,
    off: Off,
    now: Moment,
    /// Each file's text, with its inode.
    files: BTreeMap<String, (u64, String)>,
    inodes: u64,
    told: Vec<Happening>,
    journal: Vec<String>,
    starts: usize,
}

impl State {
    fn write(&mut self, path: String, text: impl Into<String>) {
        self.inodes += 1;
        self.files.insert(path, (self.inodes, text.into()));
    }

    fn start(&mut self) {
        assert!(!self.runs, "started while it runs");
        (self.runs, self.starts) = (true, self.starts + 1);
        self.write(paths::hook_seen(&vm()), "");
        let seconds = self.now.0 / 1000;
        self.write(paths::started(&vm()), format!("{seconds}.0\n"));
        // The pair that works proved itself; the next one to boot is it.
        if self.starts > 1 {
            self.files.remove(&paths::trials(&vm()));
        }
        self.told.push(Happening::Started);
    }

    fn stop(&mut self, causes: &[Cause], off: Off) {
        assert!(self.runs);
        (self.runs, self.off) = (false, off);
        let causes = causes.iter().copied();
        self.told.extend(causes.map(Happening::Shutdown));
        self.told.push(Happening::Stopped(off));
    }
}

impl Host {
    /// A host whose VM runs, and whose watcher has seen that.
    fn new(confirm_within: Option<Duration>) -> Self {
        let mut state = State {
            runs: false,
            off: Off::Unknown,
            now: Moment(1_000_000),
            files: BTreeMap::new(),
            inodes: 0,
            told: Vec::new(),
            journal: Vec::new(),
            starts: 0,
        };
        let mut record = super::decide::tests::record();
        record.boot.confirm_within = confirm_within;
        state.write(paths::record(&vm()), render_record(&record).unwrap());
        state.start();
        Self(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn guest(&self, name: &str) -> Guest {
        Guest {
            name: name.to_owned(),
            uuid: super::decide::tests::UUID.to_owned(),
            state: if self.runs {
                RunState::Running
            } else {
                RunState::Off
            },
            off: self.off,
        }
    }

    fn look(&self, path: &str) -> Fact<RawFile> {
        let Some((ino, text)) = self.files.get(path) else {
            return Fact::Absent;
        };
        Fact::Present(own_file(*ino, text.clone()))
    }
}

/// One of armfleet's own files, made at the moment of its number.
pub(super) fn own_file(ino: u64, text: String) -> RawFile {
    let time = i64::try_from(ino).unwrap();
    let stat = RawStat {
        kind: FileKind::File,
        size: text.len() as u64,
        mode: 0o600,
        uid: 0,
        gid: 0,
        dev: 1,
        ino,
        mtime_ns: time,
        ctime_ns: time,
        born_ns: None,
        acl: None,
        links: Some(1),
        block: None,
    };
    RawFile {
        text: Some(text),
        ..RawFile::only(stat)
    }
}

struct Unlocked;
impl Held for Unlocked {}

impl Guests for Host {
    #[allow(clippy::unit_arg)]
    fn ask(&self, call: GuestCall<'_>) -> Result<GuestAnswer, CallError> {
        use GuestCall as C;
        let mut state = self.state();
        Ok(match call {
            C::Guests {} => vec![state.guest("armhf-vm")].into(),
            C::Guest { name } => state.guest(name).into(),
            C::Start { .. } => state.start().into(),
            C::Cut { .. } => state.stop(&[Cause::Outside], Off::Destroyed).into(),
            C::Look { path, .. } => state.look(path).into(),
            C::Write { path, text } => state.write(path.to_owned(), text).into(),
            C::AppendLine { line, .. } => state.journal.push(line.to_owned()).into(),
            C::Lock { .. } => GuestAnswer::Lock(Box::new(Unlocked)),
        })
    }

    fn now(&self) -> u64 {
        self.state().now.0 / 1000
    }

    fn moment(&self) -> Moment {
        self.state().now
    }
}

impl<I: Intercept> Guests for Intercepted<&Host, I> {
    fn ask(&self, call: GuestCall<'_>) -> Result<GuestAnswer, CallError> {
        self.make(call.seen(), |host| host.ask(call))
    }

    fn now(&self) -> u64 {
        self.calls.now()
    }

    fn moment(&self) -> Moment {
        self.calls.moment()
    }
}

/// A watcher's work, one thing after the other, until there is nothing left or it is dead.
fn watch(host: &Host, guests: &dyn Guests, is_dead: &dyn Fn() -> bool, queue: &mut VmQueue) {
    let (vm, ending) = (vm(), AtomicBool::new(false));
    for _ in 0..1000 {
        let told = std::mem::take(&mut host.state().told);
        for what in told {
            if is_kept(guests, &vm) {
                queue.tell(what, stamp(guests, &vm).present().copied());
            }
        }
        if is_dead() {
            return;
        }
        let now = host.moment();
        let Some(heard) = queue.next(now) else {
            match queue.wakes() {
                Some(moment) => host.state().now = moment,
                None => return,
            }
            continue;
        };
        let worker = Worker {
            guests,
            vm: &vm,
            ending: &ending,
        };
        match worker.handle(heard) {
            Ok(Some(moment)) => queue.again(moment),
            Ok(None) => {}
            Err(_) => queue.failed(heard, host.moment().after(PAUSE)),
        }
    }
    panic!("no end of it");
}

/// What happens to a VM while a watcher watches.
struct Story {
    name: &'static str,
    within: Option<Duration>,
    happens: fn(&mut State),
    /// Whether the watcher hears of it, or comes later.
    heard: bool,
    /// How many starts there are in the end, the first one included; the VM runs if there are more than one.
    starts: usize,
}

/// One pair works, and the other, on trial, was booted.
fn trials() -> String {
    let (works, new) = ("6.1.0-48-armmp", "6.1.0-50-armmp");
    let id = |digit: &str| GenerationId::try_from(digit.repeat(16)).unwrap();
    let trial = |version: &str, standing| Trial {
        version: KernelVersion::of_kernel(
            &BootFileName::new(format!("vmlinuz-{version}").as_bytes()).unwrap(),
        ),
        source: PairSource::Links,
        kernel: file(1),
        initrd: file(2),
        standing,
    };
    let trials = Trials {
        pairs: BTreeMap::from([
            (id("1"), trial(works, Standing::Proved(Proof::Guest))),
            (id("2"), trial(new, Standing::OnTrial { strikes: 0 })),
        ]),
        proved: Some(id("1")),
        last: Some(LastStart {
            id: id("2"),
            before: None,
            asked_for: false,
        }),
        boot_id: None,
    };
    trials.render().unwrap()
}

fn file(ino: u64) -> Identity {
    Identity {
        dev: 1,
        ino,
        size: 5,
        mtime: Timestamp(0, 0),
        ctime: Timestamp(0, 0),
    }
}

const STORIES: [Story; 9] = [
    Story {
        name: "reboot",
        within: None,
        happens: |state| state.stop(&[Cause::Reset, Cause::Outside], Off::Shutdown),
        heard: true,
        starts: 2,
    },
    Story {
        name: "power-off",
        within: None,
        happens: |state| {
            state.write(format!("{SHARE}/{STOP_NOTE}"), "power-off\n");
            state.stop(&[Cause::PowerOff, Cause::Outside], Off::Shutdown);
        },
        heard: true,
        starts: 1,
    },
    Story {
        name: "virsh destroy",
        within: None,
        happens: |state| state.stop(&[Cause::Outside], Off::Destroyed),
        heard: true,
        starts: 1,
    },
    Story {
        name: "asked by armfleet",
        within: None,
        happens: |state| {
            let path = paths::run_note(&vm());
            let mut note = match state.files.get(&path) {
                Some((_, text)) => read_run_note(text.as_bytes()).unwrap(),
                None => RunNote::of(None),
            };
            note.end = Some(RunEnd::Asked);
            state.write(path, render_run_note(&note).unwrap());
            state.stop(&[Cause::PowerOff, Cause::Outside], Off::Shutdown);
        },
        heard: true,
        starts: 1,
    },
    Story {
        name: "a reboot in a run that a later version noted",
        within: None,
        happens: |state| {
            let later = "{\"format\": \"armfleet-run/2\"}";
            state.write(paths::run_note(&vm()), later);
            state.stop(&[Cause::Reset, Cause::Outside], Off::Shutdown);
        },
        heard: true,
        starts: 1,
    },
    Story {
        name: "a reboot without an event",
        within: None,
        happens: |state| state.stop(&[Cause::Reset, Cause::Outside], Off::Shutdown),
        heard: false,
        starts: 2,
    },
    Story {
        name: "a power-off without an event",
        within: None,
        happens: |state| {
            state.write(format!("{SHARE}/{STOP_NOTE}"), "power-off\n");
            state.stop(&[Cause::PowerOff, Cause::Outside], Off::Unknown);
        },
        heard: false,
        starts: 1,
    },
    Story {
        name: "a kernel that hangs",
        within: Some(Duration::from_secs(60)),
        happens: |state| state.write(paths::trials(&vm()), trials()),
        heard: true,
        starts: 2,
    },
    Story {
        name: "a kernel that speaks in time",
        within: Some(Duration::from_secs(60)),
        happens: |state| {
            state.write(paths::trials(&vm()), trials());
            let said = "6.1.0-50-armmp 01234567-0123-4123-8123-0123456789ab\n";
            state.write(format!("{SHARE}/{CONFIRMATION}"), said);
        },
        heard: true,
        starts: 1,
    },
];

impl Story {
    /// Tells the story to a watcher whose calls are seen, and then to one that nothing happens to.
    fn tell<I: Intercept>(&self, seen: &I, is_dead: &dyn Fn() -> bool) -> Host {
        let host = Host::new(self.within);
        let mut queue = VmQueue::default();
        watch(&host, &host, &|| false, &mut queue);
        (self.happens)(&mut host.state());
        if !self.heard {
            host.state().told.clear();
        }
        queue.look();
        let intercepted = Intercepted {
            calls: &host,
            by: seen,
        };
        watch(&host, &intercepted, is_dead, &mut queue);
        if is_dead() {
            host.state().told.clear();
            let mut queue = VmQueue::default();
            queue.look();
            watch(&host, &host, &|| false, &mut queue);
        }
        host
    }

    fn assert_ended(&self, host: &Host, after: &dyn std::fmt::Display) {
        let state = host.state();
        let should_run = self.starts > 1 || self.within.is_some();
        assert_eq!(
            (state.starts, state.runs),
            (self.starts, should_run),
            "{} after {after}: {:?}",
            self.name,
            state.journal
        );
    }

    fn calls(&self) -> Vec<Recorded> {
        let recording = Recording::default();
        let host = self.tell(&recording, &|| false);
        self.assert_ended(&host, &"nothing");
        recording.calls()
    }
}

#[test]
fn whatever_call_fails_or_loses_its_answer_once_it_ends_well() {
    for story in STORIES {
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        for Recorded { call, .. } in story.calls() {
            let before = made.entry(call.clone()).or_default();
            for (what, failing) in [
                ("fails", Failing::new(call.clone(), *before)),
                ("is not answered", Failing::answer(call.clone(), *before)),
            ] {
                let host = story.tell(&failing, &|| false);
                assert!(failing.has_failed());
                story.assert_ended(&host, &format!("{call} ({before} before) {what}"));
            }
            *before += 1;
        }
        assert!(made.len() > 3, "{made:?}");
    }
}

#[test]
fn whenever_the_watcher_is_killed_the_next_one_goes_on() {
    for story in STORIES {
        for at in 0..story.calls().len() {
            let killed = Killed::at(at);
            let host = story.tell(&killed, &|| killed.is_dead());
            story.assert_ended(&host, &format!("a kill at call {at}"));
        }
    }
}
