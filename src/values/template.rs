//! Command lines in which `{env.NAME}` stands for each secret, and what others look like by them.

use std::ops::Range;

/// How what is shown in the place of a former value begins.
const FORMER: &str = "{a former env.";
/// What is shown in the place of a word that may hold a secret.
const HIDDEN: &str = "{hidden}";

/// What stands for the value of a variable.
pub(super) fn placeholder(name: &str) -> String {
    format!("{{env.{name}}}")
}

/// What stands for a value that the variable had before.
pub(super) fn former_placeholder(name: &str) -> String {
    format!("{FORMER}{name}}}")
}

/// A text with nothing in it that says which of a variable's values is hidden.
#[must_use]
pub fn ageless(text: &str) -> String {
    text.replace(FORMER, "{env.")
}

/// Whether a text has places for secrets.
#[must_use]
pub fn is_template(text: &str) -> bool {
    placeholders(text).next().is_some()
}

/// Where a template has secrets, each with its variable's name.
pub(crate) fn placeholders(template: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    template.match_indices("{env.").filter_map(|(start, open)| {
        let name = template[start + open.len()..].split_once('}')?.0;
        let is_name = !name.is_empty() && name.bytes().all(is_name_byte);
        is_name.then(|| (start..start + open.len() + name.len() + 1, name))
    })
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A template with another text for each of its secrets, made of the variable's name; none where it has none for one.
pub(super) fn filled(template: &str, text: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut from = 0;
    for (place, name) in placeholders(template) {
        if let Some(text) = text(name) {
            filled += &template[from..place.start];
            filled += &text;
            from = place.end;
        }
    }
    filled + &template[from..]
}

/// What a text has where its template has secrets, with the names of their variables, whatever the values are; none if the
/// text has another form.
#[must_use]
pub fn values_between<'t>(template: &'t str, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
    let mut places = placeholders(template).peekable();
    let Some((first, _)) = places.peek() else {
        return (template == text).then(Vec::new);
    };
    let mut rest = text.strip_prefix(&template[..first.start])?;
    let mut values = Vec::new();
    while let Some((at, name)) = places.next() {
        let (value, after) = match places.peek() {
            Some((next, _)) => rest.split_once(&template[at.end..next.start])?,
            None => (rest.strip_suffix(&template[at.end..])?, ""),
        };
        values.push((name, value));
        rest = after;
    }
    Some(values)
}

/// The same where each word of the text has the form of the template's word at its place.
#[must_use]
pub fn values_by_word<'t>(template: &'t str, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
    let (mut templates, mut words) = (words(template), words(text));
    let mut values = Vec::new();
    loop {
        match (templates.next(), words.next()) {
            (Some(template), Some(word)) => values.extend(values_between(template, word)?),
            (None, None) => return Some(values),
            _ => return None,
        }
    }
}

/// What words of a text may hold as secrets, by the words of a template that begin in the same way.
pub fn values_of_words<'t>(
    template: &'t str,
    text: &'t str,
) -> impl Iterator<Item = (&'t str, &'t str)> {
    let begun = words(template).filter_map(|word| {
        let (first, name) = placeholders(word).next()?;
        (first.start > 0).then(|| (&word[..first.start], name))
    });
    begun.flat_map(move |(before, name)| {
        let values = words(text).filter_map(move |word| word.strip_prefix(before));
        values.map(move |value| (name, within_quotes(before, value)))
    })
}

/// A text in which only those words are shown that one of the templates has as they are.
#[must_use]
pub fn literals_of(templates: &[&str], text: &str) -> String {
    let literals: Vec<&str> = templates
        .iter()
        .flat_map(|template| words(template))
        .filter(|word| !is_template(word))
        .collect();
    let shown = words(text).map(|word| match literals.contains(&word) {
        true => word,
        false => HIDDEN,
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The words of a command line, as the kernel divides it: a space between quotes is none (`next_arg`).
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
}

/// A value up to the quote that ends it, where what is before it begins one.
fn within_quotes<'t>(before: &str, value: &'t str) -> &'t str {
    let begins = before.matches('"').count() % 2 == 1;
    value.split(|c| begins && c == '"').next().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_form_of_its_template_word_for_word() {
        for (template, text, values) in [
            ("a key={env.KEY} b", "a key=x b", Some(vec![("KEY", "x")])),
            (
                "key=\"{env.KEY}\" b",
                "key=\"x y\" b",
                Some(vec![("KEY", "x y")]),
            ),
            (
                "k={env.A}:{env.B}",
                "k=x:y",
                Some(vec![("A", "x"), ("B", "y")]),
            ),
            ("a key={env.KEY}", "a key=x debug", None),
            ("a key={env.KEY} b", "key=x a b", None),
            ("a key={env.KEY}", "a", None),
            ("a quiet", "a quiet", Some(vec![])),
            ("a {env.no-name}", "a b", None),
        ] {
            assert_eq!(
                values_by_word(template, text),
                values,
                "{template} | {text}"
            );
        }
    }

    #[test]
    fn only_literals_of_a_template_are_shown() {
        let templates = ["root=/dev/vda1 key={env.KEY}", "root=/dev/vda1 quiet"];
        for (text, shown) in [
            ("key=x root=/dev/vda1", "{hidden} root=/dev/vda1"),
            (
                "root=/dev/vda1 key=\"x y\" quiet",
                "root=/dev/vda1 {hidden} quiet",
            ),
            ("root=/dev/vda1x", "{hidden}"),
            ("key={env.KEY}", "{hidden}"),
            ("quiet  quiet", "quiet {hidden} quiet"),
        ] {
            assert_eq!(literals_of(&templates, text), shown);
        }
        assert_eq!(literals_of(&templates, templates[1]), templates[1]);
    }
}
