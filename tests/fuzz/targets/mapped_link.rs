//! A mapped link's text, and the xattr that makes a file one.
#![no_main]

use armfleet::boot::{link_target, mapped_kind};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = mapped_kind(bytes);
    match link_target(bytes) {
        Ok(name) => {
            let name = name.as_str();
            assert!((1..=255).contains(&name.len()) && !matches!(name, "." | ".."));
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        }
        Err(fault) => assert!(!fault.to_string().chars().any(char::is_control)),
    }
});
