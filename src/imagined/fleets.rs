//! What is compared.

use crate::fleet::{Spec, Vm};
use crate::values::HostPath;
use std::collections::BTreeSet;

/// Two fleets.
#[derive(Debug, Clone, Copy)]
pub struct Fleets<'s> {
    /// The one before; without it, everything is new.
    pub old: Option<&'s Spec>,
    /// The one after.
    pub new: &'s Spec,
    /// Files beside the fleet files, such as seeds, that have other bytes after than before.
    pub changed: &'s BTreeSet<HostPath>,
}

/// The files that armfleet copies for a VM: its seed, its device tree, its installer.
pub fn sources(vm: &Vm) -> impl Iterator<Item = &HostPath> {
    let install = vm.install.iter().flat_map(|install| {
        let own = [&install.kernel, &install.initrd].into_iter();
        own.chain(install.files.values())
    });
    let seed = vm.boot.seed.iter();
    let seed = seed.flat_map(|seed| [&seed.kernel, &seed.initrd]);
    install.chain(seed).chain(&vm.boot.dtb)
}
