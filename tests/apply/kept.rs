//! What armfleet keeps of a VM on its host: here, and in no case, a change of these files is seen.

use crate::harness::host_of;
use snapbox::{assert_data_eq, file};

const FILES: [(&str, &str); 5] = [
    ("no-op", "/var/lib/armfleet/vms/armhf-vm/record.json"),
    (
        "no-op",
        "/var/lib/armfleet/vms/armhf-vm/boot/seed/seed.json",
    ),
    (
        "no-op",
        "/var/lib/armfleet/vms/armhf-vm/boot/current/pair.json",
    ),
    ("no-op", "/run/armfleet/hook-seen/armhf-vm"),
    (
        "installing",
        "/var/lib/armfleet/vms/armhf-vm/boot/installer/installer.json",
    ),
];

#[test]
fn what_is_kept_of_a_vm_is_written_as_before() {
    let texts = FILES.map(|(case, path)| {
        let bytes = host_of(case).bytes(path);
        let bytes = bytes.unwrap_or_else(|| panic!("{case} has no {path}"));
        format!("{path}\n\n{}\n", String::from_utf8(bytes).unwrap())
    });
    assert_data_eq!(texts.concat(), file!["kept.txt"].raw());
}
