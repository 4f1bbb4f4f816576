//! The journal: what armfleet did on a host (`/var/lib/armfleet/journal.jsonl`), a line of JSON for each thing that
//! happened. Lines are only ever appended; an apply that was killed has a beginning and no end.

use crate::format::{Format, FormatError};
use crate::values::VmName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each line says it is.
const FORMAT: Format = Format::new("armfleet-journal", 1 << 20);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// Who was at work: the user's name, behind sudo the one who called it.
    pub by: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An apply began.
    Began(Beginning),
    /// A step ended, of an apply or of another command.
    Step(StepTrace),
    /// An apply ended, with whatever success.
    Ended {
        /// The digest of its plan.
        plan: String,
        /// Whether it was interrupted.
        interrupted: bool,
    },
}

/// The beginning of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// The digest of its plan.
    pub plan: String,
    /// The fleet.
    pub fleet: String,
    /// The host's name in the fleet file.
    pub host: String,
    /// How many steps the plan has.
    pub steps: usize,
    /// Where it was called.
    pub from: CalledFrom,
}

/// Where a command was called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalledFrom {
    /// The name of the machine.
    pub machine: String,
    /// The fleet files, or the file of the saved plan.
    pub files: Vec<String>,
    /// The address that its user was logged in from; null if that is not known.
    pub client: Option<String>,
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTrace {
    /// The digest of its apply's plan; none for what other commands do.
    pub plan: Option<String>,
    /// The step's id.
    pub id: String,
    /// The VM it belongs to; none for steps of the host.
    pub vm: Option<VmName>,
    /// What it does.
    pub action: Action,
    /// The kind of thing that it does it to.
    pub kind: String,
    /// Which one.
    pub subject: String,
    /// Why it is taken.
    pub reason: String,
    /// What it changes, property by property.
    #[serde(default)]
    pub changes: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
    /// Why it failed, the outermost error first; empty if it was done.
    #[serde(default)]
    pub error: Vec<String>,
    /// The hook that ended it, where that is not armfleet's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The domain's definition before, in the history.
    #[serde(default)]
    pub before: Option<Kept>,
    /// The domain's definition after, in the history.
    #[serde(default)]
    pub after: Option<Kept>,
}

/// A definition in the history (`/var/lib/armfleet/history/<vm>/<sha256>.xml`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// SHA-256 of the definition as it is kept, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it is the whole definition: passwords, and what the fleet file takes from the environment, are never kept.
    pub whole: bool,
    /// Whether templates stand in it for what the fleet file took from the environment, then and before. A version before
    /// 0.2 knew the values of then only.
    #[serde(default)]
    pub templates: bool,
}

/// What a step does, in a word.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Something new comes.
    Create,
    /// Something there becomes different.
    Change,
    /// Something goes.
    Remove,
    /// A VM is started.
    Start,
    /// A VM is stopped, or its stop is waited for.
    Stop,
}

impl Action {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Remove => "remove",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// The sign that it is shown by.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Change => "~",
            Self::Remove => "-",
            Self::Start => ">",
            Self::Stop => "<",
        }
    }
}

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is damaged, cut off, or of another version of armfleet.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It names a file that no history has.
    #[error("it names a definition that is none")]
    NoDigest,
}

/// The line of an entry, without its end.
///
/// # Errors
/// None in practice: every part of an entry can be written as JSON.
pub fn render_entry(entry: &Entry) -> Result<String, FormatError> {
    FORMAT.render_line(entry)
}

/// Reads a line. Unknown fields are left alone: a later version of the same format may add some.
///
/// # Errors
/// Says why it is no line of this format.
pub fn read_entry(line: &[u8]) -> Result<Entry, LineError> {
    let entry: Entry = FORMAT.read(line)?;
    match &entry.event {
        Event::Step(step) if !step.kept().all(Kept::is_digest) => Err(LineError::NoDigest),
        _ => Ok(entry),
    }
}

impl StepTrace {
    /// What was done to a VM outside any apply, by its own name and with no more to tell.
    #[must_use]
    pub fn of_vm(vm: &VmName, kind: &str, action: Action, reason: String) -> Self {
        Self {
            plan: None,
            id: format!("{kind}/{vm}"),
            vm: Some(vm.clone()),
            action,
            kind: kind.to_owned(),
            subject: vm.to_string(),
            reason,
            changes: Vec::new(),
            milliseconds: 0,
            error: Vec::new(),
            hook: None,
            before: None,
            after: None,
        }
    }

    /// The definitions in the history that it names.
    pub fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.before.iter().chain(&self.after)
    }
}

impl Kept {
    /// It becomes part of a path.
    fn is_digest(&self) -> bool {
        let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        self.sha256.len() == 64 && self.sha256.bytes().all(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        let kept = Kept {
            sha256: "0".repeat(64),
            whole: true,
            templates: true,
        };
        Entry {
            at: 1,
            by: "anna".to_owned(),
            event: Event::Step(StepTrace {
                plan: Some("1".repeat(64)),
                id: "domain/a".to_owned(),
                vm: Some("a".parse().unwrap()),
                action: Action::Change,
                kind: "domain".to_owned(),
                subject: "a".to_owned(),
                reason: "file changed".to_owned(),
                changes: vec!["memory 1 GiB -> 2 GiB".to_owned()],
                milliseconds: 12,
                error: Vec::new(),
                hook: None,
                before: Some(kept),
                after: None,
            }),
        }
    }

    #[test]
    fn an_entry_is_a_line_and_reads_back() {
        let ended = Event::Ended {
            plan: "1".repeat(64),
            interrupted: true,
        };
        let began = Event::Began(Beginning {
            plan: "1".repeat(64),
            fleet: "obs".to_owned(),
            host: "local".to_owned(),
            steps: 3,
            from: CalledFrom::default(),
        });
        for event in [entry().event, began, ended] {
            let entry = Entry { event, ..entry() };
            let line = render_entry(&entry).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(read_entry(line.as_bytes()).unwrap(), entry);
        }
    }

    #[test]
    fn a_line_that_leads_elsewhere_is_refused() {
        let line = render_entry(&entry()).unwrap();
        let hostile = line.replace(&"0".repeat(64), "../../../../etc/shadow");
        assert!(matches!(
            read_entry(hostile.as_bytes()),
            Err(LineError::NoDigest)
        ));
        let hostile = line.replace("\"vm\":\"a\"", "\"vm\":\"../a\"");
        assert!(matches!(
            read_entry(hostile.as_bytes()),
            Err(LineError::Format(FormatError::Malformed(_)))
        ));
        let later = line.replace("journal/1", "journal/2");
        assert!(matches!(
            read_entry(later.as_bytes()),
            Err(LineError::Format(FormatError::Later { .. }))
        ));
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut line = render_entry(&entry()).unwrap().into_bytes();
            let at = at % line.len();
            line[at] = byte;
            let _any = read_entry(&line);
            line.truncate(cut);
            prop_assert!(read_entry(&line).is_err() || cut >= line.len());
        }
    }
}
