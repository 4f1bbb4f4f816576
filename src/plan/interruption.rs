//! What a plan does to VMs that run: each interruption with its reason, and what would avoid it.

use super::Plan;
use super::step::{Act, Step};
use crate::values::VmName;
use schemars::JsonSchema;
use serde::Serialize;

/// Why a VM is stopped for good.
pub(super) const STATE_STOPPED: &str = "state: stopped";

/// A running VM that a plan stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interruption {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// What becomes of it.
    pub fate: Fate,
    /// Why.
    pub why: String,
    /// What to change so that it does not happen.
    pub avoid: &'static str,
}

/// What becomes of a VM that a plan stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is started again by the same plan.
    Restarted,
    /// It stays off.
    Stopped,
    /// Its domain goes, too; disks and boot share stay.
    Removed,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }

    const fn avoidance(self) -> &'static str {
        match self {
            Self::Restarted => {
                "set restart: never in the file; what changed then waits for the VM's next boot"
            }
            Self::Stopped => "set state: running in the file",
            Self::Removed => "put it back into the file",
        }
    }
}

impl Plan {
    /// The VMs that this plan stops, in the order of its steps.
    #[must_use]
    pub fn interruptions(&self) -> Vec<Interruption> {
        let stops = self
            .steps
            .iter()
            .filter(|step| matches!(step.act, Act::Stop { .. }));
        stops.filter_map(|step| self.interruption(step)).collect()
    }

    fn interruption(&self, stop: &Step) -> Option<Interruption> {
        let same_vm = |step: &&Step| step.vm == stop.vm;
        let mut others = self.steps.iter().filter(same_vm);
        let fate = others.find_map(|step| match step.act {
            Act::Undefine { .. } => Some(Fate::Removed),
            Act::Start { .. } => Some(Fate::Restarted),
            _ => None,
        });
        let fate = fate.unwrap_or(Fate::Stopped);
        Some(Interruption {
            vm: stop.vm.clone()?,
            fate,
            why: match fate {
                Fate::Stopped => format!("the file says {STATE_STOPPED}"),
                Fate::Restarted | Fate::Removed => stop.reason.clone(),
            },
            avoid: fate.avoidance(),
        })
    }
}
