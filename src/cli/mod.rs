//! The command line: what each command takes, and how it is put together. Only this module prints.

mod apply;
mod arguments;
mod boot;
mod caller;
mod completions;
mod console;
mod diff;
mod diff_plans;
mod doctor;
mod exit;
mod explain;
mod fleet;
mod follow;
mod from_snapshot;
mod git;
mod guest_setup;
mod history;
mod hold;
mod hold_file;
mod hold_while;
mod init;
mod input;
mod local;
mod logs;
mod man;
mod output;
mod plan;
mod power;
mod progress;
mod saved;
mod show;
mod signals;
mod snapshot;
mod status;
mod systemd;
mod terminal;
mod texts;
mod trace;
mod unknown;
mod validate;
mod watch;
mod wrap;

pub use exit::Exit;

use crate::host::{redactor, waits};
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

/// Keeps ARM virtual machines on libvirt as a YAML file describes them.
#[derive(Debug, Parser)]
#[command(name = "armfleet", version, arg_required_else_help = true, after_help = exit::in_words())]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Tell more: plans list armfleet's own records, too; -vv also traces what is decided. ARMFLEET_LOG has the last word
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented fleet file to begin with
    Init(init::Arguments),
    /// Check a fleet file and report everything that is wrong with it
    Validate(validate::Arguments),
    /// Show what differs between the fleet file and the host, and change nothing
    Plan(plan::PlanArguments),
    /// Show what a change of the fleet file means for each VM, without a host; or how two saved plans differ
    Diff(diff::DiffArguments),
    /// Show the plan, ask for confirmation, and make the host as the fleet file says
    Apply(apply::ApplyArguments),
    /// Show whether VMs run, which kernels they boot, and what differs from the fleet file
    Status(status::StatusArguments),
    /// Look into the host for whatever VMs could fail on, and say what to do about it
    Doctor(doctor::DoctorArguments),
    /// Show one VM with all defaults and the domain that it becomes, or a saved plan
    Show(show::ShowArguments),
    /// Record what planning looks at on this host, without secrets, to plan from it where there is no host
    Snapshot(snapshot::SnapshotArguments),
    /// Show and choose the kernels that a VM can boot
    #[command(subcommand)]
    Boot(boot::BootCommand),
    /// Print what a guest needs: /boot on its share, the kernel links in it, a sign of life after each boot
    GuestSetup(guest_setup::GuestSetupArguments),
    /// Show what was done on this host, by whom and when, and how to undo it; with a VM, how its definition changed
    History(history::HistoryArguments),
    /// Start VMs again whose guests reboot, so that they boot what they installed, and power off kernels that hang;
    /// runs until it is stopped
    Watch,
    /// Start VMs, with the kernels that are due
    Start(power::StartArguments),
    /// Have the guests of VMs power off, and wait until they have
    Stop(power::StopArguments),
    /// Have the guests of VMs power off, and start them again; those that are off are started
    Restart(power::RestartArguments),
    /// Connect this terminal to a VM's serial console; Ctrl+] leaves it
    Console(console::ConsoleArguments),
    /// Show what guests said on their consoles, where the fleet file has them logged
    Logs(logs::LogsArguments),
    /// Have apply and watch leave a VM alone
    Hold(hold::HoldArguments),
    /// End a hold
    Release(hold::ReleaseArguments),
    /// Explain a key of the fleet file, a problem or a check of the host; without a name, list them all
    Explain(explain::Arguments),
    /// Print the JSON Schema of fleet files, for editors
    Schema,
    /// Print a shell's completion script
    Completions(completions::CompletionsArguments),
    /// Print a manual page
    Man(man::ManArguments),
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> Exit {
    let CommandLine { command, verbose } = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(message) if unknown::explained(&message, &CommandLine::command()) => {
            return Exit::Invalid;
        }
        Err(message) => {
            return if terminal::usage(&message) {
                Exit::Invalid
            } else {
                Exit::Success
            };
        }
    };
    redactor::listen(terminal::keep_secret);
    terminal::be_verbose(verbose > 0);
    trace::init(match (&command, verbose) {
        (_, 2..) => "debug",
        (Command::Watch, _) | (_, 1) => "info",
        _ => "warn",
    });
    if !matches!(command, Command::Watch) {
        waits::listen(progress::say);
    }
    let ended = match &command {
        Command::Init(arguments) => init::run(arguments),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Apply(arguments) => apply::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Snapshot(arguments) => snapshot::run(arguments),
        Command::Boot(command) => boot::run(command),
        Command::GuestSetup(arguments) => guest_setup::run(arguments),
        Command::Watch => watch::run(),
        Command::History(arguments) => history::run(arguments),
        Command::Start(arguments) => power::start(arguments),
        Command::Stop(arguments) => power::stop(arguments),
        Command::Restart(arguments) => power::restart(arguments),
        Command::Console(arguments) => console::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Hold(arguments) => hold::hold(arguments),
        Command::Release(arguments) => hold::release(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Schema => Ok(explain::schema()),
        Command::Completions(arguments) => completions::run(arguments, CommandLine::command()),
        Command::Man(arguments) => man::run(arguments, CommandLine::command()),
    };
    ended.unwrap_or_else(|exit| exit)
}
