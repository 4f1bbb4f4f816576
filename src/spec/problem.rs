//! What is wrong with a fleet file, and where.

use std::fmt;
use std::ops::Range;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)*) => {
        /// The kind of a problem. Its name is what a user looks up and a script matches, so it never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The name, as in `error[unknown-key]`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// The file is larger than any fleet file may be.
    FileTooLarge = "file-too-large",
    /// The file holds bytes that are not UTF-8.
    NotUtf8 = "not-utf8",
    /// The file holds a control character.
    ControlCharacter = "control-character",
    /// The file is not YAML.
    Syntax = "syntax",
    /// Maps and lists are nested deeper than any fleet file needs.
    TooDeep = "too-deep",
    /// Aliases multiply the file beyond reason.
    TooManyAliases = "too-many-aliases",
    /// The file holds nothing.
    EmptyFile = "empty-file",
    /// The file holds several YAML documents.
    SeveralDocuments = "several-documents",
    /// A YAML tag, which fleet files do not use.
    Tag = "tag",
    /// YAML's merge key, which fleet files do not use.
    MergeKey = "merge-key",
    /// A key that is a map, a list or nothing.
    BadKey = "bad-key",
    /// A key that means nothing here.
    UnknownKey = "unknown-key",
    /// A key that is given twice in one map.
    DuplicateKey = "duplicate-key",
    /// A key that must be given, and is not, or has no value.
    MissingKey = "missing-key",
    /// A value of the wrong shape: a list for a text, a text for a number.
    WrongType = "wrong-type",
    /// A value of the right shape that is not acceptable.
    WrongValue = "wrong-value",
    /// A key or value that the language has, but this version does not do.
    NotSupportedYet = "not-supported-yet",
    /// A `{…}` that names nothing, or a lone brace.
    Placeholder = "placeholder",
    /// Two VMs, or two parts of one, that would use the same file or folder.
    SharedPath = "shared-path",
    /// Two disks of one VM with the same name.
    DuplicateDisk = "duplicate-disk",
    /// Memory outside of what the guest can have.
    MemoryRange = "memory-range",
    /// Memory that is no whole number of MiB.
    MemoryFraction = "memory-fraction",
    /// A number of virtual CPUs that the guest cannot have.
    VcpuRange = "vcpu-range",
    /// A kernel command line longer than the kernel keeps.
    CmdlineLength = "cmdline-length",
    /// A path that libvirt, its AppArmor profiles or armfleet itself cannot give to a VM.
    PathRefused = "path-refused",
    /// A folder as a boot share that is not one VM's alone.
    ShareTooGeneral = "share-too-general",
    /// A disk size that no disk can have.
    DiskSize = "disk-size",
    /// A disk file whose suffix contradicts its format.
    DiskFormat = "disk-format",
    /// A seed whose kernel and initrd are the same file.
    SeedPair = "seed-pair",
    /// A stop timeout outside its bounds.
    StopTimeout = "stop-timeout",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A part of the file, in bytes, with what is to be said about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The part; empty where something is missing.
    pub range: Range<usize>,
    /// What is said about it; may be empty.
    pub text: String,
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
