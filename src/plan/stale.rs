//! How a plan that is made again differs from the saved one, and what moved on the host in between.

use super::saved::SavedPlan;
use super::{Plan, Step};
use crate::domain::RowChange;
use crate::inventory::{Facts, Inventory, SeenFact};
use crate::values::ageless;
use std::collections::{BTreeMap, BTreeSet};

/// How a plan made again differs from the saved one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staleness {
    /// Steps that were planned and no longer are.
    pub gone: Vec<String>,
    /// Steps that are planned and were not.
    pub new: Vec<MovedStep>,
    /// Steps that do something else, or in another order.
    pub different: Vec<MovedStep>,
    /// The facts that moved.
    pub moved: Vec<MovedFact>,
}

/// A step that was not planned as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedStep {
    /// Its id.
    pub id: String,
    /// What it changes now, property by property.
    pub changes: Vec<RowChange>,
}

/// A fact that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedFact {
    /// The path or domain.
    pub subject: String,
    /// Which of its values; none if it has become something else as a whole.
    pub what: Option<String>,
    /// What it was and what it is; none for what is too long to be shown.
    pub values: Option<(String, String)>,
}

impl SavedPlan {
    /// How a plan made again differs in its steps; none if they are the same, byte for byte.
    #[must_use]
    pub fn staleness(&self, plan: &Plan, seen: &Inventory) -> Option<Staleness> {
        let (then, now) = (&self.plan.steps, &plan.steps);
        let matched = Matched::new(then, now);
        let different = matched.both.iter();
        let different = different.filter(|(then, now)| in_bytes(then) != in_bytes(now));
        let mut different: Vec<_> = different.map(|(_, now)| MovedStep::new(now)).collect();
        if matched.gone.is_empty() && matched.new.is_empty() && different.is_empty() {
            let mut places = then.iter().zip(now);
            let (_, moved) = places.find(|(then, now)| then.id != now.id)?;
            different.push(MovedStep::new(moved));
        }
        let gone = matched.gone.iter();
        Some(Staleness {
            gone: gone.map(|step| step.id.to_string()).collect(),
            new: matched
                .new
                .iter()
                .map(|step| MovedStep::new(step))
                .collect(),
            different,
            moved: moved(&self.facts, &plan.facts(seen)),
        })
    }
}

/// A step with all of itself.
fn in_bytes(step: &Step) -> String {
    // A step that could not be written would differ from any other, and the plan be refused: safe.
    serde_json::to_string(step).unwrap_or_else(|error| error.to_string())
}

/// The steps of two plans, by their ids.
pub(super) struct Matched<'a> {
    /// Steps of the first plan alone.
    pub(super) gone: Vec<&'a Step>,
    /// Steps of the second plan alone.
    pub(super) new: Vec<&'a Step>,
    /// Steps of both, in the second plan's order.
    pub(super) both: Vec<(&'a Step, &'a Step)>,
}

impl<'a> Matched<'a> {
    pub(super) fn new(then: &'a [Step], now: &'a [Step]) -> Self {
        let mut before: BTreeMap<_, _> = then.iter().map(|step| (&step.id, step)).collect();
        let (mut new, mut both) = (Vec::new(), Vec::new());
        for step in now {
            match before.remove(&step.id) {
                Some(then) => both.push((then, step)),
                None => new.push(step),
            }
        }
        let is_gone = |step: &&Step| before.contains_key(&step.id);
        let gone = then.iter().filter(is_gone).collect();
        Self { gone, new, both }
    }
}

impl MovedStep {
    fn new(step: &Step) -> Self {
        Self {
            id: step.id.to_string(),
            changes: step.changes.clone(),
        }
    }
}

/// The facts that are not what they were.
pub(super) fn moved(then: &Facts, now: &Facts) -> Vec<MovedFact> {
    let absent = SeenFact::absent();
    let subjects: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let moves = subjects.into_iter().flat_map(|subject| {
        let fact = |facts: &Facts| facts.get(subject).unwrap_or(&absent).clone();
        moved_fact(subject, &fact(then), &fact(now))
    });
    moves.collect()
}

fn moved_fact(subject: &str, then: &SeenFact, now: &SeenFact) -> Vec<MovedFact> {
    let moved = |what: Option<&str>, values| MovedFact {
        subject: subject.to_owned(),
        what: what.map(str::to_owned),
        values,
    };
    if then.kind != now.kind {
        return vec![moved(None, Some((then.kind.clone(), now.kind.clone())))];
    }
    let values = differing(&then.values, &now.values).into_iter();
    let values: Vec<_> = values
        .map(|what| {
            let value = |fact: &SeenFact| {
                let value = fact.values.get(what);
                value.map_or_else(|| "nothing".to_owned(), Clone::clone)
            };
            moved(Some(what), Some((value(then), value(now))))
        })
        .collect();
    if !values.is_empty() {
        return values;
    }
    let digests = differing(&then.digests, &now.digests).into_iter();
    digests.map(|what| moved(Some(what), None)).collect()
}

/// The keys whose values differ.
fn differing<'a>(
    then: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    // Which value of a variable is the former one depends on the environment, not on the host.
    let value =
        |values: &BTreeMap<String, String>, key| values.get(key).map(|value| ageless(value));
    let differing = keys
        .into_iter()
        .filter(|key| value(then, *key) != value(now, *key));
    differing.map(String::as_str).collect()
}
