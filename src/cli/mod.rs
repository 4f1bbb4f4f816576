//! The command line: what each command takes, and how it is put together. Only this module prints.

mod apply;
mod boot;
mod caller;
mod exit;
mod explain;
mod fleet;
mod follow;
mod generated;
mod guest_setup;
mod history;
mod hold;
mod init;
mod output;
mod plan;
mod progress;
mod saved;
mod show;
mod signals;
mod status;
mod systemd;
mod terminal;
mod trace;
mod validate;
mod watch;

pub use exit::Exit;

use crate::host::primitives::CallError;
use crate::host::system::{SystemHost, SystemReads};
use crate::host::waits;
use crate::plan::{Policy, Removal};
use crate::values::{Pattern, VmName};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// The one libvirt of a host that runs build machines.
const LIBVIRT: &str = "qemu:///system";

/// The name of the one host of this version.
const HOST: &str = "local";

/// Keeps ARM virtual machines on libvirt the way a YAML file says they should be.
#[derive(Debug, Parser)]
#[command(name = "armfleet", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes; the first that applies counts:
  4    the fleet file or the command line is invalid; nothing was contacted
  130  interrupted; the steps under way were finished
  1    a step or the host failed, or something could not be seen
  3    something wanted was refused; everything else was applied
  5    all steps were done, yet a new plan has steps
  2    there are, or were, changes (only with --detailed-exitcode)
  0    otherwise";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented fleet file to begin with
    Init(init::Arguments),
    /// Check a fleet file and report everything that is wrong with it
    Validate(validate::Arguments),
    /// Show what differs between the fleet file and the host, and change nothing
    Plan(PlanArguments),
    /// Show the plan, ask, and make the host what the fleet file says
    Apply(ApplyArguments),
    /// Show what VMs do, which kernels they run, and what differs
    Status(StatusArguments),
    /// Show one VM with everything filled in and the domain it becomes, or a saved plan
    Show(ShowArguments),
    /// Show and choose the kernels that a VM can boot
    #[command(subcommand)]
    Boot(BootCommand),
    /// Print what a guest needs: /boot on its share, the kernel links in it, a sign of life after each boot
    GuestSetup(GuestSetupArguments),
    /// Show what was done on this host, by whom and when, and what would bring it back; with a VM, how its definition changed
    History(HistoryArguments),
    /// Start VMs again whose guests reboot, so that they boot what they installed, and end kernels that hang; runs until it is
    /// ended
    Watch,
    /// Have apply and watch leave a VM alone
    Hold(HoldArguments),
    /// End a hold
    Release(ReleaseArguments),
    /// Say what a key of the fleet file, a problem of one or a check of the host means; without a name, list them all
    Explain(explain::Arguments),
    /// Print the JSON Schema of fleet files, for editors
    Schema,
    /// Print a script that has a shell complete armfleet's commands
    Completions(generated::CompletionsArguments),
    /// Print a manual page
    Man(generated::ManArguments),
}

