//! A guest with kernels of two architectures in its share: the hook takes the one that its VM's processor runs, whatever the
//! links name and whatever is staged.

use crate::world::{World, initrd};
use armfleet::boot::{CONFIRMATION, PageSize};
use armfleet::hook::{Outcome, Verdict, prepare};
use armfleet::mark::Wanted;
use armfleet::paths;
use armfleet::values::Arch;
use std::fs;

const ARMHF: &str = "6.1.0-48-armmp";
const ARM64: &str = "6.12.0-1-arm64";

/// The flags of an arm64 kernel with pages of 4 and of 16 KiB.
const PAGES_4K: u8 = 0xa;
const PAGES_16K: u8 = 0xc;

/// An arm64 Image, and the version to tell it by.
fn image(version: &str, flags: u8) -> Vec<u8> {
    let mut image = vec![0; 20_000];
    image[0x18] = flags;
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image[100..100 + version.len()].copy_from_slice(version.as_bytes());
    image
}

impl World {
    fn install_arm64(&self, version: &str, flags: u8) {
        fs::write(
            self.share(&format!("vmlinuz-{version}")),
            image(version, flags),
        )
        .unwrap();
        fs::write(
            self.share(&format!("initrd.img-{version}")),
            initrd(version),
        )
        .unwrap();
    }

    /// Runs the hook for the VM under an arm64 kernel.
    fn prepare_arm64(&self) -> Outcome {
        let xml = self.xml().replace("armv7l", "aarch64");
        prepare(&self.root, self.vm.as_str(), xml.as_bytes())
    }

    fn start_arm64(&self) -> String {
        let outcome = self.prepare_arm64();
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.text);
        outcome.text
    }

    /// What the hook left for plan and status to complain of.
    fn complaints(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path(paths::hook_seen)).unwrap();
        let note = armfleet::boot::HookNote::read(&text);
        [note.attention, note.passed_over].concat()
    }
}

/// A guest that ran its armhf kernel, and has an arm64 one, too; its links name the former.
fn mixed() -> World {
    let mut world = World::installed();
    world.record.applied.userland = Some(Arch::ARMHF);
    world.write_record();
    world.start();
    world.install_arm64(ARM64, PAGES_4K);
    world
}

#[test]
fn each_architecture_gets_its_own_kernel_and_nothing_is_complained_of() {
    let world = mixed();
    for _ in 0..2 {
        world.start_arm64();
        assert_eq!(world.booted(), ARM64);
        assert_eq!(world.complaints(), [""; 0]);
        world.start();
        assert_eq!(world.booted(), ARMHF);
    }
    world.link_pair("", ARM64);
    world.start();
    assert_eq!(world.booted(), ARMHF);
    assert_eq!(world.complaints(), [""; 0]);
    world.start_arm64();
    let kind = world.assert_bootable().kind.unwrap();
    assert_eq!((kind.arch, kind.pages), (Arch::ARM64, Some(PageSize::Kib4)));
}

#[test]
fn without_a_kernel_for_it_a_start_is_refused_though_another_is_staged() {
    let world = World::installed();
    world.start();
    let refused = world.prepare_arm64();
    assert_eq!(refused.verdict, Verdict::Refused);
    for said in [
        "`vmlinuz-6.1.0-48-armmp` is a kernel for armhf",
        "6.1.0-48-armmp is no kernel for arm64, which its guest is now",
        "To do: have the fleet file say the `arch` of the kernels in ",
    ] {
        assert!(refused.text.contains(said), "{}", refused.text);
    }
    assert_eq!(world.booted(), ARMHF);
    let complaints = world.complaints();
    assert!(
        complaints.iter().any(|line| line.contains("for armhf")),
        "{complaints:?}"
    );
}

#[test]
fn a_note_of_an_earlier_version_does_not_hide_what_a_kernel_is_for() {
    let world = mixed();
    let note = world.path(paths::current_pair);
    let text = fs::read_to_string(&note).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value.as_object_mut().unwrap().remove("kind").unwrap();
    fs::write(&note, value.to_string()).unwrap();
    world.link_pair("", ARMHF);
    world.start_arm64();
    assert_eq!(world.booted(), ARM64);
}

#[test]
fn what_worked_or_was_chosen_under_another_kernel_is_not_gone_back_to() {
    let mut world = mixed();
    let confirmation = format!("{ARMHF} 00000000-0000-4000-8000-000000000001\n");
    fs::write(world.share(CONFIRMATION), confirmation).unwrap();
    world.start();
    let id = world.assert_bootable().id();
    // The share loses its kernels: what worked last is for the other processor.
    for version in [ARMHF, ARM64] {
        fs::remove_file(world.share(&format!("initrd.img-{version}"))).unwrap();
    }
    assert_eq!(world.prepare_arm64().verdict, Verdict::Refused);
    world.install_arm64(ARM64, PAGES_4K);
    world.record.boot.wanted = Wanted::Generation(id.to_string());
    world.write_record();
    let said = world.start_arm64();
    assert!(said.contains("is no kernel for arm64"), "{said}");
    assert_eq!(world.booted(), ARM64);
}

#[test]
fn a_kernel_with_large_pages_is_said_to_run_no_32_bit_programs() {
    let world = mixed();
    assert!(!world.start_arm64().contains("pages"));
    world.install_arm64("6.12.0-2-arm64-16k", PAGES_16K);
    let said = world.start_arm64();
    assert_eq!(world.booted(), "6.12.0-2-arm64-16k");
    assert!(
        said.contains("its kernel has pages of 16 KiB, and runs no armhf programs"),
        "{said}"
    );
}
