//! What is told of several VMs in the same words, told once.

use crate::values::without_name;
use std::collections::BTreeMap;

/// Things of which the same is told.
pub(super) struct Alike<'a, T> {
    /// The names of all, in the order in which they come.
    pub(super) names: Vec<&'a str>,
    /// The first of them.
    pub(super) first: &'a T,
}

impl<T> Alike<'_, T> {
    /// A text about the first as it is told of all: with `{name}` for their names where they are several.
    pub(super) fn told(&self, text: &str) -> String {
        match self.names.as_slice() {
            [] | [_] => text.to_owned(),
            [name, ..] => without_name(text, name),
        }
    }
}

/// Brings together things that have the same key, in the order of the first of each. A thing has a name, and those of others
/// that it stands for. A key is what is told of it, made with the function that leaves out its name.
pub(super) fn fold<'a, T: 'a, K: Ord>(
    things: impl IntoIterator<Item = &'a T>,
    names: impl Fn(&'a T) -> Vec<&'a str>,
    key: impl Fn(&'a T, &dyn Fn(&str) -> String) -> K,
) -> Vec<Alike<'a, T>> {
    let mut folded: Vec<Alike<'a, T>> = Vec::new();
    let mut places = BTreeMap::new();
    for thing in things {
        let names = names(thing);
        let name = names.first().copied().unwrap_or_default();
        let key = key(thing, &|text| without_name(text, name));
        let at = *places.entry(key).or_insert(folded.len());
        match folded.get_mut(at) {
            Some(alike) => alike.names.extend(names),
            None => folded.push(Alike {
                names,
                first: thing,
            }),
        }
    }
    folded
}

/// Names in short, as ranges where they are numbered: `obs-[01-12]`, `tv`.
pub(super) fn ranges(names: &[&str]) -> Vec<String> {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    let mut runs: BTreeMap<(&str, &str), Vec<Run<'_>>> = BTreeMap::new();
    for name in names {
        let (before, number, after) = divided(name);
        let known = runs.entry((before, after)).or_default();
        if known.is_empty() {
            kinds.push((before, after));
        }
        match known.last_mut().filter(|run| run.goes_on_with(number)) {
            Some(run) => run.last = number,
            None => known.push(Run {
                first: number,
                last: number,
            }),
        }
    }
    let named = kinds.iter().flat_map(|kind @ (before, after)| {
        let runs = runs[kind].iter().map(Run::in_short);
        runs.map(move |run| format!("{before}{run}{after}"))
    });
    named.collect()
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
            false => format!("[{}-{}]", self.first, self.last),
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

    #[test]
    fn numbered_names_are_ranges() {
        for (whole, short) in [
            ("tv", "tv"),
            ("obs-01 obs-02 obs-03", "obs-[01-03]"),
            ("obs-9 obs-10 obs-12", "obs-[9-10], obs-12"),
            (
                "obs-09 obs-10 tv obs-99 obs-100",
                "obs-[09-10], obs-[99-100], tv",
            ),
            ("obs-1 obs-02", "obs-1, obs-02"),
            ("a1b a2b a", "a[1-2]b, a"),
        ] {
            let names: Vec<&str> = whole.split(' ').collect();
            assert_eq!(ranges(&names).join(", "), short);
        }
    }

    #[test]
    fn what_is_told_of_one_keeps_its_name() {
        let told = ["a: /srv/a", "b: /srv/b", "c: /srv/other"];
        let folded = fold(&told, |text| vec![&text[..1]], |text, say| say(text));
        let shown: Vec<_> = folded.iter().map(|alike| alike.told(alike.first)).collect();
        assert_eq!(shown, ["{name}: /srv/{name}", "c: /srv/other"]);
        assert_eq!(folded[0].names, ["a", "b"]);
    }
}
