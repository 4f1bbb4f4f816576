//! The state of VMs: a line each for people, the same for programs.

use super::basis::Basis;
use super::style::{Paint, Tone, printable};
use crate::boot::Standing;
use crate::domain::{Cause, NETWORK};
use crate::fleet::{DesiredState, GuestReboot, Vm};
use crate::inventory::{AddressSource, Fact, GuestAddress, Inventory, RunState};
use crate::plan::{Plan, kernels};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;

const FORMAT: &str = "armfleet-status/1";

/// The state of some VMs of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct StatusReport {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// The fleet.
    pub fleet: String,
    /// The host.
    pub host: String,
    /// What the report rests on; absent where that is the host as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The VMs.
    pub vms: Vec<VmStatus>,
    /// What the host does with guests of 32 bits, in words; null where it is no arm64 host, or no VM has 32 bits.
    pub bits32: Option<String>,
    /// Whether armfleet watch is at work; null where no VM relies on it.
    pub watcher: Option<WatcherStatus>,
}

/// Whether armfleet watch is at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WatcherStatus {
    /// In a word.
    pub state: WatcherState,
    /// In a few words: who, or why not.
    pub what: String,
}

/// Whether armfleet watch is at work, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WatcherState {
    /// It runs.
    AtWork,
    /// It does not run.
    #[serde(rename = "nobody")]
    NotRunning,
    /// That could not be seen.
    NotSeen,
}

impl WatcherStatus {
    /// The state of `armfleet watch`, where a VM relies on it.
    fn new(vms: &[&Vm], inventory: &Inventory) -> Option<Self> {
        let rely = |vm: &&Vm| vm.on_guest_reboot == GuestReboot::ColdBoot;
        if !vms.iter().any(rely) {
            return None;
        }
        let (state, what) = match inventory.watcher() {
            Fact::Present(holder) => (WatcherState::AtWork, format!("runs ({holder})")),
            Fact::Absent => {
                let what = "does not run, so VMs whose guests reboot stay off".to_owned();
                (WatcherState::NotRunning, what)
            }
            fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
                let what = format!("not seen: {}", fact.unknown().unwrap_or_default());
                (WatcherState::NotSeen, what)
            }
        };
        Some(Self { state, what })
    }

    fn line(&self, paint: Paint) -> String {
        let (tone, sign) = match self.state {
            WatcherState::AtWork => (Tone::Quiet, "i"),
            WatcherState::NotRunning => (Tone::Bad, "!"),
            WatcherState::NotSeen => (Tone::Bad, "?"),
        };
        let what = printable(&self.what);
        format!("{} armfleet watch: {what}\n", paint.tone(tone, sign))
    }
}

/// The state of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmStatus {
    /// Its name.
    pub name: String,
    /// What its domain does, in a few words (`running`, `off`, `paused`); `not created` or `not seen`.
    pub state: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether the fleet file has it run.
    pub wanted_running: bool,
    /// The addresses at which its guest is reached, in the order of its networks, as libvirt's DHCP servers or its agent
    /// tell; none where neither does.
    pub addresses: Vec<AddressStatus>,
    /// Why nobody could tell them; null where somebody did, or nobody was there to be asked.
    pub addresses_not_seen: Option<String>,
    /// The kernel that its last start was given, which it runs while it runs; null if none is known.
    pub kernel: Option<String>,
    /// Whether that kernel is known to work; null if it was not tried.
    pub kernel_standing: Option<KernelStanding>,
    /// The kernel that its next start will be given, if it is another one.
    pub next_kernel: Option<String>,
    /// The kernel that its guest means to boot, if that failed and another one boots; null if none did.
    pub failed_kernel: Option<String>,
    /// How many steps would make it what the file says.
    pub steps: usize,
    /// Whether something of it drifted since the last apply.
    pub drifted: bool,
    /// Whether something waits for its next boot.
    pub pending_restart: bool,
    /// What is wanted of it and will not be done.
    pub refusals: Vec<String>,
    /// What of it could not be seen.
    pub unknowns: Vec<String>,
    /// What else there is to know.
    pub notices: Vec<String>,
}

/// Whether a kernel is known to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelStanding {
    /// Not yet.
    OnTrial,
    /// Its guest said so, or it ran long enough.
    Confirmed,
    /// It failed, and boots only where it was asked for or nothing else is there.
    Failed,
}

