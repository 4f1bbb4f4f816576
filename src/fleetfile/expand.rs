//! Placeholders in all texts of a value.

use super::fields::{Scope, listed};
use super::placeholder::expand;
use super::scalars::LONGEST;
use super::secrets::DeclaredSecrets;
use super::suggest::nearest;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{SHORTEST, Secrets};
use crate::yaml::{Kind, Node, Value, at};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

/// The keys whose texts may hold secrets. All others are shown in plans, files' names and messages, in parts, too.
const SECRET_KEYS: [&str; 1] = ["cmdline"];
/// So many bytes of a file that a VM names count as a value.
const FILE_VALUE: usize = 512;
/// The most values of all VMs together, each VM's with those of its profile. A long text counts as several.
const VALUE_LIMIT: usize = 600_000;

/// What placeholders stand for at some place; `None`: nothing there.
#[derive(Clone, Copy)]
pub(crate) struct Placeholders<'a> {
    /// The VM's place in its range.
    pub(crate) index: Option<Checked<&'a str>>,
    pub(crate) host: Option<&'a str>,
    pub(crate) fleet: Option<Checked<&'a str>>,
    pub(crate) vars: Option<&'a Vars>,
    pub(crate) secrets: &'a Secrets,
    /// The secrets that there may be; without a declaration, all.
    pub(crate) declared: Option<&'a DeclaredSecrets>,
    /// Whether the text may hold one.
    pub(crate) secret: bool,
    pub(crate) room: &'a Room,
    /// Its VM is the one that `{name}` stands for.
    pub(crate) scope: Scope<'a>,
}

/// The number of values that the limit still allows.
#[derive(Debug)]
pub(crate) struct Room(Cell<Checked<usize>>);

impl Default for Room {
    fn default() -> Self {
        Self(Cell::new(Ok(VALUE_LIMIT)))
    }
}

impl Room {
    /// Fails once the limit was exceeded.
    pub(crate) fn check(&self) -> Checked<usize> {
        self.0.get()
    }

    fn take(&self, weight: usize, node: &Node, found: &Diagnostics) -> Checked<()> {
        let left = self.check()?.checked_sub(weight);
        let left = left.ok_or_else(|| {
            let message = format!("with this, the fleet's VMs have more than {VALUE_LIMIT} values");
            Problem::new(ProblemKind::FileTooLarge, &node.range, message)
                .help("what `defaults`, profiles and ranges say counts for each VM")
                .report(found)
        });
        self.0.set(left);
        left.map(|_| ())
    }
}

