//! An initrd's bytes. What is accepted must also be accepted with zeros behind it.
#![no_main]

use armfleet::boot::{Allowance, walk_initrd};
use armfleet::values::Arch;
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let walk = |bytes: Vec<u8>| {
        walk_initrd(Cursor::new(bytes), Arch::ARMHF, &Allowance::without_clock())
    };
    match walk(bytes.to_vec()) {
        Err(fault) => assert!(!fault.to_string().chars().any(char::is_control)),
        Ok(initrd) => {
            let padded = [bytes, &[0; 512]].concat();
            let again = walk(padded).expect("zeros end no initrd");
            assert_eq!(again, initrd);
        }
    }
});
