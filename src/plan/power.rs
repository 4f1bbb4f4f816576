//! Starting and stopping VMs by hand. What is known of a VM is its record; no fleet file is asked.

use super::builder::{Blocked, PlanBuilder};
use super::formats;
use super::kernels::{KernelSource, kernels};
use super::order::sort;
use super::run::{Calls, calls, without_saved};
use super::step::{Act, Step, StepId};
use super::vm::{not_ours, renaming};
use super::{About, Ended, Failure, Notice, Refusal, Unknown};
use crate::domain::differing_rows;
use crate::fleet::DesiredState;
use crate::format::UPGRADE;
use crate::inventory::{Domain, Fact, Inventory, Ownership, Pause, RunState, SeenRecord};
use crate::mark::Record;
use crate::paths;
use crate::values::{Pattern, Size, Uuid, VmName};
use crate::xml;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What is to become of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Start,
    /// Its guest powers off.
    Stop,
    /// Its power is cut, whatever its guest is doing.
    PowerOff,
    /// It boots anew; one that is off is started.
    Restart,
}

/// A request about the power of VMs.
#[derive(Debug, Clone)]
pub struct PowerRequest {
    /// What is to become of them.
    pub power: Power,
    /// The VMs whose names match one of these; without any, all that armfleet keeps.
    pub vms: Vec<Pattern>,
    /// Whether only those are meant that wait for a boot.
    pub pending: bool,
    /// How long a guest may take to power off; none for what the VM's record says.
    pub timeout: Option<Duration>,
}

/// The steps of a [`PowerRequest`], and what it does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerPlan {
    /// The steps, in the order in which they are performed.
    pub steps: Vec<Step>,
    /// What is asked for and will not be done.
    pub refusals: Vec<Refusal>,
    /// What could not be seen, so that nothing is done that rests on it.
    pub unknowns: Vec<Unknown>,
    /// What is worth knowing.
    pub notices: Vec<Notice>,
}

/// How the steps of a [`PowerPlan`] ended.
#[derive(Debug, Default)]
pub struct PowerOutcome {
    /// How each step ended.
    pub ended: BTreeMap<StepId, Ended>,
    /// How long each took that was begun.
    pub took: BTreeMap<StepId, Duration>,
    /// Whether a signal interrupted it.
    pub interrupted: bool,
    /// Why something is missing in the journal.
    pub untold: Vec<Failure>,
}

impl Power {
    /// The command that asks for it.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Start => "armfleet start",
            Self::Stop => "armfleet stop",
            Self::PowerOff => "armfleet stop --force",
            Self::Restart => "armfleet restart",
        }
    }
}

impl PowerRequest {
    /// Whether a VM of this name is meant.
    #[must_use]
    pub fn selects(&self, vm: &str) -> bool {
        self.vms.is_empty() || self.vms.iter().any(|pattern| pattern.matches(vm))
    }
}

/// Plans a request: a pure function, like the plan of a fleet.
#[must_use]
pub fn power(inventory: &Inventory, request: &PowerRequest) -> PowerPlan {
    let mut builder = PlanBuilder::default();
    match inventory.domains.present() {
        Some(domains) => {
            let known = known(inventory, domains);
            refuse_idle_patterns(&known, request, &mut builder);
            for name in known.into_iter().filter(|name| request.selects(name)) {
                // A VM that is refused keeps no other waiting.
                let _ = of_vm(inventory, domains.get(name), name, request, &mut builder);
            }
        }
        None => {
            let why = inventory.domains.unknown().unwrap_or("it is not there");
            builder.unknown(About::LIBVIRT, why);
        }
    }
    if let Some(why) = inventory.path(paths::VMS).unknown() {
        let what = format!("the records of its VMs could not be listed: {why}");
        builder.unknown(About::Path(paths::VMS.to_owned()), what);
    }
    PowerPlan {
        steps: sort(builder.steps),
        refusals: builder.refusals,
        unknowns: builder.unknowns,
        notices: builder.notices,
    }
}

