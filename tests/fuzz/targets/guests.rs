//! What guests and their QEMU say of themselves: the details of QEMU's events, and what is written into the boot share.
#![no_main]

use armfleet::boot::{Confirmation, GuestStop, read_uptime};
use armfleet::host::guests::Cause;

fn says(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Escapes may spell a word otherwise; without them nothing but the word itself means anything.
    if !bytes.contains(&b'\\') {
        match Cause::read(bytes) {
            Cause::Reset => assert!(says(bytes, "guest-reset") || says(bytes, "host-qmp-system-reset")),
            Cause::PowerOff => assert!(says(bytes, "guest-shutdown")),
            Cause::Outside => {}
        }
    } else {
        let _ = Cause::read(bytes);
    }
    if let Some(said) = Confirmation::read(bytes) {
        assert_eq!(said.boot_id.len(), 36);
        assert!(!said.kernel.is_empty() && !said.kernel.bytes().any(|byte| byte.is_ascii_control()));
    }
    let text = String::from_utf8_lossy(bytes);
    match GuestStop::read(&text) {
        Some(GuestStop::PowerOff) => assert_eq!(text.trim(), "power-off"),
        Some(GuestStop::Reboot) => assert_eq!(text.trim(), "reboot"),
        None => {}
    }
    let _ = read_uptime(&text);
});
