//! What must not be shown.

use super::template::{filled, former_placeholder, placeholder, placeholders};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

/// The values of the environment variables that fleet files name as `{env.NAME}`, by name, and what else was seen of them.
/// They are in domains' definitions where the fleet file puts them, and nowhere in what armfleet shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// Variables whose values are not known and not asked for, each with what stands for it.
    unknown: BTreeMap<String, String>,
    /// Texts that hold secrets, as hosts have them, each with what is shown instead.
    seen: BTreeMap<String, String>,
}

/// A shorter value would be redacted where its few characters occur by chance, which would reveal it.
pub(crate) const SHORTEST: usize = 4;
/// So many bytes of a digest are in no other text by chance.
const STAND_IN: usize = 12;

impl Secrets {
    /// Values by the names of their environment variables.
    #[must_use]
    pub const fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            unknown: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// For where no value is wanted: what stands in for each variable's, different from every other.
    #[must_use]
    pub fn stand_ins(names: impl IntoIterator<Item = String>) -> Self {
        let stand_in = |name: String| {
            let digest = Sha256::digest(name.as_bytes());
            let value = digest
                .iter()
                .take(STAND_IN)
                .map(|byte| format!("{byte:02x}"));
            let value = value.collect();
            (name, value)
        };
        Self::new(names.into_iter().map(stand_in).collect())
    }

    /// The same, where these variables may be without a value: `{env.NAME}` stands for itself, and equals whatever a host
    /// has in its place.
    #[must_use]
    pub fn or_unknown(mut self, names: impl IntoIterator<Item = String>) -> Self {
        let values = &self.values;
        let names = names.into_iter().filter(|name| !values.contains_key(name));
        let unknown = names.map(|name| (name.clone(), placeholder(&name)));
        self.unknown.extend(unknown);
        self
    }

    /// What stands in a text for a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).or_else(|| self.unknown.get(name));
        value.map(String::as_str)
    }

    /// The variables, whether they have a value here or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let known = self.values.keys().map(String::as_str);
        known.chain(self.unknown())
    }

    /// The variables that have no value here.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.keys().map(String::as_str)
    }

    /// The variables that a template names and that have no value here.
    #[must_use]
    pub fn unknown_in(&self, template: &str) -> BTreeSet<String> {
        let names = placeholders(template).map(|(_, name)| name);
        let unknown = names.filter(|name| self.unknown.contains_key(*name));
        unknown.map(str::to_owned).collect()
    }

    /// Whether a text names one of these variables.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        placeholders(text).any(|(_, name)| self.get(name).is_some())
    }

    /// A text with `{env.NAME}` for each secret in it, of which [`filled`](Self::filled) makes the text again.
    #[must_use]
    pub fn template_of(&self, text: &str) -> String {
        if self.values.is_empty() {
            return text.to_owned();
        }
        let mut template = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let values = self.values.iter();
            let values =
                values.filter(|(_, value)| value.len() >= SHORTEST && rest.starts_with(*value));
            // One secret may be a part of another.
            let (shown, length) = match values.max_by_key(|(_, value)| value.len()) {
                Some((name, value)) => (placeholder(name), value.len()),
                None => (c.to_string(), c.len_utf8()),
            };
            template += &shown;
            rest = &rest[length..];
        }
        template
    }

    /// A template with the value of each variable that is known.
    #[must_use]
    pub fn filled(&self, template: &str) -> String {
        filled(template, |name| self.values.get(name).cloned())
    }

    /// The same with what a former value of each variable is shown as; one without a value stays as it is.
    #[must_use]
    pub fn former(&self, template: &str) -> String {
        let is_known = |name: &str| !self.unknown.contains_key(name);
        filled(template, |name| {
            is_known(name).then(|| former_placeholder(name))
        })
    }

    /// Redacts a text of a host, too, that holds secrets.
    pub(crate) fn keep(&mut self, text: &str, shown: impl Into<String>) {
        let known = self.values.values().any(|known| known == text);
        if text.len() >= SHORTEST && !known {
            self.seen.entry(text.to_owned()).or_insert(shown.into());
        }
    }

    /// Redacts what a variable seems to have held before.
    pub(crate) fn keep_former(&mut self, name: &str, value: &str) {
        self.keep(value, former_placeholder(name));
    }

    /// Redacts all that others do, too.
    pub fn add(&mut self, other: &Self) {
        self.values.extend(other.values.clone());
        self.unknown.extend(other.unknown.clone());
        self.seen.extend(other.seen.clone());
    }

    /// The text with `{env.NAME}` for every secret in it, also where that is written as JSON, XML or Rust would escape it,
    /// and where a terminal's colours change within it.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let values = self
            .values
            .iter()
            .filter(|(_, value)| value.len() >= SHORTEST);
        let values = values.map(|(name, value)| (value, placeholder(name)));
        let seen = self.seen.iter();
        let seen = seen.map(|(text, shown)| (text, shown.clone()));
        let mut forms: Vec<(String, String)> = Vec::new();
        for (value, shown) in values.chain(seen) {
            forms.extend(written(value).map(|form| (form, shown.clone())));
        }
        // One secret may be a part of another.
        forms.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
        let mut redacted = Cow::Borrowed(text);
        for (form, shown) in forms {
            let mut from = 0;
            while let Some(part) = find(&redacted, from, &form) {
                from = part.start + shown.len();
                redacted.to_mut().replace_range(part, &shown);
            }
        }
        redacted
    }
}

