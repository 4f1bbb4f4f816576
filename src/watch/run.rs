//! The loop around the decision: connections, events, and a queue for each VM.
//!
//! One thread owns all of it and never waits for libvirt: connecting, and looking at a VM, are other threads' work, of
//! which it hears. VMs do not wait for each other, and what happens to one is handled in order.

use super::decide::Heard;
use super::vm_queue::VmQueue;
use super::worker::{Worker, is_kept, stamp};
use crate::host::guests::{Event, Guests};
use crate::host::primitives::CallError;
use crate::mark::Moment;
use crate::values::VmName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How many VMs are looked at or started at once.
const AT_ONCE: usize = 4;
/// Whose start takes longer than this gives its place to another VM, since a guest may make its start long;
const LONG: Duration = Duration::from_millis(500);
/// but libvirt's daemon takes five requests of a client at a time (`max_client_requests`), and more would only queue.
const WITH_LONG: usize = 5;
/// The loop wakes up so often even if nothing happens, to say that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long to wait before libvirt is tried again: at first, and at the most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long to wait before a VM is looked at again that could not be looked at.
const TROUBLE_PAUSE: Duration = Duration::from_secs(2);
/// How long a start under way may delay the end.
const LAST_STARTS: Duration = Duration::from_secs(20);

/// Whom a connection tells of events.
pub type Tell = Box<dyn Fn(Event) + Send + Sync>;
/// How to connect to a host.
pub type Connect = dyn Fn(Tell) -> Result<Arc<dyn Guests>, CallError> + Send + Sync;

/// What supervises the watcher, such as systemd.
pub trait Supervisor {
    /// It is at work.
    fn ready(&self);
    /// What it is doing, in a line.
    fn status(&self, text: &str);
    /// It lives; called at least every second.
    fn alive(&self);
    /// It ends.
    fn stopping(&self);
}

/// Ends a watcher from another thread.
#[derive(Clone)]
pub struct Ender(Sender<Message>);

enum Message {
    /// A connection, by its number, told of something.
    Told(u64, Event),
    /// An attempt to connect ended; with the VMs to look at.
    Connected(u64, Result<Connection, CallError>),
    /// A VM was looked at; and whether its starts take long.
    Handled(VmName, Heard, Result<Option<Moment>, CallError>, bool),
    End,
}

struct Connection {
    guests: Arc<dyn Guests>,
    vms: Vec<VmName>,
}

enum Link {
    /// To be tried at this moment.
    Down(Moment),
    /// Being tried.
    Connecting,
    Up(Arc<dyn Guests>),
}

/// A watcher of one host.
pub struct Watcher<'a> {
    connect: Arc<Connect>,
    supervisor: &'a dyn Supervisor,
    clock: fn() -> Moment,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    link: Link,
    /// The present connection's number; what others tell is old.
    number: u64,
    retry: Duration,
    /// What the present connection told before it was looked around.
    early: Vec<Event>,
    queues: BTreeMap<VmName, VmQueue>,
    /// Those that are looked at or started, since when.
    busy: BTreeMap<VmName, Moment>,
    /// Those whose last start used up what one start may use: they wait for each other.
    costly: BTreeSet<VmName>,
    ready: bool,
    ending: Arc<AtomicBool>,
}

impl Ender {
    /// Has the watcher end: nothing is started any more, a start under way is finished.
    pub fn end(&self) {
        // It may have ended already.
        let _ = self.0.send(Message::End);
    }
}

impl<'a> Watcher<'a> {
    /// A watcher that has not begun.
    pub fn new(
        connect: Arc<Connect>,
        clock: fn() -> Moment,
        supervisor: &'a dyn Supervisor,
    ) -> Self {
        let (sender, receiver) = channel();
        Self {
            connect,
            supervisor,
            clock,
            sender,
            receiver,
            link: Link::Down(Moment(0)),
            number: 0,
            retry: RETRY.0,
            early: Vec::new(),
            queues: BTreeMap::new(),
            busy: BTreeMap::new(),
            costly: BTreeSet::new(),
            ready: false,
            ending: Arc::new(AtomicBool::new(false)),
        }
    }

