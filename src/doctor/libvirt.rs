//! libvirt, the emulators, and KVM.

use super::facts::Facts;
use super::finding::{Check, Finding, Remedy};
use crate::inventory::{Fact, Kvm, Libvirt};
use crate::plan::FIRST_WITH_FOLDER;
use crate::values::Arch;
use std::collections::BTreeSet;

/// The first libvirt that reports a guest's reboot as one where `on_reboot` is `destroy` (its NEWS, 7.7.0).
const FIRST_TO_TELL_REBOOTS: u32 = 7_007_000;

pub(super) fn reached(facts: &Facts<'_>) -> Vec<Finding> {
    let libvirt = match &facts.inventory.libvirt {
        Fact::Present(libvirt) => libvirt,
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not asked");
            let start = format!("systemctl start {}", facts.daemon());
            let what = format!("libvirt does not answer: {why}");
            return vec![Check::Libvirt.problem(what, Remedy::run(start))];
        }
    };
    let version = libvirt.version_text();
    let upgrade = Remedy::act("upgrade libvirt");
    vec![if libvirt.version < FIRST_WITH_FOLDER {
        let what = format!("libvirt {version} runs no hooks from qemu.d; armfleet needs 6.5.0");
        Check::Libvirt.problem(what, upgrade)
    } else if libvirt.version < FIRST_TO_TELL_REBOOTS {
        let what = format!(
            "libvirt {version} reports a guest's reboot as a power cut; 7.7.0 and newer report the reboot"
        );
        Check::Libvirt.notice(what, upgrade)
    } else {
        Check::Libvirt.fine(format!("libvirt {version} answers"))
    }]
}

pub(super) fn emulators(facts: &Facts<'_>) -> Vec<Finding> {
    let libvirt = match facts.libvirt() {
        Ok(libvirt) => libvirt,
        Err(why) => return vec![Check::Emulators.not_checked(why)],
    };
    let look = |arch: Arch| {
        if let Some(guest) = libvirt.guests.get(arch.libvirt) {
            let emulator = guest.emulator.as_deref().unwrap_or("an emulator");
            let machine = guest.machines.get("virt").map_or("", String::as_str);
            return Check::Emulators.fine(format!("{arch} guests: {emulator}, machine {machine}"));
        }
        let what = format!("this host has no emulator for {arch} guests");
        let daemon = facts.daemon();
        let install = format!("apt install qemu-system-arm && systemctl restart {daemon}");
        match is_needed(facts, arch) {
            true => Check::Emulators.problem(what, Remedy::run(install)),
            false => Check::Emulators.notice(what, Remedy::run(install)),
        }
    };
    Arch::ALL.map(look).into()
}

/// Whether the fleet has guests of an architecture; without a fleet, any may come.
fn is_needed(facts: &Facts<'_>, arch: Arch) -> bool {
    let vms = facts.spec.map(|spec| spec.vms.values());
    vms.is_none_or(|mut vms| vms.any(|vm| vm.arch == arch))
}

pub(super) fn kvm(facts: &Facts<'_>) -> Vec<Finding> {
    match facts.libvirt() {
        Ok(libvirt) => Arch::ALL
            .into_iter()
            .filter(|arch| libvirt.guests.contains_key(arch.libvirt))
            .map(|arch| kvm_of(libvirt, arch))
            .collect(),
        Err(why) => vec![Check::Kvm.not_checked(why)],
    }
}

