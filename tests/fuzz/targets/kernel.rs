//! A kernel's bytes, for both architectures.
#![no_main]

use armfleet::boot::check_kernel;
use armfleet::values::Arch;
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for arch in Arch::ALL {
        if let Err(fault) = check_kernel(&mut Cursor::new(bytes), arch) {
            assert!(!fault.to_string().chars().any(char::is_control));
        }
    }
});
