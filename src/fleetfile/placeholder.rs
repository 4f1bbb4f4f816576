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
