//! `armfleet show`

use super::exit::Exit;
use super::{LIBVIRT, ShowArguments, fleet, terminal};
use crate::host::primitives::Reads as _;
use crate::host::system::SystemReads;
use crate::inventory::{Fact, Libvirt};
use crate::report::render_vm;
use std::path::Path;

pub(super) fn run(arguments: &ShowArguments) -> Result<Exit, Exit> {
    let spec = fleet::read(&[], &arguments.fleet)?;
    let vm = fleet::vm(&spec, &arguments.vm)?;
    let libvirt = seen_libvirt();
    if libvirt.is_none() {
        terminal::remark("libvirt could not be seen: shown as for a host without KVM\n");
    }
    terminal::result(&render_vm(&spec.fleet, vm, &libvirt.unwrap_or_default()));
    Ok(Exit::Success)
}

/// What the host's libvirt can do, which decides between KVM and emulation.
fn seen_libvirt() -> Option<Libvirt> {
    let raw = SystemReads::open(LIBVIRT, Path::new("/"))
        .ok()?
        .libvirt()
        .ok()?;
    match Fact::Present(raw).try_map(|raw| Libvirt::read(&raw)) {
        Fact::Present(libvirt) => Some(libvirt),
        _ => None,
    }
}
