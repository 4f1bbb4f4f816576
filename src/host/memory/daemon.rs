//! libvirt's daemon: its domains, and what becomes of them when it is asked to start or stop one.

use super::definition::{self, Definition};
use super::files::Files;
use super::hook;
use crate::boot::SHIM;
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{
    AGENT_PORT, AddressSource, Fact, FileKind, RawAddress, RawDomain, RawLibvirt, RawLink,
    RawNetwork, RunState,
};
use crate::paths;
use crate::values::Uuid;
use std::collections::BTreeMap;
use std::time::Duration;

const RUNNING: u32 = 1;
const OFF: u32 = 5;
/// Where managed save images are.
pub(super) const SAVES: &str = "/var/lib/libvirt/qemu/save";

/// The daemon and what it keeps.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) about: RawLibvirt,
    /// By UUID.
    domains: BTreeMap<String, Domain>,
    /// By name.
    networks: BTreeMap<String, RawNetwork>,
    /// The host's network devices, by name.
    links: BTreeMap<String, RawLink>,
    /// Whether it saw a hook when it last looked for some.
    knows_hooks: bool,
    pub(super) runs: bool,
    /// Whether it drops the next request to reload, as it does in the first moments of its life.
    pub(super) drops_reload: bool,
    /// The number of the process that is started next, and of the domain that gets no UUID of its own.
    next: u32,
}

/// One domain.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) uuid: String,
    /// With its secrets.
    pub(super) definition: String,
    live: Option<String>,
    /// `virDomainState` and its reason. As the real host does, it tells no reason for running and being off.
    pub(super) state: (u32, u32),
    pub(super) persistent: bool,
    autostart: bool,
    pub(super) managed_save: bool,
    pub(super) snapshots: Vec<String>,
    pub(super) checkpoints: Vec<String>,
    /// How many requests to power off its guest does not hear.
    pub(super) deaf_to: u32,
    /// How long each of its processes lives, and when the one that it has ends.
    lives_for: Option<Duration>,
    ends_at_ns: Option<i64>,
    /// Why its definition cannot be dumped.
    pub(super) unreadable: Option<String>,
    /// What is told of its guest's addresses while it runs.
    pub(super) addresses: BTreeMap<AddressSource, Result<Vec<RawAddress>, String>>,
}

impl Domain {
    fn is_active(&self) -> bool {
        self.state.0 != OFF
    }

    fn raw(&self) -> RawDomain {
        let dump = |text: String| match &self.unreadable {
            Some(why) => Fact::Unreadable(why.clone()),
            None => Fact::Present(definition::without_secrets(&text)),
        };
        RawDomain {
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            state: self.state.0,
            reason: self.state.1,
            persistent: self.persistent,
            autostart: self.persistent && self.autostart,
            managed_save: self.managed_save,
            snapshots: self.snapshots.clone(),
            checkpoints: self.checkpoints.clone(),
            inactive: dump(self.definition.clone()),
            live: self.process().map_or(Fact::Absent, dump),
        }
    }

    /// What libvirt tells of its process: whether an agent has opened its channel, too.
    fn process(&self) -> Option<String> {
        let live = self.live.clone()?;
        let is_open = self.addresses.contains_key(&AddressSource::Agent);
        let state = if is_open { "connected" } else { "disconnected" };
        let port = format!("name='{AGENT_PORT}'");
        Some(live.replace(&port, &format!("{port} state='{state}'")))
    }

    /// Without a DHCP server there are no leases, which is no error.
    fn addresses(&self, source: AddressSource) -> Result<Vec<RawAddress>, CallError> {
        match self.addresses.get(&source) {
            _ if !self.is_active() => Err(invalid("domain is not running")),
            Some(told) => told.clone().map_err(CallError::other),
            None if source == AddressSource::Lease => Ok(Vec::new()),
            None => Err(CallError::other(
                "Guest agent is not responding: QEMU guest agent is not connected",
            )),
        }
    }
}

fn invalid(why: &str) -> CallError {
    CallError::other(format!("Requested operation is not valid: {why}"))
}

/// What every client may ask.
impl Daemon {
    pub(super) fn new(about: RawLibvirt) -> Self {
        Self {
            about,
            domains: BTreeMap::new(),
            networks: BTreeMap::new(),
            links: BTreeMap::new(),
            knows_hooks: false,
            runs: true,
            drops_reload: false,
            next: 1,
        }
    }

    pub(super) fn about(&self) -> Result<RawLibvirt, CallError> {
        self.answers()?;
        Ok(self.about.clone())
    }