    /// What ends it.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender(self.sender.clone())
    }

    /// Watches until it is ended.
    pub fn run(mut self) {
        while !self.ending.load(Ordering::SeqCst) {
            let now = (self.clock)();
            self.reconnect(now);
            self.dispatch(now);
            self.supervisor.alive();
            self.hear(self.patience(now));
        }
        self.supervisor.stopping();
        let deadline = (self.clock)().after(LAST_STARTS);
        while !self.busy.is_empty() && (self.clock)() < deadline {
            self.hear(HEARTBEAT);
        }
    }

    /// How long nothing can be due.
    fn patience(&self, now: Moment) -> Duration {
        let retry = match self.link {
            Link::Down(moment) => Some(moment),
            Link::Connecting | Link::Up(_) => None,
        };
        let idle = self
            .queues
            .iter()
            .filter(|(vm, _)| !self.busy.contains_key(*vm));
        let longs = self.busy.values().map(|since| since.after(LONG));
        let due = idle
            .filter_map(|(_, queue)| queue.wakes())
            .chain(longs.filter(|moment| *moment > now))
            .chain(retry)
            .min();
        due.map_or(HEARTBEAT, |due| due.since(now).min(HEARTBEAT))
    }

    fn hear(&mut self, patience: Duration) {
        match self.receiver.recv_timeout(patience) {
            Ok(message) => self.take(message),
            // This holds a sender itself, so the channel is never closed.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::End => self.ending.store(true, Ordering::SeqCst),
            Message::Told(number, event) if number == self.number => match self.link {
                Link::Connecting => self.early.push(event),
                Link::Up(_) | Link::Down(_) => self.told(event),
            },
            Message::Told(..) => {}
            Message::Connected(number, connected) if number == self.number => {
                self.connected(connected);
            }
            Message::Connected(..) => {}
            Message::Handled(vm, heard, handled, is_costly) => {
                match is_costly {
                    true => self.costly.insert(vm.clone()),
                    false => self.costly.remove(&vm),
                };
                self.handled(vm, heard, handled);
            }
        }
    }

    fn reconnect(&mut self, now: Moment) {
        match self.link {
            Link::Down(moment) if moment <= now => {}
            _ => return,
        }
        self.number += 1;
        self.early.clear();
        let (number, connect, sender) =
            (self.number, Arc::clone(&self.connect), self.sender.clone());
        let started = spawn("connect", move || {
            let teller = sender.clone();
            // The receiver may have ended.
            let tell = Box::new(move |event| drop(teller.send(Message::Told(number, event))));
            let connected = connect(tell).and_then(look_around);
            let _ = sender.send(Message::Connected(number, connected));
        });
        self.link = match started {
            Ok(()) => Link::Connecting,
            Err(error) => self.down(&error.to_string()),
        };
    }

    fn connected(&mut self, connected: Result<Connection, CallError>) {
        match connected {
            Ok(Connection { guests, vms }) => {
                let status = match vms.len() {
                    1 => "watching 1 VM".to_owned(),
                    count => format!("watching {count} VMs"),
                };
                tracing::info!("connected to libvirt, {status}");
                self.supervisor.status(&status);
                self.retry = RETRY.0;
                self.link = Link::Up(guests);
                for vm in vms {
                    self.queues.entry(vm).or_default().look();
                }
                for event in std::mem::take(&mut self.early) {
                    self.told(event);
                }
            }
            Err(error) => self.link = self.down(&error.why),
        }
        if !self.ready {
            self.ready = true;
            self.supervisor.ready();
        }
    }

    /// The connection is gone, or did not come about. Only the first of several failures in a row is worth a line.
    fn down(&mut self, why: &str) -> Link {
        if self.retry == RETRY.0 {
            tracing::warn!("libvirt is not reachable: {why}");
            self.supervisor.status("waiting for libvirt");
        } else {
            tracing::debug!("libvirt is still not reachable: {why}");
        }
        let moment = (self.clock)().after(self.retry);
        self.retry = self.retry.saturating_mul(2).min(RETRY.1);
        Link::Down(moment)
    }

    fn told(&mut self, event: Event) {
        let (name, what) = match event {
            Event::Closed(why) => {
                self.link = self.down(&format!("the connection is gone: {why}"));
                return;
            }
            Event::Domain { name, what } => (name, what),
        };
        let (Ok(vm), Link::Up(guests)) = (name.parse::<VmName>(), &self.link) else {
            return;
        };
        if is_kept(guests.as_ref(), &vm) {
            let run = stamp(guests.as_ref(), &vm).present().copied();
            self.queues.entry(vm).or_default().tell(what, run);
        }
    }

    /// Has VMs looked at, as many at once as there may be.
    fn dispatch(&mut self, now: Moment) {
        let Link::Up(guests) = &self.link else {
            return;
        };
        let guests = Arc::clone(guests);
        let ready = self.queues.iter().filter(|(_, queue)| queue.is_ready(now));
        let ready = ready.map(|(vm, _)| vm);
        let next = places(ready, &self.busy, &self.costly, now);
        for vm in next {
            let heard = self.queues.get_mut(&vm).and_then(|queue| queue.next(now));
            if let Some(heard) = heard {
                self.handle(vm, heard, now, Arc::clone(&guests));
            }
        }
    }

    fn handle(&mut self, vm: VmName, heard: Heard, now: Moment, guests: Arc<dyn Guests>) {
        let (sender, ending, name) = (self.sender.clone(), Arc::clone(&self.ending), vm.clone());
        let started = spawn("vm", move || {
            let worker = Worker {
                guests: guests.as_ref(),
                vm: &name,
                ending: &ending,
            };
            let handled = worker.handle(heard);
            let is_costly = worker.is_costly();
            let _ = sender.send(Message::Handled(name, heard, handled, is_costly));
        });
        match started {
            Ok(()) => drop(self.busy.insert(vm, now)),
            Err(error) => self.handled(vm, heard, Err(error)),
        }
    }

    fn handled(&mut self, vm: VmName, heard: Heard, handled: Result<Option<Moment>, CallError>) {
        self.busy.remove(&vm);
        let queue = self.queues.entry(vm.clone()).or_default();
        match handled {
            Ok(Some(moment)) => queue.again(moment),
            Ok(None) => {}
            Err(error) => {
                tracing::error!("{vm}: {error}");
                queue.failed(heard, (self.clock)().after(TROUBLE_PAUSE));
            }
        }
        if queue.is_empty() {
            self.queues.remove(&vm);
        }
    }
}