#[derive(Debug, Args)]
struct GuestSetupArguments {
    /// For whom
    #[arg(long, value_enum, default_value_t)]
    format: GuestSetupFormat,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum GuestSetupFormat {
    /// A script to be run in the guest
    #[default]
    Shell,
    /// The late command for the Debian installer, which runs the script
    Preseed,
    /// Ansible tasks for a guest that runs
    Ansible,
}

/// What can be asked of a VM's kernels; all but `extract` take effect at its next start.
#[derive(Debug, Subcommand)]
enum BootCommand {
    /// Show a VM's generations: the kernels that it booted, and how they did
    List(BootListArguments),
    /// Boot this generation from the VM's next start on, whatever its share has
    Use(BootUseArguments),
    /// Give kernels that failed another chance
    Retry(BootVm),
    /// Take the first kernel out of a stopped VM's disk, into its boot share, where that has none
    Extract(BootExtractArguments),
}

#[derive(Debug, Args)]
struct BootVm {
    /// The VM
    vm: String,
}

#[derive(Debug, Args)]
struct BootExtractArguments {
    #[command(flatten)]
    vm: BootVm,
    #[command(flatten)]
    fleet: FleetOptions,
}

#[derive(Debug, Args)]
struct BootListArguments {
    #[command(flatten)]
    vm: BootVm,
    /// How to show them
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum ListFormat {
    /// A table
    #[default]
    Text,
    /// A list of objects
    Json,
}

#[derive(Debug, Args)]
struct BootUseArguments {
    #[command(flatten)]
    vm: BootVm,
    /// The generation, by its name or its kernel's version; `auto` for what the guest installed
    generation: String,
}

/// Which fleet, for commands whose only arguments are its files.
#[derive(Debug, Args)]
struct FileArguments {
    /// The fleet files, or folders of them; one fleet may be in several files [default: fleet.yaml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: FleetOptions,
}

/// Which fleet, for every command that reads one.
#[derive(Debug, Args)]
struct FleetOptions {
    /// A fleet file, or a folder of them; may be repeated
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// The value of a variable that the fleet file declares in `vars`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn sha256(text: &str) -> Result<String, String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = is_digest.then(|| text.to_ascii_lowercase());
    digest.ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}

/// What changes a plan, for every command that makes one.
#[derive(Debug, Args)]
struct PlanOptions {
    /// Allow the removal of VMs that left the file; with a number, so many, even if they are more than half of the host's
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true)]
    allow_removal: Option<Option<usize>>,
    /// Only VMs whose names match; may be given several times. Others are neither changed nor removed
    #[arg(long, value_name = "PATTERN")]
    vm: Vec<Pattern>,
    /// Only hosts whose names match; may be given several times
    #[arg(long, value_name = "PATTERN")]
    host: Vec<Pattern>,
    /// Only what drifted since the last apply; what changed in the file is left for another time
    #[arg(long)]
    drift_only: bool,
    /// Exit with 2 if there are, or were, changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show how the definition of each domain changes, too
    #[arg(long)]
    diff: bool,
    /// Erase the first disk of this VM, and install it again
    #[arg(long, value_name = "VM")]
    reinstall: Option<VmName>,
    /// Use this VM's images and boot share as they are, though they are not those that the last apply left; may be given
    /// several times
    #[arg(long, value_name = "VM")]
    accept: Vec<VmName>,
    /// Replace this VM's first disk or boot share by an empty one, as the file says; the old one stays where it is. May be
    /// given several times
    #[arg(long, value_name = "VM")]
    allow_replace: Vec<VmName>,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// For people
    Text,
    /// For programs: armfleet-plan/1, whose schema is schema/plan.schema.json
    Json,
    /// For a comment on a pull request
    Markdown,
}

