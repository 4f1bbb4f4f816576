//! What is told of several VMs in the same words, told once.

use crate::values::VmName;
use std::collections::BTreeMap;

/// VMs of which the same is told.
pub(super) struct Alike<T> {
    /// In the order in which they come.
    pub(super) vms: Vec<VmName>,
    /// With `{name}` for the name of each; with its own name where there is one VM only.
    pub(super) told: T,
}

/// Brings together the VMs of which the same is told, by how that reads without their names.
pub(super) fn fold<T: PartialEq>(
    parts: impl IntoIterator<Item = (VmName, T)>,
    unnamed: impl Fn(&VmName, &T) -> T,
) -> Vec<Alike<T>> {
    let mut groups: Vec<(T, Alike<T>)> = Vec::new();
    for (vm, told) in parts {
        let without = unnamed(&vm, &told);
        match groups.iter_mut().find(|(known, _)| *known == without) {
            Some((_, alike)) => alike.vms.push(vm),
            None => groups.push((
                without,
                Alike {
                    vms: vec![vm],
                    told,
                },
            )),
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|(without, alike)| match alike.vms.len() {
            1 => alike,
            _ => Alike {
                told: without,
                ..alike
            },
        })
        .collect()
}

/// Names in short, as ranges where they are numbered: `obs-[01-12], tv`.
pub(super) fn in_short(names: &[VmName]) -> String {
    let mut ranges: Vec<(&str, &str)> = Vec::new();
    let mut runs: BTreeMap<(&str, &str), Vec<Run<'_>>> = BTreeMap::new();
    for name in names {
        let (before, number, after) = divided(name.as_str());
        let known = runs.entry((before, after)).or_default();
        if known.is_empty() {
            ranges.push((before, after));
        }
        match known.last_mut().filter(|run| run.goes_on_with(number)) {
            Some(run) => run.last = number,
            None => known.push(Run {
                first: number,
                last: number,
            }),
        }
    }
    let ranges = ranges.iter().map(|key @ (before, after)| {
        let runs = &runs[key];
        match runs.as_slice() {
            [run] if run.first == run.last => format!("{before}{}{after}", run.first),
            runs => {
                let runs: Vec<String> = runs.iter().map(Run::in_short).collect();
                format!("{before}[{}]{after}", runs.join(","))
            }
        }
    });
    ranges.collect::<Vec<_>>().join(", ")
}

/// Numbers that follow each other, as they are written.
struct Run<'a> {
    first: &'a str,
    last: &'a str,
}

impl Run<'_> {
    /// Whether a number is the next one, written as wide as a range would have it.
    fn goes_on_with(&self, number: &str) -> bool {
        let width = match self.first.starts_with('0') {
            true => self.first.len(),
            false => 1,
        };
        let next = self
            .last
            .parse::<u64>()
            .ok()
            .and_then(|last| last.checked_add(1));
        next.is_some_and(|next| format!("{next:0width$}") == number)
    }

    fn in_short(&self) -> String {
        match self.first == self.last {
            true => self.first.to_owned(),
            false => format!("{}-{}", self.first, self.last),
        }
    }
}

/// A name around its last number, which may be empty.
fn divided(name: &str) -> (&str, &str, &str) {
    let end = name
        .rfind(|c: char| c.is_ascii_digit())
        .map_or(name.len(), |at| at + 1);
    let begin = name[..end]
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .len();
    (&name[..begin], &name[begin..end], &name[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> Vec<VmName> {
        names.split(' ').map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn numbered_names_are_ranges() {
        for (whole, short) in [
            ("tv", "tv"),
            ("obs-01 obs-02 obs-03", "obs-[01-03]"),
            ("obs-9 obs-10 obs-12", "obs-[9-10,12]"),
            ("obs-09 obs-10 tv obs-99 obs-100", "obs-[09-10,99-100], tv"),
            ("obs-1 obs-02", "obs-[1,02]"),
            ("a1b a2b a", "a[1-2]b, a"),
        ] {
            assert_eq!(in_short(&names(whole)), short);
        }
    }
}
