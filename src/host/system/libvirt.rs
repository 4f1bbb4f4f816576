//! The libvirt calls; but for the events next door, the only file that names the `virt` crate.
//!
//! Each is made by [`Pool`] and ends: libvirt locks a domain while one of its hooks runs, has no time limit for that, and
//! even listing waits for the lock.

mod addresses;
mod blocks;
mod networks;

pub(super) use addresses::Agents;

use super::bits32::bits32;
use super::events;
use super::pool::{Daemon, Places, Pool, Request, limit, spawn};
use crate::host::guests::{Guest, Off};
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{Fact, RawDomain, RawLibvirt, RawNetwork, RunState};
use crate::xml;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::{Domain, DomainStateReason, DomainStateReasonEnum};
use virt::domain_snapshot::DomainSnapshot;
use virt::enumutil::Enum;
use virt::error::{Error, ErrorNumber, clear_error_callback};
use virt::sys;

/// A daemon is asked every so many seconds whether it lives, and given up after so many questions without an answer. It
/// may be busy for long where many guests are emulated.
const KEEP_ALIVE: (i32, u32) = (10, 6);

/// More than two at once made dumping slower: the daemon serves one connection.
const DUMPERS: usize = 2;

/// Connections that libvirt lets change nothing.
pub(super) struct ReadConnection {
    pool: Arc<Pool<Connect>>,
}

/// Connections that may change domains.
pub(super) struct WriteConnection {
    pool: Arc<Pool<Connect>>,
}

/// A domain in a list, before its XML was read.
struct Listed {
    domain: Domain,
    /// Its XML is not observed so far.
    seen: RawDomain,
}

impl ReadConnection {
    pub(super) fn open(uri: &str) -> Result<Self, CallError> {
        let pool = open(uri, Connect::open_read_only, Arc::default())?;
        Ok(Self { pool })
    }

    pub(super) fn about(&self) -> Result<RawLibvirt, CallError> {
        self.answer("tell what it is", |connect| {
            Ok(RawLibvirt {
                version: connect.lib_version()?,
                capabilities: connect.capabilities()?,
                bits32: bits32(),
            })
        })
    }

    pub(super) fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        let call = Request::reading("list its domains");
        let listing = move |places: Places<Connect>| {
            let listed = list(&places.connection).map_err(|error| said(&error))?;
            Ok((listed, places))
        };
        let (listed, places) = self.pool.call_with(&call, DUMPERS, listing)?;
        for entry in &listed {
            self.pool.daemon.learn(&entry.seen.uuid, &entry.seen.name);
        }
        let (domains, answered) = dump_all(listed, places, &Request::reading("dump a domain"))?;
        if !answered {
            self.pool.doubt();
        }
        Ok(domains)
    }

    pub(super) fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        let wanted = uuid.to_owned();
        let seen = self.answer(self.doing("dump", uuid), move |connect| {
            let domain = connect.lookup_domain_by_uuid_string(&wanted)?;
            Ok(Listed::ask(domain)?.dumped())
        })?;
        let seen = seen.ok_or_else(|| CallError {
            kind: CallErrorKind::Missing,
            why: format!("the domain {uuid} went away while it was read"),
        })?;
        self.pool.daemon.learn(uuid, &seen.name);
        Ok(seen)
    }

    /// What a domain is doing.
    pub(super) fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        let wanted = uuid.to_owned();
        self.answer(self.doing("tell the state of", uuid), move |connect| {
            let (state, reason) =
                state_and_reason(&connect.lookup_domain_by_uuid_string(&wanted)?)?;
            Ok(RunState::read(state, reason))
        })
    }

    fn doing(&self, verb: &str, uuid: &str) -> String {
        format!("{verb} {}", self.pool.daemon.name(uuid))
    }

    fn answer<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        call: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CallError> {
        ask(&self.pool, &Request::reading(what), call)
    }
}

impl WriteConnection {
    pub(super) fn open(uri: &str) -> Result<Self, CallError> {
        let pool = open(uri, Connect::open, Arc::default())?;
        Ok(Self { pool })
    }

    /// Connections to the daemon that these read from.
    pub(super) fn beside(reads: &ReadConnection, uri: &str) -> Result<Self, CallError> {
        let pool = open(uri, Connect::open, Arc::clone(&reads.pool.daemon))?;
        Ok(Self { pool })
    }

