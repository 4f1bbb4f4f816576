//! Plans in files: made and reviewed at one time, applied at another, and only if nothing has moved in between.

use super::step::{Act, Step};
use super::{Plan, Policy};
use crate::domain::properties;
use crate::fleet::FleetSource;
use crate::format::{Format, FormatError};
use crate::inventory::{Fact, Facts, Inventory};
use crate::values::HostPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version this program writes, and the only one it reads.
const FORMAT: Format = Format::new("armfleet-saved-plan", SIZE_LIMIT).in_version(2);
/// Above a plan for all that a host can run, with its definitions.
const SIZE_LIMIT: usize = 64 << 20;
/// The version of this program. Another may plan other steps for the same host.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The stored definitions of domains, by VM.
pub type Definitions = BTreeMap<String, String>;

/// A plan with all that it was made of but the host. It holds no secret: `{env.NAME}` stands for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The fleet files as they were. They are read and checked again before the plan is applied; the files themselves are
    /// not looked at.
    pub source: FleetSource,
    /// What the user permitted.
    pub policy: Policy,
    /// The commit that the fleet files are of, as whoever planned called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The plan.
    pub plan: Plan,
    /// What it was made on.
    pub facts: Facts,
    /// The definitions that it edits.
    pub definitions: Definitions,
}

/// Why a plan cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Something that it rests on could not be seen.
    #[error("an incomplete plan cannot be saved: {0}")]
    Incomplete(String),
    /// It was made without the values of secrets.
    #[error("a plan cannot be saved that was made without the values of {0}")]
    WithoutSecrets(String),
    /// It cannot be written as JSON.
    #[error("the plan cannot be written as JSON")]
    Json(#[source] FormatError),
}

/// Why a file is no plan to apply.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// It is not a saved plan at all.
    #[error("it is not a saved plan")]
    NotAPlan(#[source] FormatError),
    /// It has another format.
    #[error("its format is `{0}`, this version reads `{known}`", known = FORMAT.name())]
    OtherFormat(String),
    /// Another version of armfleet made it.
    #[error("armfleet {0} made it, this is {VERSION}")]
    OtherVersion(String),
}

impl SavedPlanError {
    fn of(error: FormatError) -> Self {
        match error {
            FormatError::OtherKind { found, .. } | FormatError::Later { found, .. } => {
                Self::OtherFormat(found)
            }
            error => Self::NotAPlan(error),
        }
    }
}

#[derive(Deserialize)]
struct MadeBy {
    armfleet: String,
}

#[derive(Serialize)]
struct Enveloped<'a> {
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
        source: FleetSource,
        policy: &Policy,
        plan: &Plan,
        seen: &Inventory,
    ) -> Result<Self, SaveError> {
        if let Some(unknown) = plan.unknowns.first() {
            let (subject, why) = (&unknown.subject, &unknown.why);
            return Err(SaveError::Incomplete(format!("{subject}: {why}")));
        }
        let unknown: Vec<&str> = plan.redaction.secrets().unknown().collect();
        if !unknown.is_empty() {
            return Err(SaveError::WithoutSecrets(unknown.join(", ")));
        }
        Ok(Self {
            source,
            policy: policy.clone(),
            commit: None,
            plan: plan.clone(),
            facts: plan.facts(seen),
            definitions: plan.definitions(seen),
        })
    }

    /// The same plan, made from a commit.
    #[must_use]
    pub fn of_commit(self, commit: Option<String>) -> Self {
        Self { commit, ..self }
    }

    /// A file whose text the plan has no digest of, since the host had no key yet, and that is not the one it was made on.
    /// A plain digest would let anybody who reads the plan try values of a secret.
    #[must_use]
    pub fn moved_text(&self, now: &BTreeMap<HostPath, String>) -> Option<&HostPath> {
        let without_digest = self.plan.steps.iter().filter_map(|step| match &step.act {
            Act::MakeCloudInit(disk) if disk.digest.is_none() => Some(&disk.sources),
            _ => None,
        });
        let then = &self.source.texts;
        without_digest
            .flatten()
            .find(|path| then.get(*path).is_none() || then.get(*path) != now.get(*path))
    }

    /// The text of its file, ending in a newline.
    ///
    /// # Errors
    /// None in practice: every part of a plan can be written as JSON.
    pub fn render(&self) -> Result<String, SaveError> {
        let enveloped = Enveloped {
            armfleet: VERSION,
            saved: self,
        };
        FORMAT.render(&enveloped).map_err(SaveError::Json)
    }

    /// Whether a file that begins like this is a saved plan, though it may be cut or of another version.
    #[must_use]
    pub fn begins(text: &[u8]) -> bool {
        FORMAT.begins(text)
    }

    /// Reads a file. What the fleet files say is checked when [`FleetSource::read`] reads them again.
    ///
    /// # Errors
    /// Says why the text is not a plan that this version can apply.
    pub fn read(text: &[u8]) -> Result<Self, SavedPlanError> {
        let MadeBy { armfleet } = FORMAT.read(text).map_err(SavedPlanError::of)?;
        if armfleet != VERSION {
            return Err(SavedPlanError::OtherVersion(armfleet));
        }
        FORMAT.read(text).map_err(SavedPlanError::of)
    }
}

impl Plan {
    /// What this plan was made on.
    pub(super) fn facts(&self, seen: &Inventory) -> Facts {
        seen.facts(&self.fleet, properties)
    }

    /// The stored definitions that this plan edits, as they were seen.
    #[must_use]
    pub fn definitions(&self, seen: &Inventory) -> Definitions {
        let Fact::Present(domains) = &seen.domains else {
            return Definitions::new();
        };
        let edited = self.steps.iter().filter(|step| step.edited().is_some());
        let definition = |step: &Step| {
            let vm = step.vm.as_ref()?.to_string();
            let text = domains.get(&vm)?.raw.inactive.present()?.clone();
            Some((vm, text))
        };
        edited.filter_map(definition).collect()
    }
}
