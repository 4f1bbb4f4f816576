//! A VM's processor: its keys.

use crate::fleetfile::map;
use crate::values::{CpuModel, CpuSet};

map! {
    /// The guest's processor.
    pub struct Cpu, PartialCpu, "cpu": "`cpu`", "cpu.", "it belongs under `cpu`" {
        /// The processor that QEMU emulates. `qemu-system-aarch64 -machine virt -cpu help` lists their names. With KVM the
        /// guest has the host's, and this key cannot be given.
        model: Option<CpuModel> {
            absent: "an arm64 guest gets a `cortex-a57`, an armhf guest the default of QEMU's machine, a `cortex-a15`",
            effect: NextBoot, example: "cortex-a53",
        },
        /// The host's CPUs on which the VM runs: numbers and runs of them. All threads of QEMU are kept there.
        pin: Option<CpuSet> {
            absent: "any CPU of the host", effect: NextBoot, example: "0-3", also_called: ["cpuset", "affinity"],
        },
    }
}
