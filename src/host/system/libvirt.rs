//! The libvirt calls; but for the events next door, the only file that names the `virt` crate.
//!
//! Reading calls are given up after [`PATIENCE`]: libvirt locks a domain while one of its hooks runs, has no time limit
//! for that, and even listing waits for the lock. Changing calls are waited for: giving one up would leave unknown what
//! it did.

use super::events;
use super::offer::Network;
use crate::host::guests::{Guest, Off};
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{Fact, RawDomain, RawLibvirt, RunState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::{Domain, DomainStateReason, DomainStateReasonEnum};
use virt::domain_snapshot::DomainSnapshot;
use virt::enumutil::Enum;
use virt::error::{Error, ErrorNumber, clear_error_callback};
use virt::sys;

/// How long libvirt may take for one answer. It waits up to 30 s itself for a domain that is busy
/// (`VIR_JOB_WAIT_TIME`), so this is longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon is asked every so many seconds whether it lives, and given up after so many questions without an answer. It
/// may be busy for long where many guests are emulated.
const KEEP_ALIVE: (i32, u32) = (10, 6);

/// More than two at once made dumping slower: the daemon serves one connection.
const DUMPERS: usize = 2;

/// A connection that libvirt lets change nothing.
pub(super) struct ReadConnection {
    connect: Connect,
}

/// A connection that may change domains.
pub(super) struct WriteConnection {
    connect: Connect,
}

/// A domain in a list, before its XML was read.
struct Listed {
    domain: Domain,
    /// Its XML is unreadable so far, for want of an answer.
    seen: RawDomain,
}

impl ReadConnection {
    pub(super) fn open(uri: &str) -> Result<Self, CallError> {
        let connect = open(uri, Connect::open_read_only)?;
        Ok(Self { connect })
    }

    pub(super) fn about(&self) -> Result<RawLibvirt, CallError> {
        self.answer(|connect| {
            Ok(RawLibvirt {
                version: connect.lib_version()?,
                capabilities: connect.capabilities()?,
            })
        })
    }

    pub(super) fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        dump_all(self.answer(list)?, PATIENCE)
    }

    pub(super) fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        let wanted = uuid.to_owned();
        let seen = self.answer(move |connect| {
            let domain = connect.lookup_domain_by_uuid_string(&wanted)?;
            Ok(Listed::ask(domain)?.dumped())
        })?;
        seen.ok_or_else(|| CallError {
            kind: CallErrorKind::Missing,
            why: format!("the domain {uuid} went away while it was read"),
        })
    }

    pub(super) fn networks(&self) -> Result<Vec<Network>, CallError> {
        self.answer(|connect| {
            let networks = connect.list_all_networks(0)?.into_iter();
            let networks = networks.map(|network| {
                Ok(Network {
                    name: network.name()?,
                    // Networks that only forward to a device have none, and libvirt calls that an error.
                    bridge: network.bridge_name().ok(),
                    active: network.is_active()?,
                })
            });
            networks.collect()
        })
    }

    fn answer<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let connect = self.connect.clone();
        answer(PATIENCE, move || call(&connect))
    }
}

impl WriteConnection {
    pub(super) fn open(uri: &str) -> Result<Self, CallError> {
        let connect = open(uri, Connect::open)?;
        Ok(Self { connect })
    }

    /// The connection itself, for who listens to its events.
    pub(super) fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Has a daemon that does not answer noticed. Needs the event loop.
    pub(super) fn keep_alive(&self) -> Result<(), CallError> {
        self.connect
            .set_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .map_err(|error| said(&error))
    }

    pub(super) fn guests(&self) -> Result<Vec<Guest>, CallError> {
        let connect = self.connect.clone();
        answer(PATIENCE, move || {
            let guests = connect.list_all_domains(0)?;
            let guests = guests.iter().map(|domain| match guest(domain) {
                Err(error) if is(&error, ErrorNumber::NoDomain) => Ok(None),
                guest => guest.map(Some),
            });
            guests.filter_map(Result::transpose).collect()
        })
    }

