//! Whether a host can run what a VM is to be.

use crate::fleet::Accel;
use crate::inventory::{Domain, GuestSupport, Kvm};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::problem::HostCheck;
use crate::values::{CpuSet, GICV2_VCPUS, Size};
use crate::xml;
use roxmltree::Document;

/// What runs on a host whose processor runs 32-bit programs only.
const FOREIGN_KERNEL: &str = "set arch: arm64 and userland: armhf, which runs under KVM here";

/// A check that failed: why, and what to do.
type FailedCheck = (HostCheck, String, String);

impl VmPlanner<'_> {
    /// Refuses what libvirt or QEMU would refuse when the domain is defined or started, before anything is made for it.
    pub(super) fn host_can(
        &self,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let failure = match self.input.libvirt.guests.get(self.vm.arch.libvirt) {
            None => Some((
                HostCheck::NoEmulator,
                format!("this host has no emulator for {} guests", self.vm.arch),
                "apt install qemu-system-arm, then restart libvirtd".to_owned(),
            )),
            Some(guest) => self
                .no_machine(guest)
                .or_else(|| self.no_kvm())
                .or_else(|| self.too_many_vcpus(guest))
                .or_else(|| self.too_many_for_its_gic(domain?))
                .or_else(|| self.too_much_memory())
                .or_else(|| self.no_such_cpus()),
        };
        let Some((check, why, remedy)) = failure else {
            return Ok(());
        };
        builder.refuse_on(check, &self.vm.name, why, remedy);
        Err(Blocked)
    }

    /// Says that an existing domain has a machine that this host's QEMU no longer has: it would not start.
    pub(super) fn machine_notice(&self, stored: &Document<'_>, builder: &mut PlanBuilder) {
        let kind = xml::descend(stored.root_element(), &["os", "type"]);
        let Some(machine) = kind.and_then(|kind| kind.attribute("machine")) else {
            return;
        };
        let guest = self.input.libvirt.guests.get(self.vm.arch.libvirt);
        let Some(newest) = guest.and_then(|guest| {
            let is_gone = !guest.machines.contains_key(machine);
            guest.machines.get("virt").filter(|_| is_gone)
        }) else {
            return;
        };
        builder.notice(
            &self.vm.name,
            format!("its machine {machine} is not one of this host's QEMU; it cannot start"),
            format!("set machine: {newest}"),
        );
    }

    fn no_machine(&self, guest: &GuestSupport) -> Option<FailedCheck> {
        let (arch, machine) = (self.vm.arch, &self.vm.machine);
        let there = guest.machines.contains_key(machine.as_str());
        (!there).then(|| {
            let why = format!("this host's QEMU has no machine {machine} for {arch} guests");
            (HostCheck::NoMachine, why, "set machine: virt".to_owned())
        })
    }

    fn no_kvm(&self) -> Option<FailedCheck> {
        let why = self
            .not_under_kvm()
            .filter(|_| self.vm.accel == Accel::Kvm)?;
        let remedy = match self.input.libvirt.kvm(self.vm) {
            Kvm::ProgramsOnly => format!("{FOREIGN_KERNEL}, or accel: tcg to have it emulated"),
            Kvm::NoBits32 => {
                "set accel: tcg to have it emulated, or put it on a host whose processor has one"
                    .to_owned()
            }
            _ => "set accel: auto, or tcg to have it emulated".to_owned(),
        };
        Some((HostCheck::NoKvm, why, remedy))
    }

    /// Why this host's KVM does not run the VM, as far as that is known.
    fn not_under_kvm(&self) -> Option<String> {
        Some(match self.input.libvirt.kvm(self.vm) {
            Kvm::Runs | Kvm::Unknown(_) | Kvm::NotAsked => return None,
            Kvm::NotOffered => format!("this host has no KVM for {} guests", self.vm.arch),
            Kvm::ProgramsOnly => "this host's KVM runs 32-bit programs, but no 32-bit kernels: its processor has no such mode for them".to_owned(),
            Kvm::NoBits32 => "this host's KVM runs nothing of 32 bits: its processor has no such mode".to_owned(),
        })
    }

    /// Says why a VM that is new, or gets another architecture, is emulated although the host has KVM.
    pub(super) fn emulation_notice(&self, builder: &mut PlanBuilder) {
        let asked = self.input.libvirt.kvm(self.vm);
        let (why, outlook) = match (self.vm.accel, &asked) {
            (Accel::Auto, Kvm::ProgramsOnly) => (
                self.not_under_kvm().unwrap_or_default(),
                format!("{FOREIGN_KERNEL}; armfleet explain no-kvm"),
            ),
            (Accel::Auto, Kvm::NoBits32) => (
                self.not_under_kvm().unwrap_or_default(),
                "armfleet explain no-kvm".to_owned(),
            ),
            (Accel::Auto, Kvm::Unknown(why)) => (
                format!(
                    "whether this host's KVM runs 32-bit {} could not be seen ({why})",
                    if self.vm.has_other_userland() {
                        "programs"
                    } else {
                        "kernels"
                    }
                ),
                "set accel: kvm if it does".to_owned(),
            ),
            _ => return,
        };
        builder.notice(&self.vm.name, format!("will be emulated: {why}"), outlook);
    }

    fn too_many_vcpus(&self, guest: &GuestSupport) -> Option<FailedCheck> {
        let (vcpus, machine) = (self.vm.vcpus, &self.vm.machine);
        let most = *guest.most_vcpus.get(machine.as_str())?;
        (vcpus > most).then(|| {
            let why = format!(
                "requests {vcpus} vCPUs; machine type {machine} supports {most} on this host"
            );
            (
                HostCheck::HostVcpus,
                why,
                format!("set vcpus: {most}, or fewer"),
            )
        })
    }

    /// libvirt writes the newest interrupt controller that the host can give into a domain's definition when it is
    /// defined (`qemuDomainDefEnableDefaultFeatures`), and QEMU refuses more CPUs only when it starts.
    fn too_many_for_its_gic(&self, domain: &Domain) -> Option<FailedCheck> {
        let vcpus = self.vm.vcpus;
        if vcpus <= GICV2_VCPUS {
            return None;
        }
        let document = xml::parse(domain.raw.inactive.present()?).ok()?;
        let gic = xml::descend(document.root_element(), &["features", "gic"])?;
        (gic.attribute("version") == Some("2")).then(|| {
            let why = format!("requests {vcpus} vCPUs; its interrupt controller, a GICv2, supports {GICV2_VCPUS}");
            (HostCheck::HostVcpus, why, format!("set vcpus: {GICV2_VCPUS}, or fewer; libvirt chose the controller when the domain was defined"))
        })
    }

    fn too_much_memory(&self) -> Option<FailedCheck> {
        let has = Size::from_bytes(self.input.libvirt.memory?);
        (self.vm.memory > has).then(|| {
            let why = format!(
                "requests {} of memory; this host has {}",
                self.vm.memory,
                has.about()
            );
            (HostCheck::HostMemory, why, "give it less memory".to_owned())
        })
    }

    fn no_such_cpus(&self) -> Option<FailedCheck> {
        let (pin, has) = (self.vm.cpu.pin.as_ref()?, self.input.libvirt.cpus.as_ref()?);
        let missing: CpuSet = pin.difference(has)?;
        let why = format!("is pinned to CPUs {pin} of the host; {missing} are not online");
        let remedy = format!("set cpu.pin to some of {has}");
        Some((HostCheck::HostCpus, why, remedy))
    }
}
