//! What was done on a host, from its journal.

use super::diff::Diff;
use super::style::{Paint, Tone, printable};
use crate::mark::{Action, CalledFrom, Entry, Event, Kept, LineError, StepTrace};
use crate::paths;
use crate::values::{VmName, render_time};
use schemars::JsonSchema;
use serde::Serialize;
use std::error::Error;
use std::fmt::Write as _;

/// So many digits of a digest tell two plans apart for a reader.
const DIGITS: usize = 12;

const FORMAT: &str = "armfleet-history/1";

/// A line of a journal.
#[derive(Debug)]
pub struct JournalLine {
    /// The journal's file.
    pub file: String,
    /// The line's number in it, from 1 on.
    pub number: usize,
    /// What it says.
    pub entry: Result<Entry, LineError>,
}

/// What was done on a host.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct HistoryReport {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// What was done, the oldest first.
    pub acts: Vec<PastAct>,
    /// The lines of the journal that cannot be used.
    pub damaged: Vec<DamagedLine>,
}

/// An apply, or what another command did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PastAct {
    /// When it began, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// Who did it: a user's name, or `armfleet watch`.
    pub by: String,
    /// Of an apply: the rest that is known of it. Null for what other commands did.
    pub apply: Option<PastApply>,
    /// Its steps, in the order in which they ended.
    pub steps: Vec<PastStep>,
}

/// What is known of an apply.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PastApply {
    /// The digest of its plan.
    pub plan: String,
    /// The fleet; null if the journal's line of its beginning is lost, as are the next three.
    pub fleet: Option<String>,
    /// The host's name in the fleet file.
    pub host: Option<String>,
    /// How many steps its plan has.
    pub planned: Option<usize>,
    /// Where it was called.
    pub from: Option<CalledFrom>,
    /// When it ended; null if it did not.
    pub ended: Option<u64>,
    /// How it ended.
    pub end: ApplyEnd,
}

/// How an apply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyEnd {
    /// By itself, all steps done.
    Done,
    /// By itself, with steps that failed or were not tried.
    Failed,
    /// It was interrupted.
    Interrupted,
    /// It did not: it was killed, or its host went down.
    CutOff,
    /// It has not yet.
    UnderWay,
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PastStep {
    /// Its id.
    pub id: String,
    /// The VM it belongs to; null for steps of the host.
    #[schemars(with = "Option<String>")]
    pub vm: Option<VmName>,
    /// What it did.
    pub action: Action,
    /// The kind of thing that it did it to.
    pub kind: String,
    /// Which one.
    pub subject: String,
    /// Why it was taken.
    pub reason: String,
    /// What it changed, property by property.
    pub changes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed, the outermost error first; empty if it was done.
    pub error: Vec<String>,
    /// The domain's definition before, in the history; null where none is kept.
    pub before: Option<Kept>,
    /// The domain's definition after.
    pub after: Option<Kept>,
    /// The unified diff of the two; null where one of them is not kept.
    #[serde(serialize_with = "Diff::serialize")]
    #[schemars(with = "Option<String>")]
    pub diff: Option<Diff>,
    /// The command that would undo it; null where none does.
    #[schemars(with = "Option<String>")]
    pub way_back: Option<WayBack>,
}

/// What would undo a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum WayBack {
    /// A command: the next apply does the step again.
    Command(String),
    /// A change of the fleet file.
    Apply(String),
}

impl WayBack {
    /// The command, or what to do.
    #[must_use]
    pub fn command(&self) -> &str {
        match self {
            Self::Command(command) | Self::Apply(command) => command,
        }
    }
}