    pub(super) fn guest(&self, name: &str) -> Result<Guest, CallError> {
        let (connect, name) = (self.connect.clone(), name.to_owned());
        answer(PATIENCE, move || {
            guest(&connect.lookup_domain_by_name(&name)?)
        })
    }

    pub(super) fn dump_secure(&self, uuid: &str) -> Result<String, CallError> {
        self.with(uuid, |domain| {
            domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE)
        })
    }

    pub(super) fn define(&self, xml: &str) -> Result<(), CallError> {
        self.connect
            .define_domain_xml_flags(xml, sys::VIR_DOMAIN_DEFINE_VALIDATE)
            .map(drop)
            .map_err(|error| match said(&error) {
                other if is(&error, ErrorNumber::OperationFailed) && self.is_taken(xml) => {
                    CallError {
                        kind: CallErrorKind::Exists,
                        ..other
                    }
                }
                other => other,
            })
    }

    pub(super) fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        let flags = if keep_nvram {
            sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
        } else {
            0
        };
        self.with(uuid, |domain| domain.undefine_flags(flags))
    }

    pub(super) fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError> {
        self.with(uuid, |domain| domain.set_autostart(on))
    }

    pub(super) fn start(&self, uuid: &str) -> Result<(), CallError> {
        self.with(uuid, Domain::create)
    }

    pub(super) fn shutdown(&self, uuid: &str) -> Result<(), CallError> {
        self.with(uuid, Domain::shutdown)
    }

    /// QEMU is asked to end and not killed, so that nothing it holds for its disks is lost.
    pub(super) fn cut(&self, uuid: &str) -> Result<(), CallError> {
        self.with(uuid, |domain| {
            domain.destroy_flags(sys::VIR_DOMAIN_DESTROY_GRACEFUL)
        })
    }

    pub(super) fn block_resize(&self, uuid: &str, path: &str, bytes: u64) -> Result<(), CallError> {
        self.with(uuid, |domain| {
            domain.block_resize(path, bytes, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        })
    }

    fn with<T>(
        &self,
        uuid: &str,
        call: impl FnOnce(&Domain) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        self.connect
            .lookup_domain_by_uuid_string(uuid)
            .and_then(|domain| call(&domain))
            .map_err(|error| said(&error))
    }

    /// Whether the name and the UUID in this XML belong to different domains, or one of them to a domain and the other
    /// to none. libvirt refuses that with the number that it has for everything (`virDomainObjListAddLocked`).
    fn is_taken(&self, xml: &str) -> bool {
        let Ok(document) = roxmltree::Document::parse(xml) else {
            return false;
        };
        let text = |name| {
            let mut children = document.root_element().children();
            let node = children.find(|node| node.has_tag_name(name))?;
            node.text()
        };
        let of_name = text("name").and_then(|name| self.connect.lookup_domain_by_name(name).ok());
        let of_uuid =
            text("uuid").and_then(|uuid| self.connect.lookup_domain_by_uuid_string(uuid).ok());
        match (of_name, of_uuid) {
            (Some(one), Some(other)) => one.uuid_string() != other.uuid_string(),
            (one, other) => one.is_some() || other.is_some(),
        }
    }
}

impl Listed {
    /// A domain in a state; everything else is put in by the caller.
    fn new(domain: Domain, (state, reason): (u32, u32)) -> Result<Self, Error> {
        let unread = Fact::Unreadable(unanswered(PATIENCE));
        let live = if state == sys::VIR_DOMAIN_SHUTOFF {
            Fact::Absent
        } else {
            unread.clone()
        };
        let seen = RawDomain {
            name: domain.name()?,
            uuid: domain.uuid_string()?,
            state,
            reason,
            persistent: true,
            autostart: false,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            inactive: unread,
            live,
        };
        Ok(Self { domain, seen })
    }

    /// Asks libvirt about one domain what [`list`] learns about all at once.
    fn ask(domain: Domain) -> Result<Self, Error> {
        let state = state_of(&domain)?;
        let mut listed = Self::new(domain, state)?;
        listed.seen.persistent = listed.domain.is_persistent()?;
        // Asked about a domain whose definition is gone, libvirt refuses to answer or tells what was (test driver).
        listed.seen.autostart = listed.seen.persistent && listed.domain.autostart()?;
        listed.seen.managed_save = listed.domain.has_managed_save(0)?;
        listed.ask_snapshots(true, true)?;
        Ok(listed)
    }