/// The VMs of this host: those that have a record, and those whose domains have armfleet's mark.
fn known<'a>(inventory: &'a Inventory, domains: &'a BTreeMap<String, Domain>) -> BTreeSet<&'a str> {
    let recorded = inventory.records.keys().map(String::as_str);
    let marked = domains
        .iter()
        .filter(|(_, domain)| domain.mark.present().is_some());
    recorded
        .chain(marked.map(|(name, _)| name.as_str()))
        .collect()
}

fn refuse_idle_patterns(known: &BTreeSet<&str>, request: &PowerRequest, builder: &mut PlanBuilder) {
    for pattern in &request.vms {
        if !known.iter().any(|name| pattern.matches(name)) {
            let why = "armfleet keeps no VM of such a name on this host";
            let remedy = format!("ls {} lists them", paths::VMS);
            builder.refuse(About::Vm(pattern.to_string()), why, remedy);
        }
    }
}

/// One VM, as far as nothing forbids to touch it.
struct Kept<'a> {
    vm: VmName,
    domain: &'a Domain,
    uuid: Uuid,
    record: &'a Record,
    request: &'a PowerRequest,
}

fn of_vm(
    inventory: &Inventory,
    domain: Option<&Domain>,
    name: &str,
    request: &PowerRequest,
    builder: &mut PlanBuilder,
) -> Result<(), Blocked> {
    let Ok(vm) = name.parse::<VmName>() else {
        return Ok(());
    };
    let record = recorded(inventory, &vm, domain, builder)?;
    let domain = own_domain(domain, record, &vm, builder)?;
    let waits = match request.pending {
        true => waits_for_boot(inventory, domain, record),
        false => Vec::new(),
    };
    if request.pending && waits.is_empty() {
        return Ok(());
    }
    not_held(inventory, &vm, builder)?;
    let Ok(uuid) = domain.raw.uuid.parse() else {
        return Ok(());
    };
    let kept = Kept {
        vm,
        domain,
        uuid,
        record,
        request,
    };
    kept.plan(&waits, builder)
}

fn recorded<'a>(
    inventory: &'a Inventory,
    vm: &VmName,
    domain: Option<&Domain>,
    builder: &mut PlanBuilder,
) -> Result<&'a Record, Blocked> {
    if let Some(why) = formats::later(inventory, vm) {
        builder.refuse(vm, why, UPGRADE);
        return Err(Blocked);
    }
    let mark = domain.and_then(|domain| Some((domain, domain.mark.present()?)));
    if let Some((domain, mark)) = mark.filter(|(_, mark)| mark.vm != vm.as_str()) {
        let why = format!("its domain is {}, renamed by hand", mark.vm);
        builder.refuse(vm, why, renaming(domain, &mark.vm));
        return Err(Blocked);
    }
    let why = match inventory.record(vm) {
        Fact::Present(SeenRecord::Good(record)) => return Ok(record),
        Fact::Present(SeenRecord::Damaged(why) | SeenRecord::Later(why)) => {
            format!("its record is damaged: {why}")
        }
        Fact::Absent => "its record is lost".to_owned(),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
            return Err(builder.unreadable(vm, paths::record(vm), fact.unknown()));
        }
    };
    builder.refuse(vm, why, "armfleet apply writes it again");
    Err(Blocked)
}

fn own_domain<'a>(
    domain: Option<&'a Domain>,
    record: &Record,
    vm: &VmName,
    builder: &mut PlanBuilder,
) -> Result<&'a Domain, Blocked> {
    let Some(domain) = domain else {
        builder.refuse(vm, "its domain is gone", "armfleet apply");
        return Err(Blocked);
    };
    let ownership = domain.ownership(&record.fleet);
    match &ownership {
        Ownership::Ours(_) if domain.raw.uuid == record.uuid.as_str() => return Ok(domain),
        Ownership::Ours(_) => builder.refuse(
            vm,
            "its record is another domain's",
            "armfleet apply writes it again",
        ),
        Ownership::Unknown(why) => {
            builder.unknown(vm, format!("its domain could not be read: {why}"));
        }
        foreign => builder.refuse(
            vm,
            format!("left alone: {}", not_ours(foreign)),
            format!("virsh acts on any domain: virsh dominfo {vm}"),
        ),
    }
    Err(Blocked)
}

