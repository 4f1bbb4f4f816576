//! Connections to libvirt, and calls over them that end.
//!
//! Nothing can end a call of libvirt: a hook or a QEMU that hangs keeps it for ever. So every call is made on a thread of
//! its own and has a limit; after that the thread is left behind, never joined, and keeps its place on its connection.
//! libvirtd takes five requests of a client at a time (`max_client_requests`) and then reads no further, so at most four
//! share a connection, and more calls open more.

use super::hanging;
use crate::host::primitives::{CallError, CallErrorKind};
use crate::host::waits::{self, Pace, Wait, spoken};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many calls share a connection.
const AT_ONCE: usize = 4;
/// After a call without an answer, how long libvirt has to answer a new client before all that follows fails at once.
const PROBE: Duration = Duration::from_secs(10);
/// How long the end of a connection may take: libvirt asks the daemon for it and waits for the answer.
const CLOSE: Duration = Duration::from_secs(2);

/// How long libvirt may take for an answer, by what it is asked.
pub(super) mod limit {
    use std::time::Duration;

    /// What it knows without asking QEMU: milliseconds, unless a hook holds the domain.
    pub(in super::super) const READ: Duration = Duration::from_secs(30);
    /// What changes a domain. libvirt waits 30 s itself for one that is busy (`VIR_JOB_WAIT_TIME`), and about as long for a
    /// QEMU that is to end.
    pub(in super::super) const CHANGE: Duration = Duration::from_secs(60);
    /// What a guest's agent tells: libvirt gives up after 5 s where none answers at all
    /// (`VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT`), and waits for ever for one that has begun to.
    pub(in super::super) const AGENT: Duration = Duration::from_secs(7);
    /// A start: armfleet's hook may take 60 s, and QEMU has 30 s to open its monitor.
    pub(in super::super) const START: Duration = Duration::from_secs(120);
}

/// One request to libvirt.
pub(super) struct Request {
    /// What it is asked to do, as in "start armhf-vm".
    what: String,
    limit: Duration,
    changes: bool,
}

impl Request {
    pub(super) fn reading(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            limit: limit::READ,
            changes: false,
        }
    }

    /// One whose answer takes a guest.
    pub(super) fn reading_within(what: impl Into<String>, limit: Duration) -> Self {
        Self {
            limit,
            ..Self::reading(what)
        }
    }

    pub(super) fn changing(what: impl Into<String>, limit: Duration) -> Self {
        Self {
            what: what.into(),
            limit,
            changes: true,
        }
    }

    /// The error of a call that was given up.
    pub(super) fn unanswered(&self) -> CallError {
        let (what, limit) = (&self.what, spoken(self.limit));
        let mut why = format!("libvirt did not {what} within {limit}");
        if self.changes {
            why += "; outcome unknown";
        }
        for cause in causes() {
            why = format!("{why}; {cause}");
        }
        CallError {
            kind: CallErrorKind::Unanswered,
            why,
        }
    }

    /// The next of what a call's thread sends; none when it has ended. A wait of more than ten seconds is said.
    pub(super) fn receive<T>(&self, receiver: &Receiver<T>) -> Result<Option<T>, CallError> {
        let (began, mut pace) = (Instant::now(), Pace::default());
        loop {
            let already = began.elapsed();
            if already >= self.limit {
                return Err(self.unanswered());
            }
            if pace.is_due(already) {
                waits::say(&Wait {
                    subject: None,
                    what: format!("waiting for libvirt to {}", self.what),
                    already,
                    limit: self.limit,
                    causes: causes(),
                });
            }
            let rest = pace.next().min(self.limit).saturating_sub(already);
            match receiver.recv_timeout(rest) {
                Ok(received) => return Ok(Some(received)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Makes a call on a thread that is left behind if no answer comes.
    pub(super) fn make<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let (sender, receiver) = mpsc::channel();
        // The receiver is gone when the answer comes too late.
        spawn(move || drop(sender.send(call())))?;
        self.receive(&receiver)?.unwrap_or_else(|| {
            Err(CallError::other(format!(
                "libvirt's client ended: {}",
                self.what
            )))
        })
    }
}

fn causes() -> Vec<String> {
    hanging::causes(Path::new("/proc"))
}

/// Has work done on a thread of its own.
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), CallError> {
    let thread = thread::Builder::new().name("libvirt".to_owned());
    let started = thread.spawn(work);
    started
        .map(drop)
        .map_err(|error| CallError::other(format!("no thread for a call to libvirt: {error}")))
}

/// Gives up what tells the daemon of its end, which waits for an answer.
pub(super) fn close(what: impl Send + 'static) {
    let (sender, receiver) = mpsc::channel::<()>();
    let closing = spawn(move || {
        drop(what);
        drop(sender);
    });
    if closing.is_ok() {
        // The sender sends nothing: its end is the answer.
        let _ = receiver.recv_timeout(CLOSE);
    }
}

/// What is known of the daemon, over whatever connection.
#[derive(Default)]
pub(super) struct Daemon {
    /// The names of domains by UUID, for what is said of a call.
    names: Mutex<BTreeMap<String, String>>,
    /// When it was asked whether it answers at all, since a call had no answer.
    doubted: Mutex<Option<Instant>>,
    answered: Condvar,
}

impl Daemon {
    /// Remembers a domain's name.
    pub(super) fn learn(&self, uuid: &str, name: &str) {
        lock(&self.names).insert(uuid.to_owned(), name.to_owned());
    }

    /// A domain's name, or its UUID while it has none.
    pub(super) fn name(&self, uuid: &str) -> String {
        lock(&self.names)
            .get(uuid)
            .cloned()
            .unwrap_or_else(|| uuid.to_owned())
    }

    /// Fails if the daemon has left a call without an answer, and takes no new client either.
    fn trust(&self) -> Result<(), CallError> {
        let doubted = lock(&self.doubted);
        let Some(asked) = *doubted else {
            return Ok(());
        };
        let rest = PROBE.saturating_sub(asked.elapsed());
        let (doubted, _) = self
            .answered
            .wait_timeout_while(doubted, rest, |doubted| doubted.is_some())
            .unwrap_or_else(PoisonError::into_inner);
        if doubted.is_none() {
            return Ok(());
        }
        let mut why = "libvirt does not answer any more".to_owned();
        for cause in causes() {
            why = format!("{why}; {cause}");
        }
        Err(CallError {
            kind: CallErrorKind::Unanswered,
            why,
        })
    }

    /// Asks, once, whether the daemon answers at all.
    fn doubt<C>(self: &Arc<Self>, open: &Arc<Open<C>>)
    where
        C: Send + 'static,
    {
        let mut doubted = lock(&self.doubted);
        if doubted.is_some() {
            return;
        }
        let (daemon, open) = (Arc::clone(self), Arc::clone(open));
        let asked = spawn(move || {
            // Refused or not: it answered.
            close(open());
            *lock(&daemon.doubted) = None;
            daemon.answered.notify_all();
        });
        *doubted = asked.is_ok().then(Instant::now);
    }
}

/// How a connection is opened.
type Open<C> = dyn Fn() -> Result<C, CallError> + Send + Sync;

/// Connections of one kind.
pub(super) struct Pool<C: Send + 'static> {
    open: Arc<Open<C>>,
    pub(super) daemon: Arc<Daemon>,
    connections: Mutex<Vec<Shared<C>>>,
}

