//! An initrd's bytes. What is accepted must also be accepted with zeros behind it.
#![no_main]

use armfleet::boot::walk_initrd;
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match walk_initrd(Cursor::new(bytes)) {
        Err(fault) => assert!(!fault.to_string().chars().any(char::is_control)),
        Ok(initrd) => {
            let padded = [bytes, &[0; 512]].concat();
            let again = walk_initrd(Cursor::new(padded)).expect("zeros end no initrd");
            assert_eq!(again, initrd);
        }
    }
});
