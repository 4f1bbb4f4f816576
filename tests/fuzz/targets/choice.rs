//! The choice over shares that are made of lines: a name, `>` and a link's text, or `=` and a size.
#![no_main]

use armfleet::boot::{BootFileName, Entry, INITRD_LIMIT, KERNEL_LIMIT, KernelVersion, Listing, Unusual, choose};
use armfleet::values::Arch;

fn entry(line: &[u8]) -> Option<(BootFileName, Entry)> {
    let at = line.iter().position(|byte| matches!(byte, b'>' | b'=' | b'?'))?;
    let rest = &line[at + 1..];
    let entry = match line[at] {
        b'>' => Entry::Link(rest.to_vec()),
        b'=' => Entry::File(std::str::from_utf8(rest).ok()?.parse().ok()?),
        _ => Entry::Unusual(Unusual::Folder),
    };
    Some((BootFileName::new(&line[..at]).ok()?, entry))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let listing = Listing {
        entries: bytes.split(|byte| *byte == b'\n').filter_map(entry).collect(),
        kernels: Default::default(),
        cut: bytes.first() == Some(&b'!'),
    };
    for considered in choose(&listing, Arch::ARMHF) {
        let pair = match considered {
            Ok(pair) => pair,
            Err(passed_over) => {
                assert!(!passed_over.to_string().chars().any(char::is_control));
                continue;
            }
        };
        let is_file = |name, limit| matches!(listing.entries.get(name), Some(Entry::File(size)) if (1..=limit).contains(size));
        assert!(is_file(&pair.kernel, KERNEL_LIMIT) && is_file(&pair.initrd, INITRD_LIMIT));
        assert_eq!(KernelVersion::of_kernel(&pair.kernel).as_ref(), Some(&pair.version));
        assert_eq!(KernelVersion::of_initrd(&pair.initrd).as_ref(), Some(&pair.version));
    }
});