impl From<Standing> for KernelStanding {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::OnTrial { .. } => Self::OnTrial,
            Standing::Proved(_) => Self::Confirmed,
            Standing::Failed(_) => Self::Failed,
        }
    }
}

impl KernelStanding {
    const fn word(self) -> &'static str {
        match self {
            Self::OnTrial => "on trial",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
}

/// An address of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AddressStatus {
    /// The address, IPv4 or IPv6.
    pub address: String,
    /// The network of the fleet file whose interface has it; null where that is none of the last apply's.
    pub network: Option<String>,
    /// That interface's MAC address.
    pub mac: String,
    /// Who says so. What an agent tells is the guest's word.
    pub source: AddressSource,
}

impl StatusReport {
    /// The state of these VMs, as a plan and what it was made on tell it.
    #[must_use]
    pub fn new(vms: &[&Vm], plan: &Plan, inventory: &Inventory) -> Self {
        Self {
            format: FORMAT,
            fleet: plan.fleet.to_string(),
            host: plan.host.clone(),
            basis: None,
            vms: vms
                .iter()
                .map(|vm| VmStatus::new(vm, plan, inventory))
                .collect(),
            bits32: bits32(vms, inventory),
            watcher: WatcherStatus::new(vms, inventory),
        }
    }
}

impl VmStatus {
    fn new(vm: &Vm, plan: &Plan, inventory: &Inventory) -> Self {
        let steps = || {
            plan.steps
                .iter()
                .filter(|step| step.vm.as_ref() == Some(&vm.name))
        };
        let notices = || {
            plan.notices
                .iter()
                .filter(|notice| notice.subject.is_vm(&vm.name))
        };
        let kernels = kernels(inventory, vm);
        Self {
            name: vm.name.to_string(),
            state: state(vm, inventory),
            running: runs(vm, inventory),
            wanted_running: vm.state == DesiredState::Running,
            addresses: addresses(vm, inventory),
            addresses_not_seen: match inventory.addresses(&vm.name) {
                Fact::Unreadable(why) => Some(why.clone()),
                Fact::Present(_) | Fact::Absent | Fact::NotObserved => None,
            },
            kernel: kernels.staged,
            kernel_standing: kernels.standing.map(KernelStanding::from),
            next_kernel: kernels.offered,
            failed_kernel: kernels.failed,
            steps: steps().count(),
            drifted: steps().any(|step| matches!(step.cause, Some(Cause::Drifted | Cause::Both))),
            pending_restart: notices().any(|notice| notice.pending_restart),
            refusals: plan
                .refusals
                .iter()
                .filter(|refusal| refusal.subject.is_vm(&vm.name))
                .map(|refusal| refusal.why.clone())
                .collect(),
            unknowns: plan
                .unknowns
                .iter()
                .filter(|unknown| unknown.subject.is_vm(&vm.name))
                .map(|unknown| unknown.why.clone())
                .collect(),
            notices: notices()
                .map(|notice| match notice.outlook.as_str() {
                    "" => notice.what.clone(),
                    outlook => format!("{}; {outlook}", notice.what),
                })
                .collect(),
        }
    }

    fn row(&self) -> [String; 4] {
        let next = match (&self.next_kernel, &self.kernel) {
            (Some(next), _) => next,
            (None, Some(_)) => "the same",
            (None, None) => "-",
        };
        let kernel = self.kernel.as_deref().unwrap_or("-");
        let kernel = match self.kernel_standing {
            Some(standing) => format!("{kernel} ({})", standing.word()),
            None => kernel.to_owned(),
        };
        [&self.name, &self.state, &kernel, next].map(printable)
    }

