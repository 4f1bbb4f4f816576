//! What a fleet file leaves to the command line: `vars:` declares, `--var NAME=VALUE` gives.

use super::expand::{Placeholders, undeclared};
use super::fields::{Field, Fields, Spanned, fields, first_time, key_text};
use super::keys;
use super::scalars::{LONGEST, boolean, text, wrong_type};
use crate::fleetfile::nearest;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;
use std::ops::Range;

/// The variables of a fleet.
#[derive(Debug, Default)]
pub(crate) struct Vars {
    known: BTreeMap<String, Checked<Var>>,
    /// Where they are declared.
    pub(crate) extent: Range<usize>,
}

/// A variable's value.
#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) value: String,
    /// Where its default stands, if it has that.
    pub(crate) default: Option<Range<usize>>,
}

impl Vars {
    /// The variable of a name, if it is declared.
    pub(crate) fn get(&self, name: &str) -> Option<&Checked<Var>> {
        self.known.get(name)
    }

    /// What somebody who wrote another name probably meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.known.keys().map(String::as_str))
    }

    /// Reads `vars`, and gives them their values. `words` are what defaults may hold.
    pub(crate) fn read(
        field: Option<&Field<'_>>,
        given: &BTreeMap<String, String>,
        words: &Placeholders<'_>,
        found: &mut Diagnostics,
    ) -> Self {
        let mut vars = Self::default();
        if let Some(field) = field {
            vars.extent = field.node.extent();
            vars.declare(field, given, words, found);
        }
        let place = field.map_or(0..0, |field| field.key.clone());
        for name in given.keys().filter(|name| vars.get(name).is_none()) {
            let message = format!("`--var` gives `{name}`, which is not declared");
            let problem = Problem::new(ProblemKind::Variable, &place, message);
            found.report(undeclared(problem, name, &vars));
        }
        vars
    }

    fn declare(
        &mut self,
        field: &Field<'_>,
        given: &BTreeMap<String, String>,
        words: &Placeholders<'_>,
        found: &mut Diagnostics,
    ) {
        let entries = match &field.node.value {
            Value::Map(entries) => entries,
            _ => {
                wrong_type(field, "a map from names to variables", found);
                return;
            }
        };
        let mut seen = BTreeMap::new();
        for (key, node) in entries {
            let Ok(name) = key_text(key, found) else {
                continue;
            };
            if found.patience().is_err() || first_time(&mut seen, name, key, found).is_err() {
                continue;
            }
            let var = variable(name, key, node, given.get(name), words, found);
            self.known.insert(name.to_owned(), var);
        }
    }
}

fn variable(
    name: &str,
    key: &Node,
    node: &Node,
    given: Option<&String>,
    words: &Placeholders<'_>,
    found: &mut Diagnostics,
) -> Checked<Var> {
    check_name(name, key, found)?;
    if let Value::Scalar(text, _) = &node.value {
        let message = format!("`{name}` is a map of keys, not a value");
        let problem = Problem::new(ProblemKind::WrongType, &node.range, message);
        return Err(found.report(problem.help(format!("write `{name}: {{ default: {text} }}`"))));
    }
    let fields = &fields(node, &key.range, &keys::VAR, found)?;
    let description = match fields.get("description") {
        Some(field) => text(field, "a text", found)?,
        None => "",
    };
    let default = default(fields, words, found)?;
    let required = match fields.get("required") {
        Some(field) => Some(Spanned::new(boolean(field, found)?, &field.node.range)),
        None => None,
    };
    contradiction(name, default.as_ref(), required.as_ref(), found)?;
    if let Some(given) = given {
        return given_value(name, given, key, found);
    }
    match default {
        Some(default) => Ok(Var {
            value: default.value,
            default: Some(default.range),
        }),
        None => {
            let message = format!("the variable `{name}` has no value");
            let problem =
                Problem::new(ProblemKind::Variable, &key.range, message).label(description);
            Err(found.report(problem.help(format!("give it one: `--var {name}=VALUE`"))))
        }
    }
}

fn default(
    fields: &Fields<'_>,
    words: &Placeholders<'_>,
    found: &mut Diagnostics,
) -> Checked<Option<Spanned<String>>> {
    let Some(field) = fields.get("default") else {
        return Ok(None);
    };
    let written = text(field, "a text or a number", found)?;
    let value = words.text(written, field.node, found)?;
    Ok(Some(Spanned::new(value, &field.node.range)))
}

/// A variable has a default, or must be given.
fn contradiction(
    name: &str,
    default: Option<&Spanned<String>>,
    required: Option<&Spanned<bool>>,
    found: &mut Diagnostics,
) -> Checked<()> {
    let problem = match (default, required) {
        (Some(default), Some(Spanned { value: true, range })) => {
            let message = format!("`{name}` is required, and has a default");
            Problem::new(ProblemKind::Variable, range, message)
                .also(&default.range, "the default")
                .help("remove one of them")
        }
        (
            None,
            Some(Spanned {
                value: false,
                range,
            }),
        ) => {
            let message = format!("`{name}` is not required, and has no default");
            Problem::new(ProblemKind::Variable, range, message)
                .help("give it a default; `default: \"\"` stands for an empty text")
        }
        _ => return Ok(()),
    };
    Err(found.report(problem))
}

fn given_value(name: &str, given: &str, key: &Node, found: &mut Diagnostics) -> Checked<Var> {
    if given.len() > LONGEST {
        let message = format!("`--var` gives `{name}` more than {LONGEST} bytes");
        return Err(found.report(Problem::new(ProblemKind::Variable, &key.range, message)));
    }
    Ok(Var {
        value: given.to_owned(),
        default: None,
    })
}

fn check_name(name: &str, key: &Node, found: &mut Diagnostics) -> Checked<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits) {
        return Ok(());
    }
    let message = format!("`{name}` cannot be a variable's name");
    let problem = Problem::new(ProblemKind::Variable, &key.range, message)
        .help("a name has letters, digits, `_` and `-`, and begins with a letter");
    Err(found.report(problem))
}
