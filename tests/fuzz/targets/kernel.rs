//! A kernel's bytes, for both architectures.
#![no_main]

use armfleet::boot::{GuestArch, check_kernel};
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for arch in [GuestArch::Armv7l, GuestArch::Aarch64] {
        if let Err(fault) = check_kernel(&mut Cursor::new(bytes), arch) {
            assert!(!fault.to_string().chars().any(char::is_control));
        }
    }
});
