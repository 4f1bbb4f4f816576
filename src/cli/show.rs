//! `armfleet show`

use super::arguments::{FleetOptions, PlanFormat};
use super::exit::Exit;
use super::fleet::Unset;
use super::from_snapshot::SnapshotOption;
use super::local::LIBVIRT;
use super::plan::print;
use super::{fleet, saved, terminal};
use crate::host::Inspect;
use crate::host::primitives::Reads as _;
use crate::host::system::SystemReads;
use crate::inventory::{Fact, Libvirt, Query, RawLibvirt};
use crate::report::{VmReport, render_vm};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The VM
    #[arg(required_unless_present = "plan")]
    vm: Option<String>,
    #[command(flatten)]
    snapshot: SnapshotOption,
    #[command(flatten)]
    fleet: FleetOptions,
    /// A plan that plan --out saved, instead of a VM
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vm", "file", "var", "from_snapshot"])]
    plan: Option<PathBuf>,
    /// Of a plan: show how the definition of each domain changes, too
    #[arg(long, requires = "plan")]
    diff: bool,
    /// How to print it; Markdown is for plans
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
}

pub(super) fn run(arguments: &ShowArguments) -> Result<Exit, Exit> {
    if let Some(path) = &arguments.plan {
        let (saved, spec) = saved::read_to_show(path)?;
        let mut report = saved::report(&saved, &spec, arguments.diff);
        print(&mut report, arguments.format)?;
        return Ok(Exit::Success);
    }
    let unset = arguments.snapshot.unset(Unset::Refused);
    let spec = fleet::read(&[], &arguments.fleet, unset)?;
    let vm = fleet::vm(&spec, arguments.vm.as_deref().unwrap_or_default())?;
    let (libvirt, basis) = match arguments.snapshot.is_given() {
        true => {
            let looked = arguments.snapshot.look()?;
            (libvirt_of(looked.host.as_ref()), looked.basis)
        }
        false => (seen_libvirt(), None),
    };
    if libvirt.is_none() {
        terminal::remark("libvirt could not be reached: shown as for a host without KVM\n");
    }
    let libvirt = libvirt.unwrap_or_default();
    let report = VmReport {
        basis,
        ..VmReport::new(&spec.fleet, vm, &libvirt)
    };
    match arguments.format {
        PlanFormat::Text => terminal::result(&render_vm(&report)),
        PlanFormat::Json => terminal::json(&report)?,
        PlanFormat::Markdown => {
            terminal::error(&NoMarkdown, Some("use --format text or json"));
            return Err(Exit::Invalid);
        }
    }
    Ok(Exit::Success)
}

#[derive(Debug, thiserror::Error)]
#[error("a VM is not shown as Markdown")]
struct NoMarkdown;

/// What the host's libvirt can do, which decides between KVM and emulation.
fn seen_libvirt() -> Option<Libvirt> {
    let raw = SystemReads::open(LIBVIRT, Path::new("/"))
        .ok()?
        .libvirt()
        .ok()?;
    readable(raw)
}

/// The same of a host that was recorded.
fn libvirt_of(host: &dyn Inspect) -> Option<Libvirt> {
    let seen = host.observe(&Query::default()).ok()?;
    readable(seen.libvirt.present()?.clone())
}

fn readable(raw: RawLibvirt) -> Option<Libvirt> {
    match Fact::Present(raw).try_map(|raw| Libvirt::read(&raw)) {
        Fact::Present(libvirt) => Some(libvirt),
        _ => None,
    }
}
