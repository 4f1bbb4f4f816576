//! What came of a plan's steps.

use super::{Plan, StepId};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What an apply came to.
#[derive(Debug)]
pub struct Outcome {
    /// How each step ended.
    pub ended: BTreeMap<StepId, Ended>,
    /// How long each step took that was begun.
    pub took: BTreeMap<StepId, Duration>,
    /// Whether a signal interrupted it.
    pub interrupted: bool,
    /// Why something is missing in the journal or the history; what was done was done nevertheless.
    pub untold: Vec<Failure>,
    /// What a plan made afterwards still has to do.
    pub residual: Plan,
}

impl Outcome {
    /// Whether every step was done.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.ended
            .values()
            .all(|ended| matches!(ended, Ended::Done))
    }
}

/// How a step ended.
#[derive(Debug)]
pub enum Ended {
    /// It was done.
    Done,
    /// It failed.
    Failed(Failure),
    /// It was not tried, since it needs one that failed or the apply was interrupted.
    NotTried,
}

/// What went wrong, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What could not be done, and then its causes, each the cause of the one before.
    pub causes: Vec<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The hook of others that ended it, if one did.
    pub hook: Option<String>,
}

impl Failure {
    /// An error with its causes.
    #[must_use]
    pub fn of(error: &dyn Error, remedy: Option<&str>) -> Self {
        let mut causes = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self {
            causes,
            remedy: remedy.map(str::to_owned),
            hook: None,
        }
    }
}

/// What could not be done, without the causes.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.causes.first().map_or("", String::as_str))
    }
}
