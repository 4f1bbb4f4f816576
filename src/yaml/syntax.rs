//! What the YAML parsers complain about, in plain words.

use super::braced;
use crate::problem::{Problem, ProblemKind};
use std::ops::Range;

macro_rules! meanings {
    ($($($part:literal)|+: $message:literal, $remedy:literal;)*) => { &[$($(($part, $message, $remedy)),+),*] };
}

/// A part of a parser's complaint, what it means, and what to do. The first that fits is taken.
const MEANINGS: &[(&str, &str, &str)] = meanings! {
    "unprintable": "this character cannot stand in a YAML file",
        "remove it, or write it as an escape between double quotes";
    "byte order mark": "a byte order mark stands in the middle of the file",
        "remove it: it is invisible, and comes from files that were put together";
    "tab": "a tab cannot be used here", "indent with spaces";
    "quoted scalar, found unexpected end": "this quote is never closed", "close it";
    "invalid indentation in quoted scalar": "this quote is not closed where its text should end",
        "close it, or indent its next lines";
    "trailing content after double-quoted": "something follows a closing quote",
        "write `\\\"` for a quote inside of quotes";
    "unknown escape character": "a backslash begins something unknown here",
        "write `\\\\` for a backslash, or use single quotes";
    "expected ',' or '}'": "a `{` before this is not closed, or a `,` is missing here",
        "close it with `}`, or separate the entries with `,`";
    "expected ',' or ']'": "a `[` before this is not closed, or a `,` is missing here",
        "close it with `]`, or separate the entries with `,`";
    "misplaced bracket": "this bracket closes nothing", "remove it, or open it before";
    "unknown anchor": "this alias refers to nothing before it",
        "name the value with `&`, as in `&small 512MiB`, before using it with `*`";
    "unexpected character" | "cannot start any token": "a value cannot begin like this", "put it between quotes";
    "mapping values are not allowed": "there cannot be a key here",
        "put a text that contains `: ` between quotes; keys of one map begin in the same column";
    "block sequence entries are not allowed": "there cannot be a list here", "begin the list on a line of its own";
    "simple key expect": "this does not fit what is before it",
        "is a `:` missing on the line before? keys of one map begin in the same column";
    "did not find expected key": "this does not fit what is before it", "begin the keys of one map in the same column";
    "expected '-'": "this does not fit the list before it",
        "begin each entry of a list with `- `, all in the same column";
    "invalid indentation": "this is not indented as it should be",
        "indent it more than the key that it belongs to; or is a bracket or quote before it not closed?";
    "incompatible yaml": "this version of YAML is not known", "remove the line that begins with `%YAML`";
    "<document start>": "something follows the end of the file's value",
        "a fleet file is one map of keys, which begin in the first column";
    "did not find expected node content": "a value is missing here",
        "write one; or is a bracket or a quote before it not closed?";
    "hexadecimal number" | "unicode character escape": "this escape names no character",
        "write the character itself, or an escape such as `\\u00e9`";
    "wrongly indented line in block": "this line is not indented as the first line of its block",
        "indent all lines of the block alike";
    "scanning a block scalar": "only a comment may stand beside `|` or `>`", "begin the text on the next line";
    "anchor or alias": "a name is missing after `&` or `*`", "put a text that begins with one of them between quotes";
    "duplicated anchor": "a value cannot have two anchors", "remove one of them";
    "mapping keys are not allowed": "there cannot be a key here", "keys of one map begin in the same column";
    "'-' ": "a `-` needs a space after it here",
        "write `- ` before an entry of a list, and put a text that begins with `-` between quotes";
    "':' ": "a `:` cannot stand here without a space after it", "put a text that contains `:` between quotes";
    "comment intercepting": "a comment stands inside of a text of several lines", "move it before or after the text";
    "document indicator": "this quote is never closed", "close it";
    "document end": "something follows the end of the file's value",
        "a fleet file is one map of keys: remove the `...`";
    "directive": "lines that begin with `%` are YAML directives, and a fleet file has none",
        "remove the line, or put a text that begins with `%` between quotes";
    "handle" | "tag": "this is not a YAML tag", "put a text that begins with `!` between quotes";
    "unexpected eof": "the file ends in the middle of a value", "close what was opened before";
};

