//! `armfleet history`

use super::arguments::Format;
use super::exit::Exit;
use super::terminal;
use crate::files::open_plain;
use crate::host::system::SystemFiles;
use crate::inventory::{Look, Redaction, cmdline};
use crate::mark::{Kept, LockNote, read_entry, read_record};
use crate::paths;
use crate::plan::Failure;
use crate::report::{HistoryReport, JournalLine, PastStep, render_history};
use crate::values::{VmName, is_template};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Only what was done to this VM
    vm: Option<VmName>,
    /// Only the last so many applies and other acts
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// Show how the definition of each domain changed, as for a single VM
    #[arg(long)]
    diff: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// More of a journal is not read. One that has grown so far holds an apply of a hundred thousand steps.
const SIZE_LIMIT: u64 = 128 << 20;

pub(super) fn run(arguments: &HistoryArguments) -> Result<Exit, Exit> {
    let mut report = past().map_err(|error| {
        let denied = error.source.kind() == ErrorKind::PermissionDenied;
        terminal::error(&error, denied.then_some("run it as root"));
        Exit::Failed
    })?;
    if let Some(vm) = &arguments.vm {
        report.only(vm);
    }
    report.last(arguments.last);
    let compare = arguments.diff || arguments.vm.is_some() || arguments.format == Format::Json;
    let mut kept = KeptDefinitions::of(&mut report);
    for step in report.steps_mut().filter(|_| compare) {
        // What is not kept any more is not compared.
        if let Some((before, after)) = kept.around(step) {
            step.compare(&before, &after);
        }
    }
    for line in &report.damaged {
        let damaged = Damaged {
            file: line.file.clone(),
            line: line.line,
            why: line.why.clone(),
        };
        terminal::warning(&Failure::of(&damaged, None));
    }
    match arguments.format {
        Format::Json => terminal::json(&report)?,
        Format::Text if report.acts.is_empty() => terminal::remark(&match &arguments.vm {
            Some(vm) => format!("the journal has nothing about {vm}\n"),
            None => "nothing was applied on this host yet\n".to_owned(),
        }),
        Format::Text => {
            let paint = terminal::paint();
            terminal::prose(&render_history(&report, paint));
        }
    }
    Ok(Exit::Success)
}

/// The definitions that the history keeps, without secrets: a version before 0.2 kept those that a variable had before.
struct KeptDefinitions {
    /// By the VM, where an earlier version kept any.
    earlier: BTreeMap<String, Redaction>,
}

impl KeptDefinitions {
    /// Those that a report names. From here on, nothing that is printed shows what is secret in them.
    fn of(report: &mut HistoryReport) -> Self {
        let mut definitions: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
        for step in report.steps_mut() {
            let Some(vm) = step.vm.clone() else {
                continue;
            };
            let texts = [&step.before, &step.after].into_iter().flatten();
            let texts =
                texts.filter_map(|kept| Some((kept.templates, definition(vm.as_str(), kept)?)));
            definitions.entry(vm.to_string()).or_default().extend(texts);
        }
        definitions.retain(|_, texts| texts.iter().any(|(templates, _)| !templates));
        let earlier = definitions.into_iter().map(|(vm, texts)| {
            let cmdlines = texts.iter().filter_map(|(_, text)| cmdline(text));
            let templates = cmdlines.filter(|text| is_template(text));
            let recorded = recorded_templates(&vm).into_iter();
            let mut redaction = Redaction::of_templates(&vm, templates.chain(recorded));
            for (_, text) in texts.iter().filter(|(templates, _)| !templates) {
                redaction.learn(&vm, "", text);
            }
            terminal::keep_secret(redaction.secrets());
            (vm, redaction)
        });
        Self {
            earlier: earlier.collect(),
        }
    }

    /// The definitions before and after a step, where both are kept.
    fn around(&mut self, step: &PastStep) -> Option<(String, String)> {
        let vm = step.vm.as_ref()?.as_str();
        let shown = |kept: &Kept| {
            let text = definition(vm, kept)?;
            let has_template = || cmdline(&text).is_some_and(|text| is_template(&text));
            match self.earlier.get(vm) {
                Some(earlier) if !kept.templates && !has_template() => {
                    Some(earlier.definition(vm, "", &text))
                }
                _ => Some(text),
            }
        };
        Some((shown(step.before.as_ref()?)?, shown(step.after.as_ref()?)?))
    }
}

fn definition(vm: &str, kept: &Kept) -> Option<String> {
    let path = paths::kept_definition(&vm.parse().ok()?, &kept.sha256);
    Some(String::from_utf8_lossy(&read(&path).ok()?).into_owned())
}

/// The templates that a VM's record has.
fn recorded_templates(vm: &str) -> BTreeSet<String> {
    let path = vm.parse().map(|vm| paths::record(&vm));
    let text = path.ok().and_then(|path| read(&path).ok());
    let record = text.and_then(|text| read_record(&text).ok());
    record.map_or_else(BTreeSet::new, |record| record.secret_cmdlines)
}

/// What the journals of this host tell.
pub(super) fn past() -> Result<HistoryReport, Unreadable> {
    Ok(HistoryReport::new(lines()?, is_under_way()))
}

/// The lines of all journals, the oldest first.
fn lines() -> Result<Vec<JournalLine>, Unreadable> {
    let mut lines = Vec::new();
    for age in (0..=paths::OLDER_JOURNALS).rev() {
        let path = paths::older_journal(age);
        let bytes = match read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(|source| Unreadable {
                path: path.clone(),
                source,
            })?,
        };
        let numbered = bytes.split(|byte| *byte == b'\n').enumerate();
        lines.extend(
            numbered
                .filter(|(_, line)| !line.is_empty())
                .map(|(at, line)| JournalLine {
                    file: path.clone(),
                    number: at + 1,
                    entry: read_entry(line),
                }),
        );
    }
    Ok(lines)
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_plain(Path::new(path))?;
    file.take(SIZE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether an apply is at work. Its lock is not tried, since another apply could meet that; its note tells the process.
fn is_under_way() -> bool {
    let note = SystemFiles::new(Path::new("/")).look(paths::APPLY_LOCK, Look::Text);
    let note = note.present().and_then(|file| file.text.as_deref());
    let process = note.and_then(LockNote::pid_in);
    process.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).is_dir())
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub(super) struct Unreadable {
    path: String,
    source: io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("{file}: line {line} cannot be read: {why}")]
struct Damaged {
    file: String,
    line: usize,
    why: String,
}
