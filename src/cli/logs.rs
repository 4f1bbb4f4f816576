//! `armfleet logs`

use super::exit::Exit;
use super::local::reads;
use super::plan::failed;
use super::terminal;
use crate::engine::observe_kept;
use crate::host::system::SystemFiles;
use crate::host::{HostError, Observer, record_of};
use crate::inventory::Look;
use crate::mark::Record;
use crate::paths;
use crate::plan::{Power, PowerRequest};
use crate::report::console_line;
use crate::values::VmName;
use clap::Args;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// The VMs
    #[arg(value_name = "VM", required = true)]
    vms: Vec<VmName>,
    /// Go on with what is written from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines, so many of each VM
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// What QEMU and libvirt said about its runs, instead of what its guest said on its console
    #[arg(long)]
    qemu: bool,
}

/// Shows logs by tail, which knows how to follow a file that is replaced by a new one.
pub(super) fn run(arguments: &LogsArguments) -> Result<Exit, Exit> {
    let records = arguments.vms.iter().map(recorded);
    let records = records.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let paths = records.iter().map(|record| path(record, arguments.qemu));
    let paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let has_secrets = records
        .iter()
        .any(|record| !record.secret_cmdlines.is_empty());
    if has_secrets {
        learn_secrets(&arguments.vms)?;
    }
    let lines = match arguments.lines {
        Some(lines) => lines.to_string(),
        None => "+1".to_owned(),
    };
    let mut tail = Command::new("tail");
    tail.args(["--lines", &lines]);
    if arguments.follow {
        tail.args(["--follow=name", "--retry"]);
    }
    tail.arg("--").args(paths);
    let ended = match (terminal::shows_results(), has_secrets) {
        (true, _) => shown(tail, console_line),
        (false, true) => shown(tail, str::to_owned),
        (false, false) => Err(tail.exec()),
    };
    ended.map_err(|error| failed(HostError::new("cannot run tail", error)))
}

fn recorded(vm: &VmName) -> Result<Record, HostError> {
    let files = SystemFiles::new(Path::new("/"));
    record_of(vm, |path| files.look(path, Look::Text))
}

/// A kernel prints its command line, and QEMU's log has it. What is secret in it the domains alone know.
fn learn_secrets(vms: &[VmName]) -> Result<(), Exit> {
    let names = vms.iter().map(|vm| vm.as_str().parse());
    let request = PowerRequest {
        power: Power::Start,
        vms: names.filter_map(Result::ok).collect(),
        pending: false,
        timeout: None,
    };
    let observed = observe_kept(&Observer(reads()?), &request);
    observed.map(drop).map_err(failed)
}

/// Shows the lines of logs as they may be shown, without secrets.
fn shown(mut tail: Command, show: fn(&str) -> String) -> io::Result<Exit> {
    let mut child = tail.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        terminal::result(&show(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    Ok(match child.wait()?.success() {
        true => Exit::Success,
        false => Exit::Failed,
    })
}

/// Where a VM's log is.
fn path(record: &Record, of_qemu: bool) -> Result<String, HostError> {
    let vm = &record.vm;
    if of_qemu {
        return Ok(paths::libvirt_log(vm));
    }
    let log = record.applied.console_log();
    log.map(str::to_owned).ok_or_else(|| {
        HostError::plain(format!("{vm} keeps no log of its console")).with_remedy(format!(
            "console: {{ log: \"/var/log/{{name}}.log\" }} in the fleet file, then armfleet apply; armfleet console {vm} shows it live"
        ))
    })
}
