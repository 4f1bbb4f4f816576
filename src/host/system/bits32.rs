//! What an arm64 host does with guests of 32 bits.
//!
//! libvirt offers KVM for 32-bit guests on every arm64 host, and names of processors tell too little: whoever runs the
//! kernels and programs is asked.

use crate::inventory::{Fact, RawBits32};
use kvm_ioctls::{Cap, Kvm};
use std::process::{Command, Stdio};

/// The answers of KVM and of the host's own kernel; none where the host is no arm64 one.
pub(super) fn bits32() -> Option<RawBits32> {
    let is_arm64 = rustix::system::uname().machine().to_bytes() == b"aarch64";
    is_arm64.then(|| RawBits32 {
        kernels: kernels(),
        programs: programs(),
    })
}

fn kernels() -> Fact<bool> {
    match Kvm::new() {
        Ok(kvm) => Fact::Present(kvm.check_extension(Cap::ArmEl132bit)),
        Err(error) => Fact::Unreadable(format!("/dev/kvm: {error}")),
    }
}

/// `setarch` changes the personality of its own process alone, which the kernel refuses where the processor cannot.
fn programs() -> Fact<bool> {
    let mut asked = Command::new("setarch");
    asked.args(["linux32", "true"]);
    asked
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match asked.status() {
        Ok(status) => Fact::Present(status.success()),
        Err(error) => Fact::Unreadable(format!("setarch: {error}")),
    }
}