    /// Asks for the names of its snapshots and checkpoints, where it may have some.
    fn ask_snapshots(&mut self, snapshots: bool, checkpoints: bool) -> Result<(), Error> {
        if snapshots {
            let snapshots = self.domain.list_all_snapshots(0)?;
            let names = snapshots.iter().map(DomainSnapshot::name);
            self.seen.snapshots = names.collect::<Result<_, _>>()?;
            self.seen.snapshots.sort();
        }
        if checkpoints {
            self.seen.checkpoints = events::checkpoints(&self.domain)?;
            self.seen.checkpoints.sort();
        }
        Ok(())
    }

    /// The domain with its XML; `None` when it went away.
    fn dumped(&self) -> Option<RawDomain> {
        let mut raw = self.seen.clone();
        raw.inactive = dump(&self.domain, sys::VIR_DOMAIN_XML_INACTIVE)?;
        if raw.live == Fact::Absent {
            return Some(raw);
        }
        raw.live = dump(&self.domain, 0)?;
        if raw.live.present().is_some_and(|xml| !has_id(xml)) {
            // It went off after it was listed, and libvirt gave the definition instead.
            (raw.state, raw.reason) = (sys::VIR_DOMAIN_SHUTOFF, 0);
            raw.live = Fact::Absent;
        }
        Some(raw)
    }
}

/// Every domain, sorted by name, in a few calls whatever their number.
fn list(connect: &Connect) -> Result<Vec<Listed>, Error> {
    let all = connect.list_all_domains(0)?;
    let running = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_RUNNING)?;
    let transient = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_TRANSIENT)?;
    let autostart = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_AUTOSTART)?;
    let managed_save = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)?;
    let snapshots = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)?;
    let checkpoints = uuids(connect, sys::VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT)?;
    let mut listed = Vec::with_capacity(all.len());
    for domain in all {
        let uuid = domain.uuid_string()?;
        let state = match domain.id() {
            None => (sys::VIR_DOMAIN_SHUTOFF, 0),
            Some(_) if running.contains(&uuid) => (sys::VIR_DOMAIN_RUNNING, 0),
            Some(_) => match state_of(&domain) {
                Err(error) if is(&error, ErrorNumber::NoDomain) => continue,
                state => state?,
            },
        };
        let mut entry = Listed::new(domain, state)?;
        entry.seen.persistent = !transient.contains(&uuid);
        entry.seen.autostart = entry.seen.persistent && autostart.contains(&uuid);
        entry.seen.managed_save = managed_save.contains(&uuid);
        entry.ask_snapshots(snapshots.contains(&uuid), checkpoints.contains(&uuid))?;
        listed.push(entry);
    }
    listed.sort_by(|one, other| one.seen.name.cmp(&other.seen.name));
    Ok(listed)
}

fn uuids(
    connect: &Connect,
    filter: sys::virConnectListAllDomainsFlags,
) -> Result<BTreeSet<String>, Error> {
    let domains = connect.list_all_domains(filter)?;
    domains.iter().map(Domain::uuid_string).collect()
}

/// Reads the XML of all, at most so long for any one. What was not answered stays unreadable.
fn dump_all(listed: Vec<Listed>, patience: Duration) -> Result<Vec<RawDomain>, CallError> {
    let listed = Arc::new(listed);
    let next = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..DUMPERS.min(listed.len()) {
        let (listed, next, sender) = (Arc::clone(&listed), Arc::clone(&next), sender.clone());
        spawn(move || {
            while let Some((index, entry)) = take(&listed, &next) {
                if sender.send((index, entry.dumped())).is_err() {
                    break;
                }
            }
        })?;
    }
    drop(sender);
    let mut dumped = BTreeMap::new();
    while let Ok((index, raw)) = receiver.recv_timeout(patience) {
        dumped.insert(index, raw);
    }
    let domains = listed.iter().enumerate();
    Ok(domains
        .filter_map(|(index, entry)| {
            dumped
                .remove(&index)
                .unwrap_or_else(|| Some(entry.seen.clone()))
        })
        .collect())
}

