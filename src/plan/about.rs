//! What a refusal, an unknown or a notice is about.

use crate::values::{Pattern, VmName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What a refusal, an unknown or a notice is about. Reports and saved plans hold its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(inline)]
pub enum About {
    /// A VM, or a domain that is none of armfleet's, by the domain's name.
    Vm(String),
    /// A path of the host.
    Path(String),
    /// A part of the host that no path names.
    Part(Cow<'static, str>),
    /// A pattern of `--vm`.
    Pattern(Pattern),
}

/// Before the pattern, as on the command line.
const VM_OPTION: &str = "--vm ";

impl About {
    /// libvirt's hook.
    pub const HOOK: Self = Self::Part(Cow::Borrowed("hook"));
    /// libvirt, whatever part of it.
    pub const LIBVIRT: Self = Self::Part(Cow::Borrowed("libvirt"));
    /// libvirt's daemon.
    pub const DAEMON: Self = Self::Part(Cow::Borrowed("libvirtd"));
    /// The memory of all VMs together.
    pub const MEMORY: Self = Self::Part(Cow::Borrowed("memory"));
    /// The virtual CPUs of all VMs together.
    pub const VCPUS: Self = Self::Part(Cow::Borrowed("vcpus"));
    /// The fleet as a whole.
    pub const FLEET: Self = Self::Part(Cow::Borrowed("fleet"));
    /// `armfleet watch`.
    pub const WATCH: Self = Self::Part(Cow::Borrowed("watch"));

    const PARTS: [Self; 7] = [
        Self::FLEET,
        Self::HOOK,
        Self::LIBVIRT,
        Self::DAEMON,
        Self::MEMORY,
        Self::VCPUS,
        Self::WATCH,
    ];

    /// The VM that it is, if that name is one.
    #[must_use]
    pub fn vm(&self) -> Option<VmName> {
        match self {
            Self::Vm(name) => name.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is this VM.
    #[must_use]
    pub fn is_vm(&self, vm: &VmName) -> bool {
        matches!(self, Self::Vm(name) if name == vm.as_str())
    }
}

impl From<&VmName> for About {
    fn from(vm: &VmName) -> Self {
        Self::Vm(vm.to_string())
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vm(text) | Self::Path(text) => f.pad(text),
            Self::Part(word) => f.pad(word),
            Self::Pattern(pattern) => write!(f, "{VM_OPTION}{pattern}"),
        }
    }
}

impl From<About> for String {
    fn from(about: About) -> Self {
        about.to_string()
    }
}

/// From a saved plan, of which a remark is only shown: a VM that is called as a part of the host is is taken for that part.
impl From<String> for About {
    fn from(text: String) -> Self {
        let mut parts = Self::PARTS.into_iter();
        let part = parts.find(|part| matches!(part, Self::Part(word) if **word == text));
        let pattern = text.strip_prefix(VM_OPTION).map(str::parse);
        match (part, pattern) {
            (Some(part), _) => part,
            (_, Some(Ok(pattern))) => Self::Pattern(pattern),
            _ if text.starts_with('/') => Self::Path(text),
            _ => Self::Vm(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_reads_back_from_its_text() {
        let others = [
            About::Vm("obs-01".to_owned()),
            About::Vm("a domain of others".to_owned()),
            About::Path("/srv".to_owned()),
            About::Pattern("b*".parse().unwrap()),
        ];
        for about in About::PARTS.into_iter().chain(others) {
            assert_eq!(About::from(about.to_string()), about);
        }
    }

    #[test]
    fn a_part_of_the_host_is_no_vm_of_its_name() {
        let vm: VmName = "hook".parse().unwrap();
        assert!(About::from(&vm).is_vm(&vm));
        assert!(!About::HOOK.is_vm(&vm));
    }
}
