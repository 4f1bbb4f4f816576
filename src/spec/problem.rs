//! What is wrong with a fleet file, and where.

pub(super) use super::code::Code;
use std::ops::Range;

/// A part of the file, in bytes, with what is to be said about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The part; empty where something is missing.
    pub range: Range<usize>,
    /// What is said about it; may be empty.
    pub text: String,
}

/// A change of the file that would mend a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The part to replace.
    pub range: Range<usize>,
    /// What to write there.
    pub replacement: String,
}

/// One mistake in a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// Where it is.
    pub place: Label,
    /// Other places that it has to do with: the first of two equal keys, the VM that has the same disk.
    pub others: Vec<Label>,
    /// What to do about it, where the message does not say so already.
    pub help: Option<String>,
    /// The change that was most probably meant, where it is a change of a word.
    pub fix: Option<Fix>,
}

impl Problem {
    /// A problem at a place.
    pub(super) fn new(code: Code, range: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: short(&message.into()),
            place: Label {
                range: range.clone(),
                text: String::new(),
            },
            others: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// Says something beside the underlined part.
    pub(super) fn label(mut self, text: impl Into<String>) -> Self {
        self.place.text = short(&text.into());
        self
    }

    /// Points at a second place.
    pub(super) fn also(mut self, range: &Range<usize>, text: impl Into<String>) -> Self {
        self.others.push(Label {
            range: range.clone(),
            text: short(&text.into()),
        });
        self
    }

    /// Says what to do.
    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(short(&text.into()));
        self
    }

    /// Proposes to write something else in the place of the problem.
    pub(super) fn fix(mut self, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            range: self.place.range.clone(),
            replacement: replacement.into(),
        });
        self
    }

    fn order(&self) -> (usize, usize, Code, &str) {
        let Range { start, end } = self.place.range;
        (start, end, self.code, &self.message)
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

/// Everything that is wrong with one fleet file: at least one problem, in the order of the file, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file_name: String,
    list: Vec<Problem>,
    all: bool,
}

impl Problems {
    /// The file as the user called it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Whether these are all. Only what is hardly a fleet file has more problems than are worth looking for.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.all
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Problem>);

/// So many problems are kept; a file with more is no fleet file.
const LIMIT: usize = 1000;

/// Proof that a problem was reported: the error of whatever could not be read because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported(());

/// A value, or the proof that it was reported why there is none.
pub(super) type Checked<T> = Result<T, Reported>;

impl Found {
    /// Adds a problem.
    pub(super) fn report(&mut self, problem: Problem) -> Reported {
        if self.0.len() <= LIMIT {
            self.0.push(problem);
        }
        Reported(())
    }

    /// Fails as soon as there are more problems than anybody wants to know.
    pub(super) fn patience(&self) -> Checked<()> {
        if self.0.len() > LIMIT {
            return Err(Reported(()));
        }
        Ok(())
    }

    /// The outcome of reading: the value, if there was no problem at all.
    pub(super) fn outcome<T>(mut self, read: Checked<T>, file_name: &str) -> Result<T, Problems> {
        if let (Ok(value), true) = (read, self.0.is_empty()) {
            return Ok(value);
        }
        self.0.sort_by(|one, other| one.order().cmp(&other.order()));
        self.0.dedup_by(|one, other| one.order() == other.order());
        let all = self.0.len() <= LIMIT;
        self.0.truncate(LIMIT);
        Err(Problems {
            file_name: file_name.to_owned(),
            all,
            list: self.0,
        })
    }
}