    pub(super) fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        self.answers()?;
        let mut domains: Vec<_> = self.domains.values().map(Domain::raw).collect();
        domains.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(domains)
    }

    pub(super) fn networks(&self) -> Result<Vec<RawNetwork>, CallError> {
        self.answers()?;
        Ok(self.networks.values().cloned().collect())
    }

    pub(super) fn put_network(&mut self, network: RawNetwork) {
        self.networks.insert(network.name.clone(), network);
    }

    pub(super) fn links(&self) -> Vec<RawLink> {
        self.links.values().cloned().collect()
    }

    pub(super) fn put_link(&mut self, link: RawLink) {
        self.links.insert(link.name.clone(), link);
    }

    pub(super) fn raw(&self, uuid: &str) -> Result<RawDomain, CallError> {
        Ok(self.domain(uuid)?.raw())
    }

    pub(super) fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        let (state, reason) = self.domain(uuid)?.state;
        Ok(RunState::read(state, reason))
    }

    pub(super) fn addresses(
        &self,
        uuid: &str,
        source: AddressSource,
    ) -> Result<Vec<RawAddress>, CallError> {
        self.domain(uuid)?.addresses(source)
    }

    pub(super) fn secure(&self, uuid: &str) -> Result<String, CallError> {
        Ok(self.domain(uuid)?.definition.clone())
    }

    fn answers(&self) -> Result<(), CallError> {
        if self.runs {
            Ok(())
        } else {
            Err(CallError::other(
                "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused",
            ))
        }
    }

    fn domain(&self, uuid: &str) -> Result<&Domain, CallError> {
        self.answers()?;
        if uuid.parse::<Uuid>().is_err() {
            return Err(CallError::other(format!(
                "invalid argument: uuid in {uuid} must be a valid UUID"
            )));
        }
        self.domains.get(uuid).ok_or_else(|| CallError {
            kind: CallErrorKind::Missing,
            why: format!("Domain not found: no domain with matching uuid '{uuid}'"),
        })
    }

    fn domain_mut(&mut self, uuid: &str) -> Result<&mut Domain, CallError> {
        self.domain(uuid)?;
        self.domains
            .get_mut(uuid)
            .ok_or_else(|| CallError::other("unreachable"))
    }

    /// The domain of this name, for code that is not a client.
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Domain> {
        self.domains.values_mut().find(|domain| domain.name == name)
    }

    /// Ends the processes whose time has come.
    pub(super) fn settle(&mut self, now_ns: i64) {
        for domain in self.domains.values_mut() {
            if domain.ends_at_ns.is_some_and(|at| at <= now_ns) {
                domain.turn_off();
            }
        }
        self.forget_transient();
    }

    /// Without a definition, a domain is gone with its process.
    fn forget_transient(&mut self) {
        self.domains
            .retain(|_, domain| domain.persistent || domain.is_active());
    }
}

impl Domain {
    pub(super) fn end_after(&mut self, time: Duration, now_ns: i64) {
        let ns = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        if self.is_active() {
            self.ends_at_ns = Some(now_ns.saturating_add(ns));
        } else {
            self.lives_for = Some(time);
        }
    }

    fn turn_off(&mut self) {
        self.state = (OFF, 0);
        self.live = None;
        self.ends_at_ns = None;
    }
}

/// What changes domains.
impl Daemon {
    pub(super) fn define(&mut self, xml: &str) -> Result<(), CallError> {
        self.answers()?;
        let new_uuid = format!("00000000-0000-4000-8000-{:012x}", self.next);
        let Definition { name, uuid, text } =
            definition::normalise(xml, &self.about.capabilities, &new_uuid)?;
        let of_name = self.domains.values().find(|domain| domain.name == name);
        let other = match (of_name, self.domains.get(&uuid)) {
            (Some(domain), _) if domain.uuid != uuid => Some(domain),
            (_, Some(domain)) if domain.name != name => Some(domain),
            _ => None,
        };
        if let Some(Domain { name, uuid, .. }) = other {
            return Err(CallError {
                kind: CallErrorKind::Exists,
                why: format!("operation failed: domain '{name}' already exists with uuid {uuid}"),
            });
        }
        self.next += 1;
        let domain = self.domains.entry(uuid.clone()).or_insert_with(|| Domain {
            name,
            uuid,
            definition: String::new(),
            live: None,
            state: (OFF, 0),
            persistent: true,
            autostart: false,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            deaf_to: 0,
            lives_for: None,
            ends_at_ns: None,
            unreadable: None,
            addresses: BTreeMap::new(),
        });
        domain.definition = text;
        domain.persistent = true;
        Ok(())
    }

    pub(super) fn undefine(&mut self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        let domain = self.domain_mut(uuid)?;
        if domain.managed_save {
            return Err(invalid(
                "Refusing to undefine while domain managed save image exists",
            ));
        }
        for (kept, what) in [
            (&domain.snapshots, "snapshots"),
            (&domain.checkpoints, "checkpoints"),
        ] {
            if !kept.is_empty() && !domain.is_active() {
                let count = kept.len();
                let why = format!("cannot delete inactive domain with {count} {what}");
                return Err(invalid(&why));
            }
        }
        if domain.definition.contains("<nvram") && !keep_nvram {
            return Err(invalid("cannot undefine domain with nvram"));
        }
        domain.persistent = false;
        domain.autostart = false;
        if !domain.is_active() {
            self.domains.remove(uuid);
        }
        Ok(())
    }

