//! What a fleet file leaves to the command line: `vars:` declares, `--var NAME=VALUE` gives.

use super::declare::keys;
use super::expand::{Placeholders, Var, Vars, undeclared};
use super::fields::{Field, Fields, Spanned};
use super::key::{Map, ValueType};
use super::readable::Scalar;
use super::scalars::LONGEST;
use crate::problem::{Checked, Problem, ProblemKind};
use crate::yaml::Value;
use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) static VAR: &Map = keys! {
    "var": "a variable", "vars.", "it belongs to a variable, under its name in `vars`";
    /// The variable's value unless `--var` gives one. It is taken as it is; `{{` stands for `{`.
    default: ValueType::Value => { absent: "`--var` must give the value", effect: Now, example: "bookworm" }
    /// Whether `--var` must give the value. A variable without a default is required anyway, and one with a default is
    /// not; the key only says so.
    required: ValueType::Boolean => { absent: "required without a default, and only then", effect: Now, example: "false" }
    /// What the variable is for; it is shown where a value is missing.
    description: ValueType::Text => { absent: "nothing is shown", effect: Now, example: "the Debian release of the guests" }
};

impl Vars {
    /// Reads `vars`, and gives them their values. `words` are what defaults may hold.
    pub(crate) fn read(
        field: Option<&Field<'_>>,
        given: &BTreeMap<String, String>,
        words: &Placeholders<'_>,
    ) -> Self {
        let mut vars = Self::default();
        if let Some(field) = field {
            vars.extent = field.node.extent();
            let entries = field.entries("a map from names to variables");
            for (name, key, node) in entries.into_iter().flatten() {
                let field = Field::of_map(&key.range, node, field.scope);
                let var = variable(name, &field, given.get(name), words);
                vars.known.insert(name.to_owned(), var);
            }
        }
        let place = field.map_or(0..0, |field| field.key.clone());
        for name in given.keys().filter(|name| !vars.known.contains_key(*name)) {
            let message = format!("`--var` gives `{name}`, which is not declared");
            let problem = Problem::new(ProblemKind::Variable, &place, message);
            undeclared(problem, name, &vars).report(words.scope.found);
        }
        vars
    }
}

fn variable(
    name: &str,
    field: &Field<'_>,
    given: Option<&String>,
    words: &Placeholders<'_>,
) -> Checked<Var> {
    let wrong = |message| Problem::new(ProblemKind::Variable, &field.key, message);
    if !is_name(name) {
        let problem = wrong(format!("`{name}` cannot be a variable's name"));
        let help = "a name has letters, digits, `_` and `-`, and begins with a letter";
        return Err(field.report(problem.help(help)));
    }
    if let Value::Scalar(text, _) = &field.node.value {
        let message = format!("`{name}` is a map of keys, not a value");
        let problem = Problem::new(ProblemKind::WrongType, &field.node.range, message);
        return Err(field.report(problem.help(format!("write `{name}: {{ default: {text} }}`"))));
    }
    let fields = &Fields::read(field, VAR)?;
    let description = fields.get("description").map(|field| field.text("a text"));
    let description = description.transpose()?.unwrap_or_default();
    let default = default(fields, words)?;
    if let Some(required) = fields.get("required") {
        let must = bool::scalar(required)?;
        if let Some(problem) = contradiction(name, default.as_ref(), must, &required.node.range) {
            return Err(field.report(problem));
        }
    }
    match (given, default) {
        (Some(given), _) if given.len() > LONGEST => Err(field.report(wrong(format!(
            "`--var` gives `{name}` more than {LONGEST} bytes"
        )))),
        (Some(given), _) => Ok(Var {
            value: given.to_owned(),
            default: None,
        }),
        (None, Some(default)) => Ok(Var {
            value: default.value,
            default: Some(default.range),
        }),
        (None, None) => {
            let problem = wrong(format!("the variable `{name}` has no value"));
            let problem = problem.label(description);
            Err(field.report(problem.help(format!("give it one: `--var {name}=VALUE`"))))
        }
    }
}

fn default(fields: &Fields<'_>, words: &Placeholders<'_>) -> Checked<Option<Spanned<String>>> {
    let Some(field) = fields.get("default") else {
        return Ok(None);
    };
    let value = words.text(field.text("a text or a number")?, field.node)?;
    Ok(Some(Spanned::new(value, &field.node.range)))
}

/// A variable has a default, or must be given; where it says what `place` does, it says so truly.
fn contradiction(
    name: &str,
    default: Option<&Spanned<String>>,
    must: bool,
    place: &Range<usize>,
) -> Option<Problem> {
    let new = |message| Problem::new(ProblemKind::Variable, place, message);
    match (default, must) {
        (Some(default), true) => Some(
            new(format!("`{name}` is required, and has a default"))
                .also(&default.range, "the default")
                .help("remove one of them"),
        ),
        (None, false) => Some(
            new(format!("`{name}` is not required, and has no default"))
                .help("give it a default; `default: \"\"` is an empty text"),
        ),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits)
}
