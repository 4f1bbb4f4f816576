//! What the hook says of a start.

/// Lines in their order.
#[derive(Debug, Default)]
pub struct Said(Vec<Line>);

#[derive(Debug)]
struct Line {
    text: String,
    /// Whether `status` shows it until the next start.
    calls_for_attention: bool,
}

impl Said {
    /// Something that happened.
    pub fn say(&mut self, text: impl Into<String>) {
        self.add(text.into(), false);
    }

    /// Something that a person should look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(text.into(), true);
    }

    fn add(&mut self, text: String, calls_for_attention: bool) {
        self.0.push(Line {
            text,
            calls_for_attention,
        });
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| line.text.as_str())
    }

    /// Those that call for attention.
    pub fn attention(&self) -> impl Iterator<Item = &str> {
        let calling = self.0.iter().filter(|line| line.calls_for_attention);
        calling.map(|line| line.text.as_str())
    }
}
