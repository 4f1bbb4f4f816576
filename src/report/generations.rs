//! A VM's generations, a line each.

use crate::boot::{Failure, Generation, PairSource, Proof, STRIKES, Standing};
use std::fmt::Write as _;

/// A table of generations, for people.
#[must_use]
pub fn render_generations(generations: &[Generation]) -> String {
    let mut rows = vec![["GENERATION", "VERSION", "FROM", "STANDING"].map(str::to_owned)];
    rows.extend(generations.iter().map(row));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (id, version, from) = (width(0), width(1), width(2));
    let mut text = String::new();
    for row in &rows {
        let _ = writeln!(
            text,
            "{:<id$}  {:<version$}  {:<from$}  {}",
            row[0], row[1], row[2], row[3]
        );
    }
    if generations.iter().any(has_strikes) {
        let _ = writeln!(text, "\n{REBOOTS}");
    }
    text
}

/// What a strike may be besides a kernel that fails.
const REBOOTS: &str = "A guest without the units of armfleet guest-setup gives no sign of life unless it runs for ten minutes: its reboot \
    cannot be told from that of a kernel that panicked.";

fn has_strikes(generation: &Generation) -> bool {
    let standing = &generation.trial.standing;
    matches!(
        standing,
        Standing::OnTrial { strikes: 1.. } | Standing::Failed(Failure::Strikes)
    )
}

fn row(generation: &Generation) -> [String; 4] {
    let trial = &generation.trial;
    let version = trial.version.as_ref();
    let version = version.map_or_else(|| "-".to_owned(), ToString::to_string);
    let mut standing = vec![standing(&trial.standing)];
    let marks = [
        (generation.current, "booted last"),
        (generation.previous, "booted before that"),
        (generation.wanted, "asked for"),
        (!generation.staged, "removed"),
    ];
    let marks = marks.into_iter().filter(|(holds, _)| *holds);
    standing.extend(marks.map(|(_, mark)| mark.to_owned()));
    let from = match trial.source {
        PairSource::Seed => "seed",
        _ => "share",
    };
    [
        generation.id.to_string(),
        version,
        from.to_owned(),
        standing.join(", "),
    ]
}

fn standing(standing: &Standing) -> String {
    match standing {
        Standing::OnTrial { strikes: 0 } => "on trial".to_owned(),
        Standing::OnTrial { strikes } => {
            format!("on trial, {strikes} of {STRIKES} without a sign of life")
        }
        Standing::Proved(Proof::Guest) => "works: its guest confirmed it".to_owned(),
        Standing::Proved(Proof::Uptime) => "works: it ran long enough".to_owned(),
        Standing::Failed(failure) => format!("failed: {failure}"),
    }
}
