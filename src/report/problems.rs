//! Problems of fleet files for programs: editors, and annotations of a continuous integration.

use super::diagnostics::Lines;
use crate::fleet::Spec;
use crate::problem::{Problem, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::Range;

/// What is wrong with a fleet's files, as `armfleet validate --format json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemsReport {
    /// `armfleet-problems/1`.
    pub format: &'static str,
    /// Whether the files are valid.
    pub valid: bool,
    /// The files, as the user called them.
    pub files: Vec<String>,
    /// The fleet, where the files are valid.
    pub fleet: Option<String>,
    /// How many VMs it has, where the files are valid.
    pub vms: Option<usize>,
    /// Whether these are all problems; of very many, only the first are listed.
    pub complete: bool,
    /// The problems, in the order of the files; none where they are valid.
    pub problems: Vec<ReportedProblem>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReportedProblem {
    /// `error`; nothing less is reported.
    pub severity: &'static str,
    /// Its kind, which `armfleet explain` explains.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where it is.
    pub at: Location,
    /// What is said beside the place.
    pub label: Option<String>,
    /// Other places that it has to do with.
    pub related: Vec<RelatedPlace>,
    /// What to do about it.
    pub help: Option<String>,
    /// The change that was most probably meant.
    pub fix: Option<ReportedFix>,
}

/// A place that a problem has to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RelatedPlace {
    /// The place.
    pub at: Location,
    /// What is said about it.
    pub label: String,
}

/// A change that would mend a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReportedFix {
    /// The part to replace.
    pub at: Location,
    /// What to write there.
    pub replacement: String,
}

/// A part of a file; empty where something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Location {
    /// The file, as the user called it.
    pub file: String,
    /// Its first character.
    pub start: Position,
    /// The character after its last.
    pub end: Position,
}

/// A character of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Position {
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1, in characters. A byte order mark is none.
    pub column: usize,
    /// Its place in the file, from 0, in bytes.
    pub offset: usize,
}

const FORMAT: &str = "armfleet-problems/1";

impl ProblemsReport {
    /// Valid files.
    #[must_use]
    pub fn valid(spec: &Spec, files: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            valid: true,
            files,
            fleet: Some(spec.fleet.to_string()),
            vms: Some(spec.vms.len()),
            complete: true,
            problems: Vec::new(),
        }
    }

    /// Files with problems.
    #[must_use]
    pub fn new(problems: &Problems) -> Self {
        let files = Files::new(problems);
        Self {
            format: FORMAT,
            valid: false,
            files: files.list.iter().map(|(name, _)| name.clone()).collect(),
            fleet: None,
            vms: None,
            complete: problems.all,
            problems: problems
                .iter()
                .map(|problem| files.problem(problem))
                .collect(),
        }
    }
}

/// The files that problems are in.
struct Files<'p> {
    problems: &'p Problems,
    list: Vec<(String, Lines<'p>)>,
}

impl<'p> Files<'p> {
    fn new(problems: &'p Problems) -> Self {
        let sources = problems.sources.iter();
        let list = sources.map(|source| (source.name.clone(), Lines::new(&source.bytes)));
        Self {
            problems,
            list: list.collect(),
        }
    }

    fn problem(&self, problem: &Problem) -> ReportedProblem {
        let label = Some(&problem.place.text).filter(|label| !label.is_empty());
        let related = problem.others.iter().map(|other| RelatedPlace {
            at: self.location(&other.range),
            label: other.text.clone(),
        });
        let fix = problem.fix.as_ref().map(|replacement| ReportedFix {
            at: self.location(&problem.place.range),
            replacement: replacement.clone(),
        });
        ReportedProblem {
            severity: "error",
            code: problem.code.name(),
            message: problem.message.clone(),
            at: self.location(&problem.place.range),
            label: label.cloned(),
            related: related.collect(),
            help: problem.help.clone(),
            fix,
        }
    }

    fn location(&self, range: &Range<usize>) -> Location {
        let (number, part) = self.problems.locate(range);
        let file = self.list.get(number);
        let position = |offset| {
            let (line, column) = file.map_or((0, 0), |(_, lines)| lines.position(offset));
            Position {
                line: line + 1,
                column: column + 1,
                offset,
            }
        };
        Location {
            file: file.map_or_else(String::new, |(name, _)| name.clone()),
            start: position(part.start),
            end: position(part.end),
        }
    }
}
