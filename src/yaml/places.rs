//! Where everything stands in the text, from a parser that keeps positions and is bounded in time.

use super::node::{Kind, Node, Value};
use super::syntax;
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;
use std::ops::Range;

/// The deepest nesting. A fleet file needs six; what serde_yaml does with a deep one grows with the square of the depth.
const DEPTH_LIMIT: usize = 32;
/// The most values, counted as often as aliases repeat them; ten thousand VMs have less. A long text counts as several.
const VALUE_LIMIT: usize = 250_000;

/// Finds the places of the first document's values, all of whose scalars are taken for texts.
///
/// Reports what can be told without knowing what the values mean: broken syntax, several documents, tags, and what would
/// be unreasonably deep or large.
pub(crate) fn locate(text: &str, offset: usize, found: &Diagnostics) -> Checked<Node> {
    let mut builder = Builder {
        bytes: ByteIndex {
            text,
            starts: text.char_indices().map(|(at, _)| at).collect(),
            offset,
        },
        found,
        open: Vec::new(),
        anchors: BTreeMap::new(),
        documents: 0,
        count: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| builder.syntax(&error))?;
        builder.take(event, span)?;
    }
    builder.finish()
}

/// From the parser's count of characters to bytes.
struct ByteIndex<'a> {
    text: &'a str,
    /// The byte at which each character starts.
    starts: Vec<usize>,
    /// What comes before the text in the file.
    offset: usize,
}

impl<'a> ByteIndex<'a> {
    fn byte(&self, mark: Marker) -> usize {
        let at = self.starts.get(mark.index());
        self.offset + at.copied().unwrap_or(self.text.len())
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start);
        start..self.byte(span.end).max(start)
    }

    fn source(&self, range: &Range<usize>) -> &'a str {
        let range = range.start - self.offset..range.end - self.offset;
        self.text.get(range).unwrap_or_default()
    }
}

/// A map or list under construction. The entries of a map are its keys and values in turn.
struct Open {
    range: Range<usize>,
    anchor: usize,
    is_map: bool,
    entries: Vec<Node>,
}

