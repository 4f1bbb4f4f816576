//! `armfleet completions`

use super::arguments::{FleetOptions, variable};
use super::exit::Exit;
use super::fleet::{self, Unset};
use super::terminal;
use crate::fleet::explain::topics;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(required_unless_present = "vms")]
    shell: Option<Shell>,
    /// The VMs of the fleet that the words of a command line name: the scripts ask for them
    #[arg(long, hide = true, num_args = 0.., allow_hyphen_values = true, conflicts_with = "shell")]
    vms: Option<Vec<String>>,
}

/// Prints what a shell needs to complete armfleet's commands.
pub(super) fn run(arguments: &CompletionsArguments, command: Command) -> Result<Exit, Exit> {
    if let Some(words) = &arguments.vms {
        return names(words);
    }
    let Some(shell) = arguments.shell else {
        return Err(Exit::Invalid);
    };
    let mut script = Vec::new();
    let mut command = with_values(command);
    clap_complete::generate(shell, &mut command, "armfleet", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish {
        script += &fish_positionals(&command);
    }
    terminal::result(&asking(shell, &script));
    Ok(Exit::Success)
}

/// Stands in a script for the names of VMs.
const VM: &str = "ARMFLEET_VM";

/// The same command, whose arguments know their values.
fn with_values(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_id().as_str() {
        _ if is_vm(&arg) => arg.value_parser(PossibleValuesParser::new([VM])),
        "topic" => {
            let names = topics().into_iter().map(|topic| topic.name().to_owned());
            arg.value_parser(PossibleValuesParser::new(names))
        }
        _ => arg,
    });
    command.mut_subcommands(with_values)
}

/// Whether an argument is a VM's name, or a pattern for such.
fn is_vm(arg: &Arg) -> bool {
    let is_called = |name: &str| arg.get_value_names().is_some_and(|names| names == [name]);
    is_called("VM") || arg.get_long() == Some("vm") || arg.get_id() == "vm" || arg.get_id() == "vms"
}

/// What `clap_complete` leaves out for fish: the values of arguments without an option.
fn fish_positionals(command: &Command) -> String {
    let using = |name: &str| format!("__fish_armfleet_using_subcommand {name}");
    let mut lines = String::new();
    for command in command.get_subcommands() {
        lines += &fish_values(command, &using(command.get_name()));
        for inner in command.get_subcommands() {
            let seen = format!("__fish_seen_subcommand_from {}", inner.get_name());
            let both = format!("{}; and {seen}", using(command.get_name()));
            lines += &fish_values(inner, &both);
        }
    }
    lines
}

fn fish_values(command: &Command, condition: &str) -> String {
    let values = |arg: &Arg| -> String {
        let values = arg.get_possible_values();
        let values = values
            .iter()
            .map(|value| format!("{}\\t''\n", value.get_name()));
        values.collect()
    };
    let values = command.get_positionals().map(values);
    let lines = values.filter(|values| !values.is_empty()).map(|values| {
        format!(
            "complete -c armfleet -n \"{condition}\" -f -a \"{}\"\n",
            values.trim_end()
        )
    });
    lines.collect()
}

/// The script, which asks for the names where they are completed.
fn asking(shell: Shell, script: &str) -> String {
    const ASK: &str = "armfleet completions --vms";
    match shell {
        Shell::Bash => script.replace(VM, &format!("$({ASK} \"${{COMP_WORDS[@]}}\" 2>/dev/null)")),
        Shell::Zsh => {
            let function = format!(
                "_armfleet_vms() {{\n    compadd -- ${{(f)\"$({ASK} ${{words[@]}} 2>/dev/null)\"}}\n}}\n"
            );
            let script = script.replace(&format!("({VM})"), "_armfleet_vms");
            script.replacen("_armfleet() {", &format!("{function}\n_armfleet() {{"), 1)
        }
        Shell::Fish => {
            let ask = format!("({ASK} (commandline -opc) 2>/dev/null)");
            script.replace(&format!("{VM}\\t''"), &ask)
        }
        // Of the others none was tried: what they know is in the script.
        _ => script.replace(VM, ""),
    }
}

/// Prints the names of VMs, each on a line. Where a fleet file cannot be read there are none.
fn names(words: &[String]) -> Result<Exit, Exit> {
    let options = options_in(words);
    let spec = fleet::check(&[], &options, Unset::Ignored)?.map_err(|_| Exit::Invalid)?;
    let names: String = spec.vms.keys().map(|vm| format!("{vm}\n")).collect();
    terminal::result(&names);
    Ok(Exit::Success)
}

/// What the words of a command line say of the fleet file. Bash makes three words of `--file=NAME`.
fn options_in(words: &[String]) -> FleetOptions {
    let mut options = FleetOptions {
        file: Vec::new(),
        var: Vec::new(),
    };
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        if !matches!(name, "-f" | "--file" | "--var") {
            continue;
        }
        words.next_if_eq(&"=");
        let Some(mut value) = value.or_else(|| words.next().map(str::to_owned)) else {
            break;
        };
        if name == "--var" {
            if words.next_if_eq(&"=").is_some() {
                value += &format!("={}", words.next().unwrap_or_default());
            }
            options.var.extend(variable(&value));
        } else {
            options.file.push(PathBuf::from(value));
        }
    }
    options
}
