//! Plans in files: made and reviewed at one time, applied at another, and only if nothing has moved in between.

use super::step::{Act, Base, Step};
use super::{Plan, Policy};
use crate::inventory::{Fact, Inventory};
use crate::spec::Spec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version this program writes, and the only one it reads.
const FORMAT: &str = "armfleet-saved-plan/1";
/// The version of this program. Another may plan other steps for the same host.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The stored definitions of domains, by VM.
pub type Definitions = BTreeMap<String, String>;

/// A plan with all that it was made of but the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The fleet file as it was; the file itself is not looked at again.
    pub spec: Spec,
    /// What the user permitted.
    pub policy: Policy,
    /// The plan.
    pub plan: Plan,
    /// What it was made on, in words.
    pub facts: BTreeMap<String, String>,
    /// The definitions that it edits, without secrets.
    pub definitions: Definitions,
}

/// Why a plan cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Something that it rests on could not be seen.
    #[error("an incomplete plan cannot be saved: {0}")]
    Incomplete(String),
    /// It cannot be written as JSON.
    #[error("the plan cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Why a file is no plan to apply.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// It is not a saved plan at all.
    #[error("it is not a saved plan")]
    NotAPlan(#[source] serde_json::Error),
    /// It has another format.
    #[error("its format is `{0}`, this version reads `{FORMAT}`")]
    OtherFormat(String),
    /// Another version of armfleet made it.
    #[error("armfleet {0} made it, this is {VERSION}")]
    OtherVersion(String),
    /// It says two things of one VM.
    #[error("its VM `{0}` is called `{1}`")]
    Renamed(String, String),
}

/// How a plan made again differs from the saved one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staleness {
    /// Steps that were planned and no longer are.
    pub gone: Vec<String>,
    /// Steps that are planned and were not.
    pub new: Vec<String>,
    /// Steps that do something else, or in another order.
    pub different: Vec<String>,
    /// The facts that moved: what, then, now.
    pub moved: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
struct Envelope {
    format: String,
    armfleet: String,
}

#[derive(Serialize)]
struct Enveloped<'a> {
    format: &'static str,
    armfleet: &'static str,
    #[serde(flatten)]
    saved: &'a SavedPlan,
}

impl SavedPlan {
    /// A plan to be saved, with what it was made of.
    ///
    /// # Errors
    /// When the plan is incomplete: what it does not rest on today, it may tomorrow.
    pub fn new(
        spec: &Spec,
        policy: &Policy,
        plan: &Plan,
        seen: &Inventory,
    ) -> Result<Self, SaveError> {
        if let Some(unknown) = plan.unknowns.first() {
            let (subject, why) = (&unknown.subject, &unknown.why);
            return Err(SaveError::Incomplete(format!("{subject}: {why}")));
        }
        Ok(Self {
            spec: spec.clone(),
            policy: policy.clone(),
            plan: plan.clone(),
            facts: seen.facts(&spec.fleet),
            definitions: plan.definitions(seen),
        })
    }

    /// The text of its file, ending in a newline.
    ///
    /// # Errors
    /// None in practice: every part of a plan can be written as JSON.
    pub fn render(&self) -> Result<String, SaveError> {
        let enveloped = Enveloped {
            format: FORMAT,
            armfleet: VERSION,
            saved: self,
        };
        let mut text = serde_json::to_string_pretty(&enveloped).map_err(SaveError::Json)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a file. Names, paths and sizes are checked as they were when the fleet file was read.
    ///
    /// # Errors
    /// Says why the text is not a plan that this version can apply.
    pub fn read(text: &[u8]) -> Result<Self, SavedPlanError> {
        let Envelope { format, armfleet } =
            serde_json::from_slice(text).map_err(SavedPlanError::NotAPlan)?;
        if format != FORMAT {
            return Err(SavedPlanError::OtherFormat(format));
        }
        if armfleet != VERSION {
            return Err(SavedPlanError::OtherVersion(armfleet));
        }
        let saved: Self = serde_json::from_slice(text).map_err(SavedPlanError::NotAPlan)?;
        match saved.spec.vms.iter().find(|(name, vm)| **name != vm.name) {
            Some((name, vm)) => Err(SavedPlanError::Renamed(
                name.to_string(),
                vm.name.to_string(),
            )),
            None => Ok(saved),
        }
    }

    /// How a plan made again differs in its steps; none if they are the same, byte for byte.
    #[must_use]
    pub fn staleness(&self, plan: &Plan, seen: &Inventory) -> Option<Staleness> {
        let (then, now) = (in_bytes(&self.plan), in_bytes(plan));
        if then == now {
            return None;
        }
        let ids = |steps: &[(String, String)]| -> BTreeSet<String> {
            steps.iter().map(|(id, _)| id.clone()).collect()
        };
        let (before, after) = (ids(&then), ids(&now));
        let both = then.iter().zip(&now).filter(|(then, now)| then != now);
        let moved_places: BTreeSet<String> = both.map(|((id, _), _)| id.clone()).collect();
        let contents: BTreeMap<&str, &str> = pairs(&now).collect();
        let mut different: Vec<String> = pairs(&then)
            .filter(|(id, bytes)| contents.get(id).is_some_and(|now| now != bytes))
            .map(|(id, _)| id.to_owned())
            .collect();
        if different.is_empty() && before == after {
            different = moved_places.into_iter().collect();
        }
        Some(Staleness {
            gone: before.difference(&after).cloned().collect(),
            new: after.difference(&before).cloned().collect(),
            different,
            moved: self.moved(&seen.facts(&self.spec.fleet)),
        })
    }

    fn moved(&self, now: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
        const NONE: &str = "absent";
        let value = |facts: &BTreeMap<String, String>, name: &str| {
            facts
                .get(name)
                .map_or_else(|| NONE.to_owned(), Clone::clone)
        };
        let names: BTreeSet<&String> = self.facts.keys().chain(now.keys()).collect();
        let facts = names
            .into_iter()
            .map(|name| (name.clone(), value(&self.facts, name), value(now, name)));
        facts.filter(|(_, then, now)| then != now).collect()
    }
}

/// The steps' ids, each with all of the step.
fn in_bytes(plan: &Plan) -> Vec<(String, String)> {
    // A step that could not be written would differ from itself, and the plan be refused: safe.
    let bytes = |step: &Step| serde_json::to_string(step).unwrap_or_else(|error| error.to_string());
    plan.steps
        .iter()
        .map(|step| (step.id.to_string(), bytes(step)))
        .collect()
}

fn pairs(steps: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    steps
        .iter()
        .map(|(id, bytes)| (id.as_str(), bytes.as_str()))
}

impl Plan {
    /// The stored definitions that this plan edits, as they were seen.
    #[must_use]
    pub fn definitions(&self, seen: &Inventory) -> Definitions {
        let Fact::Present(domains) = &seen.domains else {
            return Definitions::new();
        };
        let edited = self.steps.iter().filter(|step| {
            matches!(
                step.act,
                Act::Define {
                    base: Base::Stored(_),
                    ..
                }
            )
        });
        let definition = |step: &Step| {
            let vm = step.vm.as_ref()?.to_string();
            let text = domains.get(&vm)?.raw.inactive.present()?.clone();
            Some((vm, text))
        };
        edited.filter_map(definition).collect()
    }
}