struct Shared<C> {
    connection: C,
    calls: usize,
}

/// Places on one connection.
pub(super) struct Places<C: Send + 'static> {
    pub(super) connection: C,
    pool: Arc<Pool<C>>,
    at: usize,
    calls: usize,
}

impl<C: Clone + Send + 'static> Pool<C> {
    /// A pool with its first connection.
    pub(super) fn open(open: Arc<Open<C>>, daemon: Arc<Daemon>) -> Result<Arc<Self>, CallError> {
        let first = Arc::clone(&open);
        let connection = Request::reading("take a connection").make(move || first())?;
        Ok(Arc::new(Self {
            open,
            daemon,
            connections: Mutex::new(vec![Shared {
                connection,
                calls: 0,
            }]),
        }))
    }

    /// Makes a call, and finds out whether the daemon answers at all if there is no answer.
    pub(super) fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: &Request,
        make: impl FnOnce(&C) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        self.call_with(call, 1, move |places| make(&places.connection))
    }

    /// The same for what goes on with so many calls at once over the same connection.
    pub(super) fn call_with<T: Send + 'static>(
        self: &Arc<Self>,
        call: &Request,
        calls: usize,
        make: impl FnOnce(Places<C>) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        self.daemon.trust()?;
        let pool = Arc::clone(self);
        let answer = call.make(move || make(pool.take(calls)?));
        if matches!(&answer, Err(error) if error.kind == CallErrorKind::Unanswered) {
            self.doubt();
        }
        answer
    }

    /// A call had no answer.
    pub(super) fn doubt(&self) {
        self.daemon.doubt(&self.open);
    }

    /// Places on the first connection that has so many free, or on a new one.
    fn take(self: Arc<Self>, calls: usize) -> Result<Places<C>, CallError> {
        if let Some(places) = self.occupy(calls) {
            return Ok(places);
        }
        let connection = (self.open)()?;
        let shared = Shared {
            connection: connection.clone(),
            calls,
        };
        let mut connections = lock(&self.connections);
        connections.push(shared);
        let at = connections.len() - 1;
        drop(connections);
        Ok(Places {
            connection,
            pool: self,
            at,
            calls,
        })
    }

    fn occupy(self: &Arc<Self>, calls: usize) -> Option<Places<C>> {
        let mut connections = lock(&self.connections);
        let at = connections
            .iter()
            .position(|shared| shared.calls + calls <= AT_ONCE)?;
        let shared = connections.get_mut(at)?;
        shared.calls += calls;
        Some(Places {
            connection: shared.connection.clone(),
            pool: Arc::clone(self),
            at,
            calls,
        })
    }
}

