//! Names, paths, sizes and times, each checked where it enters, and what is known of architectures. They mean nothing of libvirt or YAML.

mod arch;
mod cpus;
mod identity;
mod key;
mod mac;
mod name;
mod pattern;
mod secrets;
pub(crate) mod size;
mod template;
mod time;
mod unnamed;

pub use arch::{Arch, ArchFacts, GICV2_VCPUS, KernelFormat, Limit, Transport};
pub use cpus::CpuSet;
pub use identity::domain_uuid;
pub use key::HostKey;
pub use mac::MacAddress;
pub use name::{
    BOOT_TAG, Cmdline, CpuModel, DiskName, DiskTarget, FleetName, HostPath, LinkName, MachineName,
    NetworkName, Serial, Sha256Sum, ShareTag, Unacceptable, Uuid, VmName,
};
pub(crate) use name::{NAME_LIMIT, SERIAL_LIMIT};
pub use pattern::Pattern;
pub(crate) use secrets::SHORTEST;
pub use secrets::Secrets;
pub use size::{Size, parse_duration, render_duration};
pub(crate) use template::placeholders;
pub use template::{
    ageless, is_template, literals_of, values_between, values_by_word, values_of_words,
};
pub use time::{parse_time, render_time};
pub use unnamed::without_name;