    fn remarks(&self, text: &mut String, paint: Paint) {
        if !self.addresses.is_empty() {
            let sign = paint.tone(Tone::Quiet, "@");
            let addresses = self.addresses.iter().map(|known| known.address.as_str());
            let addresses = addresses.collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "  {sign} {}", printable(&addresses));
        }
        if self.steps > 0 {
            let sign = paint.tone(Tone::Attention, "~");
            let changes = match self.steps {
                1 => "1 change".to_owned(),
                steps => format!("{steps} changes"),
            };
            let differs = match self.drifted {
                true => format!("drifted: {changes} since the last apply"),
                false => format!("differs from the fleet file: {changes}"),
            };
            let _ = writeln!(text, "  {sign} {differs}; see armfleet plan");
        }
        let why = self.addresses_not_seen.iter();
        let not_seen: Vec<_> = why
            .map(|why| format!("its addresses are not known: {why}"))
            .collect();
        let remarks = [
            (Tone::Bad, "!", &self.refusals),
            (Tone::Bad, "?", &self.unknowns),
            (Tone::Quiet, "i", &not_seen),
            (Tone::Quiet, "i", &self.notices),
        ];
        for (tone, sign, remarks) in remarks {
            for remark in remarks {
                let _ = writeln!(text, "  {} {}", paint.tone(tone, sign), printable(remark));
            }
        }
    }
}

/// In the order of the VM's networks; what is of none of them comes last.
fn addresses(vm: &Vm, inventory: &Inventory) -> Vec<AddressStatus> {
    let record = inventory.record(&vm.name);
    let applied = record.present().and_then(|seen| seen.good());
    let devices = applied.iter().flat_map(|record| &record.applied.devices);
    let named = |mac: &str| {
        let mut networks = devices.clone().filter(|(id, _)| id.kind == NETWORK);
        let (id, _) = networks.find(|(_, device)| device.key == mac)?;
        Some(id.name.clone())
    };
    let place = |known: &AddressStatus| {
        let mut networks = vm.networks.iter();
        let place =
            networks.position(|network| Some(network.name.as_str()) == known.network.as_deref());
        place.unwrap_or(usize::MAX)
    };
    let told = inventory
        .addresses(&vm.name)
        .present()
        .into_iter()
        .flatten();
    let told = told.map(
        |GuestAddress {
             address,
             mac,
             source,
         }| AddressStatus {
            address: address.to_string(),
            network: named(mac),
            mac: mac.clone(),
            source: *source,
        },
    );
    let mut addresses: Vec<_> = told.collect();
    addresses.sort_by_key(place);
    addresses
}

fn bits32(vms: &[&Vm], inventory: &Inventory) -> Option<String> {
    let libvirt = inventory.libvirt.present()?;
    let has_any = vms.iter().any(|vm| vm.userland.bits == 32);
    libvirt.bits32_words().filter(|_| has_any)
}

fn runs(vm: &Vm, inventory: &Inventory) -> bool {
    let domains = inventory.domains.present();
    let domain = domains.and_then(|domains| domains.get(vm.name.as_str()));
    domain.is_some_and(|domain| domain.state == RunState::Running)
}

fn state(vm: &Vm, inventory: &Inventory) -> String {
    match &inventory.domains {
        Fact::Present(domains) => match domains.get(vm.name.as_str()) {
            Some(domain) => domain.state.to_string(),
            None => "not created".to_owned(),
        },
        _ => "not seen".to_owned(),
    }
}

/// The state of VMs, a line each with what there is to say about it below.
#[must_use]
pub fn render_status(report: &StatusReport, paint: Paint) -> String {
    let mut rows = vec![["VM", "STATE", "KERNEL", "NEXT START"].map(str::to_owned)];
    rows.extend(report.vms.iter().map(VmStatus::row));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (name, state, kernel) = (width(0), width(1), width(2));
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let line = format!(
            "{:<name$}  {:<state$}  {:<kernel$}  {}",
            row[0], row[1], row[2], row[3]
        );
        let _ = writeln!(text, "{}", line.trim_end());
        if let Some(vm) = at.checked_sub(1).and_then(|at| report.vms.get(at)) {
            vm.remarks(&mut text, paint);
        }
    }
    if let Some(words) = &report.bits32 {
        let sign = paint.tone(Tone::Quiet, "i");
        let _ = writeln!(text, "{sign} guests of 32 bits: {}", printable(words));
    }
    let watcher = report.watcher.as_ref().map(|watcher| watcher.line(paint));
    text += &watcher.unwrap_or_default();
    if let Some(basis) = &report.basis {
        let sign = paint.tone(Tone::Quiet, "i");
        let _ = writeln!(text, "{sign} {}", basis.words());
    }
    text
}
