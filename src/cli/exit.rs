//! Exit codes.

use crate::plan::Plan;
use crate::plan::{Ended, Outcome};
use std::process::ExitCode;

/// How a command ended. Of several that apply, the first of this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 4: the fleet file or the command line is invalid; nothing was contacted.
    Invalid,
    /// 130: interrupted; the steps under way were finished, or left at the second interruption.
    Interrupted,
    /// 1: a step or the host failed, or something could not be seen; another apply is at work; the question was answered no.
    Failed,
    /// 3: something wanted was refused; everything else was applied.
    Refused,
    /// 5: all steps were done, but a new plan has steps.
    Unsettled,
    /// 2: there are, or were, changes; only with `--detailed-exitcode`.
    Changes,
    /// 0: otherwise.
    Success,
}

impl Exit {
    /// All, in their order.
    pub(super) const ALL: [Self; 7] = [
        Self::Invalid,
        Self::Interrupted,
        Self::Failed,
        Self::Refused,
        Self::Unsettled,
        Self::Changes,
        Self::Success,
    ];

    /// What it tells.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Invalid => "the fleet file or the command line is invalid; nothing was contacted",
            Self::Interrupted => "interrupted; the steps under way were finished",
            Self::Failed => {
                "a step or the host failed, or something could not be seen; doctor found a problem"
            }
            Self::Refused => "something wanted was refused; everything else was applied",
            Self::Unsettled => "all steps were done, but a new plan has steps",
            Self::Changes => "there are, or were, changes (only with --detailed-exitcode)",
            Self::Success => "otherwise",
        }
    }

    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Invalid => 4,
            Self::Interrupted => 130,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Unsettled => 5,
            Self::Changes => 2,
            Self::Success => 0,
        }
    }

    /// The first of these that applies.
    pub fn first(applying: impl IntoIterator<Item = (Self, bool)>) -> Self {
        applying
            .into_iter()
            .filter(|(_, applies)| *applies)
            .map(|(exit, _)| exit)
            .min()
            .unwrap_or(Self::Success)
    }
}

/// What all of them tell, as the help has it.
pub(super) fn in_words() -> String {
    let lines = Exit::ALL.map(|exit| format!("  {:<3}  {}", exit.code(), exit.meaning()));
    format!(
        "Exit codes; the first that applies counts:\n{}",
        lines.join("\n")
    )
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The exit codes that an apply calls for, each with whether it does.
pub(super) fn outcome_exits(plan: &Plan, outcome: &Outcome) -> [(Exit, bool); 4] {
    let failed = outcome
        .ended
        .values()
        .any(|ended| matches!(ended, Ended::Failed(_)));
    [
        (
            Exit::Interrupted,
            outcome.interrupted && !outcome.all_done(),
        ),
        (Exit::Failed, failed || !outcome.residual.is_complete()),
        (
            Exit::Refused,
            !outcome.residual.refusals.is_empty() && plan.refusals.is_empty(),
        ),
        (
            Exit::Unsettled,
            outcome.all_done() && !outcome.residual.is_empty(),
        ),
    ]
}
