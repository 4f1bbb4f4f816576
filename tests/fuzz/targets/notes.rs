//! armfleet's own files: records, holds, journals, and what it notes about runs, pairs and seeds. What is read is written as it was.
#![no_main]

use armfleet::boot::{read_pair_note, read_seed_receipt, render_pair_note, render_seed_receipt};
use armfleet::mark::{
    read_entry, read_hold, read_record, read_run_note, render_entry, render_hold, render_record,
    render_run_note,
};
use std::fmt::Debug;

fn reads_back<T: PartialEq + Debug, E, F>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    render: impl Fn(&T) -> Result<String, F>,
) {
    if let Ok(value) = read(bytes) {
        let text = render(&value).ok().expect("what was read can be written");
        assert_eq!(read(text.as_bytes()).ok(), Some(value));
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reads_back(bytes, read_record, render_record);
    reads_back(bytes, read_hold, render_hold);
    reads_back(bytes, read_entry, render_entry);
    reads_back(bytes, read_run_note, render_run_note);
    reads_back(bytes, read_pair_note, render_pair_note);
    reads_back(bytes, read_seed_receipt, render_seed_receipt);
});
