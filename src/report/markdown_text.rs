//! Foreign text in Markdown: escaped so that it stays text.

use super::fold::ranges;
use super::style::printable;

/// Shown as nothing, and no part of a word: what follows it begins no mention, reference or link.
const BREAK: char = '\u{200b}';
/// No text is shown longer than this many characters.
const LIMIT: usize = 400;

/// Running text. Markup is escaped; names are not mentioned, numbers not linked, addresses neither.
pub(super) fn prose(text: &str) -> String {
    let text = bounded(text);
    let mut escaped = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
        if rest.peek().is_some_and(|next| links(c, *next)) || escaped.ends_with("www.") {
            escaped.push(BREAK);
        }
    }
    escaped
}

/// Whether two characters begin a mention, a reference or an address on GitHub or GitLab.
fn links(c: char, next: char) -> bool {
    match c {
        '@' | '#' | '!' | '~' | '%' | '$' | '&' => {
            next.is_alphanumeric() || matches!(next, '"' | '_')
        }
        ':' => next == '/',
        _ => false,
    }
}

/// A code span, whatever backticks and table bars are in the text.
pub(super) fn code(text: &str) -> String {
    let text = bounded(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if text.is_empty() {
        String::new()
    } else if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

/// Text within an HTML element.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::new();
    for c in bounded(text).chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '@' => escaped.extend([c, BREAK]),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// One printable line, without its middle if it is long.
fn bounded(text: &str) -> String {
    let text = printable(&text.replace(['\n', '\t'], " "));
    let count = text.chars().count();
    if count <= LIMIT {
        return text;
    }
    let head: String = text.chars().take(LIMIT / 2).collect();
    let tail: String = text.chars().skip(count - LIMIT / 2).collect();
    format!("{head}…{tail}")
}

/// How several VMs are called together: `obs-[01-12]` (12 VMs).
pub(super) fn called(names: &[&str]) -> String {
    let ranges: Vec<String> = ranges(names).iter().map(|range| code(range)).collect();
    let ranges = ranges.join(", ");
    match names.len() {
        0 | 1 => ranges,
        count => format!("{ranges} ({count} VMs)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_marks_nothing_up_and_mentions_nobody() {
        let hostile =
            "@all `x` <img src=//e> [a](http://e) **b** #1 | c\n/close www.e.org &lt; \u{202e}z";
        let escaped = prose(hostile);
        for live in [
            "@all", " `x`", "<img s", "](", "http:/", "**b", "#1", " | ", "\n", "www.e", "\u{202e}",
        ] {
            let unescaped = escaped
                .replace("\\<", "")
                .replace("\\]", "")
                .replace("\\|", "");
            assert!(!unescaped.contains(live), "{live:?} in {escaped}");
        }
        assert!(escaped.contains("\\<img") && escaped.contains("\\&"));
    }

    #[test]
    fn a_code_span_is_ended_by_its_own_fence_only() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b\n<c>"), "`a\\|b <c>`");
    }

    #[test]
    fn an_element_holds_text_only() {
        assert_eq!(html("</summary><b>&"), "&lt;/summary&gt;&lt;b&gt;&amp;");
    }

    #[test]
    fn long_text_loses_its_middle() {
        let shown = prose(&format!("begin{}end", "x".repeat(10_000)));
        assert!(
            shown.starts_with("begin") && shown.ends_with("end") && shown.chars().count() < 500
        );
    }
}
