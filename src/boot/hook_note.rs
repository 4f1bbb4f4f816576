//! What the hook leaves about a start for `status`: what it said, and beneath it, once more, what calls for attention.

/// Before each line that calls for attention.
const MARK: &str = "! ";

/// The note's text.
#[must_use]
pub fn render_hook_note<'a>(said: &str, attention: impl Iterator<Item = &'a str>) -> String {
    let marked = attention.map(|line| format!("{MARK}{}\n", line.replace('\n', " ")));
    marked.fold(said.to_owned(), |text, line| text + &line)
}

/// The lines that call for attention. Notes of version 0.1.0 have none.
pub fn attention_of(note: &str) -> impl Iterator<Item = &str> {
    note.lines().filter_map(|line| line.strip_prefix(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_for_attention_reads_back() {
        let said = "armfleet: a: boots 6.1\n";
        let note = render_hook_note(said, ["no room", "two\nlines"].into_iter());
        assert!(note.starts_with(said));
        let lines: Vec<_> = attention_of(&note).collect();
        assert_eq!(lines, ["no room", "two lines"]);
        assert_eq!(attention_of(said).count(), 0);
    }
}