    /// Has a connection tell of events: the first one, with a daemon that does not answer noticed. Needs the event loop.
    pub(super) fn listen<T: Send + 'static>(
        &self,
        register: impl FnOnce(&Connect) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        self.pool
            .call(&Request::reading("tell of events"), move |connect| {
                connect
                    .set_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
                    .map_err(|error| said(&error))?;
                register(connect)
            })
    }

    pub(super) fn guests(&self) -> Result<Vec<Guest>, CallError> {
        let guests = ask(
            &self.pool,
            &Request::reading("list its domains"),
            |connect| {
                let guests = connect.list_all_domains(0)?;
                let guests = guests.iter().map(|domain| match guest(domain) {
                    Err(error) if is(&error, ErrorNumber::NoDomain) => Ok(None),
                    guest => guest.map(Some),
                });
                guests
                    .filter_map(Result::transpose)
                    .collect::<Result<Vec<_>, _>>()
            },
        )?;
        for guest in &guests {
            self.pool.daemon.learn(&guest.uuid, &guest.name);
        }
        Ok(guests)
    }

    pub(super) fn guest(&self, name: &str) -> Result<Guest, CallError> {
        let call = Request::reading(format!("tell the state of {name}"));
        let wanted = name.to_owned();
        let guest = ask(&self.pool, &call, move |connect| {
            guest(&connect.lookup_domain_by_name(&wanted)?)
        })?;
        self.pool.daemon.learn(&guest.uuid, &guest.name);
        Ok(guest)
    }

    pub(super) fn dump_secure(&self, uuid: &str) -> Result<String, CallError> {
        let call = Request::reading(self.doing("dump", uuid));
        self.with(uuid, &call, |domain| {
            domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE)
        })
    }

    pub(super) fn define(&self, xml: &str) -> Result<(), CallError> {
        let names = identity(xml);
        let name = names.0.clone().unwrap_or_else(|| "a domain".to_owned());
        let call = Request::changing(format!("define {name}"), limit::CHANGE);
        let xml = xml.to_owned();
        let uuid = self.pool.call(&call, move |connect| {
            connect
                .define_domain_xml_flags(&xml, sys::VIR_DOMAIN_DEFINE_VALIDATE)
                .and_then(|domain| domain.uuid_string())
                .map_err(|error| match said(&error) {
                    other
                        if is(&error, ErrorNumber::OperationFailed)
                            && is_taken(connect, &names) =>
                    {
                        CallError {
                            kind: CallErrorKind::Exists,
                            ..other
                        }
                    }
                    other => other,
                })
        })?;
        self.pool.daemon.learn(&uuid, &name);
        Ok(())
    }

    pub(super) fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        let flags = if keep_nvram {
            sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
        } else {
            0
        };
        let call = self.change("undefine", uuid, limit::CHANGE);
        self.with(uuid, &call, move |domain| domain.undefine_flags(flags))
    }

    pub(super) fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError> {
        let call = self.change("set autostart of", uuid, limit::CHANGE);
        self.with(uuid, &call, move |domain| domain.set_autostart(on))
    }

    pub(super) fn start(&self, uuid: &str) -> Result<(), CallError> {
        let call = self.change("start", uuid, limit::START);
        self.with(uuid, &call, Domain::create)
    }

    pub(super) fn shutdown(&self, uuid: &str, within: Duration) -> Result<(), CallError> {
        let what = format!("ask {} to power off", self.pool.daemon.name(uuid));
        let call = Request::changing(what, within.min(limit::CHANGE));
        self.with(uuid, &call, Domain::shutdown)
    }

    /// QEMU is asked to end and not killed, so that nothing it holds for its disks is lost.
    pub(super) fn cut(&self, uuid: &str) -> Result<(), CallError> {
        let call = self.change("power off", uuid, limit::CHANGE);
        self.with(uuid, &call, |domain| {
            domain.destroy_flags(sys::VIR_DOMAIN_DESTROY_GRACEFUL)
        })
    }

    fn doing(&self, verb: &str, uuid: &str) -> String {
        format!("{verb} {}", self.pool.daemon.name(uuid))
    }

    fn change(&self, verb: &str, uuid: &str, limit: Duration) -> Request {
        Request::changing(self.doing(verb, uuid), limit)
    }

    fn with<T: Send + 'static>(
        &self,
        uuid: &str,
        call: &Request,
        make: impl FnOnce(&Domain) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let uuid = uuid.to_owned();
        ask(&self.pool, call, move |connect| {
            make(&connect.lookup_domain_by_uuid_string(&uuid)?)
        })
    }
}

