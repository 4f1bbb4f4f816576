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

/// Names in short, as ranges where they are numbered: `obs-[01-12]`, `obs-[20-40/2]`, `tv`.
pub(super) fn ranges(names: &[&str]) -> Vec<String> {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    let mut numbers: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for name in names {
        let (before, number, after) = divided(name);
        let known = numbers.entry((before, after)).or_default();
        if known.is_empty() {
            kinds.push((before, after));
        }
        known.push(number);
    }
    let named = kinds.iter().flat_map(|kind @ (before, after)| {
        let runs = runs(&numbers[kind]).into_iter();
        runs.map(move |run| format!("{before}{run}{after}"))
    });
    named.collect()
}

/// Numbers that follow each other in equal steps, and are written as a range would have them.
fn runs(mut numbers: &[&str]) -> Vec<String> {
    let mut runs = Vec::new();
    while let [first, others @ ..] = numbers {
        let step = others.first().and_then(|second| step(first, second, first));
        let follow = step.map_or(0, |known| {
            let pairs = numbers.windows(2);
            let alike = pairs.take_while(|pair| step_of(pair, first) == Some(known));
            alike.count()
        });
        let last = numbers[follow];
        let (run, length) = match step {
            Some(1) => (format!("[{first}-{last}]"), follow + 1),
            Some(step) if follow > 1 => (format!("[{first}-{last}/{step}]"), follow + 1),
            _ => ((*first).to_owned(), 1),
        };
        runs.push(run);
        numbers = &numbers[length..];
    }
    runs
}

fn step_of(pair: &[&str], first: &str) -> Option<u64> {
    match pair {
        [one, next] => step(one, next, first),
        _ => None,
    }
}

/// How far a number is from the one before, if it is written as wide as a range from the first one would have it.
fn step(one: &str, next: &str, first: &str) -> Option<u64> {
    let width = match first.starts_with('0') {
        true => first.len(),
        false => 1,
    };
    let number: u64 = next.parse().ok()?;
    let step = number.checked_sub(one.parse().ok()?)?;
    (step > 0 && format!("{number:0width$}") == next).then_some(step)
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
            (
                "obs-00 obs-02 obs-04 obs-05 obs-06 tv",
                "obs-[00-04/2], obs-[05-06], tv",
            ),
            ("obs-1 obs-3 obs-8", "obs-1, obs-3, obs-8"),
            ("obs-3 obs-1 obs-1", "obs-3, obs-1, obs-1"),
            ("a99999999999999999999 a2", "a99999999999999999999, a2"),
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
