//! The plan: what differs, as steps in their order, and what will not be done.
//!
//! [`plan`] is a pure function of spec, inventory and policy. Every decision of armfleet is made here; a step leaves no
//! choice to whoever performs it.

mod about;
mod builder;
mod capacity;
mod claims;
mod compared;
mod copies;
mod extraction;
mod folders;
mod formats;
mod hook;
mod interruption;
mod kernels;
mod order;
mod outcome;
mod permission;
mod planner;
mod power;
mod removal;
mod rename;
mod run;
mod saved;
mod stale;
mod step;
mod touched;
mod vm;
mod watch;

pub use about::About;
pub use compared::{Comparison, Difference, Reordered, WithoutChange};
pub use extraction::{Extraction, NoExtraction, extraction};
pub use hook::{FIRST_WITH_FOLDER, daemon_pid_file, install_binary, known_to_daemon, why_install};
pub use interruption::{Fate, Interruption};
pub use kernels::{KernelSource, Kernels, kernels, trials};
pub use outcome::{Ended, Failure, Outcome};
pub use permission::{Permission, UnknownPermission};
pub use planner::plan;
pub(crate) use planner::plan_unsettled;
pub use power::{Power, PowerOutcome, PowerPlan, PowerRequest, power, state_table};
pub use saved::{Definitions, SaveError, SavedPlan, SavedPlanError};
pub use stale::{MovedFact, MovedStep, Staleness};
pub use step::{
    Act, Base, BaseFile, CloudInitDisk, DiskContent, InstallerSource, SeedSource, Step, StepId,
};

pub use touched::{TouchedPath, touched_paths};
pub use vm::installing;

use crate::inventory::{Redaction, digest};
use crate::problem::HostCheck;
use crate::values::{FleetName, Pattern, VmName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a user permits beyond the fleet file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Whether VMs that left the file may be removed.
    pub removal: Removal,
    /// Only VMs of these names are planned, created, changed or removed; all where there are no patterns.
    pub vms: Vec<Pattern>,
    /// Whether only what drifted since the last apply is planned.
    pub drift_only: bool,
    /// The VM whose disk is erased and that is installed again.
    pub reinstall: Option<VmName>,
    /// VMs whose images and shares are used as they are, though they are not those that were applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<VmName>,
    /// VMs whose system disk or boot share may be replaced by an empty one, and whose guest's first disk and interface by
    /// another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_replace: Vec<VmName>,
}

impl Policy {
    /// Whether a VM of this name is to be planned.
    #[must_use]
    pub fn selects(&self, vm: &str) -> bool {
        self.vms.is_empty() || self.vms.iter().any(|pattern| pattern.matches(vm))
    }
}

/// Whether VMs that left the file may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// They may, since apply asks for confirmation; not more than half of a host's VMs.
    #[default]
    Asked,
    /// They may not.
    Refused,
    /// They may; not more than half of a host's VMs.
    Allowed,
    /// They may, up to this number.
    UpTo(usize),
}

/// What differs between a spec and a host, and what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The fleet.
    pub fleet: FleetName,
    /// The host's name in the fleet file.
    pub host: String,
    /// libvirt's version there, if it was seen.
    pub libvirt: Option<String>,
    /// The steps, in the order in which they are performed.
    pub steps: Vec<Step>,
    /// What is wanted and will not be done.
    pub refusals: Vec<Refusal>,
    /// What could not be seen, so that nothing was planned that rests on it.
    pub unknowns: Vec<Unknown>,
    /// What is worth knowing, and changes nothing.
    pub notices: Vec<Notice>,
    /// How the host is known without its secrets. The plan has templates for them: whoever performs it fills them.
    #[serde(skip)]
    pub redaction: Arc<Redaction>,
}

/// Something wanted that will not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// What it is about: a VM, or a part of the host.
    pub subject: About,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// The check of the host that failed, which `armfleet explain` explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub check: Option<HostCheck>,
    /// The option with which it is done, where one is enough: `--allow-removal=2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub allowed_by: Option<Permission>,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unknown {
    /// What it is about: a VM, or a part of the host.
    pub subject: About,
    /// What could not be seen, and why.
    pub why: String,
}

/// Something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// What it is about.
    pub subject: About,
    /// What there is to know.
    pub what: String,
    /// When or how it will change, if it will.
    pub outlook: String,
    /// Whether it waits for the VM's next boot.
    #[serde(default)]
    pub pending_restart: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What this plan is known by: SHA-256 of its fleet, host and steps, in lower-case hexadecimal. The values of secrets
    /// make no difference.
    #[must_use]
    pub fn digest(&self) -> String {
        // Every part of a step can be written as JSON; a plan that could not would still not pass for another.
        let steps = serde_json::to_string(&(&self.fleet, &self.host, &self.steps));
        digest(&steps.unwrap_or_default())
    }

    /// Whether everything that matters could be seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unknowns.is_empty()
    }
}
