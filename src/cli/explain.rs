//! `armfleet explain` and `armfleet schema`

use super::exit::Exit;
use super::terminal;
use crate::fleet::explain::{explain, topics};
use crate::report::{render_topic_list, render_topics};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A key (boot.share), a problem (unknown-key) or a check (free-space)
    #[arg(value_name = "KEY|PROBLEM|CHECK")]
    topic: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let paint = terminal::paint();
    let Some(word) = &arguments.topic else {
        terminal::prose(&render_topic_list(&topics(), paint));
        return Ok(Exit::Success);
    };
    let topics = explain(word).map_err(|near| {
        let remedy = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "armfleet explain lists all of them".to_owned(),
        };
        terminal::error(&Unknown(word.clone()), Some(&remedy));
        Exit::Invalid
    })?;
    terminal::prose(&render_topics(&topics, paint));
    Ok(Exit::Success)
}

/// Prints the schema of fleet files.
pub(super) fn schema() -> Exit {
    terminal::result(&crate::fleet::schema::schema());
    Exit::Success
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a key of a fleet file, a problem or a check of the host")]
struct Unknown(String);
