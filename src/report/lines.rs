//! The lines of a plan's text, before they are laid out.

use super::model::{Change, PlanReport, StepReport};
use super::style::{Paint, Tone, printable};
use crate::mark::Action;
use crate::plan::About;
use std::fmt::Write as _;

/// A step with its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepLines {
    action: Action,
    kind: &'static str,
    subject: String,
    detail: String,
    changes: Vec<ChangeLine>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ChangeLine {
    what: String,
    values: String,
    when: String,
}

/// A refusal, something unknown, or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemarkLines {
    pub(super) about: About,
    tone: Tone,
    sign: &'static str,
    subject: String,
    what: String,
    more: String,
}

impl StepLines {
    pub(super) fn of(step: &StepReport<'_>) -> Self {
        let of_same = |one: &Change<'_>, other: &Change<'_>| {
            let device = one.row.what.device();
            device.is_some() && device == other.row.what.device()
        };
        let changes = step.changes.chunk_by(of_same);
        Self {
            action: step.named.action,
            kind: step.named.kind,
            subject: step.named.subject.clone(),
            detail: described(step),
            changes: changes
                .map(|changes| ChangeLine::of(changes, step))
                .collect(),
        }
    }

    /// The same with other words.
    pub(super) fn map(&self, say: impl Fn(&str) -> String) -> Self {
        let change = |change: &ChangeLine| ChangeLine {
            what: say(&change.what),
            values: say(&change.values),
            when: say(&change.when),
        };
        Self {
            subject: say(&self.subject),
            detail: say(&self.detail),
            changes: self.changes.iter().map(change).collect(),
            ..*self
        }
    }

    /// How wide the column of its subject is at least.
    pub(super) fn width(&self) -> usize {
        self.subject.chars().count()
    }

    pub(super) fn render(&self, text: &mut String, width: usize, paint: Paint) {
        let sign = paint.tone(tone(self.action), self.action.sign());
        let subject = printable(&self.subject);
        let detail = printable(&self.detail);
        let line = format!("  {sign} {:<9} {subject:<width$}    {detail}", self.kind);
        let _ = writeln!(text, "{}", line.trim_end());
        let width = |shown: fn(&ChangeLine) -> &str| {
            let widths = self
                .changes
                .iter()
                .map(|change| shown(change).chars().count());
            widths.max().unwrap_or(0)
        };
        let (names, values) = (width(|change| &change.what), width(|change| &change.values));
        for change in &self.changes {
            let ChangeLine {
                what,
                values: shown,
                when,
            } = change;
            let line = format!("      {what:<names$}  {shown:<values$}    {when}");
            let _ = writeln!(text, "{}", printable(line.trim_end()));
        }
    }
}

impl ChangeLine {
    /// What changes of one property, or of one device.
    fn of(changes: &[Change<'_>], step: &StepReport<'_>) -> Self {
        let whole = |change: &Change<'_>| Self {
            what: change.row.what.to_string(),
            values: change.values(),
            when: when(change, step),
        };
        let device = changes.first().and_then(|change| change.row.what.device());
        let (Some(device), true) = (device, changes.len() > 1) else {
            return changes.iter().map(whole).next().unwrap_or_default();
        };
        let values = changes
            .iter()
            .map(|change| match change.row.what.property() {
                Some(property) => format!("{property} {}", change.values()),
                None => change.values(),
            });
        let mut times: Vec<String> = Vec::new();
        for time in changes.iter().map(|change| when(change, step)) {
            if !time.is_empty() && !times.contains(&time) {
                times.push(time);
            }
        }
        Self {
            what: device.to_string(),
            values: values.collect::<Vec<_>>().join(", "),
            when: times.join("; "),
        }
    }
}

impl RemarkLines {
    /// All remarks of a plan, in their order.
    pub(super) fn all(report: &PlanReport<'_>) -> Vec<Self> {
        let refusals = report.refusals.iter().map(|on_host| {
            let refusal = on_host.part;
            let remedy = match refusal.remedy.as_str() {
                "" => String::new(),
                remedy => format!("-> {remedy}"),
            };
            let check = refusal
                .check
                .map_or(String::new(), |check| format!(" [{check}]"));
            let why = format!("{}{check}", refusal.why);
            Self::new(Tone::Bad, "!", &refusal.subject, why, remedy)
        });
        let unknowns = report.unknowns.iter().map(|on_host| {
            let unknown = on_host.part;
            let rests = "nothing is planned that rests on it".to_owned();
            Self::new(Tone::Bad, "?", &unknown.subject, unknown.why.clone(), rests)
        });
        let notices = report.notices.iter().map(|on_host| {
            let notice = on_host.part;
            let (what, outlook) = (notice.what.clone(), notice.outlook.clone());
            Self::new(Tone::Quiet, "i", &notice.subject, what, outlook)
        });
        refusals.chain(unknowns).chain(notices).collect()
    }

    fn new(tone: Tone, sign: &'static str, about: &About, what: String, more: String) -> Self {
        Self {
            about: about.clone(),
            tone,
            sign,
            subject: about.to_string(),
            what,
            more,
        }
    }

    /// The same with other words.
    pub(super) fn map(&self, say: impl Fn(&str) -> String) -> Self {
        Self {
            about: self.about.clone(),
            subject: say(&self.subject),
            what: say(&self.what),
            more: say(&self.more),
            ..*self
        }
    }

    /// What it says, and of what, unless that is a VM.
    pub(super) fn key(self) -> (Option<String>, &'static str, String, String) {
        let other = match self.about {
            About::Vm(_) => None,
            other => Some(other.to_string()),
        };
        (other, self.sign, self.what, self.more)
    }

    /// The same about several.
    pub(super) fn about_all(self, subjects: &str) -> Self {
        Self {
            subject: subjects.to_owned(),
            ..self
        }
    }

    pub(super) fn render(&self, text: &mut String, paint: Paint) {
        let sign = paint.tone(self.tone, self.sign);
        let (subject, what) = (printable(&self.subject), printable(&self.what));
        let _ = writeln!(text, "  {sign} {subject}: {what}");
        if !self.more.is_empty() {
            let _ = writeln!(text, "      {}", printable(&self.more));
        }
    }
}

fn tone(action: Action) -> Tone {
    match action {
        Action::Create | Action::Start => Tone::Good,
        Action::Change => Tone::Attention,
        Action::Remove | Action::Stop => Tone::Bad,
    }
}

/// A step's detail; drift is named, since it is not expected.
pub(super) fn described(step: &StepReport<'_>) -> String {
    match step.untold_cause {
        Some(cause) => format!("{} ({})", step.detail, cause.words()),
        None => step.detail.clone(),
    }
}

/// When a change takes effect, and its cause where that is not its whole step's.
pub(super) fn when(change: &Change<'_>, step: &StepReport<'_>) -> String {
    let cause = change.row.cause.filter(|cause| Some(*cause) != step.cause);
    let cause = cause.map(|cause| cause.words().to_owned());
    let parts = cause
        .into_iter()
        .chain([change.when()])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}
