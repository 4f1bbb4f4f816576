//! `{name}` and its kin inside of texts.

use std::ops::Range;

/// What is wrong with a text's braces, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A `{…}` whose word nobody knows.
    Unknown(Range<usize>),
    /// A brace without its partner.
    Lone(Range<usize>),
}

impl Fault {
    /// The wrong part of the text.
    pub(crate) const fn part(&self) -> &Range<usize> {
        match self {
            Self::Unknown(part) | Self::Lone(part) => part,
        }
    }
}

/// The text with every `{word}` replaced by what `value` gives for it, `{{` by `{` and `}}` by `}`; or all that is wrong
/// with it. It grows to `limit` bytes, and by one more word at most.
pub(crate) fn expand<'v>(
    text: &str,
    limit: usize,
    mut value: impl FnMut(&str) -> Option<&'v str>,
) -> Result<String, Vec<Fault>> {
    let mut expanded = String::new();
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some(brace) = text[at..].find(['{', '}']).map(|found| at + found) {
        expanded += &text[at..brace];
        at = match piece(text, brace) {
            Piece::Brace => {
                expanded += &text[brace..=brace];
                brace + 2
            }
            Piece::Lone => {
                faults.push(Fault::Lone(brace..brace + 1));
                brace + 1
            }
            Piece::Word(word) => {
                let end = brace + word.len() + 2;
                match value(word) {
                    Some(value) if expanded.len() <= limit => expanded += value,
                    Some(_) => {}
                    None => faults.push(Fault::Unknown(brace..end)),
                }
                end
            }
        };
    }
    expanded += &text[at..];
    if faults.is_empty() {
        Ok(expanded)
    } else {
        Err(faults)
    }
}

/// What begins with a brace.
enum Piece<'t> {
    /// Two of them, which stand for one.
    Brace,
    /// A word between two.
    Word(&'t str),
    /// Nothing.
    Lone,
}

fn piece(text: &str, brace: usize) -> Piece<'_> {
    let rest = &text[brace..];
    if rest.starts_with("{{") || rest.starts_with("}}") {
        return Piece::Brace;
    }
    match rest.find('}').and_then(|end| rest.get(1..end)) {
        Some(word) if !word.contains(['{', ' ', '/']) => Piece::Word(word),
        _ => Piece::Lone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<String, Vec<Fault>> {
        expand(text, 1000, |word| (word == "name").then_some("vm"))
    }

    #[test]
    fn words_are_replaced_and_doubled_braces_are_literal() {
        assert_eq!(
            of("/srv/{name}-{name}.img"),
            Ok("/srv/vm-vm.img".to_owned())
        );
        assert_eq!(of("{{name}} {name}"), Ok("{name} vm".to_owned()));
        assert_eq!(of("{nmae}"), Err(vec![Fault::Unknown(0..6)]));
        assert_eq!(of("a{"), Err(vec![Fault::Lone(1..2)]));
        assert_eq!(of("a}b"), Err(vec![Fault::Lone(1..2)]));
        assert_eq!(of("{name"), Err(vec![Fault::Lone(0..1)]));
        assert_eq!(of("{}"), Err(vec![Fault::Unknown(0..2)]));
        assert_eq!(of("{a {name}"), Err(vec![Fault::Lone(0..1)]));
        let three = vec![Fault::Lone(0..1), Fault::Unknown(1..4), Fault::Lone(10..11)];
        assert_eq!(of("}{x}{name}{"), Err(three));
    }

    #[test]
    fn a_text_does_not_grow_without_end() {
        let long = expand(&"{a}".repeat(1000), 100, |_| Some("0123456789"));
        assert_eq!(long.map(|text| text.len()), Ok(110));
    }

    proptest! {
        #[test]
        fn a_text_with_its_braces_doubled_is_itself(text in ".*") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(of(&doubled), Ok(text));
        }

        #[test]
        fn no_text_panics(text in "[{}a ]*") {
            let _ = of(&text);
        }
    }
}
