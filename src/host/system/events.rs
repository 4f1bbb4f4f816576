//! libvirt's event loop and what it tells of domains, and their checkpoints: the crate's only foreign calls that `virt` has
//! no function for, and with them its only `unsafe` code.
//!
//! What each call relies on: libvirt keeps the `opaque` pointer of a registration until it has called the `free` function
//! given with it, never calls back after that, and calls back on the loop's thread alone. The pointers to connection and
//! domain that a callback gets are libvirt's own and end with the call; texts are copied out of them at once.

#![allow(unsafe_code, reason = "foreign calls; every other module is without")]

use crate::host::guests::{Cause, Event, Happening, Off};
use crate::host::primitives::CallError;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

/// Who is told of events.
pub(super) type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// How often the loop wakes up with nothing to do, in milliseconds.
const BEAT: c_int = 1000;
/// How long to wait before a loop that failed is entered again.
const FAILED: Duration = Duration::from_secs(1);

static BEATS: AtomicU64 = AtomicU64::new(0);

/// Starts the loop, once in a process, on a thread of its own. Connections opened before would tell nothing.
pub(super) fn start_loop() -> Result<(), CallError> {
    static STARTED: OnceLock<Result<(), CallError>> = OnceLock::new();
    STARTED.get_or_init(begin_loop).clone()
}

/// How often the loop has woken up: as long as this grows, it is alive.
pub(super) fn beats() -> u64 {
    BEATS.load(Ordering::Relaxed)
}

/// The names of a domain's checkpoints. A driver that knows none has none.
pub(super) fn checkpoints(domain: &Domain) -> Result<Vec<String>, Error> {
    let mut list = ptr::null_mut();
    // SAFETY: the domain lives through the call; libvirt allocates the list, whose length it returns.
    let count = unsafe { sys::virDomainListAllCheckpoints(domain.as_ptr(), &raw mut list, 0) };
    let Ok(count) = usize::try_from(count) else {
        let error = Error::last_error();
        return match error.code().is(ErrorNumber::NoSupport) {
            true => Ok(Vec::new()),
            false => Err(error),
        };
    };
    let mut names = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: the list has `count` checkpoints, each the caller's to free once; a name lives as long as its checkpoint.
        unsafe {
            let checkpoint = *list.add(at);
            let name = CStr::from_ptr(sys::virDomainCheckpointGetName(checkpoint));
            names.push(name.to_string_lossy().into_owned());
            sys::virDomainCheckpointFree(checkpoint);
        }
    }
    // SAFETY: the list itself is the caller's to free, with the allocator of C.
    unsafe { libc::free(list.cast()) };
    Ok(names)
}

/// Whether the kernel takes its clock for synchronised (`adjtimex`, without a mode: nothing is set).
pub(super) fn synchronised() -> Result<bool, CallError> {
    // SAFETY: a `timex` is numbers only, for which zero is a value.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into the `timex` that it is given, and keeps no pointer to it.
    match unsafe { libc::adjtimex(&raw mut asked) } {
        -1 => Err(CallError::other(format!(
            "adjtimex: {}",
            std::io::Error::last_os_error()
        ))),
        _ => Ok(asked.status & libc::STA_UNSYNC == 0),
    }
}

fn begin_loop() -> Result<(), CallError> {
    virt::event::event_register_default_impl().map_err(|error| failed("register", &error))?;
    // SAFETY: `beat` takes no notice of its arguments, so there is nothing to keep alive and nothing to free.
    let timer = unsafe { sys::virEventAddTimeout(BEAT, Some(beat), ptr::null_mut(), None) };
    if timer < 0 {
        return Err(failed("time", &Error::last_error()));
    }
    let thread = thread::Builder::new().name("events".to_owned());
    let started = thread.spawn(|| {
        loop {
            if let Err(error) = virt::event::event_run_default_impl() {
                tracing::error!(why = error.message(), "libvirt's event loop failed");
                thread::sleep(FAILED);
            }
        }
    });
    started
        .map(drop)
        .map_err(|error| CallError::other(format!("no thread for libvirt's event loop: {error}")))
}

unsafe extern "C" fn beat(_timer: c_int, _opaque: *mut c_void) {
    BEATS.fetch_add(1, Ordering::Relaxed);
}