/// How anything else is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
struct PlanArguments {
    #[command(flatten)]
    fleet: FileArguments,
    #[command(flatten)]
    options: PlanOptions,
    /// How to print the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    /// Save the plan, for apply --plan; VMs that left the file need --allow-removal, since nobody will be asked
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the order of the steps, too: as SVG or for Graphviz, by the file's suffix
    #[arg(long, value_name = "FILE.svg|FILE.dot")]
    graph: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ApplyArguments {
    #[command(flatten)]
    fleet: FileArguments,
    #[command(flatten)]
    options: PlanOptions,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Apply a plan that plan --out saved, if nothing has moved since, and ask nothing; `-` with --plan-sha256 is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "file", "var", "allow_removal", "vm", "host", "drift_only", "reinstall", "accept", "allow_replace"])]
    plan: Option<PathBuf>,
    /// Trust the plan's file if this is its SHA-256, as plan --out printed it, whoever owns the file or can write it
    #[arg(long, value_name = "HEX", requires = "plan", value_parser = sha256)]
    plan_sha256: Option<String>,
    /// How to print what was done; with json, the plan is printed only if somebody is asked
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How many VMs may be starting at once [default: as many as the host has processors, at least 4; at most one for each
    /// 256 MiB of its memory]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZero<usize>>,
    /// Follow VMs that are being installed until they run their own kernels
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct StatusArguments {
    /// The VMs; all of the file unless some are named
    vms: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    fleet: FleetOptions,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The VM
    #[arg(required_unless_present = "plan")]
    vm: Option<String>,
    #[command(flatten)]
    fleet: FleetOptions,
    /// A plan that plan --out saved, instead of a VM
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vm", "file", "var"])]
    plan: Option<PathBuf>,
    /// Of a plan: show how the definition of each domain changes, too
    #[arg(long, requires = "plan")]
    diff: bool,
    /// How to print it; Markdown is for plans
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
}

#[derive(Debug, Args)]
struct HistoryArguments {
    /// Only what was done to this VM
    vm: Option<VmName>,
    /// Only the last so many applies and other acts
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// Show how the definition of each domain changed, as for a single VM
    #[arg(long)]
    diff: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
struct HoldArguments {
    /// The VM
    vm: VmName,
    /// When it ends by itself: how long (2h, 3d), or when in UTC (2026-11-22T13:20Z)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for everybody who meets the hold
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

#[derive(Debug, Args)]
struct ReleaseArguments {
    /// The VM
    vm: VmName,
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> Exit {
    let command = match CommandLine::try_parse() {
        Ok(CommandLine { command }) => command,
        Err(message) => {
            // Help and version are asked for; everything else is a mistake. A closed pipe is silent.
            let _ = message.print();
            return if message.use_stderr() {
                Exit::Invalid
            } else {
                Exit::Success
            };
        }
    };
    trace::init(match command {
        Command::Watch => "info",
        _ => "warn",
    });
    if !matches!(command, Command::Watch) {
        waits::listen(progress::say);
    }
    let ended = match &command {
        Command::Init(arguments) => init::run(arguments),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Apply(arguments) => apply::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Boot(command) => boot::run(command),
        Command::GuestSetup(arguments) => guest_setup::run(arguments),
        Command::Watch => watch::run(),
        Command::History(arguments) => history::run(arguments),
        Command::Hold(arguments) => hold::hold(arguments),
        Command::Release(arguments) => hold::release(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Schema => Ok(explain::schema()),
        Command::Completions(arguments) => Ok(generated::completions(arguments)),
        Command::Man(arguments) => generated::man(arguments),
    };
    ended.unwrap_or_else(|exit| exit)
}

impl PlanOptions {
    /// Fails unless `--host` chooses the one host there is.
    fn check_hosts(&self) -> Result<(), Exit> {
        if self.host.is_empty() || self.host.iter().any(|pattern| pattern.matches(HOST)) {
            return Ok(());
        }
        let patterns: Vec<String> = self.host.iter().map(ToString::to_string).collect();
        let remedy = format!("the file has the host {HOST}");
        terminal::error(&NoSuchHost(patterns.join(", ")), Some(&remedy));
        Err(Exit::Invalid)
    }

    /// What the user permits; `asked` says whether somebody will be asked before anything is done.
    fn policy(&self, asked: bool) -> Policy {
        let removal = match self.allow_removal {
            Some(Some(limit)) => Removal::UpTo(limit),
            Some(None) => Removal::Allowed,
            None if asked => Removal::Asked,
            None => Removal::Refused,
        };
        Policy {
            removal,
            vms: self.vm.clone(),
            drift_only: self.drift_only,
            reinstall: self.reinstall.clone(),
            accept: self.accept.clone(),
            allow_replace: self.allow_replace.clone(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no host matches {0}")]
struct NoSuchHost(String);

/// The host, to look at.
fn reads() -> Result<SystemReads, Exit> {
    SystemReads::open(LIBVIRT, Path::new("/")).map_err(unreachable)
}

/// The host, to change.
fn host() -> Result<SystemHost, Exit> {
    SystemHost::open(LIBVIRT, Path::new("/")).map_err(unreachable)
}

fn unreachable(error: CallError) -> Exit {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach libvirt at {LIBVIRT}")]
    struct Unreachable(#[source] CallError);
    terminal::error(&Unreachable(error), None);
    Exit::Failed
}