impl<'a> Placeholders<'a> {
    /// A value with all placeholders in it replaced. Keys are taken as they are.
    pub(crate) fn expand(&self, node: &Node) -> Checked<Node> {
        let expanded = match &node.value {
            Value::Null | Value::Unreadable(_) => node.clone(),
            Value::Scalar(text, _) => self.scalar(text, node),
            Value::List(entries) => {
                let entries = entries.iter().map(|entry| self.expand(entry));
                node.with(Value::List(entries.collect::<Checked<_>>()?))
            }
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let secret = SECRET_KEYS.iter().any(|secret| key.is(secret));
                    let value = Self { secret, ..*self }.expand(value)?;
                    Ok((key.clone(), value))
                });
                node.with(Value::Map(entries.collect::<Checked<_>>()?))
            }
        };
        let weight = expanded.value.weight();
        self.room.take(weight, node, self.scope.found)?;
        Ok(expanded)
    }

    fn scalar(&self, written: &str, node: &Node) -> Node {
        if !written.contains(['{', '}']) || written.len() > LONGEST {
            return node.clone();
        }
        let text = self.text(written, node);
        let text = match text.and_then(|text| self.reads_back(text, node)) {
            Ok(text) => text,
            Err(reported) => return node.with(Value::Unreadable(reported)),
        };
        let kind = match written.contains("{{") || written.contains("}}") {
            true => Kind::Text,
            false => Kind::of(&text),
        };
        // What stands there is not the value.
        let used = node.alias.as_ref().unwrap_or(&node.range).clone();
        Node {
            range: self.default_of(written).unwrap_or(node.range.clone()),
            alias: Some(used),
            value: Value::Scalar(text, kind),
        }
    }

    /// The place of a variable's default, if the text is only the variable's placeholder.
    fn default_of(&self, written: &str) -> Option<Range<usize>> {
        let name = written.strip_prefix("{var.")?.strip_suffix('}')?;
        self.vars?.known.get(name)?.as_ref().ok()?.default.clone()
    }

    /// The template of a whole file at this place, with `{env.NAME}` for each secret. Its text may hold secrets, and grow to
    /// `limit` bytes.
    pub(crate) fn file(&self, written: &str, node: &Node, limit: usize) -> Checked<String> {
        let words = Self {
            secret: true,
            ..*self
        };
        let text = words.within(limit, written, node)?;
        let found = self.scope.found;
        if text.len() > limit {
            let message =
                format!("with what its placeholders stand for, this has more than {limit} bytes");
            return Err(at(ProblemKind::FileTooLarge, node, message).report(found));
        }
        let text = words.reads_back(text, node)?;
        let template = self.secrets.template_of(&text);
        self.room
            .take(1 + template.len() / FILE_VALUE, node, found)?;
        Ok(template)
    }

    /// The text, unless a part of it would be taken for a secret that is none.
    fn reads_back(&self, text: String, node: &Node) -> Checked<String> {
        let secrets = self.secrets;
        if !self.secret
            || !text.contains("{env.")
            || secrets.filled(&secrets.template_of(&text)) == text
        {
            return Ok(text);
        }
        let message = "`{{env.NAME}}` here would be taken for the secret of that name";
        let problem = at(ProblemKind::Environment, node, message);
        let problem = problem.help("name the environment variable of the secret otherwise");
        Err(problem.report(self.scope.found))
    }

    /// A text with its placeholders replaced.
    pub(crate) fn text(&self, written: &str, node: &Node) -> Checked<String> {
        self.within(LONGEST, written, node)
    }

    fn within(&self, limit: usize, written: &str, node: &Node) -> Checked<String> {
        let Scope { found, sources, .. } = self.scope;
        found.patience()?;
        let mut missing = None;
        let expanded = expand(written, limit, |word| match self.value(word)? {
            Ok(value) => Some(value),
            Err(reported) => {
                missing = Some(reported);
                Some("")
            }
        });
        match (expanded, missing) {
            (Ok(text), None) => Ok(text),
            (Ok(_), Some(reported)) => Err(reported),
            (Err(wrong), _) => {
                let place_of = sources.parts(node, written);
                let reports = wrong.into_iter().map(|part| {
                    let place = place_of(&part);
                    let told = found.is_told(&place);
                    let tell = || self.problem(&written[part], place, node).report(found);
                    told.unwrap_or_else(tell)
                });
                Err(reports.last().unwrap_or(Diagnostics::left_open()))
            }
        }
    }

    /// The words that stand for one thing each.
    fn words(&self) -> [(&'static str, Option<Checked<&'a str>>); 4] {
        let name = self.scope.vm.map(|vm| vm.map(|vm| vm.value.as_str()));
        [
            ("name", name),
            ("index", self.index),
            ("fleet", self.fleet),
            ("host", self.host.map(Ok)),
        ]
    }

    /// What a word stands for, if for anything.
    fn value(&self, word: &str) -> Option<Checked<&'a str>> {
        if let Some((_, value)) = self.words().into_iter().find(|(known, _)| *known == word) {
            return value;
        }
        if let Some(name) = word.strip_prefix("var.") {
            let var = self.vars?.known.get(name)?.as_ref();
            return Some(var.map(|var| var.value.as_str()).map_err(|why| *why));
        }
        let name = word.strip_prefix("env.")?;
        let declared = self.declared;
        if declared.is_some_and(|declared| declared.describe(name).is_none()) {
            return None;
        }
        let value = self.secrets.get(name)?;
        (self.secret && value.len() >= SHORTEST).then_some(Ok(value))
    }

    fn problem(&self, word: &str, place: Range<usize>, node: &Node) -> Problem {
        let mut problem = if matches!(word, "{" | "}") {
            let message = format!("a `{word}` that has no partner");
            let help = format!("write `{word}{word}` for a literal `{word}`");
            at(ProblemKind::Placeholder, node, message).help(help)
        } else {
            self.unknown(word, node)
        };
        // In a text with escapes the word itself has no place.
        let whole = self.scope.sources.text(&place) == word;
        problem.fix = problem.fix.filter(|_| whole);
        problem.place.range = place;
        problem
    }

    fn unknown(&self, word: &str, node: &Node) -> Problem {
        let name = word.trim_matches(['{', '}']);
        let after = |prefix| name.strip_prefix(prefix).filter(|name| !name.is_empty());
        if let (Some(name), Some(vars)) = (after("var."), self.vars) {
            let message = format!("the variable `{name}` is not declared");
            let problem = undeclared(at(ProblemKind::Variable, node, message), name, vars);
            return match vars.nearest(name) {
                Some(near) => problem.fix(format!("{{var.{near}}}")),
                None => problem,
            };
        }
        if let Some(name) = after("env.") {
            return self.environment(name, node);
        }
        let message = format!("`{word}` is not replaced by anything here");
        let problem = at(ProblemKind::Placeholder, node, message);
        if name == "index" && self.scope.vm.is_some() {
            return problem.help("only the VMs of a range, as in `obs-[01-12]`, have an index");
        }
        let known = self.known();
        let near = nearest(name, known.iter().copied());
        let problem = match near.map(|near| format!("{{{near}}}")) {
            Some(near) => {
                let problem = problem.label(format!("did you mean `{near}`?"));
                // The name of the variable is still missing in `{var.NAME}`.
                match near.contains('.') {
                    true => problem,
                    false => problem.fix(near),
                }
            }
            None => problem,
        };
        let words: Vec<_> = known.iter().map(|word| format!("{{{word}}}")).collect();
        let words = listed(words.iter().map(String::as_str), "and");
        let brace = "write `{{` for a literal `{`";
        problem.help(match known.len() {
            0 => brace.to_owned(),
            1 => format!("only {words} is replaced; {brace}"),
            _ => format!("{words} are replaced; {brace}"),
        })
    }

    fn environment(&self, name: &str, node: &Node) -> Problem {
        let problem = |message: String| at(ProblemKind::Environment, node, message);
        if !self.secret {
            let message = format!("`{{env.{name}}}` is secret, and this would be shown");
            return problem(message).help("only `cmdline` and the files of `cloud_init` may hold a secret; for what need not be hidden, use `{var.NAME}` and `--var`");
        }
        let described = self.declared.map(|declared| declared.describe(name));
        if let (Some(declared), Some(None)) = (self.declared, described) {
            return declared.undeclared(
                problem(format!("the secret `{name}` is not declared")),
                name,
            );
        }
        let variable = format!("the environment variable `{name}`");
        match self.secrets.get(name) {
            None => problem(format!("{variable} is not set"))
                .label(described.flatten().unwrap_or_default())
                .help("set it where armfleet is called; its value is never shown"),
            Some(_) => problem(format!("{variable} is too short for a secret")).help(format!(
                "it needs at least {SHORTEST} bytes; a shorter one would be hidden wherever it occurs by chance"
            )),
        }
    }

    fn known(&self) -> Vec<&'static str> {
        let words = self.words().map(|(word, value)| (word, value.is_some()));
        let families = [("var.NAME", self.vars.is_some()), ("env.NAME", self.secret)];
        let known = words
            .into_iter()
            .chain(families)
            .filter(|(_, known)| *known);
        known.map(|(word, _)| word).collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Vars {
    pub(crate) known: BTreeMap<String, Checked<Var>>,
    pub(crate) extent: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) value: String,
    /// Where its default stands, if it has that.
    pub(crate) default: Option<Range<usize>>,
}

impl Vars {
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.known.keys().map(String::as_str))
    }
}

/// What to do about a variable that is not declared.
pub(crate) fn undeclared(problem: Problem, name: &str, vars: &Vars) -> Problem {
    match vars.nearest(name) {
        Some(near) => problem.label(format!("did you mean `{near}`?")),
        None => problem.help(format!(
            "declare it: `vars: {{ {name}: {{ default: VALUE }} }}`"
        )),
    }
}

/// The names of the environment variables that a file asks for.
pub(crate) fn environment_names(text: &str) -> impl Iterator<Item = &str> {
    let places = text.match_indices("{env.").filter(|(at, _)| {
        let before = text[..*at].bytes().rev();
        // Two of them are a literal one.
        before.take_while(|byte| *byte == b'{').count() % 2 == 0
    });
    let names = places.filter_map(|(at, open)| text[at + open.len()..].split_once('}'));
    names
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && name.bytes().all(is_name_byte))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