fn take<'a>(listed: &'a [Listed], next: &AtomicUsize) -> Option<(usize, &'a Listed)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, listed.get(index)?))
}

/// A domain's XML; `None` when there is no such domain any more.
fn dump(domain: &Domain, flags: sys::virDomainXMLFlags) -> Option<Fact<String>> {
    match domain.xml_desc(flags) {
        Ok(xml) => Some(Fact::Present(xml)),
        Err(error) if is(&error, ErrorNumber::NoDomain) => None,
        Err(error) => Some(Fact::Unreadable(text(&error))),
    }
}

/// Whether this is the XML of a process: only that has the number that libvirt gave it.
fn has_id(xml: &str) -> bool {
    xml.split_once("<domain ")
        .and_then(|(_, rest)| rest.split_once('>'))
        .is_some_and(|(attributes, _)| attributes.contains(" id='"))
}

/// `virDomainState` and the reason beside it. Why a domain runs or is off decides nothing, cannot be had for all at once,
/// and would cost a call for each: it is always 0, libvirt's number for unknown.
fn state_of(domain: &Domain) -> Result<(u32, u32), Error> {
    match state_and_reason(domain)? {
        (state @ (sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_SHUTOFF), _) => Ok((state, 0)),
        other => Ok(other),
    }
}

fn state_and_reason(domain: &Domain) -> Result<(u32, u32), Error> {
    let (state, reason) = domain.state()?;
    match state.to_raw() {
        FAILED => Err(Error::last_error()),
        state => Ok((state, number(reason))),
    }
}

fn guest(domain: &Domain) -> Result<Guest, Error> {
    let (state, reason) = state_and_reason(domain)?;
    Ok(Guest {
        name: domain.name()?,
        uuid: domain.uuid_string()?,
        state: RunState::read(state, reason),
        off: Off::from_reason(reason),
    })
}

/// What virt 0.5.0 has for the state when libvirt could not tell it: it drops that error.
const FAILED: u32 = u32::MAX;

