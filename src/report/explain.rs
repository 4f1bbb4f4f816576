//! Keys and problems, explained as text.

use super::style::{Paint, Tone};
use crate::fleet::explain::{KeyText, KeyTopic, ProblemTopic, Topic};
use std::fmt::Write as _;

/// Texts are broken to lines of so many characters.
const WIDTH: usize = 80;
/// Where the text of a labelled paragraph begins.
const LABEL_WIDTH: usize = 11;

/// Renders topics, one below the other.
#[must_use]
pub fn render_topics(topics: &[Topic], paint: Paint) -> String {
    let rendered = topics.iter().map(|topic| match topic {
        Topic::Key(topic) => key(topic, paint),
        Topic::Problem(topic) => problem(topic, "a problem of a fleet file", paint),
        Topic::HostCheck(topic) => problem(topic, "a check of the host", paint),
    });
    rendered.collect::<Vec<_>>().join("\n")
}

/// Renders the names of topics, each with the beginning of what is to be said.
#[must_use]
pub fn render_topic_list(topics: &[Topic], paint: Paint) -> String {
    let mut text = String::new();
    let mut heading = String::new();
    let width = topics.iter().map(|topic| topic.name().len()).max();
    let width = width.unwrap_or(0);
    for topic in topics {
        let (new, said) = match topic {
            Topic::Key(topic) => (format!("Keys of {}", topic.of), in_short(topic)),
            Topic::Problem(topic) => ("Problems".to_owned(), problem_in_short(topic)),
            Topic::HostCheck(topic) => ("Checks of the host".to_owned(), problem_in_short(topic)),
        };
        if new != heading {
            let gap = if heading.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{new}:");
            heading = new;
        }
        let name = paint.tone(Tone::Quiet, &format!("{:width$}", topic.name()));
        let _ = writeln!(text, "  {name}  {said}");
    }
    text + "\narmfleet explain NAME says more about each.\n"
}

fn in_short(topic: &KeyTopic) -> String {
    match &topic.about {
        None => "not supported yet".to_owned(),
        Some(about) => beginning(about.meaning).to_owned(),
    }
}

fn problem_in_short(topic: &ProblemTopic) -> String {
    topic.meaning.trim_end_matches('.').to_owned()
}

/// What a text says before it goes into detail.
fn beginning(text: &str) -> &str {
    let ends = [". ", ": ", ", which "];
    let end = ends.iter().filter_map(|end| text.find(end)).min();
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

fn key(topic: &KeyTopic, paint: Paint) -> String {
    let title = format!("{}: a key of {}", topic.key, topic.of);
    match &topic.about {
        Some(about) => format!("{title}\n\n{}", about_key(about, paint)),
        None => format!("{title}\n\nNot supported yet: this version refuses it.\n"),
    }
}

fn about_key(about: &KeyText, paint: Paint) -> String {
    let mut text = wrap(about.meaning, WIDTH).join("\n") + "\n\n";
    text += &labelled("value", &about.value, paint);
    match &about.absence {
        Some(absence) => text += &labelled("left out", absence, paint),
        None => text += &labelled("left out", "never: it must be given", paint),
    }
    text += &labelled("changes", &format!("take effect {}", about.effect), paint);
    text += "\n";
    for line in about.example.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn problem(topic: &ProblemTopic, kind: &str, paint: Paint) -> String {
    let mut text = format!("{}: {kind}\n\n", topic.code);
    text += &(wrap(topic.meaning, WIDTH).join("\n") + "\n\n");
    text += &labelled("why", topic.why, paint);
    text += &labelled("remedy", topic.remedy, paint);
    text
}

/// A paragraph beside its label.
fn labelled(label: &str, text: &str, paint: Paint) -> String {
    let lines = wrap(text, WIDTH - LABEL_WIDTH);
    let label = paint.tone(Tone::Quiet, &format!("{label:LABEL_WIDTH$}"));
    let gap = format!("\n{:LABEL_WIDTH$}", "");
    format!("{label}{}\n", lines.join(&gap))
}

/// A text in lines of at most so many characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
