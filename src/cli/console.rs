//! `armfleet console`

use super::exit::Exit;
use super::local::{LIBVIRT, reads};
use super::plan::failed;
use super::terminal;
use crate::host::HostError;
use crate::host::primitives::Reads as _;
use crate::host::record_of;
use crate::inventory::{Look, RunState};
use crate::values::VmName;
use clap::Args;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

#[derive(Debug, Args)]
pub(super) struct ConsoleArguments {
    /// The VM
    vm: VmName,
    /// Take the console over from whoever has it
    #[arg(long)]
    force: bool,
}

/// virsh's own program for it, which knows terminals: armfleet becomes that, once it is clear that there is a console.
const VIRSH: &str = "virsh";

pub(super) fn run(arguments: &ConsoleArguments) -> Result<Exit, Exit> {
    let vm = &arguments.vm;
    if !terminal::can_ask() {
        let remedy = format!("armfleet logs {vm} shows what was said on it, where it is logged");
        terminal::error(&NoTerminal, Some(&remedy));
        return Err(Exit::Invalid);
    }
    let reads = reads()?;
    let record = record_of(vm, |path| reads.look(path, Look::Text)).map_err(failed)?;
    let state = reads.state(record.uuid.as_str());
    let state = state
        .map_err(|error| failed(HostError::new(format!("cannot look at domain {vm}"), error)))?;
    if state == RunState::Off {
        let remedy = format!("armfleet start {vm}");
        return Err(failed(
            HostError::plain(format!("{vm} is off")).with_remedy(remedy),
        ));
    }
    drop(reads);
    let mut virsh = Command::new(VIRSH);
    virsh.args(["--connect", LIBVIRT, "console", vm.as_str()]);
    if arguments.force {
        virsh.arg("--force");
    }
    let error = virsh.exec();
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "apt install libvirt-clients",
        _ => "",
    };
    let failure = HostError::new(format!("cannot run {VIRSH}"), error).with_remedy(remedy);
    Err(failed(failure))
}

#[derive(Debug, thiserror::Error)]
#[error("a console needs a terminal")]
struct NoTerminal;