/// Where a text without colours is, from some place on.
fn find(text: &str, from: usize, form: &str) -> Option<Range<usize>> {
    let rest = &text[from..];
    let as_it_is = rest.find(form).map(|at| from + at..from + at + form.len());
    if as_it_is.is_some() || !rest.contains('\u{1b}') {
        return as_it_is;
    }
    let mut plain = String::new();
    let mut places = Vec::new();
    let mut at = from;
    while let Some(c) = text[at..].chars().next() {
        if let Some(length) = colour(&text[at..]) {
            at += length;
            continue;
        }
        plain.push(c);
        places.extend((0..c.len_utf8()).map(|byte| at + byte));
        at += c.len_utf8();
    }
    let start = plain.find(form)?;
    Some(*places.get(start)?..places.get(start + form.len() - 1)? + 1)
}

/// How long the change of colours is that a text begins with.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

/// The ways in which a text may be written.
fn written(text: &str) -> [String; 5] {
    let json = serde_json::to_string(text).unwrap_or_default();
    let debug = format!("{text:?}");
    let xml = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let attribute = xml.replace('"', "&quot;").replace('\'', "&apos;");
    let inner = |quoted: &str| quoted.get(1..quoted.len() - 1).unwrap_or(text).to_owned();
    [text.to_owned(), inner(&json), inner(&debug), xml, attribute]
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Secrets::new(values.collect())
    }

    #[test]
    fn a_secret_is_redacted_however_it_is_written() {
        let secrets = secrets(&[("A", "p<\"w'&é"), ("B", "hunter2"), ("C", "hunter22")]);
        for text in [
            "p<\"w'&é",
            "p<\\\"w'&é",
            "p&lt;\"w'&amp;é",
            "p&lt;&quot;w&apos;&amp;é",
        ] {
            assert_eq!(secrets.redact(&format!("a {text} b")), "a {env.A} b");
        }
        assert_eq!(secrets.redact("hunter22 hunter2"), "{env.C} {env.B}");
        assert_eq!(secrets.redact("hunter"), "hunter");
        let coloured = "a=\u{1b}[1mhun\u{1b}[0mter2\u{1b}[0m é=hunter22";
        assert_eq!(
            secrets.redact(coloured),
            "a=\u{1b}[1m{env.B}\u{1b}[0m é={env.C}"
        );
        assert_eq!(format!("{secrets:?}"), r#"{"A", "B", "C"}"#);
    }

    #[test]
    fn a_text_comes_of_its_template_again() {
        let secrets = secrets(&[("A", "hunter2"), ("B", "hunter22"), ("C", "env.")]);
        for (text, template) in [
            ("a=hunter22:hunter2 b", "a={env.B}:{env.A} b"),
            ("hunter2hunter2", "{env.A}{env.A}"),
            ("{env.hunter2}", "{{env.C}{env.A}}"),
            ("{hunter2", "{{env.A}"),
            ("quiet", "quiet"),
        ] {
            assert_eq!(secrets.template_of(text), template);
            assert_eq!(secrets.filled(template), text);
        }
        assert_eq!(secrets.former("a={env.A}"), "a={a former env.A}");
    }

    #[test]
    fn a_variable_without_a_value_stands_for_itself() {
        let names = ["A", "B"].map(str::to_owned);
        let secrets = secrets(&[("A", "hunter2")]).or_unknown(names);
        let template = "a={env.A} b={env.B}";
        assert_eq!(secrets.get("B"), Some("{env.B}"));
        assert_eq!(secrets.filled(template), "a=hunter2 b={env.B}");
        assert_eq!(secrets.former(template), "a={a former env.A} b={env.B}");
        let unknown: Vec<_> = secrets.unknown_in(template).into_iter().collect();
        assert_eq!(unknown, ["B"]);
    }

    #[test]
    fn what_a_host_has_is_redacted_unless_it_is_too_short() {
        let mut secrets = secrets(&[("KEY", "hunter2")]);
        secrets.keep_former("KEY", "geheim17");
        secrets.keep_former("KEY", "hunter2");
        secrets.keep_former("KEY", "abc");
        secrets.keep("key=geheim17 abc", "key={a former env.KEY} {hidden}");
        let text = "geheim17 abc hunter2, key=geheim17 abc";
        let shown = "{a former env.KEY} abc {env.KEY}, key={a former env.KEY} {hidden}";
        assert_eq!(secrets.redact(text), shown);
    }

    proptest! {
        #[test]
        fn what_is_redacted_holds_no_secret(before in ".{0,20}", secret in "[a-z0-9\"<&]{4,12}", after in ".{0,20}") {
            let secrets = secrets(&[("SECRET", &secret)]);
            let text = secrets.redact(&format!("{before}{secret}{after}")).into_owned();
            let rest = text.replace("{env.SECRET}", "\0");
            prop_assert!(!rest.contains(&secret));
        }
    }
}
