//! What a fleet file leaves to the command line: `vars:` declares, `--var NAME=VALUE` gives.

use super::declare::keys;
use super::expand::{Placeholders, Var, Vars, undeclared};
use super::fields::{Field, Fields, Spanned, fields, first_time, key_text, wrong_type};
use super::key::{Map, ValueType};
use super::readable::Typed;
use super::scalars::{LONGEST, boolean, text};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;

/// The keys of a variable.
static VAR: &Map = keys! {
    "var": "a variable", "vars.", "it belongs to a variable, under its name in `vars`";
    /// The variable's value unless `--var` gives one. It is taken as it is; `{{` stands for `{`.
    default: AnyValue { absent: "`--var` must give the value", effect: Now, example: "bookworm" }
    /// Whether `--var` must give the value. A variable without a default is required anyway, and one with a default is
    /// not; the key only says so.
    required: bool { absent: "required without a default, and only then", effect: Now, example: "false" }
    /// What the variable is for; it is shown where a value is missing.
    description: AnyText { absent: "nothing is shown", effect: Now, example: "the Debian release of the guests" }
};

impl Typed for Vars {
    fn value_type() -> ValueType {
        ValueType::Named(VAR, "release")
    }
}

/// What is taken as it is: any text, number or truth.
struct AnyValue;

impl Typed for AnyValue {
    fn value_type() -> ValueType {
        ValueType::Value
    }
}

/// Any text, which is taken as it is.
struct AnyText;

impl Typed for AnyText {
    fn value_type() -> ValueType {
        ValueType::Text
    }
}

impl Vars {
    /// Reads `vars`, and gives them their values. `words` are what defaults may hold.
    pub(crate) fn read(
        field: Option<&Field<'_>>,
        given: &BTreeMap<String, String>,
        words: &Placeholders<'_>,
        root: &'static Map,
        found: &mut Diagnostics,
    ) -> Self {
        let mut vars = Self::default();
        if let Some(field) = field {
            vars.extent = field.node.extent();
            vars.declare(field, given, words, root, found);
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
        root: &'static Map,
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
            let var = variable(name, key, node, given.get(name), words, root, found);
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
    root: &'static Map,
    found: &mut Diagnostics,
) -> Checked<Var> {
    check_name(name, key, found)?;
    if let Value::Scalar(text, _) = &node.value {
        let message = format!("`{name}` is a map of keys, not a value");
        let problem = Problem::new(ProblemKind::WrongType, &node.range, message);
        return Err(found.report(problem.help(format!("write `{name}: {{ default: {text} }}`"))));
    }
    let fields = &fields(&Field::of_map(&key.range, node), VAR, root, found)?;
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
                .help("give it a default; `default: \"\"` is an empty text")
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