/// A connection that tells of events until it is dropped.
pub(super) struct Listener {
    connect: Connect,
    /// libvirt's numbers of the registrations, where they were made.
    lifecycle: Option<c_int>,
    shutdown: Option<c_int>,
    closing: bool,
}

impl Listener {
    /// Has a connection, which may write, tell of its domains and of its own end.
    pub(super) fn register(connect: &Connect, tell: &Tell) -> Result<Self, CallError> {
        let mut listener = Self {
            connect: connect.clone(),
            lifecycle: None,
            shutdown: None,
            closing: false,
        };
        listener.register_closing(tell)?;
        listener.lifecycle = Some(listener.register_lifecycle(tell)?);
        listener.shutdown = Some(listener.register_shutdown(tell)?);
        Ok(listener)
    }

    fn register_closing(&mut self, tell: &Tell) -> Result<(), CallError> {
        let opaque = leak(tell);
        // SAFETY: the connection is alive; `opaque` is what `closed` and `free` take it for.
        let result = unsafe {
            sys::virConnectRegisterCloseCallback(
                self.connect.as_ptr(),
                Some(closed),
                opaque,
                Some(free),
            )
        };
        self.closing = result >= 0;
        registered("the end of the connection", result, opaque).map(drop)
    }

    fn register_lifecycle(&self, tell: &Tell) -> Result<c_int, CallError> {
        type Lifecycle = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            c_int,
            c_int,
            *mut c_void,
        ) -> c_int;
        type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
        let opaque = leak(tell);
        // SAFETY: both are pointers to functions; libvirt calls this one with the arguments of a lifecycle callback,
        // since the event's number says so (`VIR_DOMAIN_EVENT_CALLBACK`).
        let generic = unsafe { std::mem::transmute::<Lifecycle, Generic>(lifecycle) };
        // SAFETY: the connection is alive; no domain means all; `opaque` is what `lifecycle` and `free` take it for.
        let result = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connect.as_ptr(),
                ptr::null_mut(),
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE.cast_signed(),
                Some(generic),
                opaque,
                Some(free),
            )
        };
        registered("the life of domains", result, opaque)
    }

    fn register_shutdown(&self, tell: &Tell) -> Result<c_int, CallError> {
        let opaque = leak(tell);
        // SAFETY: as above; the event's name is a constant that ends in a zero byte.
        let result = unsafe {
            sys::virConnectDomainQemuMonitorEventRegister(
                self.connect.as_ptr(),
                ptr::null_mut(),
                c"SHUTDOWN".as_ptr(),
                Some(shutdown),
                opaque,
                Some(free),
                0,
            )
        };
        registered("QEMU's SHUTDOWN", result, opaque)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What a broken connection cannot deregister ends with it.
        // SAFETY: the connection is alive, since this holds a reference; the numbers are those it gave.
        unsafe {
            if let Some(number) = self.shutdown {
                sys::virConnectDomainQemuMonitorEventDeregister(self.connect.as_ptr(), number);
            }
            if let Some(number) = self.lifecycle {
                sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), number);
            }
            if self.closing {
                sys::virConnectUnregisterCloseCallback(self.connect.as_ptr(), Some(closed));
            }
        }
    }
}

/// Gives a callback its own hold of whom to tell.
fn leak(tell: &Tell) -> *mut c_void {
    Box::into_raw(Box::new(Arc::clone(tell))).cast()
}

/// Ends that hold; libvirt calls it when a registration has ended.
unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: it came from `leak`, and libvirt frees it once.
    drop(unsafe { Box::from_raw(opaque.cast::<Tell>()) });
}

/// The number of a registration; a failed one is not libvirt's to free.
fn registered(what: &str, result: c_int, opaque: *mut c_void) -> Result<c_int, CallError> {
    if result >= 0 {
        return Ok(result);
    }
    let error = failed(what, &Error::last_error());
    // SAFETY: it came from `leak`, and libvirt has not taken it.
    unsafe { free(opaque) };
    Err(error)
}

fn failed(what: &str, error: &Error) -> CallError {
    CallError::other(format!(
        "libvirt's events ({what}): {}",
        error.message().trim_end()
    ))
}

