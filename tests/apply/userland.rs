//! An armhf guest under an arm64 kernel: what each kind of arm64 host makes of it, and the move there and back.

use crate::harness::kernels::whole;
use crate::harness::scenario::{Bits32, HostFacts};
use crate::harness::{IMAGE, SHARE, VM, apply, apply_case, new_host_with, plan};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Reads as _;
use armfleet::plan::Policy;

/// The three kinds of arm64 hosts: what KVM says of 32-bit kernels, and the processor of 32-bit programs.
const HOSTS: [(&str, bool, bool); 3] = [
    ("kernels", true, true),
    ("programs", false, true),
    ("nothing", false, false),
];
const GUESTS: [&str; 3] = ["arch: armhf", "arch: arm64, userland: armhf", "arch: arm64"];

/// How a new VM is executed, or why not; and what there is to say.
fn executed(kernels: bool, programs: bool, guest: &str, accel: &str) -> String {
    let host = new_host_with(&HostFacts {
        kvm: true,
        bits32: Some(Bits32::of(kernels, programs)),
        ..HostFacts::default()
    });
    let arm64 = "/srv/seed/vmlinuz-6.12.0-1-arm64";
    host.put_file(arm64, whole(arm64, "kernel")).unwrap();
    let kernel = match guest {
        "arch: armhf" => "/srv/seed/vmlinuz-6.1.0-48-armmp",
        _ => arm64,
    };
    let fleet = format!(
        "fleet: lab\nvms: {{ v: {{ {guest}, accel: {accel}, memory: 512MiB, boot: {{ cmdline: x, seed: {{ \
         kernel: {kernel}, initrd: /srv/seed/initrd.img-6.1.0-48-armmp }} }} }} }}"
    );
    let plan = plan(&host, &fleet, &Policy::default());
    if let Some(refused) = plan.refusals.first() {
        return format!("refused: {}", refused.remedy);
    }
    let is_domain = |reason: &&str| reason.contains("boots from its share");
    let mut reasons = plan.steps.iter().map(|step| step.reason.as_str());
    let domain = reasons.find(is_domain).unwrap();
    let how = if domain.contains("KVM") {
        "KVM"
    } else {
        "emulated"
    };
    let mut notices = plan.notices.iter();
    match notices.find(|notice| notice.what.contains("emulated")) {
        Some(notice) => format!("{how}: {}", notice.outlook),
        None => how.to_owned(),
    }
}

#[test]
fn each_kind_of_host_runs_each_guest_as_it_can_or_names_the_next_way() {
    let mut table = String::new();
    for (host, kernels, programs) in HOSTS {
        for guest in GUESTS {
            for accel in ["auto", "kvm", "tcg"] {
                let how = executed(kernels, programs, guest, accel);
                table += &format!("{host} | {guest} | {accel} | {how}\n");
            }
        }
    }
    assert_eq!(
        table,
        "\
kernels | arch: armhf | auto | KVM
kernels | arch: armhf | kvm | KVM
kernels | arch: armhf | tcg | emulated
kernels | arch: arm64, userland: armhf | auto | KVM
kernels | arch: arm64, userland: armhf | kvm | KVM
kernels | arch: arm64, userland: armhf | tcg | emulated
kernels | arch: arm64 | auto | KVM
kernels | arch: arm64 | kvm | KVM
kernels | arch: arm64 | tcg | emulated
programs | arch: armhf | auto | emulated: set arch: arm64 and userland: armhf, which runs under KVM here; armfleet explain no-kvm
programs | arch: armhf | kvm | refused: set arch: arm64 and userland: armhf, which runs under KVM here, or accel: tcg to have it emulated
programs | arch: armhf | tcg | emulated
programs | arch: arm64, userland: armhf | auto | KVM
programs | arch: arm64, userland: armhf | kvm | KVM
programs | arch: arm64, userland: armhf | tcg | emulated
programs | arch: arm64 | auto | KVM
programs | arch: arm64 | kvm | KVM
programs | arch: arm64 | tcg | emulated
nothing | arch: armhf | auto | emulated: armfleet explain no-kvm
nothing | arch: armhf | kvm | refused: set accel: tcg to have it emulated, or put it on a host whose processor has one
nothing | arch: armhf | tcg | emulated
nothing | arch: arm64, userland: armhf | auto | emulated: armfleet explain no-kvm
nothing | arch: arm64, userland: armhf | kvm | refused: set accel: tcg to have it emulated, or put it on a host whose processor has one
nothing | arch: arm64, userland: armhf | tcg | emulated
nothing | arch: arm64 | auto | KVM
nothing | arch: arm64 | kvm | KVM
nothing | arch: arm64 | tcg | emulated
"
    );
}

fn definition(host: &Memory) -> String {
    let uuid = host.uuid_of(VM).unwrap();
    let domain = host.domain(&uuid).unwrap();
    domain.inactive.present().unwrap().clone()
}

/// What of a definition a move leaves as it is.
fn kept(definition: &str) -> String {
    let moves = ["<type arch", "<emulator>", "<model fallback"];
    let lines = definition.lines();
    let kept = lines.filter(|line| !moves.iter().any(|moved| line.contains(moved)));
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_move_changes_the_kernel_and_nothing_else_and_a_second_plan_is_empty() {
    for case in [
        "userland-move",
        "userland-move-while-off",
        "userland-move-restarting",
    ] {
        apply_case(case).1.assert_converged();
    }
    let (host, applied) = apply_case("userland-move-while-off");
    applied.assert_converged();
    let moved = definition(&host);
    for part in [
        "<type arch='aarch64' machine='virt-7.2'>",
        "<emulator>/usr/bin/qemu-system-aarch64</emulator>",
        "cortex-a57",
        "<address type='virtio-mmio'/>",
        IMAGE,
        SHARE,
    ] {
        assert!(moved.contains(part), "{part}: {moved}");
    }
    let before = crate::harness::case::Case::new("userland-move-while-off").host();
    assert_eq!(kept(&moved), kept(&definition(&before)));
}

#[test]
fn the_way_back_gives_the_definition_that_was_there() {
    let (host, applied) = apply_case("userland-move-back");
    applied.assert_converged();
    let before = crate::harness::case::Case::new("userland-move").host();
    assert_eq!(definition(&host), definition(&before));
}

#[test]
fn what_a_guests_programs_are_may_be_corrected_without_a_change_of_its_domain() {
    let case = crate::harness::case::Case::new("userland-move-back");
    let host = case.host();
    let before = definition(&host);
    let arm64 = case.text("moved.yaml").replace("    userland: armhf\n", "");
    apply(&host, &arm64, &Policy::default()).assert_converged();
    assert_eq!(definition(&host), before);
    // It is a 64-bit guest from now on.
    let back = plan(&host, &case.fleet, &Policy::default());
    assert!(back.steps.is_empty());
    assert!(back.refusals[0].why.contains("another machine"));
}
