//! Texts with placeholders, which YAML takes for maps where they are not between quotes.

/// A text as it stands in the file.
pub(super) struct Braced<'t> {
    /// How far before a complaint's place it begins.
    pub(super) back: usize,
    text: &'t str,
    rest: &'t str,
}

impl Braced<'_> {
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.rest.len()
    }

    /// The same between quotes.
    pub(super) fn quoted(&self) -> String {
        let text = format!("{}{}", self.text, self.rest);
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// The text with a placeholder in it that a complaint is about, by what stands before its place and after it: the place is
/// where the placeholder begins in the middle of a text, or what follows it.
pub(super) fn text_around<'t>(before: &'t str, after: &'t str) -> Option<Braced<'t>> {
    let line = before.rfind('\n').map_or(before, |at| &before[at + 1..]);
    in_the_middle(line, after).or_else(|| at_the_beginning(line, after))
}

/// `/srv/{name}.img` in a map or a list between brackets.
fn in_the_middle<'t>(line: &'t str, after: &'t str) -> Option<Braced<'t>> {
    placeholder(after)?;
    let begin = line.rfind([' ', ',', '[', '{']).map_or(0, |at| at + 1);
    let text = &line[begin..];
    (!text.is_empty()).then(|| Braced {
        back: text.len(),
        text,
        rest: &after[..end_in_brackets(after)],
    })
}

/// `{var.options} root=/dev/vda1`
fn at_the_beginning<'t>(line: &'t str, after: &'t str) -> Option<Braced<'t>> {
    let begin = line.rfind('{')?;
    let text = &line[begin..];
    let follows = placeholder(text)?;
    let key = line[..begin].trim_end();
    if !follows.trim().is_empty() || !key.ends_with([':', '-', '[', ',']) {
        return None;
    }
    let is_in_brackets = key.contains(['{', '[']);
    let end = match is_in_brackets {
        true => end_in_brackets(after),
        false => after.find('\n').unwrap_or(after.len()),
    };
    let rest = &after[..end];
    let rest = rest.find(" #").map_or(rest, |comment| &rest[..comment]);
    let rest = rest.trim_end();
    (!rest.is_empty()).then_some(Braced {
        back: text.len(),
        text,
        rest,
    })
}

/// What follows a placeholder, if there is one.
fn placeholder(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix('{')?.split_once('}')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    (!name.is_empty() && name.chars().all(fits)).then_some(rest)
}

/// Where a text between brackets ends: at its next comma or closing bracket, but for those of placeholders.
fn end_in_brackets(text: &str) -> usize {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '{' => match placeholder(&text[at..]) {
                Some(rest) => at = text.len() - rest.len(),
                None => break,
            },
            ',' | ']' | '}' | '\n' => break,
            c => at += c.len_utf8(),
        }
    }
    text[..at].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_is_put_between_quotes() {
        for (before, after, quoted) in [
            (
                "a: [{ path: /srv/",
                "{name}.img, size: 8GiB }]",
                "\"/srv/{name}.img\"",
            ),
            ("a: [{ path: /srv/", "{name} }]", "\"/srv/{name}\""),
            (
                "x: y\na: [/srv/",
                "{name}-{index}.img]",
                "\"/srv/{name}-{index}.img\"",
            ),
            (
                "  cmdline: {var.x} ",
                "root=/dev/vda1 # x\nb: c",
                "\"{var.x} root=/dev/vda1\"",
            ),
            ("- path: {name}", ".img", "\"{name}.img\""),
            (
                "boot: { cmdline: {var.x} ",
                "ro, from: share }",
                "\"{var.x} ro\"",
            ),
        ] {
            let text = text_around(before, after).unwrap();
            assert_eq!(text.quoted(), quoted);
            assert_eq!(text.len() + 2, quoted.len());
        }
    }

    #[test]
    fn maps_are_no_texts() {
        for (before, after) in [
            ("boot: { cmdline: x } ", "y"),
            ("boot: {", "cmdline: x"),
            ("boot: {a} ", "\nb: c"),
            ("", ""),
            ("a: b", "{c: d}"),
        ] {
            assert!(text_around(before, after).is_none(), "{before}|{after}");
        }
    }
}
