//! `armfleet completions` and `armfleet man`: what follows from the command line's own description.

use super::exit::Exit;
use super::terminal;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// A command; without one, the page of armfleet itself
    command: Option<String>,
}

/// Prints what a shell needs to complete armfleet's commands.
pub(super) fn completions(arguments: &CompletionsArguments, mut command: Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "armfleet", &mut script);
    terminal::result(&String::from_utf8_lossy(&script));
    Exit::Success
}

/// Prints a manual page, in roff.
pub(super) fn man(arguments: &ManArguments, mut command: Command) -> Result<Exit, Exit> {
    command.build();
    let command = match &arguments.command {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.ok_or_else(|| no_such_command(&command, name))?
        }
    };
    let mut page = Vec::new();
    let source = concat!("armfleet ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(source);
    man.render(&mut page).map_err(|error| {
        terminal::error(&Unmade(error), None);
        Exit::Failed
    })?;
    terminal::result(&String::from_utf8_lossy(&page));
    Ok(Exit::Success)
}

fn no_such_command(command: &Command, name: &str) -> Exit {
    let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let remedy = format!("the commands are {}", known.join(", "));
    terminal::error(&NoSuchCommand(name.to_owned()), Some(&remedy));
    Exit::Invalid
}

#[derive(Debug, thiserror::Error)]
#[error("the manual page could not be made")]
struct Unmade(#[source] std::io::Error);

#[derive(Debug, thiserror::Error)]
#[error("there is no command {0:?}")]
struct NoSuchCommand(String);
