//! Kernel versions, in the order in which Debian sorts them.

use super::mapped_link::BootFileName;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// How a kernel's name begins before its version: of most systems, of openSUSE on arm64 and armhf, and of Gentoo.
const KERNELS: [&str; 4] = ["vmlinuz-", "Image-", "zImage-", "kernel-"];
/// What is before and after the version in an initrd's name: of Debian, of Fedora and Arch, of Alpine, and of openSUSE.
const INITRDS: [(&str, &str); 4] = [
    ("initrd.img-", ""),
    ("initramfs-", ".img"),
    ("initramfs-", ""),
    ("initrd-", ""),
];
/// Kernels without a version in their names: of Arch Linux ARM.
const UNVERSIONED: [&str; 2] = ["Image", "zImage"];

/// A kernel's version as its file's name has it (`6.1.0-48-armmp`).
///
/// Ordered as `linux-version` of Debian's linux-base does (`version_cmp` in `DebianLinux.pm`), by which the guest's links are
/// made: `tests/linux` compares the two. Versions that this order calls equal (`1.0`, `1.00`) are ordered by their bytes, so
/// that the order is total.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BootFileName", into = "String")]
pub struct KernelVersion(String);

impl KernelVersion {
    /// The version itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version in a kernel's file name, such as `vmlinuz-VERSION`.
    #[must_use]
    pub fn of_kernel(name: &BootFileName) -> Option<Self> {
        let after = |prefix| Self::between(prefix, "", name);
        KERNELS.into_iter().find_map(after)
    }

    /// The version in an initrd's file name, such as `initrd.img-VERSION`.
    #[must_use]
    pub fn of_initrd(name: &BootFileName) -> Option<Self> {
        let between = |(prefix, suffix)| Self::between(prefix, suffix, name);
        INITRDS.into_iter().find_map(between)
    }

    /// What a kernel is called that has one name in every version.
    pub(super) fn of_unversioned(name: &BootFileName) -> Option<Self> {
        UNVERSIONED
            .contains(&name.as_str())
            .then(|| Self(name.to_string()))
    }

    fn between(prefix: &str, suffix: &str, name: &BootFileName) -> Option<Self> {
        let version = name.as_str().strip_prefix(prefix)?.strip_suffix(suffix)?;
        (!version.is_empty()).then(|| Self(version.to_owned()))
    }

    /// What its initrd may be called, Debian's name first.
    pub(super) fn initrds(&self) -> [String; INITRDS.len()] {
        INITRDS.map(|(prefix, suffix)| format!("{prefix}{self}{suffix}"))
    }

    /// Whether it is a version, and not the name of a flavour (`lts`, `linux`), which a system gives to kernel after kernel.
    pub(super) fn is_release(&self) -> bool {
        self.0.starts_with(|first: char| first.is_ascii_digit())
    }

    /// Whether a kernel of this name may call itself so (`uname -r`).
    pub(super) fn may_be(&self, release: &str) -> bool {
        !self.is_release() || self.0 == release
    }
}

impl From<BootFileName> for KernelVersion {
    fn from(text: BootFileName) -> Self {
        Self(text.into())
    }
}

impl From<KernelVersion> for String {
    fn from(version: KernelVersion) -> String {
        version.0
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Ord for KernelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for KernelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        let order = compare_components(take_component(&mut a), take_component(&mut b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes a number, or what is none up to the next hyphen or digit; nothing at the end.
fn take_component<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let is_number = rest.first().is_some_and(u8::is_ascii_digit);
    let ends = |(at, byte): (usize, &u8)| match is_number {
        true => !byte.is_ascii_digit(),
        false => byte.is_ascii_digit() || (*byte == b'-' && at > 0),
    };
    let end = rest.iter().enumerate().position(ends);
    let (component, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    component
}

/// A pre-release comes before everything, also before the end. Only whole components are such: `-rcar` is none.
fn compare_components(a: &[u8], b: &[u8]) -> Ordering {
    let is_release = |component: &[u8]| !matches!(component, b"-rc" | b"-trunk");
    let is_number = |component: &[u8]| component.first().is_some_and(u8::is_ascii_digit);
    is_release(a)
        .cmp(&is_release(b))
        .then_with(|| match is_number(a) && is_number(b) {
            true => compare_numbers(a, b),
            false => a.cmp(b),
        })
}

/// Compares numbers of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits[zeros..].to_vec()
    };
    let (a, b) = (significant(a), significant(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> KernelVersion {
        KernelVersion(text.to_owned())
    }

    #[test]
    fn known_versions_are_in_debians_order() {
        let ascending = [
            "2.6.32-5-versatile",
            "4.19.0-27-armmp",
            "6.1-trunk",
            "6.1-3",
            "6.1.0-9-armmp",
            "6.1.0-10-armmp",
            "6.1.0-48-armmp",
            "6.1.0-48-armmp-lpae",
            "6.1.102-cip26",
            "6.1.102-cip26-rcar",
            "6.11-rc7-armmp",
            "6.11-armmp",
            "6.11.0-1-armmp",
            "6.11~rc4+1-armmp",
            "6.12.9+bpo-armmp",
            "6.12.43+deb13-armmp",
            "6.12.107+deb13-armmp",
            "6.18-rc4+deb14-armmp",
            "6.18+deb14-armmp",
            "6.18.1+deb14-armmp",
            "10.0-rc1-armmp",
            "10.0-trunk-armmp",
            "10.0-armmp",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(compare("1.0", "1.000"), Ordering::Equal);
        assert!(version("6.1").may_be("6.1") && !version("6.1").may_be("6.1.0"));
        assert!(version("lts").may_be("6.6.30-0-lts") && version("Image").may_be("6.1"));
        let huge = format!("1.{}", "9".repeat(200));
        assert!(version("1.18446744073709551616") < version(&huge));
    }

    fn texts() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[0-9a-c.+~-]{0,8}(-?(rc|trunk|rcar))?[0-9]{0,2}(-a)?")
            .unwrap()
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric_and_agrees_with_equality(a in texts(), b in texts()) {
            let (a, b) = (version(&a), version(&b));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        }

        #[test]
        fn the_order_is_transitive(a in texts(), b in texts(), c in texts()) {
            let mut sorted = [version(&a), version(&b), version(&c)];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2]);
        }
    }
}
