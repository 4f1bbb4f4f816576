//! `armfleet logs`

use super::exit::Exit;
use super::plan::failed;
use super::terminal;
use crate::host::system::SystemFiles;
use crate::host::{HostError, record_of};
use crate::inventory::Look;
use crate::paths;
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
    let paths = arguments.vms.iter().map(|vm| path(vm, arguments.qemu));
    let paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
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
    let ended = match terminal::shows_results() {
        true => shown(tail),
        false => Err(tail.exec()),
    };
    ended.map_err(|error| failed(HostError::new("cannot run tail", error)))
}

/// Shows the lines of a guest so that they do nothing to the terminal.
fn shown(mut tail: Command) -> io::Result<Exit> {
    let mut child = tail.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        terminal::result(&console_line(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    Ok(match child.wait()?.success() {
        true => Exit::Success,
        false => Exit::Failed,
    })
}

/// Where a VM's log is.
fn path(vm: &VmName, of_qemu: bool) -> Result<String, HostError> {
    let files = SystemFiles::new(Path::new("/"));
    let record = record_of(vm, |path| files.look(path, Look::Text))?;
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
