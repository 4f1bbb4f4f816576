//! Suggestions for misspelled words.

use strsim::osa_distance;

/// The candidate nearest to what was written, if one is near.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Longer words are no slips of the finger, and comparing them would take long.
    const LONGEST: usize = 40;
    /// So many are compared: a file may have thousands of names, and thousands of words to compare them with.
    const MOST: usize = 200;
    let plain = plain(written);
    let length = plain.chars().count();
    if length > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| may_be_near(&plain, candidate))
        .take(MOST)
        .map(|candidate| (slips(&plain, &self::plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(length.min(candidate.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether a glance does not rule it out: words whose lengths differ a lot are near only if one is the other's beginning.
fn may_be_near(plain: &str, candidate: &str) -> bool {
    /// `-`, `_` and spaces that do not count, and characters of more than one byte.
    const SLACK: usize = 4;
    let same_beginning = || {
        let begins =
            |one: &str, c: char| one.starts_with(|first: char| first.eq_ignore_ascii_case(&c));
        plain.chars().next().is_some_and(|c| begins(candidate, c))
    };
    candidate.len().abs_diff(plain.len()) <= plain.len() / 3 + SLACK || same_beginning()
}

/// `stop-timeout`, `stopTimeout` and `Stop_Timeout` are all `stop_timeout`.
fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The distance between two words, or 1 where one is the other's beginning.
fn slips(written: &str, candidate: &str) -> usize {
    /// `mem` is the beginning of `memory`; `m` may be anything's.
    const BEGINNING: usize = 3;
    let distance = osa_distance(written, candidate);
    if written.len() >= BEGINNING && candidate.starts_with(written) {
        distance.min(1)
    } else {
        distance
    }
}
