//! `armfleet man`: the manual pages, from the command line's own description and the declarations of keys.

use super::exit::Exit;
use super::terminal;
use crate::fleet::explain::{KeyText, KeyTopic, Topic, topics};
use crate::paths;
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

const SOURCE: &str = concat!("armfleet ", env!("CARGO_PKG_VERSION"));
/// The page of the fleet file.
const FLEET_FILE: &str = "armfleet.yaml";

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// A command, or armfleet.yaml for the fleet file; without one, the page of armfleet itself
    page: Option<String>,
    /// List the file of each page, with what to ask for
    #[arg(long, conflicts_with = "page")]
    list: bool,
}

/// Prints a manual page, in roff.
pub(super) fn run(arguments: &ManArguments, command: Command) -> Result<Exit, Exit> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let text = match arguments.page.as_deref() {
        None if arguments.list => list(&command),
        None => page_of(&command),
        Some(FLEET_FILE) => fleet_file(),
        Some(name) => {
            let found = command.find_subcommand(name);
            page_of(found.ok_or_else(|| no_such_page(&command, name))?)
        }
    };
    terminal::result(&text);
    Ok(Exit::Success)
}

fn list(command: &Command) -> String {
    let commands = command.get_subcommands().map(Command::get_name);
    let commands = commands.map(|name| format!("armfleet-{name}.1 {name}\n"));
    let pages: String = commands.collect();
    format!("armfleet.1\n{pages}{FLEET_FILE}.5 {FLEET_FILE}\n")
}

fn no_such_page(command: &Command, name: &str) -> Exit {
    let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let remedy = format!("the commands are {}; or {FLEET_FILE}", known.join(", "));
    terminal::error(&NoSuchPage(name.to_owned()), Some(&remedy));
    Exit::Invalid
}

/// The page of a command: what its help says, then what holds for all of them.
fn page_of(command: &Command) -> String {
    let man = Man::new(command.clone()).source(SOURCE);
    let mut page = Vec::new();
    // What is written into memory does not fail.
    let _ = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page));
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut page);
    }
    let mut roff = Roff::new();
    examples(&mut roff, command.get_name());
    terms(
        &mut roff,
        "EXIT STATUS",
        Exit::ALL.map(|exit| (exit.code().to_string(), exit.meaning())),
    );
    terms(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    terms(&mut roff, "FILES", FILES);
    roff.control("SH", ["SEE ALSO"]);
    let pages = match command.get_name() {
        "armfleet" => "armfleet.yaml(5), virsh(1)",
        _ => "armfleet(1), armfleet.yaml(5), virsh(1)",
    };
    roff.text([roman(pages)]);
    let page = String::from_utf8_lossy(&page).into_owned();
    page + &roff.to_roff()
}

/// A section of terms and what they mean.
fn terms<T: Into<String>>(
    roff: &mut Roff,
    title: &str,
    terms: impl IntoIterator<Item = (T, &'static str)>,
) {
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text([bold(term.into())]);
        roff.text([roman(meaning)]);
    }
}

fn examples(roff: &mut Roff, command: &str) {
    let own = EXAMPLES.iter().filter(|example| example.of == command);
    let mut own = own.peekable();
    if own.peek().is_none() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for example in own {
        roff.control("TP", []);
        roff.text([roman(example.does)]);
        roff.text([bold(example.line)]);
    }
}

/// The page of the fleet file: each key, as it is declared.
fn fleet_file() -> String {
    let mut roff = Roff::new();
    roff.control("TH", [FLEET_FILE, "5", "", SOURCE]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!(
        "{FLEET_FILE} - the file that says which VMs a host is to have"
    ))]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "A file in YAML. armfleet(1) plans and applies it; armfleet explain KEY says the same as this page of one key, and armfleet init writes a first file.",
    )]);
    let mut heading = "";
    for topic in topics() {
        let Topic::Key(topic) = topic else { continue };
        if topic.of != heading {
            heading = topic.of;
            roff.control(
                "SH",
                [format!("KEYS OF {}", heading.to_uppercase()).as_str()],
            );
        }
        key(&mut roff, &topic);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(
        "armfleet(1), armfleet-explain(1), armfleet-init(1), armfleet-validate(1)",
    )]);
    roff.to_roff()
}

fn key(roff: &mut Roff, topic: &KeyTopic) {
    roff.control("TP", []);
    roff.text([bold(topic.key.as_str())]);
    let Some(about) = &topic.about else {
        roff.text([roman("Not supported yet.")]);
        return;
    };
    let KeyText {
        meaning,
        value,
        absence,
        effect,
        ..
    } = about;
    roff.text([roman(*meaning)]);
    let absence = absence.as_deref().unwrap_or("never: it must be given");
    let effect = format!("take effect {effect}");
    for (label, text) in [
        ("Value", value.as_str()),
        ("Left out", absence),
        ("Changes", &effect),
    ] {
        roff.control("br", []);
        roff.text([italic(label), roman(format!(": {text}."))]);
    }
}

struct Example {
    of: &'static str,
    does: &'static str,
    line: &'static str,
}

const fn example(of: &'static str, does: &'static str, line: &'static str) -> Example {
    Example { of, does, line }
}

