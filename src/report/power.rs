//! What became of VMs that were started or stopped by hand.

use super::applied::AppliedStep;
use super::fold::{fold, ranges};
use super::style::{Paint, Tone, printable};
use crate::plan::{About, Ended, Notice, Power, PowerOutcome, PowerPlan, Refusal, Step, Unknown};
use crate::values::VmName;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const FORMAT: &str = "armfleet-power/1";

/// What became of VMs that were started or stopped by hand.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct PowerReport<'a> {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// Whether at least one step was done.
    pub changed: bool,
    /// Whether a step failed, or something could not be seen.
    pub failed: bool,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// The steps, in their order.
    pub steps: Vec<AppliedStep<'a>>,
    /// What was asked for and not done.
    pub refused: &'a [Refusal],
    /// What could not be seen.
    pub unknowns: &'a [Unknown],
    /// What is worth knowing.
    pub notices: &'a [Notice],
    /// Why something is missing in the journal.
    pub untold: Vec<String>,
}

impl<'a> PowerReport<'a> {
    /// The report of what was planned and how it ended.
    #[must_use]
    pub fn new(plan: &'a PowerPlan, host: &'a str, outcome: &'a PowerOutcome) -> Self {
        let PowerOutcome {
            ended,
            took,
            interrupted,
            untold,
        } = outcome;
        let any = |wanted: fn(&Ended) -> bool| ended.values().any(wanted);
        let step =
            |step: &'a Step| AppliedStep::new(step, host, ended.get(&step.id), took.get(&step.id));
        Self {
            format: FORMAT,
            changed: any(|ended| matches!(ended, Ended::Done)),
            failed: any(|ended| matches!(ended, Ended::Failed(_))) || !plan.unknowns.is_empty(),
            interrupted: *interrupted,
            steps: plan.steps.iter().map(step).collect(),
            refused: &plan.refusals,
            unknowns: &plan.unknowns,
            notices: &plan.notices,
            untold: untold.iter().map(|error| error.causes.join(": ")).collect(),
        }
    }
}

/// What will not be done and what is worth knowing, before anything is done; of several VMs in the same words once.
#[must_use]
pub fn render_remarks(plan: &PowerPlan, paint: Paint) -> String {
    let refusals = plan.refusals.iter().map(|refusal| {
        let remedy = format!("-> {}", refusal.remedy);
        (Tone::Bad, "!", &refusal.subject, &refusal.why, remedy)
    });
    let unknowns = plan.unknowns.iter().map(|unknown| {
        let rests = "nothing is done that rests on it".to_owned();
        (Tone::Bad, "?", &unknown.subject, &unknown.why, rests)
    });
    let notices = plan.notices.iter().map(|notice| {
        let outlook = notice.outlook.clone();
        (Tone::Quiet, "i", &notice.subject, &notice.what, outlook)
    });
    let remarks: Vec<_> = refusals.chain(unknowns).chain(notices).collect();
    let remarks: Vec<(String, _)> = remarks
        .into_iter()
        .map(|remark| (remark.2.to_string(), remark))
        .collect();
    let alike = fold(
        &remarks,
        |(name, (.., about, _, _))| match about {
            About::Vm(_) => vec![name.as_str()],
            _ => Vec::new(),
        },
        |(name, (_, sign, about, what, more)), say| {
            let other = (!matches!(about, About::Vm(_))).then_some(name);
            (*sign, other, say(what), say(more))
        },
    );
    let mut text = String::new();
    for alike in alike {
        let (name, (tone, sign, _, what, more)) = alike.first;
        let subject = match alike.names.as_slice() {
            [] => name.clone(),
            names => ranges(names).join(", "),
        };
        let (what, more) = (alike.told(what), alike.told(more));
        let sign = paint.tone(*tone, sign);
        let _ = writeln!(
            text,
            "  {sign} {}: {}",
            printable(&subject),
            printable(&what)
        );
        if !more.is_empty() {
            let _ = writeln!(text, "      {}", printable(&more));
        }
    }
    text
}

/// What was done, VMs in short, and how much was not.
#[must_use]
pub fn render_power(plan: &PowerPlan, power: Power, outcome: &PowerOutcome) -> String {
    let done = |step: &&Step| matches!(outcome.ended.get(&step.id), Some(Ended::Done));
    let mut vms: BTreeMap<&str, bool> = BTreeMap::new();
    for step in &plan.steps {
        let name = step.vm.as_ref().map_or("", VmName::as_str);
        *vms.entry(name).or_insert(true) &= done(&step);
    }
    let done: Vec<&str> = vms
        .iter()
        .filter(|(_, done)| **done)
        .map(|(vm, _)| *vm)
        .collect();
    let mut text = match done.as_slice() {
        [] => String::new(),
        vms => format!("{}: {}.\n", past(power), ranges(vms).join(", ")),
    };
    let count =
        |wanted: fn(&Ended) -> bool| outcome.ended.values().filter(|ended| wanted(ended)).count();
    let counts = [
        (count(|ended| matches!(ended, Ended::Failed(_))), "failed"),
        (count(|ended| matches!(ended, Ended::NotTried)), "not tried"),
        (plan.refusals.len(), "refused"),
        (plan.unknowns.len(), "not seen"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "{}.", counts.join(", "));
    }
    if text.is_empty() {
        text.push_str("Nothing to do.\n");
    }
    text
}

const fn past(power: Power) -> &'static str {
    match power {
        Power::Start => "Started",
        Power::Stop => "Stopped",
        Power::PowerOff => "Power cut",
        Power::Restart => "Restarted",
    }
}