impl<C: Send + 'static> Drop for Pool<C> {
    fn drop(&mut self) {
        close(std::mem::take(&mut *lock(&self.connections)));
    }
}

impl<C: Send + 'static> Drop for Places<C> {
    fn drop(&mut self) {
        if let Some(shared) = lock(&self.pool.connections).get_mut(self.at) {
            shared.calls -= self.calls;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SHORT: Duration = Duration::from_millis(50);

    /// A pool whose connections are numbers, and how many were opened.
    fn pool(daemon: &Arc<Daemon>) -> (Arc<Pool<usize>>, Arc<AtomicUsize>) {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let open = move || Ok(count.fetch_add(1, Ordering::SeqCst));
        (
            Pool::open(Arc::new(open), Arc::clone(daemon)).unwrap(),
            opened,
        )
    }

    /// Begins a call that hangs until the sender is dropped, and is given up.
    fn hang(pool: &Arc<Pool<usize>>, what: &str) -> (usize, mpsc::Sender<()>) {
        let (release, released) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let call = Request::changing(what, SHORT);
        let error = pool.call(&call, move |connection| {
            sender.send(*connection).unwrap();
            let _ = released.recv();
            Ok(())
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unanswered);
        (receiver.recv().unwrap(), release)
    }

    #[test]
    fn a_call_without_an_answer_is_given_up_and_says_what_it_was() {
        let call = Request::changing("start obs-02", SHORT);
        let began = Instant::now();
        let slow = || {
            thread::sleep(Duration::from_secs(20));
            Ok(())
        };
        let error = call.make(slow).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(
            error
                .why
                .starts_with("libvirt did not start obs-02 within 0 s; outcome unknown"),
            "{error}"
        );
        let read = Request {
            limit: SHORT,
            ..Request::reading("list its domains")
        };
        assert!(!read.unanswered().why.contains("outcome"));
    }

    #[test]
    fn at_most_four_calls_share_a_connection_and_hung_ones_keep_their_place() {
        let daemon = Arc::default();
        let (pool, opened) = pool(&daemon);
        let held: Vec<_> = (0..9)
            .map(|at| {
                let held = hang(&pool, &format!("start vm-{at}"));
                // What was asked meanwhile whether it lives has answered.
                while lock(&daemon.doubted).is_some() {
                    thread::sleep(Duration::from_millis(1));
                }
                held
            })
            .collect();
        let mut calls = BTreeMap::new();
        for (connection, _) in &held {
            *calls.entry(connection).or_insert(0) += 1;
        }
        assert_eq!(calls.into_values().collect::<Vec<_>>(), [4, 4, 1]);
        let before = opened.load(Ordering::SeqCst);
        // Two at once go where two are free, and places that are given back are taken again.
        let (first, _) = &held[8];
        let shared = pool
            .call_with(&Request::reading("list"), 2, |places| Ok(places.connection))
            .unwrap();
        assert_eq!(shared, *first);
        drop(held);
        assert_eq!(opened.load(Ordering::SeqCst), before);
    }

    #[test]
    fn after_a_call_without_an_answer_a_daemon_that_takes_no_client_fails_at_once() {
        let daemon: Arc<Daemon> = Arc::default();
        let (pool, _) = pool(&daemon);
        *lock(&daemon.doubted) = Instant::now().checked_sub(PROBE);
        let error = pool
            .call(&Request::reading("list"), |_| Ok(()))
            .unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unanswered);
        assert!(
            error.why.starts_with("libvirt does not answer any more"),
            "{error}"
        );
        *lock(&daemon.doubted) = None;
        pool.call(&Request::reading("list"), |_| Ok(())).unwrap();
    }

    #[test]
    fn an_error_comes_through_and_a_name_is_said_once_it_is_known() {
        let daemon: Arc<Daemon> = Arc::default();
        let (pool, _) = pool(&daemon);
        let refused = pool.call(&Request::reading("list"), |_| -> Result<(), _> {
            Err(CallError::other("refused"))
        });
        assert_eq!(refused.unwrap_err().why, "refused");
        assert_eq!(daemon.name("5a01"), "5a01");
        daemon.learn("5a01", "armhf-vm");
        assert_eq!(daemon.name("5a01"), "armhf-vm");
    }
}