/// Which of the VMs that are ready are looked at next. Costly ones have one place together, and one that turns out to be costly
/// keeps its place for a moment only: a guest that makes its starts long delays no other's.
fn places<'v>(
    ready: impl Iterator<Item = &'v VmName>,
    busy: &BTreeMap<VmName, Moment>,
    costly: &BTreeSet<VmName>,
    now: Moment,
) -> Vec<VmName> {
    let is_short = |since: &&Moment| now.since(**since) < LONG;
    let short = busy.values().filter(is_short).count();
    let left = AT_ONCE.saturating_sub(short);
    let left = left.min(WITH_LONG.saturating_sub(busy.len()));
    let mut is_free = !busy.keys().any(|vm| costly.contains(vm));
    ready
        .filter(|vm| !busy.contains_key(*vm))
        .filter(|vm| !costly.contains(*vm) || std::mem::take(&mut is_free))
        .take(left)
        .cloned()
        .collect()
}

/// The VMs that armfleet keeps, seen over a new connection.
fn look_around(guests: Arc<dyn Guests>) -> Result<Connection, CallError> {
    let seen = guests.guests()?;
    let vms = seen
        .into_iter()
        .filter_map(|guest| guest.name.parse::<VmName>().ok())
        .filter(|vm| is_kept(guests.as_ref(), vm))
        .collect();
    Ok(Connection { guests, vms })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), CallError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started
        .map(drop)
        .map_err(|error| CallError::other(format!("no thread: {error}")))
}

#[cfg(test)]
mod tests;
