//! What is wrong with a fleet file, and where.

use super::kind::ProblemKind;
use crate::values::Secrets;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Deref, Range};

/// A file in which there is a problem, or could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the user calls it.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// The absolute path of its folder.
    pub(crate) folder: String,
    /// The position that its first byte counts as.
    pub(crate) start: usize,
    /// Whether it may hold secrets that are written out, so that of its text only what is wrong is shown.
    pub(crate) private: bool,
}

impl Source {
    /// The file that a position is in, with its number.
    pub(crate) fn at(sources: &[Self], at: usize) -> Option<(usize, &Self)> {
        let after = sources.partition_point(|source| source.start <= at);
        let number = after.checked_sub(1)?;
        Some((number, sources.get(number)?))
    }

    /// The same with a dot for every character of a private text but those of these parts.
    fn masked(mut self, shown: &[Range<usize>]) -> Self {
        if !self.private {
            return self;
        }
        let text = String::from_utf8_lossy(&self.bytes);
        let masked = text.char_indices().map(|(at, c)| {
            let at = self.start + at;
            // A dot of as many bytes keeps every place.
            match c.len_utf8() {
                _ if c == '\n' || shown.iter().any(|part| part.contains(&at)) => c,
                1 => '.',
                2 => '\u{b7}',
                3 => '\u{2024}',
                _ => '\u{1d16d}',
            }
        });
        self.bytes = masked.collect::<String>().into_bytes();
        self
    }
}

/// A part of the file, in bytes, with what is said about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The part; empty where something is missing.
    pub range: Range<usize>,
    /// What is said about it; may be empty.
    pub text: String,
}

impl Label {
    fn new(range: &Range<usize>, text: impl Into<String>) -> Self {
        let (range, text) = (range.clone(), text.into());
        Self { range, text }
    }
}

/// One mistake in a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: ProblemKind,
    /// What is wrong.
    pub message: String,
    /// Where it is.
    pub place: Label,
    /// Other places that it has to do with: the first of two equal keys, the VM that has the same disk.
    pub others: Vec<Label>,
    /// What to do about it, where the message does not say so already.
    pub help: Option<String>,
    /// What was most probably meant in the place of the problem, where that is a word.
    pub fix: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: ProblemKind, range: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: Label::new(range, ""),
            others: Vec::new(),
            help: None,
            fix: None,
        }
    }

    pub(crate) fn label(mut self, text: impl Into<String>) -> Self {
        self.place.text = text.into();
        self
    }

    pub(crate) fn also(mut self, range: &Range<usize>, text: impl Into<String>) -> Self {
        self.others.push(Label::new(range, text));
        self
    }

    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Proposes to write something else in the place of the problem.
    pub(crate) fn fix(mut self, replacement: impl Into<String>) -> Self {
        self.fix = Some(replacement.into());
        self
    }

    pub(crate) fn report(self, found: &Diagnostics) -> ErrorReported {
        found.add(self)
    }

    /// The same with every text fit to be shown: short, and without what is secret.
    fn shown(mut self, secrets: &Secrets) -> Self {
        let show = |text: &mut String| *text = short(&secrets.redact(text));
        show(&mut self.message);
        show(&mut self.place.text);
        self.others
            .iter_mut()
            .for_each(|other| show(&mut other.text));
        self.help.iter_mut().for_each(show);
        self
    }
}

/// A text for one line, whatever of the file is quoted in it: without its middle if it is long, and with everything
/// escaped that would not be seen or would change how the rest is.
fn short(text: &str) -> String {
    const END: usize = 140;
    let count = text.chars().count();
    if count <= 2 * END {
        return visible(text.chars());
    }
    let head = visible(text.chars().take(END));
    let tail = visible(text.chars().skip(count - END));
    format!("{head}…{tail}")
}

fn visible(text: impl Iterator<Item = char>) -> String {
    let mut visible = String::new();
    for c in text {
        let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || invisible {
            visible.extend(c.escape_default());
        } else {
            visible.push(c);
        }
    }
    visible
}

/// Everything that is wrong with the fleet files: at least one problem, in the order of the files, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The files, in the order in which they were given.
    pub sources: Vec<Source>,
    /// Whether these are all. Only what is hardly a fleet file has more problems than are worth looking for.
    pub all: bool,
    list: Vec<Problem>,
}

impl Problems {
    /// The number among the [sources](Self#structfield.sources) of the file that a label is in, and the label's part of that file.
    #[must_use]
    pub fn locate(&self, range: &Range<usize>) -> (usize, Range<usize>) {
        let source = Source::at(&self.sources, range.start);
        let (number, start) = source.map_or((0, 0), |(number, source)| (number, source.start));
        let end = range.end.max(range.start) - start;
        (number, range.start - start..end)
    }
}

impl Deref for Problems {
    type Target = [Problem];
    fn deref(&self) -> &[Problem] {
        &self.list
    }
}

/// The order of problems; two that are equal in it are the same problem.
type Order = (usize, usize, ProblemKind, String);

/// The problems found so far. Every reader and every check adds to it through a shared reference.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    secrets: Secrets,
    /// Whether what is read belongs to no VM, so that nothing can be missing.
    alone: Cell<bool>,
    told: RefCell<Told>,
}