struct Builder<'a> {
    bytes: ByteIndex<'a>,
    found: &'a Diagnostics,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    documents: usize,
    count: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Checked<()> {
        let range = self.bytes.range(span);
        let is_map = matches!(event, Event::MappingStart(..));
        match event {
            Event::DocumentStart(_) => self.document(&range),
            _ if self.documents > 1 => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag, &range);
                let range = trimmed(&range, style, self.bytes.source(&range));
                let value = Value::Scalar(text.into_owned(), Kind::Text);
                self.close(range, anchor, value)
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                self.tag(tag, &range);
                self.enter(range, anchor, is_map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, range),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, range: &Range<usize>) -> Checked<()> {
        self.documents += 1;
        if self.documents == 2 {
            let message = "a second YAML document begins here";
            let help = "a fleet file is one document: remove the `---` or `...` and what follows, or make it a file of its own";
            let problem = Problem::new(ProblemKind::SeveralDocuments, range, message);
            problem.help(help).report(self.found);
        }
        Ok(())
    }

    fn tag(&mut self, tag: Option<Cow<'_, Tag>>, range: &Range<usize>) {
        if tag.is_none() {
            return;
        }
        let source = self.bytes.source(range);
        let start = source.find('!').unwrap_or(0);
        let length = source[start..].find(char::is_whitespace);
        let written = &source[start..length.map_or(source.len(), |length| start + length)];
        let start = range.start + start;
        let place = start..start + written.len();
        let message = format!("`{written}` is a YAML tag, which fleet files do not use");
        Problem::new(ProblemKind::Tag, &place, message)
            .help("remove the tag; put a text that looks like something else between quotes")
            .report(self.found);
    }

    fn enter(&mut self, range: Range<usize>, anchor: usize, is_map: bool) -> Checked<()> {
        if self.open.len() == DEPTH_LIMIT {
            return Err(syntax::too_deep(&first_of(&range)).report(self.found));
        }
        self.open.push(Open {
            range: first_of(&range),
            anchor,
            is_map,
            entries: Vec::new(),
        });
        Ok(())
    }

    fn leave(&mut self) -> Checked<()> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let mut entries = open.entries.into_iter();
        let value = match open.is_map {
            true => Value::Map(iter::from_fn(|| entries.next().zip(entries.next())).collect()),
            false => Value::List(entries.collect()),
        };
        self.close(open.range, open.anchor, value)
    }

    fn close(&mut self, range: Range<usize>, anchor: usize, value: Value) -> Checked<()> {
        self.count_in(value.weight(), || {
            let message = format!("the file has more than {VALUE_LIMIT} values");
            Problem::new(ProblemKind::FileTooLarge, &range, message)
                .help("make several fleet files of it, each with a fleet name of its own")
        })?;
        let node = Node::new(range, value);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Checked<()> {
        let Some(target) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias stands inside of what it refers to";
            let problem = Problem::new(ProblemKind::Syntax, &range, message);
            return Err(problem.help("write the value out").report(self.found));
        };
        self.count_in(count(&target), || {
            let message = format!("with this alias, the file has more than {VALUE_LIMIT} values");
            Problem::new(ProblemKind::TooManyAliases, &range, message)
                .help("an alias repeats all that it refers to; use fewer aliases of aliases")
        })?;
        self.add(Node {
            alias: Some(range),
            ..target
        });
        Ok(())
    }

    /// Counts values, and reports the problem if they are too many.
    fn count_in(&mut self, count: usize, problem: impl FnOnce() -> Problem) -> Checked<()> {
        self.count += count;
        if self.count > VALUE_LIMIT {
            return Err(problem().report(self.found));
        }
        Ok(())
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => open.entries.push(node),
        }
    }

    fn syntax(&mut self, error: &ScanError) -> ErrorReported {
        let at = self.bytes.byte(*error.marker());
        let (before, after) = self.bytes.text.split_at(at - self.bytes.offset);
        let part = syntax::offending(error.info(), after);
        let tab = syntax::tab(error.info(), before, after);
        let range = match tab.and_then(|tab| at.checked_add_signed(tab)) {
            Some(tab) => tab..tab + 1,
            None => at + part.start..at + part.end,
        };
        syntax::problem(error.info(), &range, before, after).report(self.found)
    }

    fn finish(self) -> Checked<Node> {
        let start = self.bytes.offset..self.bytes.offset;
        self.root
            .ok_or_else(|| syntax::empty(&start).report(self.found))
    }
}

/// How many values a value counts as, with everything in it.
fn count(node: &Node) -> usize {
    let inner: usize = match &node.value {
        Value::List(entries) => entries.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(key, of)| count(key) + count(of)).sum(),
        _ => 0,
    };
    node.value.weight() + inner
}

/// The first character of a map or list, which is underlined for all of it.
fn first_of(range: &Range<usize>) -> Range<usize> {
    range.start..range.end.min(range.start + 1)
}

/// A scalar's own part of the text: without its anchor and tag, and without what the parser skipped after it.
fn trimmed(range: &Range<usize>, style: ScalarStyle, source: &str) -> Range<usize> {
    let text = source.trim_end();
    let mut own = text;
    let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    while own.starts_with(['&', '!']) && !block {
        let blank = own.find(char::is_whitespace);
        own = blank.map_or("", |blank| own[blank..].trim_start());
    }
    let start = range.start + text.len() - own.len();
    let length = match style {
        ScalarStyle::SingleQuoted => closing_quote(own, '\'', '\''),
        ScalarStyle::DoubleQuoted => closing_quote(own, '"', '\\'),
        _ => own.len(),
    };
    start..start + length
}

/// How long a quoted text is, with its quotes, if `escape` takes the meaning of the character after it.
fn closing_quote(text: &str, quote: char, escape: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        let escapes = c == escape
            && (c != quote || characters.peek().is_some_and(|(_, next)| *next == quote));
        if escapes {
            characters.next();
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}
