//! Problems of a fleet file as text: message, place, the line with the part underlined, what to do.

use crate::problem::{Label, Problem, Problems};
use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet,
};
use std::ops::Range;

/// How many problems are shown: more are not read at once.
const SHOWN: usize = 100;
/// So many bytes of a line are rendered before and after what is pointed at; a terminal's width of them is shown.
const LINE_WINDOW: usize = 400;
/// Two places at most so many lines apart are shown as one piece of the file.
const LINES_TOGETHER: usize = 200;

/// Renders the problems of fleet files as the Rust compiler would; a count ends it.
///
/// Nothing of the files can do anything to a terminal: control characters are replaced.
#[must_use]
pub fn render_problems(problems: &Problems, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let files = Files::new(problems);
    let mut output = String::new();
    for problem in problems.iter().take(SHOWN) {
        output += &renderer.render(&[files.group(problem)]);
        output += "\n\n";
    }
    output += &summary(problems, &files);
    output
}

fn summary(problems: &Problems, files: &Files<'_>) -> String {
    let place = match files.list.as_slice() {
        [(name, _)] => name.clone(),
        several => format!("{} files", several.len()),
    };
    match problems.len() {
        count if !problems.all && count <= SHOWN => {
            format!("more than {count} problems in {place}\n")
        }
        count if !problems.all => {
            format!("more than {count} problems in {place}; the first {SHOWN} are shown\n")
        }
        1 => format!("1 problem in {place}\n"),
        count if count <= SHOWN => format!("{count} problems in {place}\n"),
        count => format!("{count} problems in {place}; the first {SHOWN} are shown\n"),
    }
}

/// The files that problems are in: each with its name as it can be shown, and its lines.
struct Files<'p> {
    problems: &'p Problems,
    list: Vec<(String, Lines<'p>)>,
}

impl<'p> Files<'p> {
    fn new(problems: &'p Problems) -> Self {
        let files = problems.sources.iter();
        let list = files.map(|file| (printable(&file.name), Lines::new(&file.bytes)));
        Self {
            problems,
            list: list.collect(),
        }
    }

    fn group(&'p self, problem: &'p Problem) -> Group<'p> {
        let title = Level::ERROR.primary_title(problem.message.as_str());
        let mut elements: Vec<Element<'p>> = Vec::new();
        for (file, labels) in self.pieces(problem) {
            let Some((name, lines)) = self.list.get(file) else {
                continue;
            };
            let (snippet, whole) = snippet(&labels, lines);
            if whole {
                elements.push(snippet.path(name).into());
            } else {
                // Of a line without its beginning the renderer cannot tell the column.
                let start = labels.first().map_or(0, |label| label.range.start);
                let (line, column) = lines.position(start);
                let origin = Origin::path(name).line(line + 1).char_column(column + 1);
                elements.extend([origin.into(), snippet.into()]);
            }
        }
        let help = problem.help.as_deref();
        elements.extend(help.map(|help| Level::HELP.message(help).into()));
        title.id(problem.code.name()).elements(elements)
    }

    /// The labels of a problem, in pieces of files that are shown each for itself.
    fn pieces(&self, problem: &'p Problem) -> Vec<(usize, Vec<Marked<'p>>)> {
        let (file, place) = self.mark(&problem.place, true);
        let own = self.line(file, &place);
        let mut near = vec![place];
        let mut pieces = Vec::new();
        for other in &problem.others {
            let (other_file, other) = self.mark(other, false);
            let distance = self.line(other_file, &other).abs_diff(own);
            if other_file == file && distance <= LINES_TOGETHER {
                near.push(other);
            } else {
                pieces.push((other_file, vec![other]));
            }
        }
        pieces.insert(0, (file, near));
        pieces
    }

    fn mark(&self, label: &'p Label, own: bool) -> (usize, Marked<'p>) {
        let (file, range) = self.problems.locate(&label.range);
        let text = &label.text;
        (file, Marked { range, text, own })
    }

    fn line(&self, file: usize, label: &Marked<'_>) -> usize {
        let lines = self.list.get(file).map(|(_, lines)| lines);
        lines.map_or(0, |lines| lines.position(label.range.start).0)
    }
}

/// A label in its file.
struct Marked<'p> {
    range: Range<usize>,
    text: &'p str,
    /// Whether it is the problem's own place.
    own: bool,
}

