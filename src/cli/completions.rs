//! `armfleet completions`

use super::exit::Exit;
use super::terminal;
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Prints what a shell needs to complete armfleet's commands.
pub(super) fn run(arguments: &CompletionsArguments, mut command: Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "armfleet", &mut script);
    terminal::result(&String::from_utf8_lossy(&script));
    Exit::Success
}
