//! What `armfleet doctor` found: a line each for people, the same for programs.

use super::style::{Paint, Tone, printable};
use crate::doctor::{Check, Finding, Remedy, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;

const FORMAT: &str = "armfleet-doctor/1";

/// What was found of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct DoctorReport {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// The host.
    pub host: String,
    /// The fleet whose needs were checked, too; null without a fleet file.
    pub fleet: Option<String>,
    /// What was found, in the order of the host's layers. A check may have found more than one thing.
    pub findings: Vec<FindingReport>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingReport {
    /// What was looked into.
    pub check: Check,
    /// How it is.
    pub state: FindingState,
    /// What is so, where, and what follows from it; or why it could not be seen.
    pub what: String,
    /// What to do about it; null where there is nothing to be done.
    pub remedy: Option<String>,
    /// The remedy once more where it is a command that root runs as it stands; else null.
    pub command: Option<String>,
}

/// How something is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// As it should be.
    Ok,
    /// Worth knowing; VMs run nevertheless.
    Notice,
    /// Something fails, or will.
    Problem,
    /// It could not be seen.
    NotChecked,
}

impl DoctorReport {
    /// What was found of a host, with the fleet that was asked about.
    #[must_use]
    pub fn new(host: &str, fleet: Option<String>, findings: &[Finding]) -> Self {
        Self {
            format: FORMAT,
            host: host.to_owned(),
            fleet,
            findings: findings.iter().map(FindingReport::of).collect(),
        }
    }

    /// How many findings are so.
    #[must_use]
    pub fn count(&self, state: FindingState) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.state == state).count()
    }
}

impl FindingReport {
    fn of(finding: &Finding) -> Self {
        let remedy = finding.verdict.remedy();
        Self {
            check: finding.check,
            state: match finding.verdict {
                Verdict::Fine => FindingState::Ok,
                Verdict::Notice(_) => FindingState::Notice,
                Verdict::Problem(_) => FindingState::Problem,
                Verdict::NotChecked => FindingState::NotChecked,
            },
            what: finding.what.clone(),
            remedy: remedy.map(|remedy| remedy.text().to_owned()),
            command: remedy.and_then(Remedy::command).map(str::to_owned),
        }
    }
}

impl FindingState {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::Problem => "problem",
            Self::NotChecked => "not checked",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Notice => Tone::Quiet,
            Self::Problem | Self::NotChecked => Tone::Bad,
        }
    }
}

/// What was found, a line each with what to do below.
#[must_use]
pub fn render_doctor(report: &DoctorReport, paint: Paint) -> String {
    let fleet = match &report.fleet {
        Some(fleet) => format!("fleet {fleet}"),
        None => "no fleet file".to_owned(),
    };
    let mut text = format!("host {} · {fleet}\n\n", report.host);
    for finding in &report.findings {
        let state = paint.tone(
            finding.state.tone(),
            &format!("{:<11}", finding.state.word()),
        );
        let what = printable(&finding.what);
        let _ = writeln!(text, "  {state}  {:<14}  {what}", finding.check);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "      -> {}", printable(remedy));
        }
    }
    let _ = writeln!(text, "\n{}", summary(report));
    text
}

fn summary(report: &DoctorReport) -> String {
    let count = |state, one: &str, more: &str| match report.count(state) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {more}")),
    };
    let counts = [
        count(FindingState::Problem, "problem", "problems"),
        count(FindingState::Notice, "notice", "notices"),
        count(FindingState::NotChecked, "not checked", "not checked"),
    ];
    match Vec::from_iter(counts.into_iter().flatten()).join(", ") {
        none if none.is_empty() => "Nothing is wrong.".to_owned(),
        counts => format!("{counts}."),
    }
}