/// Tells of an event. A panic must not go on into C.
unsafe fn tell(opaque: *mut c_void, event: impl FnOnce() -> Option<Event>) {
    // SAFETY: it came from `leak`, and libvirt has not freed it while it calls back.
    let tell = unsafe { &*opaque.cast::<Tell>() };
    let told = catch_unwind(AssertUnwindSafe(|| {
        if let Some(event) = event() {
            tell(event);
        }
    }));
    if told.is_err() {
        tracing::error!("an event was lost");
    }
}

/// The name of a domain that a callback was given.
unsafe fn name_of(domain: sys::virDomainPtr) -> Option<String> {
    // SAFETY: the domain is alive during the callback, and so is the name, which ends in a zero byte.
    unsafe { text_of(sys::virDomainGetName(domain)) }
        .map(|name| String::from_utf8_lossy(&name).into_owned())
}

unsafe fn text_of(text: *const c_char) -> Option<Vec<u8>> {
    // SAFETY: callers have a text that ends in a zero byte, or none.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec())
}

unsafe extern "C" fn closed(_connect: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    let why = match reason.cast_unsigned() {
        sys::VIR_CONNECT_CLOSE_REASON_EOF => "libvirtd ended it",
        sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE => "libvirtd did not answer",
        sys::VIR_CONNECT_CLOSE_REASON_CLIENT => "it was closed",
        _ => "it broke",
    };
    // SAFETY: `opaque` is this registration's.
    unsafe { tell(opaque, || Some(Event::Closed(why))) };
}

unsafe extern "C" fn lifecycle(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let what = match event.cast_unsigned() {
        sys::VIR_DOMAIN_EVENT_STARTED => Some(Happening::Started),
        sys::VIR_DOMAIN_EVENT_STOPPED => Some(Happening::Stopped(Off::from_detail(detail))),
        _ => None,
    };
    // SAFETY: `opaque` is this registration's; the domain is alive.
    unsafe {
        tell(opaque, || {
            Some(Event::Domain {
                what: what?,
                name: name_of(domain)?,
            })
        });
    }
    0
}

unsafe extern "C" fn shutdown(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: *const c_char,
    _seconds: c_longlong,
    _micros: c_uint,
    details: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is this registration's; domain and details are alive.
    unsafe {
        tell(opaque, || {
            let cause = Cause::read(&text_of(details).unwrap_or_default());
            Some(Event::Domain {
                what: Happening::Shutdown(cause),
                name: name_of(domain)?,
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_connection_tells_of_its_domains_until_it_is_dropped() {
        let _alone = crate::host::system::test_driver();
        start_loop().unwrap();
        virt::error::clear_error_callback();
        let connect = Connect::open(Some("test:///default")).unwrap();
        let (sender, receiver) = mpsc::channel();
        let tell: Tell = Arc::new(move |event| drop(sender.send(event)));
        let mut listener = Listener {
            connect: connect.clone(),
            lifecycle: None,
            shutdown: None,
            closing: false,
        };
        listener.lifecycle = Some(listener.register_lifecycle(&tell).unwrap());
        let domain = connect.lookup_domain_by_name("test").unwrap();
        let heard = |what| Event::Domain {
            name: "test".to_owned(),
            what,
        };
        domain.destroy().unwrap();
        let next = || receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(next(), heard(Happening::Stopped(Off::Destroyed)));
        domain.create().unwrap();
        assert_eq!(next(), heard(Happening::Started));

        // The test driver runs no QEMU: what cannot be registered is freed, and says why.
        let refused = listener.register_shutdown(&tell).unwrap_err();
        assert!(refused.why.contains("QEMU's SHUTDOWN"), "{refused}");
        drop(listener);
        drop(tell);
        // With the last registration goes the last sender.
        let end = receiver.recv_timeout(Duration::from_secs(10)).unwrap_err();
        assert_eq!(end, mpsc::RecvTimeoutError::Disconnected);
    }

    #[test]
    fn the_loop_beats() {
        start_loop().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let before = beats();
        while beats() == before {
            assert!(std::time::Instant::now() < deadline);
            thread::sleep(Duration::from_millis(50));
        }
    }
}