/// A line of a journal that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DamagedLine {
    /// The file.
    pub file: String,
    /// The line's number, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl HistoryReport {
    /// What the lines of journals tell, the oldest first; `under_way` says whether an apply is at work now.
    #[must_use]
    pub fn new(lines: Vec<JournalLine>, under_way: bool) -> Self {
        let mut report = Self {
            format: FORMAT,
            acts: Vec::new(),
            damaged: Vec::new(),
        };
        for JournalLine {
            file,
            number,
            entry,
        } in lines
        {
            match entry {
                Ok(entry) => report.add(entry),
                Err(error) => report.damaged.push(DamagedLine {
                    file,
                    line: number,
                    why: why(&error),
                }),
            }
        }
        let open = report.open_apply();
        if let (Some(apply), true) = (open, under_way) {
            apply.end = ApplyEnd::UnderWay;
        }
        report
    }

    /// The last apply of the plan that has this digest.
    #[must_use]
    pub fn last_apply(&self, plan: &str) -> Option<&PastAct> {
        let is_its = |act: &&PastAct| act.apply.as_ref().is_some_and(|apply| apply.plan == plan);
        self.acts.iter().rev().find(is_its)
    }

    fn add(&mut self, Entry { at, by, event }: Entry) {
        match event {
            Event::Began(beginning) => {
                let apply = PastApply {
                    fleet: Some(beginning.fleet),
                    host: Some(beginning.host),
                    planned: Some(beginning.steps),
                    from: Some(beginning.from),
                    ..PastApply::without_beginning(beginning.plan)
                };
                self.acts.push(PastAct::new(at, by, Some(apply)));
            }
            Event::Step(mut step) => {
                let plan = step.plan.take();
                let past = PastStep::new(step);
                match plan {
                    Some(plan) => self.act_of(plan, at, by).steps.push(past),
                    None => {
                        let mut act = PastAct::new(at, by, None);
                        act.steps.push(past);
                        self.acts.push(act);
                    }
                }
            }
            Event::Ended { plan, interrupted } => {
                let act = self.act_of(plan, at, by);
                act.end(at, interrupted);
            }
        }
    }

    /// The apply under way with this plan. One whose beginning is lost begins here.
    fn act_of(&mut self, plan: String, at: u64, by: String) -> &mut PastAct {
        let is_it = |act: &PastAct| {
            act.apply
                .as_ref()
                .is_some_and(|apply| apply.plan == plan && apply.ended.is_none())
        };
        let place = match self.acts.iter().rposition(is_it) {
            Some(place) => place,
            None => {
                let apply = PastApply::without_beginning(plan);
                self.acts.push(PastAct::new(at, by, Some(apply)));
                self.acts.len() - 1
            }
        };
        &mut self.acts[place]
    }

    /// The last apply, if it did not end.
    fn open_apply(&mut self) -> Option<&mut PastApply> {
        let mut applies = self.acts.iter_mut().rev();
        let last = applies.find_map(|act| act.apply.as_mut())?;
        last.ended.is_none().then_some(last)
    }

    /// Only what was done to this VM.
    pub fn only(&mut self, vm: &VmName) {
        for act in &mut self.acts {
            act.steps.retain(|step| step.vm.as_ref() == Some(vm));
        }
        self.acts.retain(|act| !act.steps.is_empty());
    }

    /// Only the last so many.
    pub fn last(&mut self, count: usize) {
        self.acts.drain(..self.acts.len().saturating_sub(count));
    }

    /// The steps of all that was done.
    pub fn steps_mut(&mut self) -> impl Iterator<Item = &mut PastStep> {
        self.acts.iter_mut().flat_map(|act| &mut act.steps)
    }
}

impl PastApply {
    fn without_beginning(plan: String) -> Self {
        Self {
            plan,
            fleet: None,
            host: None,
            planned: None,
            from: None,
            ended: None,
            end: ApplyEnd::CutOff,
        }
    }
}

impl PastAct {
    fn new(at: u64, by: String, apply: Option<PastApply>) -> Self {
        Self {
            at,
            by,
            apply,
            steps: Vec::new(),
        }
    }

    fn end(&mut self, at: u64, interrupted: bool) {
        let Some(apply) = &mut self.apply else {
            return;
        };
        let done = self.steps.iter().all(|step| step.error.is_empty());
        let all = apply.planned.is_none_or(|steps| steps == self.steps.len());
        apply.ended = Some(at);
        apply.end = match (done && all, interrupted) {
            (true, _) => ApplyEnd::Done,
            (false, true) => ApplyEnd::Interrupted,
            (false, false) => ApplyEnd::Failed,
        };
    }
}

impl PastStep {
    fn new(step: StepTrace) -> Self {
        // Far below 2^52, where a number of milliseconds would lose some.
        #[allow(clippy::cast_precision_loss)]
        let seconds = step.milliseconds as f64 / 1000.0;
        let way_back = way_back(&step);
        Self {
            id: step.id,
            vm: step.vm,
            action: step.action,
            kind: step.kind,
            subject: step.subject,
            reason: step.reason,
            changes: step.changes,
            seconds,
            error: step.error,
            before: step.before,
            after: step.after,
            diff: None,
            way_back,
        }
    }

    /// The files of the definitions before and after, where both are kept.
    #[must_use]
    pub fn definitions(&self) -> Option<(String, String)> {
        let vm = self.vm.as_ref()?;
        let path = |kept: &Kept| paths::kept_definition(vm, &kept.sha256);
        Some((path(self.before.as_ref()?), path(self.after.as_ref()?)))
    }

    /// Shows how the definition changed.
    pub fn compare(&mut self, before: &str, after: &str) {
        let vm = self.vm.as_ref().map_or("", VmName::as_str);
        self.diff = Some(Diff::between(
            (&format!("{vm} before"), before),
            (&format!("{vm} after"), after),
        ));
    }
}

