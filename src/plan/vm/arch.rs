//! A VM that gets a kernel of another architecture under the same programs: an armhf guest that installed an arm64 kernel,
//! and the way back.

use crate::boot::{Candidate, KernelKind, choose};
use crate::domain::{arch_of, has_other_arch};
use crate::fleet::Vm;
use crate::inventory::{Fact, Inventory};
use crate::mark::{Record, Wanted};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::kernels::staged_pair;
use crate::problem::HostCheck;
use crate::values::Arch;
use roxmltree::Document;

impl VmPlanner<'_> {
    /// Whether an existing domain gets another architecture. Refused unless its programs stay the same, and its share has a
    /// kernel that runs them.
    pub(super) fn moves(
        &self,
        record: Option<&Record>,
        stored: &Document<'_>,
        builder: &mut PlanBuilder,
    ) -> Result<bool, Blocked> {
        if self.input.policy.drift_only || !has_other_arch(self.vm, stored) {
            return Ok(false);
        }
        let (name, arch) = (&self.vm.name, self.vm.arch);
        let seen = arch_of(stored).and_then(Arch::from_libvirt);
        let applied = record.and_then(|record| record.applied.userland());
        if applied.or(seen) != Some(self.vm.userland) {
            let was = applied
                .or(seen)
                .map_or("of another architecture", |arch| arch.word);
            builder.refuse(
                name,
                format!(
                    "its guest is {was}, and would be {}: another machine",
                    self.vm.userland
                ),
                other_machine(self.vm, applied.or(seen)),
            );
            return Err(Blocked);
        }
        if let Some(Wanted::Generation(_)) = record.map(|record| &record.boot.wanted) {
            builder.refuse(
                name,
                format!("it boots what armfleet boot use chose, which is no {arch} kernel"),
                format!("armfleet boot use {name} auto"),
            );
            return Err(Blocked);
        }
        self.has_kernel(builder)?;
        Ok(true)
    }

    /// Refuses a VM whose share has no kernel of its architecture.
    fn has_kernel(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        let (name, arch, share) = (&self.vm.name, self.vm.arch, &self.vm.boot.share);
        let seen = self.input.inventory.path(share.as_str());
        if let Fact::NotObserved | Fact::Unreadable(_) = seen {
            let why = seen.unknown().unwrap_or_default();
            builder.unknown(name, format!("its boot share could not be read: {why}"));
            return Err(Blocked);
        }
        let kinds = share_kernels(self.input.inventory, self.vm);
        let runs = |(_, kind): &(Candidate, Option<KernelKind>)| {
            kind.is_some_and(|kind| kind.arch == arch && kind.runs(self.vm.userland))
        };
        if kinds.iter().any(runs) {
            return Ok(());
        }
        let programs = match self.vm.has_other_userland() {
            true => format!(" that runs {} programs", self.vm.userland),
            false => String::new(),
        };
        builder.refuse_on(
            HostCheck::NoKernel,
            name,
            format!("its share {share} has no {arch} kernel{programs} with its initrd; it stays as it is"),
            format!("armfleet guest-setup --kernel {arch} prints what installs one in the guest"),
        );
        Err(Blocked)
    }
}

/// What to do about a VM that would become another one.
fn other_machine(vm: &Vm, programs: Option<Arch>) -> String {
    let keeps = programs.filter(|programs| vm.arch.has_userland(*programs));
    let create = "remove the VM and create it under another name";
    match keeps {
        Some(programs) => format!(
            "set userland: {programs} to change its kernel alone to {}, or {create}",
            vm.arch
        ),
        None => create.to_owned(),
    }
}

/// The pairs of a VM's share that could boot, best first, with what their kernels are for.
fn share_kernels(inventory: &Inventory, vm: &Vm) -> Vec<(Candidate, Option<KernelKind>)> {
    let Some(share) = inventory.path(vm.boot.share.as_str()).present() else {
        return Vec::new();
    };
    let listing = share.listing();
    let pairs = choose(&listing, vm.arch).into_iter().flatten();
    let with_kind = |pair: Candidate| {
        let kind = listing.kernels.get(&pair.kernel).copied();
        (pair, kind)
    };
    pairs.map(with_kind).collect()
}

/// Says that the kernel that boots next cannot run the guest's programs.
pub(super) fn page_size_notice(inventory: &Inventory, vm: &Vm, builder: &mut PlanBuilder) {
    if !vm.has_other_userland() {
        return;
    }
    let in_share = share_kernels(inventory, vm).into_iter().next();
    let in_share = in_share.map(|(pair, kind)| (Some(pair.version), kind));
    let staged = || staged_pair(inventory, &vm.name).map(|note| (note.version, note.kind));
    let Some((version, Some(kind))) = in_share.or_else(staged) else {
        return;
    };
    let Some(pages) = kind.pages.filter(|_| !kind.runs(vm.userland)) else {
        return;
    };
    let version = version.map_or_else(|| "its kernel".to_owned(), |version| version.to_string());
    builder.notice(
        &vm.name,
        format!("{version} has pages of {pages} and runs no {} programs; its guest does not start with it", vm.userland),
        "install linux-image-arm64:arm64 in the guest, which has pages of 4 KiB, and remove this one",
    );
}