/// The lines of some labels, and whether the first label's line is there from its beginning.
fn snippet<'p>(labels: &[Marked<'p>], lines: &Lines<'_>) -> (Snippet<'p, Annotation<'p>>, bool) {
    let line_of = |label: &Marked<'_>| lines.position(label.range.start).0;
    let numbers = || labels.iter().map(line_of);
    let first = numbers().min().unwrap_or(0);
    let last = numbers().max().unwrap_or(0);
    let mut source = String::new();
    let mut annotations = Vec::new();
    let mut whole = true;
    let shown_first = labels.first().map(line_of);
    for number in first..=last {
        let here = labels.iter().filter(|label| line_of(label) == number);
        let window = lines.window(number, here.clone().map(|label| &label.range));
        whole &= window.whole || shown_first != Some(number);
        for label in here {
            annotations.push(annotation(label, &window, source.len()));
        }
        source += &window.text;
        source.push('\n');
    }
    let snippet = Snippet::source(source).line_start(first + 1);
    (snippet.annotations(annotations), whole)
}

/// The underlining of a label in a window that begins at `base` of the snippet.
fn annotation<'p>(label: &Marked<'p>, window: &Window, base: usize) -> Annotation<'p> {
    let start = base + window.offset(label.range.start);
    let end = base + window.offset(label.range.end);
    let kind = if label.own {
        AnnotationKind::Primary
    } else {
        AnnotationKind::Context
    };
    let text = Some(label.text).filter(|text| !text.is_empty());
    kind.span(start..end.max(start)).label(text)
}

/// A file's lines.
pub(super) struct Lines<'t> {
    bytes: &'t [u8],
    /// Where each begins.
    starts: Vec<usize>,
}

/// A line, or the part of it around what is pointed at, fit for printing.
struct Window {
    text: String,
    /// Whether the line is there from its beginning.
    whole: bool,
    /// For each of its characters: where it is in the file, and where in `text`.
    places: Vec<(usize, usize)>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(bytes: &'t [u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1));
        Self {
            bytes,
            starts: starts.collect(),
        }
    }

    /// Line and column of a byte, both from 0; columns are characters.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at).max(1) - 1;
        let before = self.part(self.starts[line]..at);
        let mark = before.starts_with("\u{feff}".as_bytes());
        let characters = before.iter().filter(|byte| !continues(**byte)).count();
        (line, characters - usize::from(mark))
    }

    /// The line around the given parts of it.
    fn window<'r>(&self, line: usize, parts: impl Iterator<Item = &'r Range<usize>>) -> Window {
        let whole = self.line(line);
        let focus = parts.fold(None, |focus: Option<Range<usize>>, part| match focus {
            None => Some(part.clone()),
            Some(focus) => Some(focus.start.min(part.start)..focus.end.max(part.end)),
        });
        let focus = focus.unwrap_or(whole.start..whole.start);
        let mut start = focus.start.saturating_sub(LINE_WINDOW).max(whole.start);
        while start > whole.start && self.bytes.get(start).is_some_and(|byte| continues(*byte)) {
            start -= 1;
        }
        let end = focus.end.min(focus.start + LINE_WINDOW) + LINE_WINDOW;
        Window::new(
            self.part(start..end.min(whole.end)),
            start,
            start == whole.start,
        )
    }

    /// A line without its end.
    fn line(&self, number: usize) -> Range<usize> {
        let start = self.starts.get(number).copied().unwrap_or(self.bytes.len());
        let next = self.starts.get(number + 1).copied();
        let end = next.map_or(self.bytes.len(), |next| next - 1);
        let carriage = self.part(start..end).ends_with(b"\r");
        start..end - usize::from(carriage)
    }

    fn part(&self, range: Range<usize>) -> &'t [u8] {
        self.bytes
            .get(range.start..range.end.min(self.bytes.len()))
            .unwrap_or_default()
    }
}

impl Window {
    /// The printable form of bytes that begin at `start` in the file.
    fn new(bytes: &[u8], start: usize, whole: bool) -> Self {
        let mut window = Self {
            text: String::new(),
            whole,
            places: Vec::new(),
        };
        let mut at = start;
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                window.push(at, c);
                at += c.len_utf8();
            }
            for _ in chunk.invalid() {
                window.push(at, char::REPLACEMENT_CHARACTER);
                at += 1;
            }
        }
        window.places.push((at, window.text.len()));
        window
    }

    fn push(&mut self, at: usize, c: char) {
        self.places.push((at, self.text.len()));
        match c {
            '\u{feff}' => {}
            '\t' => self.text.push(c),
            _ if c.is_control() => self.text.push(char::REPLACEMENT_CHARACTER),
            _ => self.text.push(c),
        }
    }

    /// Where a byte of the file is in the text, or the end of the text.
    fn offset(&self, at: usize) -> usize {
        let index = self.places.partition_point(|(place, _)| *place < at);
        self.places
            .get(index)
            .map_or(self.text.len(), |(_, offset)| *offset)
    }
}

/// Whether a byte continues a character of UTF-8.
const fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

fn printable(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}
