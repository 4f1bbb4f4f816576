//! Hosts: the port (observe, perform, and note what was done), and what stands behind it.
//!
//! The real host and the in-memory one perform the same steps ([`Executor`]) over the same primitive calls
//! ([`primitives`]); the wrapper [`intercept`] records calls or lets one fail.

mod addresses;
mod cloud_init;
mod executor;
mod failure;
mod folders;
mod formats;
mod generations;
mod guard;
pub mod guests;
pub mod intercept;
mod kept;
pub mod memory;
mod nocloud;
mod observe;
mod perform;
pub mod primitives;
mod recorded;
pub mod redactor;
mod secrets;
mod staging;
pub mod system;
mod trail;
mod waiting;
pub mod waits;

pub use executor::{Caller, Executor};
pub use generations::generations;
pub use observe::Observer;
pub use recorded::record_of;
pub use waiting::Waiting;

use crate::inventory::{Query, RawHealth, RawInventory, Redaction};
use crate::mark::{Event, Kept, Moment};
use crate::plan::{Failure, Step};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A host that can be looked at. Code that has no more than this cannot change anything.
pub trait Inspect: Sync {
    /// Sees what the query asks for. What cannot be seen is in the answer, fact by fact.
    ///
    /// # Errors
    /// When nothing at all could be seen.
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError>;

    /// Asks these programs for their versions, and the host for its clock. What is recorded of a host tells neither.
    fn ask(&self, _programs: &BTreeSet<String>) -> RawHealth {
        RawHealth::default()
    }

    /// From now on, whatever is printed or kept shows nothing of the secrets that this knows.
    fn redact(&self, redaction: &Arc<Redaction>) {
        redactor::tell(redaction);
    }
}

/// A host that can be changed.
pub trait Host: Inspect {
    /// Performs one step, but for what has to be waited for. A step that failed can be planned and performed again.
    ///
    /// # Errors
    /// Says what could not be done, why, and what to do about it.
    fn begin(&self, step: &Step) -> Result<Begun, HostError>;

    /// Looks once more at what a step waits for, when that is due; nothing while the wait goes on.
    fn look_again(&self, waiting: &mut Waiting) -> Option<Result<(), HostError>>;

    /// Performs one step to its end.
    ///
    /// # Errors
    /// Says what could not be done, why, and what to do about it.
    fn perform(&self, step: &Step) -> Result<Traces, HostError> {
        let mut waiting = match self.begin(step)? {
            Begun::Done(traces) => return Ok(traces),
            Begun::Waits(waiting) => waiting,
        };
        loop {
            self.pause(waiting.due().since(self.moment()));
            if let Some(ended) = self.look_again(&mut waiting) {
                return ended.map(|()| Traces::default());
            }
        }
    }

    /// The present moment of the clock that waits are measured by.
    fn moment(&self) -> Moment;

    /// Lets time pass.
    fn pause(&self, time: Duration);

    /// How many guests may boot at once.
    fn boots_at_once(&self) -> usize;

    /// Writes into the journal what happened.
    ///
    /// # Errors
    /// When it cannot be written: what happened has happened nevertheless.
    fn note(&self, event: Event) -> Result<(), HostError>;
}

/// How far a step has come.
#[derive(Debug)]
pub enum Begun {
    /// It is done.
    Done(Traces),
    /// It waits for a guest.
    Waits(Waiting),
}

/// What a step left in the history.
#[derive(Debug, Default)]
pub struct Traces {
    /// The definition that it changed or removed.
    pub before: Option<Kept>,
    /// What it made of it.
    pub after: Option<Kept>,
    /// What is missing of that, or what the step left lying: it was performed nevertheless.
    pub warnings: Vec<HostError>,
}

/// Why a host could not do something.
#[derive(Debug)]
pub struct HostError {
    /// What was being done, as in "cannot define domain armhf-vm".
    doing: String,
    /// What to do about it.
    remedy: Option<String>,
    /// Whether something else has precedence, rather than anything being wrong.
    refusal: bool,
    /// The hook that ended it, where that is not armfleet's.
    hook: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl HostError {
    /// A failure of something with a cause.
    pub fn new(doing: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            doing: doing.into(),
            remedy: None,
            refusal: false,
            hook: None,
            source: Some(source.into()),
        }
    }

    /// A failure that is its own cause.
    pub fn plain(what: impl Into<String>) -> Self {
        Self {
            doing: what.into(),
            remedy: None,
            refusal: false,
            hook: None,
            source: None,
        }
    }

    /// The same failure, with what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same failure, as a refusal: something else has precedence.
    #[must_use]
    pub fn as_refusal(self) -> Self {
        Self {
            refusal: true,
            ..self
        }
    }

    /// The same failure, ended by a hook that is not armfleet's.
    #[must_use]
    fn by_hook(self, hook: Option<String>) -> Self {
        Self { hook, ..self }
    }

    /// Whether something else has precedence, rather than anything being wrong.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.refusal
    }

    /// The same in words, with all its causes.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure {
            hook: self.hook.clone(),
            ..Failure::of(self, self.remedy())
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl Error for HostError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