fn kvm_of(libvirt: &Libvirt, arch: Arch) -> Finding {
    let emulates = format!("accel: auto emulates {arch} guests");
    match libvirt.kvm_of(arch, arch) {
        Kvm::Runs => Check::Kvm.fine(format!(
            "{arch} guests run under KVM, which accel: auto chooses"
        )),
        Kvm::NotOffered if libvirt.bits32.is_some() => Check::Kvm.notice(
            format!("{emulates}: this host has no KVM for them, though its processor is an ARM one"),
            Remedy::act("see whether /dev/kvm is there: the firmware has to start Linux in EL2"),
        ),
        Kvm::NotOffered => {
            Check::Kvm.fine(format!("{emulates}: this host has no KVM for them"))
        }
        Kvm::ProgramsOnly => Check::Kvm.notice(
            format!("{emulates}: this host's KVM runs 32-bit programs, but no 32-bit kernels"),
            Remedy::act("set arch: arm64 and userland: armhf, which runs under KVM here; armfleet explain no-kvm"),
        ),
        Kvm::NoBits32 => Check::Kvm.notice(
            format!("{emulates}: this host's KVM runs nothing of 32 bits"),
            Remedy::act("put them on a host whose processor has a 32-bit mode; armfleet explain no-kvm"),
        ),
        Kvm::NotAsked => Check::Kvm.not_checked(format!("whether KVM runs {arch} guests: it was not asked")),
        Kvm::Unknown(why) => {
            Check::Kvm.not_checked(format!("whether KVM runs {arch} guests: {why}"))
        }
    }
}

/// A fix of QEMU's 9p server, by the first version that has it. What is so in an earlier one.
struct Fix {
    first: (u32, u32, u32),
    lacking: &'static str,
}

/// Known of QEMU's series 10.0 and what is before it (QEMU's and Debian's changelogs).
const FIXES: [Fix; 2] = [
    Fix {
        first: (10, 0, 12),
        lacking: "a guest can have QEMU use up the host's memory (CVE-2026-8348, CVE-2026-9238)",
    },
    Fix {
        first: (10, 0, 13),
        lacking: "a guest can empty files of a share with readonly: true (CVE-2026-63318)",
    },
];
/// dpkg and apt work with files that they deleted while they were open.
const FIX_OF_7_2: Fix = Fix {
    first: (7, 2, 16),
    lacking: "a guest's dpkg may fail on a file that was deleted while open",
};

pub(super) fn fixes_of_9p(facts: &Facts<'_>) -> Vec<Finding> {
    let asked = facts.health.programs.iter();
    let emulators: Vec<_> = asked.filter(|(path, _)| path.contains("qemu-")).collect();
    if emulators.is_empty() {
        return vec![Check::Qemu9p.not_checked("the version of QEMU: no emulator is known")];
    }
    let found: BTreeSet<Result<&str, String>> = emulators
        .into_iter()
        .map(|(path, said)| match said {
            Fact::Present(said) => Ok(said.as_str()),
            unseen => Err(unseen.unknown().unwrap_or(path).to_owned()),
        })
        .collect();
    found
        .into_iter()
        .map(|said| match said {
            Ok(said) => fixes_of(said),
            Err(why) => Check::Qemu9p.not_checked(format!("the version of QEMU: {why}")),
        })
        .collect()
}

fn fixes_of(said: &str) -> Finding {
    let Some(version) = version_in(said) else {
        return Check::Qemu9p.not_checked(format!("the version of QEMU: {said:?} names none"));
    };
    let (major, minor, release) = version;
    let words = format!("QEMU {major}.{minor}.{release}");
    if (major, minor) > (10, 0) {
        let what =
            format!("which fixes of its 9p server {words} has is not known to this armfleet");
        return Check::Qemu9p.notice(what, Remedy::run("apt changelog qemu-system-arm"));
    }
    let of_series = ((major, minor) == (7, 2)).then_some(&FIX_OF_7_2);
    let lacking = FIXES.iter().chain(of_series);
    let lacking = lacking.filter(|fix| version < fix.first);
    let lacking: Vec<_> = lacking.map(|fix| fix.lacking).collect();
    if lacking.is_empty() {
        return Check::Qemu9p.fine(format!("{words} has the known fixes of its 9p server"));
    }
    let what = format!(
        "{words} lacks fixes of its 9p server: {}",
        lacking.join("; ")
    );
    Check::Qemu9p.notice(
        what,
        Remedy::act("upgrade QEMU to 10.0.13, or to a package whose changelog names these fixes; until then run guests only whose root you trust"),
    )
}

/// The three numbers after the word `version`.
fn version_in(said: &str) -> Option<(u32, u32, u32)> {
    let (_, after) = said.split_once("version ")?;
    let numbers = after.split(|c: char| c != '.' && !c.is_ascii_digit());
    let mut numbers = numbers.into_iter().next()?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}
