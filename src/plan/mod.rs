//! The plan: what differs, as steps in their order, and what will not be done.
//!
//! [`plan`] is a pure function of spec, inventory and policy. Every decision of armfleet is made here; a step leaves no
//! choice to whoever performs it.

mod boot;
mod claim;
mod hook;
mod host;
mod order;
mod pending;
mod planner;
mod removal;
mod run;
mod step;
mod storage;
mod vm;
mod watch;

pub use boot::{Kernels, kernels};
pub use planner::plan;
pub use step::{Act, Base, SeedSource, Step, StepId};

use crate::spec::FleetName;
use serde::{Deserialize, Serialize};

/// What a user permits beyond the fleet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether VMs that left the file may be removed.
    pub removal: Removal,
}

/// Whether VMs that left the file may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removal {
    /// They may, since somebody will be asked; not more than half of a host's VMs.
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
}

/// Something wanted that will not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it is about: a VM, or a part of the host.
    pub subject: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// What it is about: a VM, or a part of the host.
    pub subject: String,
    /// What could not be seen, and why.
    pub why: String,
}

/// Something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub subject: String,
    /// What there is to know.
    pub what: String,
    /// When or how it will change, if it will.
    pub outlook: String,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether everything that matters could be seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unknowns.is_empty()
    }
}
