//! Which secrets a fleet file takes from the environment: `secrets:` names them, so that a slip in a name is noticed.

use super::declare::keys;
use super::fields::{Field, Fields};
use super::key::{Map, ValueType};
use super::suggest::nearest;
use crate::problem::{Checked, Problem, ProblemKind};
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;

pub(crate) static SECRET: &Map = keys! {
    "secret": "a secret", "secrets.", "it belongs to a secret, under its name in `secrets`";
    /// What the secret is for; it is shown where its value is missing.
    description: ValueType::Text => { absent: "nothing is shown", effect: Now, example: "the key of the build cache" }
};

/// The secrets that a file declares, each with its description.
#[derive(Debug, Default)]
pub(crate) struct DeclaredSecrets(BTreeMap<String, String>);

impl DeclaredSecrets {
    /// Reads `secrets`.
    pub(crate) fn read(field: &Field<'_>) -> Checked<Self> {
        if let Value::List(names) = &field.node.value {
            return Err(field.report(not_a_list(field, names)));
        }
        let mut declared = BTreeMap::new();
        for (name, key, node) in
            field.entries("a map from names of environment variables to maps")?
        {
            let field = Field::of_map(&key.range, node, field.scope);
            // A description that cannot be read is reported, and the name declared.
            let described = description(name, &field).unwrap_or_default();
            declared.insert(name.to_owned(), described);
        }
        Ok(Self(declared))
    }

    /// What a secret is for; none if it is not declared.
    pub(crate) fn describe(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What to do about a secret that is not declared.
    pub(crate) fn undeclared(&self, problem: Problem, name: &str) -> Problem {
        match nearest(name, self.0.keys().map(String::as_str)) {
            Some(near) => problem
                .label(format!("did you mean `{near}`?"))
                .fix(format!("{{env.{near}}}")),
            None => problem.help(format!("declare it: `secrets: {{ {name}: {{}} }}`")),
        }
    }
}

fn not_a_list(field: &Field<'_>, names: &[Node]) -> Problem {
    let message = format!("`{}` is a map from names to maps, not a list", field.name);
    let problem = field.problem(ProblemKind::WrongType, message);
    let names = names.iter().filter_map(|name| match &name.value {
        Value::Scalar(name, _) => Some(format!("{name}: {{}}")),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    problem.help(format!(
        "write `{}: {{ {} }}`",
        field.name,
        names.join(", ")
    ))
}

fn description(name: &str, field: &Field<'_>) -> Checked<String> {
    if !is_name(name) {
        let message = format!("`{name}` cannot be the name of an environment variable");
        let problem = Problem::new(ProblemKind::Environment, &field.key, message);
        let help = "a name has letters, digits and `_`, and does not begin with a digit";
        return Err(field.report(problem.help(help)));
    }
    let fields = Fields::read(field, SECRET)?;
    let description = fields.get("description").map(|field| field.text("a text"));
    Ok(description.transpose()?.unwrap_or_default().to_owned())
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits)
}
