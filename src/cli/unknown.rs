//! Commands that there are not: what whoever wrote one probably wants.

use super::terminal;
use crate::fleetfile::nearest;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What other tools call what armfleet does, and how it is done here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["ls", "list", "ps", "get", "state", "info", "top"],
        "armfleet status shows the VMs",
    ),
    (
        &[
            "up",
            "create",
            "run",
            "deploy",
            "sync",
            "reconcile",
            "install",
        ],
        "armfleet apply makes the host as the fleet file says; armfleet plan shows what that means",
    ),
    (
        &["boot-vm", "poweron"],
        "armfleet start VM; with `state: running` in the fleet file armfleet apply sees to it",
    ),
    (
        &["shutdown", "halt", "down", "poweroff"],
        "armfleet stop VM; with `state: stopped` in the fleet file it stays off",
    ),
    (
        &["suspend", "resume"],
        "virsh suspend VM and virsh resume VM; armfleet leaves a paused VM as it is",
    ),
    (&["reboot", "reset"], "armfleet restart VM"),
    (
        &["destroy", "remove", "rm", "delete", "undefine", "purge"],
        "take the VM out of the fleet file, then armfleet apply; its disks and boot share stay",
    ),
    (
        &["check", "lint", "test", "verify"],
        "armfleet validate checks a fleet file, and armfleet doctor the host",
    ),
    (
        &["preview", "dry-run", "check-mode", "drift"],
        "armfleet plan shows what differs, and changes nothing",
    ),
    (
        &["attach", "ssh", "exec", "shell", "serial"],
        "armfleet console VM connects to a VM's serial console",
    ),
    (
        &["log", "journal"],
        "armfleet logs VM shows what a guest said on its console, armfleet history what was done",
    ),
    (
        &["new", "import"],
        "armfleet init writes a fleet file to begin with",
    ),
    (
        &["edit", "set", "config"],
        "edit the fleet file, then armfleet apply",
    ),
    (
        &["rollback", "undo"],
        "armfleet history shows how to undo what was done; armfleet boot use VM chooses a kernel",
    ),
    (
        &["setup", "guest"],
        "armfleet guest-setup prints what a guest needs",
    ),
    (
        &["unlock", "force-unlock"],
        "a lock ends with its process; armfleet doctor shows who holds it",
    ),
];

/// Says what is there instead of a command that is not; `false` if the mistake is another one.
pub(super) fn explained(message: &clap::Error, commands: &Command) -> bool {
    let named = match message.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) if message.kind() == ErrorKind::InvalidSubcommand => name,
        _ => return false,
    };
    // What is below a command is clap's to tell.
    let first = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    if first.as_ref() != Some(named) {
        return false;
    }
    terminal::error(
        &NoSuchCommand(named.clone()),
        Some(&instead(named, commands)),
    );
    true
}

fn instead(named: &str, commands: &Command) -> String {
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&named));
    if let Some((_, remedy)) = elsewhere {
        return (*remedy).to_owned();
    }
    let commands = commands.get_subcommands().map(Command::get_name);
    match nearest(named, commands) {
        Some(near) => format!("did you mean armfleet {near}? armfleet help lists all commands"),
        None => "armfleet help lists all commands".to_owned(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no command `{0}`")]
struct NoSuchCommand(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::CommandLine;
    use clap::CommandFactory as _;

    #[test]
    fn a_command_has_a_sensible_neighbour_or_none() {
        for (named, near) in [
            ("biff", "diff"),
            ("aply", "apply"),
            ("stauts", "status"),
            ("plann", "plan"),
        ] {
            let told = instead(named, &CommandLine::command());
            assert!(
                told.starts_with(&format!("did you mean armfleet {near}?")),
                "{named}: {told}"
            );
        }
        for other in ["frobnicate", "x", ""] {
            assert_eq!(
                instead(other, &CommandLine::command()),
                "armfleet help lists all commands",
                "{other}"
            );
        }
    }

    #[test]
    fn no_name_is_explained_that_is_a_command_or_explained_before() {
        let names: Vec<&str> = ELSEWHERE
            .iter()
            .flat_map(|(names, _)| *names)
            .copied()
            .collect();
        let commands = CommandLine::command();
        for (at, name) in names.iter().enumerate() {
            assert!(commands.find_subcommand(name).is_none(), "{name}");
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
