//! What a plan does to VMs that run: each interruption with its reason, and what would avoid it.

use super::Plan;
use super::step::{Act, Step};
use crate::values::VmName;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

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
        let mut fates = BTreeMap::new();
        for step in &self.steps {
            let fate = match step.act {
                Act::Undefine { .. } => Fate::Removed,
                Act::Start { .. } => Fate::Restarted,
                _ => continue,
            };
            fates.entry(step.vm.as_ref()).or_insert(fate);
        }
        let stops = self.steps.iter();
        let stops = stops.filter(|step| matches!(step.act, Act::Stop { .. }));
        let stopped = stops.filter_map(|stop| {
            let fate = fates.get(&stop.vm.as_ref()).copied();
            Interruption::of(stop, fate.unwrap_or(Fate::Stopped))
        });
        stopped.collect()
    }
}

impl Interruption {
    fn of(stop: &Step, fate: Fate) -> Option<Self> {
        Some(Self {
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
