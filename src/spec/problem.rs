//! What is wrong with a fleet file, and where.

use std::fmt;
use std::ops::Range;

/// The kind of a problem. Its name is what a user looks up and a script matches, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The file is larger than any fleet file may be.
    FileTooLarge,
    /// The file holds bytes that are not UTF-8.
    NotUtf8,
    /// The file holds a control character.
    ControlCharacter,
    /// The file is not YAML.
    Syntax,
    /// Maps and lists are nested deeper than any fleet file needs.
    TooDeep,
    /// Aliases multiply the file beyond reason.
    TooManyAliases,
    /// The file holds nothing.
    EmptyFile,
    /// The file holds several YAML documents.
    SeveralDocuments,
    /// A YAML tag, which fleet files do not use.
    Tag,
    /// YAML's merge key, which fleet files do not use.
    MergeKey,
    /// A key that is a map, a list or nothing.
    BadKey,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that is given twice in one map.
    DuplicateKey,
    /// A key that must be given, and is not, or has no value.
    MissingKey,
    /// A value of the wrong shape: a list for a text, a text for a number.
    WrongType,
    /// A value of the right shape that is not acceptable.
    WrongValue,
    /// A key or value that the language has, but this version does not do.
    NotSupportedYet,
    /// A `{…}` that names nothing, or a lone brace.
    Placeholder,
    /// Two VMs, or two parts of one, that would use the same file or folder.
    SharedPath,
    /// Two disks of one VM with the same name.
    DuplicateDisk,
    /// Memory outside of what the guest can have.
    MemoryRange,
    /// Memory that is no whole number of MiB.
    MemoryFraction,
    /// A number of virtual CPUs that the guest cannot have.
    VcpuRange,
    /// A kernel command line longer than the kernel keeps.
    CmdlineLength,
    /// A path that libvirt, its AppArmor profiles or armfleet itself cannot give to a VM.
    PathRefused,
    /// A folder as a boot share that is not one VM's alone.
    ShareTooGeneral,
    /// A disk size that no disk can have.
    DiskSize,
    /// A disk file whose suffix contradicts its format.
    DiskFormat,
    /// A seed whose kernel and initrd are the same file.
    SeedPair,
    /// A stop timeout outside its bounds.
    StopTimeout,
}

impl Code {
    /// The name, as in `error[unknown-key]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FileTooLarge => "file-too-large",
            Self::NotUtf8 => "not-utf8",
            Self::ControlCharacter => "control-character",
            Self::Syntax => "syntax",
            Self::TooDeep => "too-deep",
            Self::TooManyAliases => "too-many-aliases",
            Self::EmptyFile => "empty-file",
            Self::SeveralDocuments => "several-documents",
            Self::Tag => "tag",
            Self::MergeKey => "merge-key",
            Self::BadKey => "bad-key",
            Self::UnknownKey => "unknown-key",
            Self::DuplicateKey => "duplicate-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::WrongValue => "wrong-value",
            Self::NotSupportedYet => "not-supported-yet",
            Self::Placeholder => "placeholder",
            Self::SharedPath => "shared-path",
            Self::DuplicateDisk => "duplicate-disk",
            Self::MemoryRange => "memory-range",
            Self::MemoryFraction => "memory-fraction",
            Self::VcpuRange => "vcpu-range",
            Self::CmdlineLength => "cmdline-length",
            Self::PathRefused => "path-refused",
            Self::ShareTooGeneral => "share-too-general",
            Self::DiskSize => "disk-size",
            Self::DiskFormat => "disk-format",
            Self::SeedPair => "seed-pair",
            Self::StopTimeout => "stop-timeout",
        }
    }
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

/// A text for one line, whatever of the file is quoted in it: without its middle if it is long, and with control
/// characters escaped.
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
        if c.is_control() {
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

/// Proof that a problem was reported: the error of whatever could not be read because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported(());

/// A value, or the proof that it was reported why there is none.
pub(super) type Checked<T> = Result<T, Reported>;

impl Found {
    /// Adds a problem.
    pub(super) fn report(&mut self, problem: Problem) -> Reported {
        self.0.push(problem);
        Reported(())
    }

    /// The outcome of reading: the value, if there was no problem at all.
    pub(super) fn outcome<T>(mut self, read: Checked<T>, file_name: &str) -> Result<T, Problems> {
        if let (Ok(value), true) = (read, self.0.is_empty()) {
            return Ok(value);
        }
        self.0.sort_by(|one, other| one.order().cmp(&other.order()));
        self.0.dedup_by(|one, other| one.order() == other.order());
        Err(Problems {
            file_name: file_name.to_owned(),
            list: self.0,
        })
    }
}
