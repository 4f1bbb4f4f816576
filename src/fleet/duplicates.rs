//! Values that two entries of one list must not both have.

use crate::fleetfile::Spanned;
use crate::problem::{Problem, ProblemKind};
use std::collections::BTreeMap;

/// A problem for each value that came before, with what is said of it and the help.
pub(super) fn duplicates<'d, T: Ord + 'd>(
    kind: ProblemKind,
    values: impl Iterator<Item = &'d Spanned<T>>,
    said: impl Fn(&T) -> (String, String),
) -> Vec<Problem> {
    let mut seen = BTreeMap::new();
    let again = values.filter_map(|value| {
        let first = seen.insert(&value.value, &value.range)?;
        let (message, help) = said(&value.value);
        let problem = Problem::new(kind, &value.range, message);
        Some(problem.also(first, "the first").help(help))
    });
    again.collect()
}
