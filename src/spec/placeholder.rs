//! `{name}` and its kin inside of texts.

use std::ops::Range;

/// What is wrong with a text's braces, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A `{…}` whose word nobody knows.
    Unknown(Range<usize>),
    /// A brace without its partner.
    Lone(Range<usize>),
}

/// The text with every `{word}` replaced by what `value` gives for it, `{{` by `{` and `}}` by `}`.
pub(super) fn expand<'v>(
    text: &str,
    mut value: impl FnMut(&str) -> Option<&'v str>,
) -> Result<String, Fault> {
    let mut expanded = String::new();
    let mut at = 0;
    while let Some(brace) = text[at..].find(['{', '}']).map(|found| at + found) {
        expanded += &text[at..brace];
        let rest = &text[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            expanded += &rest[..1];
            at = brace + 2;
            continue;
        }
        let lone = Fault::Lone(brace..brace + 1);
        let Some(length) = rest.find('}').filter(|length| *length > 0) else {
            return Err(lone);
        };
        let word = &rest[1..length];
        if word.contains(['{', ' ', '/']) || word.is_empty() {
            return Err(lone);
        }
        expanded += value(word).ok_or(Fault::Unknown(brace..brace + length + 1))?;
        at = brace + length + 1;
    }
    expanded += &text[at..];
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<String, Fault> {
        expand(text, |word| (word == "name").then_some("vm"))
    }

    #[test]
    fn words_are_replaced_and_doubled_braces_are_literal() {
        assert_eq!(
            of("/srv/{name}-{name}.img"),
            Ok("/srv/vm-vm.img".to_owned())
        );
        assert_eq!(of("{{name}} {name}"), Ok("{name} vm".to_owned()));
        assert_eq!(of("{nmae}"), Err(Fault::Unknown(0..6)));
        assert_eq!(of("a{"), Err(Fault::Lone(1..2)));
        assert_eq!(of("a}b"), Err(Fault::Lone(1..2)));
        assert_eq!(of("{name"), Err(Fault::Lone(0..1)));
        assert_eq!(of("{}"), Err(Fault::Lone(0..1)));
        assert_eq!(of("{a {name}"), Err(Fault::Lone(0..1)));
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
