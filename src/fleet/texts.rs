//! Files whose texts belong to a fleet: which they are, and how they are read.

use crate::fleetfile::{Placeholders, Spanned};
use crate::problem::{Checked, Problem, ProblemKind};
use crate::values::HostPath;
use crate::yaml::{FleetFile, Kind, Node, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

/// The most bytes of such a file, and of its text once placeholders are replaced.
pub const TEXT_LIMIT: usize = 256 << 10;

/// The most bytes of all such files of a fleet.
pub const TEXTS_LIMIT: usize = 32 << 20;

/// A file that fleet files name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedText {
    /// The folder of the fleet file that names it, which no link may lead out of.
    pub folder: String,
    /// Its absolute path, below that folder.
    pub path: HostPath,
}

/// Such a file as it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// What the user would call it.
    pub name: String,
    /// What it holds, or why that could not be read.
    pub content: Result<Vec<u8>, TextError>,
    /// What tells the file that it was read from, and its version, from any other.
    pub identity: Option<String>,
}

/// The files that fleet files name, by path.
pub type Texts = BTreeMap<HostPath, Text>;

/// Why a text is not there. What could not be read has no place of its own: it is said where the file is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextError {
    /// There is no such file.
    Absent,
    /// A link on the way leads out of the folder.
    Outside,
    /// It is a folder, a device, a socket or a FIFO.
    NotPlain,
    /// It has more than [`TEXT_LIMIT`] bytes.
    TooLarge,
    /// With it, all have more than [`TEXTS_LIMIT`] bytes.
    TooMany,
    /// It cannot be opened or read; why.
    Unreadable(String),
}

/// It may hold secrets.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({:?})", self.name)
    }
}

/// The texts of one reading of fleet files.
pub(super) struct TextReader<'a> {
    given: Option<&'a Texts>,
    numbers: BTreeMap<&'a HostPath, usize>,
    named: RefCell<BTreeSet<NamedText>>,
}

impl<'a> TextReader<'a> {
    /// Without texts, those that are named are only noted.
    pub(super) fn new(given: Option<&'a Texts>) -> Self {
        let paths = given.into_iter().flat_map(|texts| texts.keys());
        Self {
            given,
            numbers: paths
                .enumerate()
                .map(|(number, path)| (path, number))
                .collect(),
            named: RefCell::default(),
        }
    }

    pub(super) fn is_noting(&self) -> bool {
        self.given.is_none()
    }

    pub(super) fn named(self) -> BTreeSet<NamedText> {
        self.named.into_inner()
    }

    /// The texts as files in which there can be problems.
    pub(super) fn files(&self) -> impl Iterator<Item = FleetFile<'a>> {
        let given = self.given.into_iter().flatten();
        given.map(|(_, text)| FleetFile {
            name: &text.name,
            folder: "/",
            bytes: text.content.as_deref().unwrap_or_default(),
        })
    }

    /// The text of a file that is named at some place, with its placeholders replaced but for secrets; none where it is only
    /// noted.
    pub(super) fn read(
        &self,
        path: &Spanned<HostPath>,
        words: &Placeholders<'_>,
    ) -> Checked<Option<PlacedText>> {
        let scope = words.scope;
        let folder = scope.sources.folder(path.range.start);
        let Some(given) = self.given else {
            self.named.borrow_mut().insert(NamedText {
                folder: folder.to_owned(),
                path: path.value.clone(),
            });
            return Ok(None);
        };
        let number = self.numbers.get(&path.value);
        let file = number.and_then(|number| scope.sources.text_file(*number));
        let content = given.get(&path.value).map(|text| &text.content);
        let (Some((bytes, start)), Some(Ok(_))) = (file, content) else {
            let why = content.and_then(|content| content.as_ref().err());
            let problem = unreadable(path, folder, why.unwrap_or(&TextError::Absent));
            return Err(problem.report(scope.found));
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = start + error.valid_up_to();
            let message = "the file is not UTF-8 text";
            let problem = Problem::new(ProblemKind::NotUtf8, &(at..at + 1), message);
            let problem = problem
                .also(&path.range, "used here")
                .help("save it as UTF-8");
            problem.report(scope.found)
        })?;
        let value = Value::Scalar(text.to_owned(), Kind::Text);
        let node = Node {
            alias: Some(path.range.clone()),
            ..Node::new(start..start + text.len(), value)
        };
        let template = words.file(text, &node, TEXT_LIMIT)?;
        // No more of it than tells what it is: it may be secret.
        let begin = text.chars().take_while(|c| !c.is_whitespace());
        let end: usize = begin.take(SHOWN).map(char::len_utf8).sum();
        Ok(Some(PlacedText {
            template,
            begin: start..start + end,
            named: path.range.clone(),
        }))
    }
}

/// A text, and where in its file it begins.
pub(super) struct PlacedText {
    pub(super) template: String,
    /// Its first word.
    pub(super) begin: Range<usize>,
    /// Where the fleet file names it.
    pub(super) named: Range<usize>,
}

/// So many characters of a text are shown at most where the text as a whole is wrong.
const SHOWN: usize = 24;

impl PlacedText {
    /// A problem of the text as a whole.
    pub(super) fn problem(&self, kind: ProblemKind, message: &str) -> Problem {
        Problem::new(kind, &self.begin, message).also(&self.named, "used here")
    }
}

fn unreadable(path: &Spanned<HostPath>, folder: &str, why: &TextError) -> Problem {
    let file = &path.value;
    let (message, help) = match why {
        TextError::Absent => (
            format!("there is no file {file}"),
            "put it there, or correct the path".to_owned(),
        ),
        TextError::Outside => (
            format!("a link on the way to {file} leads out of {folder}"),
            format!("copy what it leads to into {folder}, and name the copy"),
        ),
        TextError::NotPlain => (
            format!("{file} is not a plain file"),
            "name the file itself".to_owned(),
        ),
        TextError::TooLarge => (
            format!("{file} has more than {TEXT_LIMIT} bytes"),
            "let cloud-init fetch what is large, with `#include` or `runcmd`".to_owned(),
        ),
        TextError::TooMany => (
            format!("with {file}, the files of cloud_init have more than {TEXTS_LIMIT} bytes"),
            "let VMs share them, with {name} where they differ, or divide the fleet".to_owned(),
        ),
        TextError::Unreadable(why) => (
            format!("{file} cannot be read: {why}"),
            format!("let the user at work read it: chmod u+r {file}"),
        ),
    };
    Problem::new(ProblemKind::TextFile, &path.range, message).help(help)
}
