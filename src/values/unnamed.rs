//! What texts about VMs have in common when they differ by the names of the VMs.

/// A text with `{name}` for each time that a name stands in it as a word.
#[must_use]
pub fn without_name(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let is_of_word = |c: char| c.is_alphanumeric();
    let mut unnamed = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(name) {
        let (head, tail) = (&rest[..at], &rest[at + name.len()..]);
        let begins = !head.chars().next_back().or(before).is_some_and(is_of_word);
        let ends = !tail.chars().next().is_some_and(is_of_word);
        unnamed += head;
        unnamed += if begins && ends { "{name}" } else { name };
        before = name.chars().next_back();
        rest = tail;
    }
    unnamed + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_out_as_a_word_only() {
        let name = "obs-1";
        for (text, unnamed) in [
            ("/srv/obs-1.img", "/srv/{name}.img"),
            ("obs-1", "{name}"),
            ("obs-10 and robs-1", "obs-10 and robs-1"),
            ("obs-1obs-1 obs-1", "obs-1obs-1 {name}"),
            ("", ""),
        ] {
            assert_eq!(without_name(text, name), unnamed);
            assert_eq!(without_name(text, ""), text);
        }
    }
}