    pub(super) fn set_autostart(&mut self, uuid: &str, on: bool) -> Result<(), CallError> {
        let domain = self.domain_mut(uuid)?;
        if !domain.persistent {
            return Err(invalid("cannot set autostart for transient domain"));
        }
        domain.autostart = on;
        Ok(())
    }

    pub(super) fn shutdown(&mut self, uuid: &str) -> Result<(), CallError> {
        let domain = self.domain_mut(uuid)?;
        if !domain.is_active() {
            return Err(invalid("domain is not running"));
        }
        if domain.deaf_to > 0 {
            domain.deaf_to -= 1;
        } else if domain.state.0 == RUNNING {
            domain.turn_off();
        }
        self.forget_transient();
        Ok(())
    }

    /// Cuts a domain's power.
    pub(super) fn destroy(&mut self, uuid: &str) -> Result<(), CallError> {
        let domain = self.domain_mut(uuid)?;
        if !domain.is_active() {
            return Err(invalid("domain is not running"));
        }
        domain.turn_off();
        self.forget_transient();
        Ok(())
    }

    pub(super) fn block_resize(
        &mut self,
        files: &mut Files,
        uuid: &str,
        path: &str,
        (from, to): (u64, u64),
    ) -> Result<(), CallError> {
        let domain = self.domain(uuid)?;
        if !domain.is_active() {
            return Err(invalid("domain is not running"));
        }
        let live = domain.live.as_deref().unwrap_or_default();
        if !definition::sources(live)
            .0
            .iter()
            .any(|image| image == path)
        {
            return Err(CallError::other(format!(
                "invalid argument: invalid path {path} not assigned to domain"
            )));
        }
        match files.is_qcow2(path) {
            true => files.grow_qcow2(path, from, to),
            false => files.grow_image(path, from, to),
        }
    }

    pub(super) fn start(&mut self, files: &mut Files, uuid: &str) -> Result<(), CallError> {
        let domain = self.domain(uuid)?;
        if domain.is_active() {
            return Err(invalid("domain is already running"));
        }
        let (name, definition) = (domain.name.clone(), domain.definition.clone());
        let restored = domain.managed_save;
        if self.calls_hook(files) {
            hook::prepare(files, (&name, uuid), &definition, restored)
                .map_err(|said| hook_failed(&name, &said))?;
        }
        finds_its_files(files, &definition)?;
        if self.calls_hook(files) {
            hook::started(files, &name);
        }
        files.remove(&format!("{SAVES}/{name}.save"));
        let now_ns = files.now_ns();
        let id = self.next;
        self.next += 1;
        let domain = self.domain_mut(uuid)?;
        domain.live = Some(definition::live(&definition, id));
        domain.state = (RUNNING, 0);
        if let Some(time) = domain.lives_for {
            domain.end_after(time, now_ns);
        }
        domain.managed_save = false;
        Ok(())
    }

    /// Whether a start runs armfleet's hook: the daemon knows that there are hooks, and the shim is one.
    fn calls_hook(&self, files: &Files) -> bool {
        self.knows_hooks && is_hook(files) && files.bytes(paths::SHIM) == Some(SHIM.as_bytes())
    }

    /// It is told to look for hooks again.
    pub(super) fn reload(&mut self, files: &Files, pid_file: &str) -> Result<(), CallError> {
        if files.stat(pid_file).is_none() || !self.runs {
            return Err(CallError {
                kind: CallErrorKind::Missing,
                why: format!("{pid_file}: No such process"),
            });
        }
        if !std::mem::take(&mut self.drops_reload) {
            self.look_for_hooks(files);
        }
        Ok(())
    }

    /// The daemon looks for hooks, as it does when it starts or reloads.
    pub(super) fn look_for_hooks(&mut self, files: &Files) {
        self.knows_hooks = is_hook(files);
    }
}

fn is_hook(files: &Files) -> bool {
    files
        .stat(paths::SHIM)
        .is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o111 != 0)
}

/// `virRunScript` puts the whole command line before what the script said.
fn hook_failed(domain: &str, said: &str) -> CallError {
    let shim = paths::SHIM;
    CallError {
        kind: CallErrorKind::Hook,
        why: format!(
            "Hook script execution failed: internal error: Child process (LC_ALL=C PATH=/usr/bin:/bin HOME=/root {shim} {domain} prepare begin -) unexpected exit status 1: {said}\n"
        ),
    }
}

/// QEMU opens the kernel, the images and the folders that it exports when it starts.
fn finds_its_files(files: &Files, definition: &str) -> Result<(), CallError> {
    let opens = |path: &str, what: &str| match files.stat(path) {
        Some(_) => Ok(()),
        None => Err(CallError::other(format!(
            "{what}{path}: No such file or directory"
        ))),
    };
    for name in ["kernel", "initrd"] {
        if let Some(path) = definition::text_at(definition, &["os", name]) {
            opens(&path, "unable to stat: ")?;
        }
    }
    let (images, folders) = definition::sources(definition);
    for image in images {
        opens(&image, "Cannot access storage file ")?;
    }
    for folder in folders {
        opens(
            &folder,
            "internal error: process exited while connecting to monitor: cannot export ",
        )?;
    }
    Ok(())
}
