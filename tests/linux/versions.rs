//! Versions are in the order in which the guest's own `linux-version` has them.

use armfleet::boot::{BootFileName, KernelVersion};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::process::Command;

/// Prints how Debian's linux-base orders each two arguments.
const VERSION_CMP: &str = r#"while (@ARGV) { print version_cmp(shift, shift), "\n" }"#;

fn by_debian(pairs: &[(String, String)]) -> Vec<Ordering> {
    let perl = Command::new("perl")
        .args(["-MDebianLinux=version_cmp", "-e", VERSION_CMP, "--"])
        .args(pairs.iter().flat_map(|(a, b)| [a, b]))
        .output()
        .unwrap();
    assert!(perl.status.success(), "{perl:?}");
    let text = String::from_utf8(perl.stdout).unwrap();
    let orders = text.lines().map(|line| line.parse::<i32>().unwrap());
    orders.map(|order| order.cmp(&0)).collect()
}

fn version(text: &str) -> KernelVersion {
    let name = BootFileName::new(format!("vmlinuz-{text}").as_bytes()).unwrap();
    KernelVersion::of_kernel(&name).unwrap()
}

/// Versions of the parts that Debian's have, in any order, and of anything that a name may have.
fn versions() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "6", ".", "1", "0", "-", "10", "102", "-rc", "-trunk", "rc", "-rcar", "-cip", "26", "+",
        "~", "deb13", "bpo", "-armmp", "-lpae", "00", "09", "_",
    ]);
    let usual = prop::collection::vec(parts, 1..8).prop_map(|parts| parts.concat());
    // Numbers of more digits are no integers to Perl.
    prop_oneof![4 => usual, 1 => "([!-.:-~]{1,3}[0-9]{0,6}){1,3}"]
}

/// Two versions, of which the second often begins as the first does.
fn pairs() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        (versions(), versions()),
        (versions(), versions(), versions())
            .prop_map(|(same, a, b)| (format!("{same}{a}"), format!("{same}{b}"))),
        (versions(), versions()).prop_map(|(a, b)| (a.clone(), format!("{a}{b}"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn versions_are_ordered_as_linux_base_does(pairs in prop::collection::vec(pairs(), 500)) {
        for ((a, b), debians) in pairs.iter().zip(by_debian(&pairs)) {
            let ours = version(a).cmp(&version(b));
            // What Debian calls equal is ordered by its bytes.
            let expected = debians.then_with(|| a.cmp(b));
            prop_assert_eq!(ours, expected, "{} and {}", a, b);
        }
    }
}