/// Makes a call, with libvirt's error as the call's.
fn ask<T: Send + 'static>(
    pool: &Arc<Pool<Connect>>,
    call: &Request,
    make: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
) -> Result<T, CallError> {
    pool.call(call, move |connect| {
        make(connect).map_err(|error| said(&error))
    })
}

/// The name and the UUID in a definition.
fn identity(xml: &str) -> (Option<String>, Option<String>) {
    let Ok(document) = roxmltree::Document::parse(xml) else {
        return (None, None);
    };
    let text = |name| {
        let mut children = document.root_element().children();
        let node = children.find(|node| node.has_tag_name(name))?;
        node.text().map(str::to_owned)
    };
    (text("name"), text("uuid"))
}

/// Whether this name and this UUID belong to different domains, or one of them to a domain and the other to none. libvirt
/// refuses that with the number that it has for everything (`virDomainObjListAddLocked`).
fn is_taken(connect: &Connect, (name, uuid): &(Option<String>, Option<String>)) -> bool {
    let of_name = name
        .as_ref()
        .and_then(|name| connect.lookup_domain_by_name(name).ok());
    let of_uuid = uuid
        .as_ref()
        .and_then(|uuid| connect.lookup_domain_by_uuid_string(uuid).ok());
    match (of_name, of_uuid) {
        (Some(one), Some(other)) => one.uuid_string() != other.uuid_string(),
        (one, other) => one.is_some() || other.is_some(),
    }
}

impl Listed {
    /// A domain in a state; everything else is put in by the caller.
    fn new(domain: Domain, (state, reason): (u32, u32)) -> Result<Self, Error> {
        let unread = Fact::NotObserved;
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

    /// The domain without its XML, and why.
    fn unread(&self, why: &str) -> RawDomain {
        let unreadable = || Fact::Unreadable(why.to_owned());
        let live = match self.seen.live {
            Fact::Absent => Fact::Absent,
            _ => unreadable(),
        };
        RawDomain {
            inactive: unreadable(),
            live,
            ..self.seen.clone()
        }
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

/// Reads the XML of all; what is not answered in the time of this call is unreadable, and the answer says so.
fn dump_all(
    listed: Vec<Listed>,
    places: Places<Connect>,
    call: &Request,
) -> Result<(Vec<RawDomain>, bool), CallError> {
    let (listed, places) = (Arc::new(listed), Arc::new(places));
    let next = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..DUMPERS.min(listed.len()) {
        let (listed, next, sender) = (Arc::clone(&listed), Arc::clone(&next), sender.clone());
        let places = Arc::clone(&places);
        spawn(move || {
            while let Some((index, entry)) = take(&listed, &next) {
                if sender.send((index, entry.dumped())).is_err() {
                    break;
                }
            }
            drop(places);
        })?;
    }
    drop((sender, places));
    let mut dumped = BTreeMap::new();
    let unanswered = loop {
        match call.receive(&receiver) {
            Ok(Some((index, raw))) => drop(dumped.insert(index, raw)),
            Ok(None) => break None,
            Err(error) => break Some(error.why),
        }
    };
    let unread = |entry: &Listed| {
        let why = unanswered.as_deref().unwrap_or("libvirt's client ended");
        entry.unread(why)
    };
    let domains = listed.iter().enumerate();
    let domains = domains
        .filter_map(|(index, entry)| dumped.remove(&index).unwrap_or_else(|| Some(unread(entry))));
    Ok((domains.collect(), unanswered.is_none()))
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
    xml::parse(xml).is_ok_and(|document| document.root_element().has_attribute("id"))
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
    daemon: Arc<Daemon>,
) -> Result<Arc<Pool<Connect>>, CallError> {
    // Every failure comes back as an error; libvirt would print it, too.
    clear_error_callback();
    let uri = uri.to_owned();
    if uri.contains('\0') {
        return Err(CallError::other("a libvirt URI cannot hold a zero byte"));
    }
    let open = move || {
        connect(Some(&uri)).map_err(|error| {
            CallError::other(format!(
                "{}. Is libvirtd running on the host of {uri}, and may you use it (as root, or in the group libvirt)?",
                text(&error)
            ))
        })
    };
    Pool::open(Arc::new(open), daemon)
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
mod tests;