fn number(reason: DomainStateReasonEnum) -> u32 {
    match reason {
        Enum::Known(DomainStateReason::NoState(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Running(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Blocked(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Paused(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Shutdown(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Shutoff(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::Crashed(reason)) => reason.to_raw(),
        Enum::Known(DomainStateReason::PMSuspended(reason)) => reason.to_raw(),
        Enum::Unknown(reason) => reason.cast_unsigned(),
    }
}

fn open(
    uri: &str,
    connect: fn(Option<&str>) -> Result<Connect, Error>,
) -> Result<Connect, CallError> {
    // Every failure comes back as an error; libvirt would print it, too.
    clear_error_callback();
    let owned = uri.to_owned();
    if uri.contains('\0') {
        return Err(CallError::other("a libvirt URI cannot hold a zero byte"));
    }
    answer(PATIENCE, move || connect(Some(&owned))).map_err(|error| {
        CallError::other(format!(
            "{error}. Is libvirtd running on the host of {uri}, and may you use it (as root, or in the group libvirt)?"
        ))
    })
}

/// Makes a call on a thread of its own, which is left behind if no answer comes: nothing can end a call of libvirt.
fn answer<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, CallError> {
    let (sender, receiver) = mpsc::channel();
    // Nobody listens any more when the answer comes too late.
    spawn(move || drop(sender.send(call())))?;
    match receiver.recv_timeout(patience) {
        Ok(answer) => answer.map_err(|error| said(&error)),
        Err(_) => Err(CallError::other(unanswered(patience))),
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), CallError> {
    let thread = thread::Builder::new().name("libvirt".to_owned());
    let started = thread.spawn(work);
    started
        .map(drop)
        .map_err(|error| CallError::other(format!("no thread for a call to libvirt: {error}")))
}

fn unanswered(patience: Duration) -> String {
    format!(
        "libvirt did not answer within {} s; a domain that is starting or stopping may hang in a hook of /etc/libvirt/hooks",
        patience.as_secs()
    )
}

fn said(error: &Error) -> CallError {
    let kind = match error.code() {
        Enum::Known(ErrorNumber::NoDomain) => CallErrorKind::Missing,
        Enum::Known(ErrorNumber::DomExist) => CallErrorKind::Exists,
        Enum::Known(ErrorNumber::HookScriptFailed) => CallErrorKind::Hook,
        _ => CallErrorKind::Other,
    };
    CallError {
        kind,
        why: text(error),
    }
}

/// What libvirt said; what a hook wrote ends it with a line break.
fn text(error: &Error) -> String {
    error.message().trim_end().to_owned()
}

fn is(error: &Error, number: ErrorNumber) -> bool {
    error.code().is(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const TEST: &str = "test:///default";

    #[test]
    fn a_call_without_an_answer_is_given_up() {
        let began = Instant::now();
        let slow = || {
            thread::sleep(Duration::from_secs(20));
            Ok(())
        };
        let error = answer(Duration::from_millis(50), slow).unwrap_err();
        assert!(error.why.starts_with("libvirt did not answer within"));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_answer_keeps_the_number_of_its_error() {
        let connection = ReadConnection::open(TEST).unwrap();
        let missing = "00000000-0000-4000-8000-000000000000";
        let lookup = move |connect: &Connect| connect.lookup_domain_by_uuid_string(missing);
        let error = connection.answer(lookup).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Missing);
        assert!(error.why.starts_with("Domain not found"), "{error}");
    }

    #[test]
    fn a_domain_that_is_not_dumped_in_time_is_listed_as_unreadable() {
        let connection = ReadConnection::open(TEST).unwrap();
        let listed = connection.answer(list).unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.seen.name.clone()).collect();
        assert!(names.contains(&"test".to_owned()));
        let untouched: Vec<_> = listed.iter().map(|entry| entry.seen.clone()).collect();
        let dumped = dump_all(listed, Duration::ZERO).unwrap();
        for (raw, before) in dumped.iter().zip(&untouched) {
            assert!(raw.inactive.present().is_some() || raw == before);
        }
        assert_eq!(dumped.len(), untouched.len());
        assert!(untouched[0].inactive.unknown().is_some());
    }

    #[test]
    fn only_the_xml_of_a_process_has_an_id() {
        assert!(has_id("<domain type='kvm' id='7' xmlns:qemu='urn:x'>"));
        assert!(!has_id("<domain type='kvm'>\n  <memory id='7'/>"));
        assert!(!has_id("<domain type='kvm' uuid='7'>"));
        assert!(!has_id("<domain/>"));
    }

    #[test]
    fn guests_are_seen_with_why_they_are_off() {
        let connection = WriteConnection::open(TEST).unwrap();
        let running = connection.guest("test").unwrap();
        assert_eq!(running.state, RunState::Running);
        assert_eq!(connection.guests().unwrap(), std::slice::from_ref(&running));
        connection.with(&running.uuid, Domain::destroy).unwrap();
        let off = connection.guest("test").unwrap();
        assert_eq!((off.state, off.off), (RunState::Off, Off::Destroyed));
        let missing = connection.guest("other").unwrap_err();
        assert_eq!(missing.kind, CallErrorKind::Missing);
    }

    #[test]
    fn a_read_only_connection_changes_nothing() {
        let reads = ReadConnection::open(TEST).unwrap();
        let connection = WriteConnection {
            connect: reads.connect.clone(),
        };
        let test = reads.domains().unwrap().remove(0);
        let refused = [
            connection.define(test.inactive.present().unwrap()),
            connection.set_autostart(&test.uuid, true),
            connection.start(&test.uuid),
            connection.shutdown(&test.uuid),
            connection.undefine(&test.uuid, false),
            connection.dump_secure(&test.uuid).map(drop),
        ];
        for refusal in refused {
            let why = refusal.unwrap_err().why;
            assert!(why.starts_with("operation forbidden"), "{why}");
        }
        assert_eq!(reads.domain(&test.uuid).unwrap(), test);
    }
}
