//! `{name}` and its kin inside of texts.

use std::ops::Range;

/// The text with every `{word}` replaced by what `value` gives for it, `{{` by `{` and `}}` by `}`; or all parts that are
/// wrong: words that stand for nothing, and braces without their partners. It grows to `limit` bytes, and by one more word
/// at most.
pub(crate) fn expand<'v>(
    text: &str,
    limit: usize,
    mut value: impl FnMut(&str) -> Option<&'v str>,
) -> Result<String, Vec<Range<usize>>> {
    let mut expanded = String::new();
    let mut wrong = Vec::new();
    let mut at = 0;
    while let Some(brace) = text[at..].find(['{', '}']).map(|found| at + found) {
        expanded += &text[at..brace];
        let rest = &text[brace..];
        let word = rest.find('}').and_then(|end| rest.get(1..end));
        let word = word.filter(|word| !word.contains(['{', ' ', '/']));
        at = match word {
            _ if rest.starts_with("{{") || rest.starts_with("}}") => {
                expanded += &rest[..1];
                brace + 2
            }
            None => {
                wrong.push(brace..brace + 1);
                brace + 1
            }
            Some(word) => {
                let end = brace + word.len() + 2;
                match value(word) {
                    Some(value) if expanded.len() <= limit => expanded += value,
                    Some(_) => {}
                    None => wrong.push(brace..end),
                }
                end
            }
        };
    }
    expanded += &text[at..];
    match wrong.is_empty() {
        true => Ok(expanded),
        false => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<String, Vec<Range<usize>>> {
        expand(text, 1000, |word| (word == "name").then_some("vm"))
    }

    #[test]
    fn words_are_replaced_and_doubled_braces_are_literal() {
        let replaced = of("/srv/{name}-{name}.img {{name}}");
        assert_eq!(replaced, Ok("/srv/vm-vm.img {name}".to_owned()));
        for (text, wrong) in [
            ("{nmae}", vec!["{nmae}"]),
            ("a}b", vec!["}"]),
            ("{name", vec!["{"]),
            ("{}", vec!["{}"]),
            ("{a {name}", vec!["{"]),
            ("}{x}{name}{", vec!["}", "{x}", "{"]),
        ] {
            let parts = of(text).unwrap_err().into_iter();
            assert_eq!(parts.map(|part| &text[part]).collect::<Vec<_>>(), wrong);
        }
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
