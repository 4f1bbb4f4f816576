//! One VM with everything filled in.

use crate::domain::render_new;
use crate::fleet::{Accel, DesiredState, GuestReboot, Restart, Vm};
use crate::inventory::Libvirt;
use crate::values::{FleetName, render_duration};
use serde::Serialize;
use std::fmt::Write as _;

/// A VM as the fleet file means it, and the definition of its domain if it were created now.
#[must_use]
pub fn render_vm(fleet: &FleetName, vm: &Vm, libvirt: &Libvirt) -> String {
    let mut text = format!("{}:\n", vm.name);
    for (key, value) in keys(vm) {
        let _ = writeln!(text, "  {key}: {value}");
    }
    text.push('\n');
    text + &render_new(fleet, vm, libvirt)
}

/// The same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmReport<'a> {
    /// The version of this format.
    pub format: &'static str,
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The VM with everything filled in.
    pub vm: &'a Vm,
    /// The definition of its domain if it were created now.
    pub domain: String,
}

impl<'a> VmReport<'a> {
    /// A VM as the fleet file means it, and the definition of its domain if it were created now.
    #[must_use]
    pub fn new(fleet: &'a FleetName, vm: &'a Vm, libvirt: &Libvirt) -> Self {
        Self {
            format: "armfleet-vm/1",
            fleet,
            vm,
            domain: render_new(fleet, vm, libvirt),
        }
    }
}

fn keys(vm: &Vm) -> Vec<(&'static str, String)> {
    let accel = match vm.accel {
        Accel::Auto => "auto",
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg",
    };
    let state = match vm.state {
        DesiredState::Running => "running",
        DesiredState::Stopped => "stopped",
    };
    let reboot = match vm.on_guest_reboot {
        GuestReboot::ColdBoot => "cold-boot",
        GuestReboot::Warm => "warm",
        GuestReboot::Stop => "stop",
    };
    let restart = match vm.restart {
        Restart::Never => "never",
        Restart::WhenRequired => "when-required",
    };
    let transport = match vm.transport {
        Some(transport) => transport.as_str(),
        None => "as it is; of a new domain mmio",
    };
    let mut keys = vec![
        ("arch", vm.arch.to_string()),
        ("accel", accel.to_owned()),
        ("machine", vm.machine.to_string()),
        ("memory", vm.memory.to_string()),
        ("vcpus", vm.vcpus.to_string()),
        ("transport", transport.to_owned()),
        ("boot.share", vm.boot.share.to_string()),
        ("boot.handover", vm.boot.handover.as_str().to_owned()),
        ("boot.cmdline", vm.boot.cmdline.to_string()),
    ];
    if let Some(seed) = &vm.boot.seed {
        keys.push(("boot.seed.kernel", seed.kernel.to_string()));
        keys.push(("boot.seed.initrd", seed.initrd.to_string()));
    }
    if let Some(within) = vm.boot.confirm_within {
        keys.push(("boot.confirm_within", render_duration(within)));
    }
    if let Some(install) = &vm.install {
        keys.push(("install.kernel", install.kernel.to_string()));
        keys.push(("install.initrd", install.initrd.to_string()));
        keys.push(("install.cmdline", install.cmdline.to_string()));
        for (target, source) in &install.files {
            keys.push(("install.files", format!("{target}: {source}")));
        }
    }
    for disk in &vm.disks {
        let size = disk
            .size
            .map_or_else(|| "as it is".to_owned(), |size| format!("at least {size}"));
        keys.push(("disk", format!("{} at {}, {size}", disk.name, disk.path)));
    }
    keys.extend(
        vm.console_log
            .as_ref()
            .map(|log| ("console.log", log.to_string())),
    );
    keys.extend([
        ("state", state.to_owned()),
        ("autostart", vm.autostart.to_string()),
        ("on_guest_reboot", reboot.to_owned()),
        ("stop_timeout", render_duration(vm.stop_timeout)),
        ("restart", restart.to_owned()),
        ("protect", vm.protect.to_string()),
    ]);
    keys
}