/// The command that would undo a step.
fn way_back(step: &StepTrace) -> Option<WayBack> {
    let vm = step.vm.as_ref()?;
    if !step.error.is_empty() {
        return None;
    }
    let before = step.before.as_ref();
    let file = before.map(|kept| (paths::kept_definition(vm, &kept.sha256), kept.whole));
    let command = match (step.kind.as_str(), step.action, file) {
        ("domain", Action::Change, Some((file, true))) => format!("virsh define {file}"),
        ("domain", Action::Change, Some((file, false))) => {
            format!("virsh edit {vm}, to what {file} has; secrets are not in it")
        }
        ("domain", Action::Remove, _) => {
            let command = format!("armfleet apply, once {vm} is in the fleet file again");
            return Some(WayBack::Apply(command));
        }
        ("autostart", ..) if step.changes == ["on"] => format!("virsh autostart --disable {vm}"),
        ("autostart", ..) => format!("virsh autostart {vm}"),
        ("start", ..) => format!("armfleet stop {vm}"),
        ("stop" | "power-off", ..) => format!("armfleet start {vm}"),
        _ => return None,
    };
    Some(WayBack::Command(command))
}

fn why(error: &dyn Error) -> String {
    let source = error.source();
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// When and by whom a plan was applied, and what came of it, for a second apply of the same plan.
#[must_use]
pub fn render_applied(act: &PastAct) -> String {
    let apply = act.apply.as_ref();
    let plan: String = apply
        .iter()
        .flat_map(|apply| apply.plan.chars().take(DIGITS))
        .collect();
    let end = apply.map_or_else(String::new, |apply| summary(apply, act.steps.len()));
    let (at, by) = (render_time(act.at), &act.by);
    printable(&format!(
        "at {at} by {by}: {end} (plan {plan} in armfleet history)"
    ))
}

/// What was done on a host, as text.
#[must_use]
pub fn render_history(report: &HistoryReport, paint: Paint) -> String {
    let acts = report.acts.iter().map(|act| render_act(act, paint));
    let mut text = acts.collect::<Vec<_>>().join("\n");
    let comes_back = |step: &PastStep| matches!(step.way_back, Some(WayBack::Command(_)));
    if report
        .acts
        .iter()
        .any(|act| act.steps.iter().any(comes_back))
    {
        text += "\nThe next apply restores what the fleet file says. To keep an earlier definition, change the fleet file, too.\n";
    }
    text
}

fn render_act(act: &PastAct, paint: Paint) -> String {
    let mut text = format!("{}\n", printable(&headline(act)));
    let width = |shown: fn(&PastStep) -> &str| {
        let widths = act.steps.iter().map(|step| shown(step).chars().count());
        widths.max().unwrap_or(0)
    };
    let (kind, subject) = (width(|step| &step.kind), width(|step| &step.subject));
    for step in &act.steps {
        let (result, tone) = match step.error.as_slice() {
            [] => ("done  ", Tone::Good),
            _ => ("failed", Tone::Bad),
        };
        let line = format!(
            "{} {:<kind$}  {:<subject$}  {:>6.1} s  {}",
            step.action.sign(),
            step.kind,
            step.subject,
            step.seconds,
            described(step)
        );
        let _ = writeln!(
            text,
            "  {} {}",
            paint.tone(tone, result),
            printable(line.trim_end())
        );
        for error in &step.error {
            let _ = writeln!(text, "      {}", printable(&error.replace('\n', " ")));
        }
        if let Some(diff) = &step.diff {
            text += &indented(&diff.text(paint));
        }
        if let Some(way) = &step.way_back {
            let _ = writeln!(text, "      to undo it: {}", printable(way.command()));
        }
    }
    if let Some(apply) = &act.apply {
        let _ = writeln!(text, "  {}", summary(apply, act.steps.len()));
    }
    text
}

fn headline(act: &PastAct) -> String {
    let mut parts = vec![render_time(act.at), act.by.clone()];
    if let Some(apply) = &act.apply {
        parts.extend(apply.from.as_ref().map(origin));
        parts.extend(apply.fleet.as_ref().map(|fleet| format!("fleet {fleet}")));
        let plan: String = apply.plan.chars().take(DIGITS).collect();
        parts.push(format!("plan {plan}"));
    }
    parts.join(" · ")
}

fn origin(from: &CalledFrom) -> String {
    let mut text = format!("{}:{}", from.machine, from.files.join(","));
    if let Some(client) = &from.client {
        let _ = write!(text, " (from {client})");
    }
    text
}

fn described(step: &PastStep) -> String {
    if step.changes.is_empty() {
        return step.reason.clone();
    }
    format!("{}: {}", step.reason, step.changes.join("; "))
}

fn summary(apply: &PastApply, shown: usize) -> String {
    let end = match apply.end {
        ApplyEnd::Done => "all steps done",
        ApplyEnd::Failed => "ended with steps that failed or were not tried",
        ApplyEnd::Interrupted => "interrupted",
        ApplyEnd::CutOff => "did not end: it was killed, or the host went down",
        ApplyEnd::UnderWay => "under way",
    };
    match apply.planned {
        Some(planned) if planned != shown => format!("{end} ({shown} of {planned} steps here)"),
        Some(_) => end.to_owned(),
        None => format!("{end} (its beginning is not in the journal)"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect()
}
