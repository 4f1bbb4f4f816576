//! Fleet files; a NUL, which no file may hold, is between several. Whatever is wrong is told at places that are there, and
//! what is valid is a fleet whose limits hold.
#![no_main]

use armfleet::report::{ProblemsReport, render_json, render_problems};
use armfleet::fleet::{FleetFile, Given, read_files};
use armfleet::problem::Problems;

/// So many VMs a fleet has at most.
const VM_LIMIT: usize = 10_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<&[u8]> = bytes.splitn(3, |byte| *byte == 0).collect();
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let files = names.iter().zip(&parts).map(|(name, bytes)| FleetFile {
        name,
        folder: "/home/me",
        bytes,
    });
    let files: Vec<FleetFile<'_>> = files.collect();
    match read_files(&files, &Given::default()) {
        Ok(spec) => assert!(spec.vms.len() <= VM_LIMIT),
        Err(problems) => told(&problems, &parts),
    }
});

fn told(problems: &Problems, parts: &[&[u8]]) {
    assert!(!problems.is_empty());
    for problem in problems.iter() {
        let others = problem.others.iter().map(|other| &other.range);
        for range in others.chain([&problem.place.range]) {
            let (file, part) = problems.locate(range);
            assert!(part.start <= part.end && part.end <= parts[file].len());
        }
    }
    let text = render_problems(problems, false);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    assert!(render_json(&ProblemsReport::new(problems)).is_ok());
}