/// The problem of a complaint about a place, which has this before it and after it.
pub(crate) fn problem(complaint: &str, range: &Range<usize>, before: &str, after: &str) -> Problem {
    if complaint.contains("recursion limit") {
        return too_deep(range);
    }
    if let Some(text) = braced::text_around(before, after) {
        let start = range.start.saturating_sub(text.back);
        let place = start..start + text.len();
        let message = "a text with `{` in it is not between quotes here";
        return Problem::new(ProblemKind::Syntax, &place, message)
            .help(format!("put it between quotes: {}", text.quoted()));
    }
    if let Some(problem) = foreign_line(range, before) {
        return problem;
    }
    let complaint = complaint.to_lowercase();
    let (message, help) = match MEANINGS.iter().find(|(part, ..)| complaint.contains(part)) {
        _ if before.ends_with('}') => (
            "something follows a closing `}`",
            "put a text that begins with `{` between quotes, as in \"{name}.img\"",
        ),
        Some((_, message, help)) => (*message, *help),
        None => (
            "the file cannot be read as YAML from here on",
            "look at the quotes, brackets and indentation here and on the line before",
        ),
    };
    Problem::new(ProblemKind::Syntax, range, message).help(help)
}

/// A line before a complaint's place that is no YAML, but of something else that people have in such files.
fn foreign_line(range: &Range<usize>, before: &str) -> Option<Problem> {
    const LINES: [(&str, &str, &str); 3] = [
        (
            "<<<<<<<",
            "a merge of two versions left its marks here",
            "choose one of the versions, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`",
        ),
        (
            "//",
            "a comment begins with `#`",
            "write `#` in the place of `//`",
        ),
        (
            "/*",
            "a comment begins with `#`",
            "write `#` before each line of the comment",
        ),
    ];
    let mut at = 0;
    for line in before.split_inclusive('\n') {
        let text = line.trim_start();
        if let Some((_, message, help)) = LINES.iter().find(|(begin, ..)| text.starts_with(begin)) {
            let start = range
                .start
                .saturating_sub(before.len() - at - (line.len() - text.len()));
            let place = start..start + text.trim_end().len();
            return Some(Problem::new(ProblemKind::Syntax, &place, *message).help(*help));
        }
        at += line.len();
    }
    None
}

/// How far from a complaint's place the tab is that the complaint is about, if it is about one: before it, or after it.
pub(crate) fn tab(complaint: &str, before: &str, after: &str) -> Option<isize> {
    if before.ends_with('\t') {
        return Some(-1);
    }
    let is_about_one = complaint.to_lowercase().contains("tab");
    let at = after.find('\t').filter(|_| is_about_one)?;
    isize::try_from(at).ok()
}

/// The part of the text from a complaint's place on that the complaint is about.
pub(crate) fn offending(complaint: &str, text: &str) -> Range<usize> {
    let first = text.chars().next().filter(|c| !c.is_control());
    let first = 0..first.map_or(0, char::len_utf8);
    if text.starts_with('*') && complaint.contains("unknown anchor") {
        let end =
            text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'));
        return 0..end.unwrap_or(text.len());
    }
    if complaint.contains("unknown escape") {
        return unknown_escape(text).unwrap_or(first);
    }
    first
}

/// The first backslash of a text between double quotes that begins nothing, with the character after it (YAML 1.2, 5.7).
fn unknown_escape(text: &str) -> Option<Range<usize>> {
    const KNOWN: &str = "0abt\tnvfre \"/\\N_LPxuU\r\n";
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            let (next, escaped) = characters.next()?;
            if !KNOWN.contains(escaped) {
                return Some(at..next + escaped.len_utf8());
            }
        }
    }
    None
}

pub(crate) fn empty(range: &Range<usize>) -> Problem {
    Problem::new(ProblemKind::EmptyFile, range, "the file has no value in it")
        .help("a fleet file begins with `fleet: NAME`, and lists its VMs under `vms:`")
}

pub(crate) fn too_deep(range: &Range<usize>) -> Problem {
    let message = "maps and lists are nested too deeply";
    Problem::new(ProblemKind::TooDeep, range, message)
        .help("no fleet file needs this; is a closing bracket missing before?")
}