#[derive(Debug, Default)]
struct Told {
    list: BTreeMap<Order, Problem>,
    /// The VM at hand, by number.
    turn: Option<usize>,
    /// In which VM's turn something was first found wrong with a place.
    first: BTreeMap<(usize, usize, ProblemKind), Option<usize>>,
    /// What a misspelled key was probably meant to be, by where it begins.
    meant: BTreeMap<usize, Option<&'static str>>,
    /// The parts of the files that are read as parts of the VM at hand, besides its own.
    layers: Vec<Layer>,
    /// How often something was reported, the same thing again included.
    heard: usize,
}

/// A part of the files that a VM takes values from: `defaults`, a profile, a range.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) extent: Range<usize>,
    /// Where the VM says so.
    pub(crate) used: Range<usize>,
    pub(crate) by: String,
}

/// The most problems that are kept; a file with more is hardly a fleet file.
const LIMIT: usize = 1000;
/// The most reports: enough for twenty-five mistakes in the profile of ten thousand VMs.
const HEARD: usize = 250_000;

/// Proof that a problem was reported, as the error of each value that could not be read because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorReported(());

/// A value, or the proof that it was reported why there is none.
pub(crate) type Checked<T> = Result<T, ErrorReported>;

impl Diagnostics {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    /// What is wrong with a place for one VM is not reported again for others that share it.
    fn add(&self, problem: Problem) -> ErrorReported {
        let mut told = self.told.borrow_mut();
        let missing = problem.code == ProblemKind::MissingKey;
        if !(self.alone.get() && missing || told.is_enough()) {
            told.add(problem, &self.secrets);
        }
        ErrorReported(())
    }

    /// The proof that a problem of just this place was reported in another VM's turn: it need not be worked out again.
    pub(crate) fn is_told(&self, range: &Range<usize>) -> Option<ErrorReported> {
        let mut told = self.told.borrow_mut();
        let (start, end) = (range.start, range.end);
        let mut at_place = told.first.range((start, end, ProblemKind::ALL[0])..);
        let ((first_start, first_end, _), turn) = at_place.next()?;
        if (*first_start, *first_end) != (start, end) || *turn == told.turn {
            return None;
        }
        told.heard += 1;
        Some(ErrorReported(()))
    }

    /// What the misspelled key at a place was probably meant to be; it is guessed once.
    pub(crate) fn meant(
        &self,
        at: usize,
        guess: impl FnOnce() -> Option<&'static str>,
    ) -> Option<&'static str> {
        let mut told = self.told.borrow_mut();
        *told.meant.entry(at).or_insert_with(guess)
    }

    /// Begins the turn of a VM, or of none: what is read or checked next is for it, and what the layers say, too.
    pub(crate) fn turn(&self, vm: Option<usize>, layers: &[Layer]) {
        let mut told = self.told.borrow_mut();
        told.turn = vm;
        told.layers = layers.to_vec();
    }

    /// Reads a layer for itself: what only a VM can say may be missing.
    pub(crate) fn alone<T>(&self, read: impl FnOnce() -> T) -> T {
        let before = self.alone.replace(true);
        let read = read();
        self.alone.set(before);
        read
    }

    /// What stands for a value that only a VM can give, while a layer is read for itself.
    pub(crate) const fn left_open() -> ErrorReported {
        ErrorReported(())
    }

    /// Fails as soon as there are too many problems to look for more.
    pub(crate) fn patience(&self) -> Checked<()> {
        match self.told.borrow().is_enough() {
            true => Err(ErrorReported(())),
            false => Ok(()),
        }
    }

    /// The outcome of reading: the value, if there was no problem at all.
    pub(crate) fn outcome<T>(self, read: Checked<T>, sources: Vec<Source>) -> Result<T, Problems> {
        let told = self.told.into_inner();
        match read {
            Ok(value) if told.list.is_empty() => Ok(value),
            _ => {
                let all = !told.is_enough();
                let list: Vec<_> = told.list.into_values().take(LIMIT).collect();
                let labels = list
                    .iter()
                    .flat_map(|problem| [&problem.place].into_iter().chain(&problem.others));
                let shown: Vec<_> = labels.map(|label| label.range.clone()).collect();
                let sources = sources.into_iter().map(|source| source.masked(&shown));
                Err(Problems {
                    sources: sources.collect(),
                    all,
                    list,
                })
            }
        }
    }
}

impl Told {
    fn add(&mut self, problem: Problem, secrets: &Secrets) {
        self.heard += 1;
        let Range { start, end } = problem.place.range;
        let first = self.first.entry((start, end, problem.code));
        if *first.or_insert(self.turn) == self.turn {
            let problem = self.with_use(problem).shown(secrets);
            let order = (start, end, problem.code, problem.message.clone());
            self.list.entry(order).or_insert(problem);
        }
    }

    /// Shows which VM a value is for, too, if it stands in a profile or the like.
    fn with_use(&self, problem: Problem) -> Problem {
        let at = problem.place.range.start;
        let layer = self.layers.iter().find(|layer| layer.extent.contains(&at));
        match layer {
            Some(layer) if !problem.others.iter().any(|other| other.range == layer.used) => {
                problem.also(&layer.used, format!("used by `{}`", layer.by))
            }
            _ => problem,
        }
    }

    fn is_enough(&self) -> bool {
        self.list.len() > LIMIT || self.heard > HEARD
    }
}