fn not_held(inventory: &Inventory, vm: &VmName, builder: &mut PlanBuilder) -> Result<(), Blocked> {
    let why = match inventory.hold(vm) {
        Fact::Absent | Fact::NotObserved => return Ok(()),
        Fact::Present(hold) => hold.to_string(),
        Fact::Unreadable(why) => format!("its hold cannot be read: {why}"),
    };
    builder.refuse(vm, why, format!("armfleet release {vm}"));
    Err(Blocked)
}

/// What a request calls for, by the state of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Called {
    /// Nothing: it is in the state that was asked for.
    Nothing(&'static str),
    /// It becomes off in this way, if it is not; then it starts.
    Do { off: Option<Off>, start: bool },
    /// A refusal, with the remedy.
    Refuse(String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    Asked,
    Awaited,
    Cut,
}

/// The table, on top of that for plans. `image` is one of the domain's, if any is known.
fn called(power: Power, state: RunState, domain: &str, image: Option<&str>) -> Called {
    if power == Power::PowerOff {
        return match state {
            RunState::Off => Called::Nothing("off"),
            _ => Called::Do {
                off: Some(Off::Cut),
                start: false,
            },
        };
    }
    let desired = match power {
        Power::Start => DesiredState::Running,
        Power::Stop | Power::PowerOff | Power::Restart => DesiredState::Stopped,
    };
    let start = power != Power::Stop;
    let off = |off| Called::Do { off, start };
    match calls(state, desired, domain, image) {
        Calls::Refuse(why, remedy) | Calls::Notice(why, remedy) => Called::Refuse(why, remedy),
        Calls::Start => off(None),
        Calls::Stop => off(Some(Off::Asked)),
        Calls::Await | Calls::AwaitThenStart => off(Some(Off::Awaited)),
        Calls::Nothing => match power {
            Power::Restart => off(None),
            Power::Start => Called::Nothing("running"),
            Power::Stop | Power::PowerOff => Called::Nothing("off"),
        },
    }
}

/// What each state calls for: by the fleet file's `state: running` and `state: stopped`, and by each request.
#[must_use]
pub fn state_table() -> Vec<(RunState, [String; 6])> {
    let states = [
        RunState::Off,
        RunState::Running,
        RunState::Stopping,
        RunState::Paused(Pause::IoError),
        RunState::Paused(Pause::ByUser),
        RunState::Paused(Pause::AtWork),
        RunState::Paused(Pause::Other),
        RunState::Sleeping,
        RunState::Crashed,
        RunState::Unknown(u32::MAX),
    ];
    let row = |state| {
        let plan = |desired| calls(state, desired, "VM", None).to_string();
        let by_hand = |power| called(power, state, "VM", None).to_string();
        let cells = [
            plan(DesiredState::Running),
            plan(DesiredState::Stopped),
            by_hand(Power::Start),
            by_hand(Power::Stop),
            by_hand(Power::PowerOff),
            by_hand(Power::Restart),
        ];
        (state, cells)
    };
    let mut rows: Vec<_> = states.map(row).into();
    // Why it is paused makes no difference in most cases.
    rows.dedup_by_key(|(state, cells)| (state.to_string(), cells.clone()));
    rows
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(_) => f.write_str("nothing"),
            Self::Refuse(..) => f.write_str("refused"),
            Self::Do { off, start } => {
                let off = off.map(|off| match off {
                    Off::Asked => "stop",
                    Off::Awaited => "wait until off",
                    Off::Cut => "cut its power",
                });
                let parts = off.into_iter().chain(start.then_some("start"));
                f.write_str(&parts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Kept<'_> {
    fn plan(&self, waits: &[String], builder: &mut PlanBuilder) -> Result<(), Blocked> {
        let image = self.domain.sources.first().map(String::as_str);
        let power = self.request.power;
        let (off, start) = match called(power, self.domain.state, self.vm.as_str(), image) {
            Called::Nothing(state) => {
                builder.notice(&self.vm, format!("is {state} already"), "");
                return Ok(());
            }
            Called::Refuse(why, remedy) => {
                builder.refuse(&self.vm, why, remedy);
                return Err(Blocked);
            }
            Called::Do { off, start } => (off, start),
        };
        if off.is_some_and(|off| off != Off::Awaited) {
            self.unprotected(builder)?;
            self.persistent(builder)?;
        }
        if start {
            self.startable(builder)?;
        }
        let uuid = || self.uuid.clone();
        let timeout = self.request.timeout.unwrap_or(self.record.stop_timeout);
        let off = off.map(|off| match off {
            Off::Asked => Act::Stop {
                uuid: uuid(),
                timeout,
            },
            Off::Awaited => Act::AwaitOff {
                uuid: uuid(),
                timeout,
            },
            Off::Cut => Act::PowerOff { uuid: uuid() },
        });
        let off = off.map(|act| self.step("stop", act, waits, &[], builder));
        if start {
            let act = Act::Start { uuid: uuid() };
            self.step("start", act, waits, off.as_slice(), builder);
        }
        self.foresee(builder);
        Ok(())
    }

    fn step(
        &self,
        kind: &str,
        act: Act,
        waits: &[String],
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> StepId {
        let command = self.request.power.command();
        let reason = match waits {
            [] => command.to_owned(),
            waits => format!("{command}: {}", waits.join(", ")),
        };
        let id = StepId::new(kind, &self.vm);
        builder.step(id, Some(&self.vm), reason, needs, Vec::new(), act)
    }

    fn unprotected(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        if !self.record.protect {
            return Ok(());
        }
        let remedy = "set protect: false in the fleet file, then armfleet apply";
        builder.refuse(&self.vm, "protected: not stopped", remedy);
        Err(Blocked)
    }

    fn persistent(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        if self.domain.raw.persistent {
            return Ok(());
        }
        let vm = &self.vm;
        let why = "not stopped: its domain is transient and vanishes when it stops";
        let remedy = format!("virsh shutdown {vm}, then armfleet apply, which defines it again");
        builder.refuse(vm, why, remedy);
        Err(Blocked)
    }

    /// A start would resume what was saved, with the kernel that it had.
    fn startable(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        if !self.domain.raw.managed_save {
            return Ok(());
        }
        let why =
            "not started: its managed save image would ignore the kernel that its guest installed";
        builder.refuse(&self.vm, why, without_saved(&self.vm));
        Err(Blocked)
    }

    /// What the next apply does about it.
    fn foresee(&self, builder: &mut PlanBuilder) {
        let stays_off = matches!(self.request.power, Power::Stop | Power::PowerOff);
        let (what, outlook) = match (stays_off, self.record.state) {
            (true, DesiredState::Running) => (
                "its fleet file has it running: the next armfleet apply starts it again",
                "state: stopped keeps it off",
            ),
            (false, DesiredState::Stopped) => (
                "its fleet file has it stopped: the next armfleet apply stops it again",
                "state: running keeps it on",
            ),
            _ => return,
        };
        builder.notice(&self.vm, what, outlook);
    }
}

/// What a running VM gets when it boots: properties of its domain, scratch disks, a kernel.
fn waits_for_boot(inventory: &Inventory, domain: &Domain, record: &Record) -> Vec<String> {
    if !domain.state.has_process() {
        return Vec::new();
    }
    let texts = domain.raw.live.present().zip(domain.raw.inactive.present());
    let trees = texts.and_then(|(live, stored)| {
        let trees = (xml::parse(live).ok()?, xml::parse(stored).ok()?);
        Some(trees)
    });
    let rows = trees.map(|(live, stored)| differing_rows(&live, &stored, &record.applied));
    let rows = rows.into_iter().flatten();
    let rows = rows.map(|row| row.to_string());
    let scratch = record.boot.fresh.iter().filter_map(|(id, disk)| {
        let file = inventory.path(disk.path.as_str()).present()?;
        let seen = file.virtual_size(disk.format)?;
        let [seen, wanted] = [seen, disk.size].map(Size::from_bytes);
        (seen != wanted).then(|| format!("{id} size {seen} -> {wanted}"))
    });
    let source = record.applied.arch().map(|arch| KernelSource {
        vm: &record.vm,
        share: &record.boot.share,
        arch,
    });
    let kernels = source.map(|source| kernels(inventory, source));
    let kernel = kernels.and_then(|kernels| {
        let (staged, offered) = (kernels.staged?, kernels.offered?);
        Some(format!("kernel {staged} -> {offered}"))
    });
    rows.chain(scratch).chain(kernel).collect()
}
