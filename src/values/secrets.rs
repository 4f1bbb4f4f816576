//! What must not be shown.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The values of the environment variables that fleet files name as `{env.NAME}`, by name. They are in domains'
/// definitions where the fleet file puts them, and nowhere in what armfleet shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What variables seem to have held before, each with the variable's name.
    former: BTreeMap<String, String>,
}

/// How what is shown in the place of a former value begins.
const FORMER: &str = "{a former env.";

/// A shorter value would be redacted where its few characters occur by chance, which would reveal it.
pub(crate) const SHORTEST: usize = 4;

impl Secrets {
    /// Values by the names of their environment variables.
    #[must_use]
    pub const fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            former: BTreeMap::new(),
        }
    }

    /// For each name its own template as the value, for where no value is known.
    pub(crate) fn templates(names: impl IntoIterator<Item = String>) -> Self {
        let template = |name: String| (name.clone(), template(&name));
        Self::new(names.into_iter().map(template).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A text with `{env.NAME}` for each secret in it; none if there is no secret.
    #[must_use]
    pub fn template_of(&self, text: &str) -> Option<String> {
        let known = Self::new(self.values.clone());
        let template = known.redact(text);
        (template != text).then(|| template.into_owned())
    }

    /// Keeps what a command line that was seen has where a template has a secret: a value that the variable had before is
    /// shown no more than its new one. Where the secret is a whole word, all that was seen is kept.
    pub fn keep_former(&mut self, template: &str, seen: &str) {
        for (at, name) in placeholders(template) {
            match template[..at.start].rsplit(' ').next().unwrap_or_default() {
                "" => self.keep(name, seen),
                before => {
                    let values = words(seen).filter_map(|word| word.strip_prefix(before));
                    for value in values.map(|value| within_quotes(before, value)) {
                        self.keep(name, value);
                    }
                }
            }
        }
    }

    /// Keeps the values, with their spaces, that stand in a command line made from a template; none if it was made otherwise.
    pub fn keep_applied(&mut self, template: &str, applied: &str) {
        for (name, value) in values_between(template, applied).unwrap_or_default() {
            self.keep(name, value);
        }
    }

    fn keep(&mut self, name: &str, value: &str) {
        let known = self.values.values().any(|known| known == value);
        if value.len() >= SHORTEST && !known {
            self.former.insert(value.to_owned(), name.to_owned());
        }
    }

    /// The text with `{env.NAME}` for every secret in it, also where that is written as JSON, XML or Rust would escape it,
    /// and where a terminal's colours change within it.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let values = self
            .values
            .iter()
            .filter(|(_, value)| value.len() >= SHORTEST);
        let values = values.map(|(name, value)| (value, template(name)));
        let former = self.former.iter();
        let former = former.map(|(value, name)| (value, format!("{FORMER}{name}}}")));
        let mut forms: Vec<(String, String)> = Vec::new();
        for (value, shown) in values.chain(former) {
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

    /// A value with `{env.NAME}` for every secret in its texts. Keys and numbers stay.
    ///
    /// # Errors
    /// When a text without its secret means nothing any more: it was the name of something, and the secret a part of that.
    pub fn template<T: Clone + Serialize + DeserializeOwned>(
        &self,
        value: &T,
    ) -> Result<T, serde_json::Error> {
        if self.values.is_empty() && self.former.is_empty() {
            return Ok(value.clone());
        }
        let mut json = serde_json::to_value(value)?;
        self.redact_texts(&mut json);
        serde_json::from_value(json)
    }

    fn redact_texts(&self, json: &mut Value) {
        match json {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact_texts(value)),
            Value::Object(values) => values
                .values_mut()
                .for_each(|value| self.redact_texts(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Where a template has secrets, each with its variable's name.
fn placeholders(template: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    template.match_indices("{env.").filter_map(|(start, open)| {
        let name = template[start + open.len()..].split_once('}')?.0;
        Some((start..start + open.len() + name.len() + 1, name))
    })
}

/// What a text has where its template has secrets, with the names of their variables; none if it has another form.
fn values_between<'t>(template: &'t str, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
    let mut places = placeholders(template).peekable();
    let before = &template[..places.peek()?.0.start];
    let mut rest = text.strip_prefix(before)?;
    let mut values = Vec::new();
    while let Some((at, name)) = places.next() {
        let (value, after) = match places.peek() {
            Some((next, _)) => rest.split_once(&template[at.end..next.start])?,
            None => (rest.strip_suffix(&template[at.end..])?, ""),
        };
        values.push((name, value));
        rest = after;
    }
    Some(values)
}

/// The words of a command line, as the kernel divides it: a space between quotes is none (`next_arg`).
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
}

/// A value up to the quote that ends it, where what is before it begins one.
fn within_quotes<'t>(before: &str, value: &'t str) -> &'t str {
    let begins = before.matches('"').count() % 2 == 1;
    value.split(|c| begins && c == '"').next().unwrap_or(value)
}

/// A redacted text with nothing in it that says which of a variable's values was redacted.
#[must_use]
pub fn ageless(redacted: &str) -> String {
    redacted.replace(FORMER, "{env.")
}

fn template(name: &str) -> String {
    format!("{{env.{name}}}")
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
    fn what_a_variable_held_before_is_redacted_too() {
        for (wanted, seen, shown) in [
            (
                "a=1 key=hunter2 b",
                "key=geheim17 c",
                "key={a former env.KEY} c",
            ),
            ("hunter2 b", "geheim17 b", "{a former env.KEY}"),
            (
                "key=\"hunter2\" b",
                "key=\"geheim 17\" b",
                "key=\"{a former env.KEY}\" b",
            ),
            ("key=hunter2", "console=ttyAMA0", "console=ttyAMA0"),
            ("key=hunter2", "key=hunter2", "key={env.KEY}"),
            ("key=hunter2", "key=abc", "key=abc"),
        ] {
            let mut secrets = secrets(&[("KEY", "hunter2")]);
            let template = secrets.template_of(wanted).unwrap();
            assert_eq!(template, wanted.replace("hunter2", "{env.KEY}"));
            secrets.keep_former(&template, seen);
            let redacted = secrets.redact(&format!("{seen} -> {wanted}")).into_owned();
            assert_eq!(redacted, format!("{shown} -> {template}"));
        }
    }

    #[test]
    fn what_a_template_had_is_redacted_where_no_value_is_known() {
        for (template, applied, shown) in [
            (
                "a key={env.KEY},ro b={env.B}",
                "a key=one two,ro b=three four",
                "a key={a former env.KEY},ro b={a former env.B}",
            ),
            ("{env.KEY}", "geheim17 b", "{a former env.KEY}"),
            ("{env.A}{env.B}", "geheim17", "{a former env.B}"),
            ("a key={env.KEY},ro", "key=one two", "key=one two"),
            ("a key={env.KEY},ro", "a key=", "a key="),
            ("a key={env.KEY},ro", "a quiet", "a quiet"),
        ] {
            let mut secrets = Secrets::default();
            secrets.keep_applied(template, applied);
            assert_eq!(secrets.redact(applied), shown);
        }
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