const EXAMPLES: [Example; 28] = [
    example(
        "armfleet",
        "Write a first fleet file, see what it would do, and do it:",
        "armfleet init && armfleet plan && armfleet apply",
    ),
    example(
        "init",
        "Begin with what this host offers:",
        "armfleet init --from-host fleet.yaml",
    ),
    example(
        "validate",
        "Check every file of a folder:",
        "armfleet validate fleet.d",
    ),
    example(
        "plan",
        "Show what differs, with the domains' XML:",
        "armfleet plan --diff",
    ),
    example(
        "plan",
        "Save a plan, to apply exactly that:",
        "armfleet plan --out fleet.plan && armfleet apply --plan fleet.plan",
    ),
    example(
        "plan",
        "Look for what was changed by hand, for monitoring:",
        "armfleet plan --drift-only --detailed-exitcode",
    ),
    example(
        "diff",
        "Show what a branch changes, without a host:",
        "armfleet diff --git origin/main",
    ),
    example(
        "apply",
        "Apply without asking, as configuration management does:",
        "armfleet apply --auto-approve /etc/armfleet/fleet.yaml",
    ),
    example(
        "apply",
        "Apply, and wait until an installer has ended:",
        "armfleet apply --wait",
    ),
    example("status", "Watch two VMs:", "armfleet status obs-01 obs-02"),
    example(
        "doctor",
        "Check the host, and what a fleet needs of it:",
        "armfleet doctor /etc/armfleet/fleet.yaml",
    ),
    example(
        "show",
        "Read the domain that a VM becomes:",
        "armfleet show armhf-vm",
    ),
    example(
        "snapshot",
        "Record the host, and plan elsewhere from it:",
        "armfleet snapshot --out host.json && armfleet plan --from-snapshot host.json",
    ),
    example(
        "boot",
        "See which kernels a VM has booted:",
        "armfleet boot list armhf-vm",
    ),
    example(
        "guest-setup",
        "Set a guest up by ssh:",
        "armfleet guest-setup | ssh root@armhf-vm sh",
    ),
    example(
        "history",
        "See what was done to a VM, and how to undo it:",
        "armfleet history armhf-vm",
    ),
    example(
        "hold",
        "Keep apply and watch away for a backup:",
        "armfleet hold armhf-vm --until 22:00 --why backup",
    ),
    example(
        "start",
        "Start twelve VMs, three at a time:",
        "armfleet start 'obs-[01-12]' --parallel 3",
    ),
    example(
        "stop",
        "Stop VMs whose builds may take a while to end:",
        "armfleet stop 'obs-*' --timeout 10min",
    ),
    example(
        "stop",
        "Power off a VM whose guest hangs:",
        "armfleet stop --force obs-07",
    ),
    example(
        "restart",
        "Boot the kernels that wait for it:",
        "armfleet restart --pending",
    ),
    example(
        "console",
        "Log in on the console:",
        "armfleet console obs-07",
    ),
    example(
        "logs",
        "Follow what two guests say:",
        "armfleet logs -f -n 20 obs-01 obs-02",
    ),
    example(
        "hold",
        "Run a backup while nothing starts or changes the VM:",
        "armfleet hold armhf-vm --why backup -- /usr/local/sbin/backup armhf-vm",
    ),
    example("release", "End a hold:", "armfleet release armhf-vm"),
    example("explain", "Explain a key:", "armfleet explain boot.share"),
    example(
        "schema",
        "Write the schema for an editor:",
        "armfleet schema > fleet.schema.json",
    ),
    example(
        "completions",
        "Have bash complete:",
        "armfleet completions bash > /etc/bash_completion.d/armfleet",
    ),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "ARMFLEET_FILE",
        "The fleet file that is read where none is named; without it, fleet.yaml in the current folder.",
    ),
    (
        "ARMFLEET_LOG",
        "How much armfleet tells of what it does, on standard error: error, warn, info, debug or trace.",
    ),
    ("NO_COLOR", "If it is set, nothing is printed in colour."),
];

const FILES: [(&str, &str); 5] = [
    (
        paths::STATE,
        "What was applied, staged kernels, and the journal. Domains boot from here: it stays when armfleet is removed.",
    ),
    (paths::RUN, "Locks, and what is known of the runs of VMs."),
    (
        paths::SHIM,
        "libvirt's hook, which the first apply installs.",
    ),
    (paths::HOOK_BINARY, "What the hook runs."),
    (
        "/etc/armfleet/fleet.yaml",
        "The fleet file of the service units.",
    ),
];

#[derive(Debug, thiserror::Error)]
#[error("there is no page {0:?}")]
struct NoSuchPage(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::CommandLine;
    use clap::CommandFactory as _;

    #[test]
    fn every_example_is_a_command_line_and_every_command_has_one() {
        for Example { line, .. } in EXAMPLES {
            let commands = line.split(" && ").flat_map(|line| line.split(" | "));
            let own = commands.filter(|command| command.starts_with("armfleet "));
            for command in own {
                let command = command.split(" > ").next().unwrap_or_default();
                let words = command.split_whitespace();
                let parsed = CommandLine::command().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
        let command = CommandLine::command();
        for command in command.get_subcommands().map(Command::get_name) {
            // They take nothing but what their synopsis says.
            let needs_none = ["watch", "man"].contains(&command);
            let mut examples = EXAMPLES.iter();
            assert!(
                needs_none || examples.any(|example| example.of == command),
                "{command}"
            );
        }
    }
}
