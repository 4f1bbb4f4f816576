//! What the hook takes, Linux takes: initrds in every format and with every defect, each judged by the hook and by the test
//! guest's own Linux; kernels in every form, judged by the hook and by QEMU. Where they differ, the case says why.
//!
//! Linux says on its console what it could not unpack, and when it is through with an initrd. An ordinary run boots one initrd
//! with all parts that are taken, and a few that are not; a long run boots every case.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod initrds;
mod kernels;
mod qemu;
mod versions;

use armfleet::boot::{Allowance, walk_initrd};
use armfleet::values::Arch;
use initrds::{CASES, Case};
use qemu::Verdict;
use std::io::Cursor;
use std::sync::Mutex;
use std::thread;

/// What the hook makes of an initrd, and why.
fn hook(initrd: &[u8]) -> (Verdict, String) {
    match walk_initrd(
        Cursor::new(initrd),
        Arch::ARMHF,
        &Allowance::without_clock(),
    ) {
        Ok(seen) => (Verdict::Taken, format!("{seen:?}")),
        Err(fault) => (Verdict::Refused, fault.to_string()),
    }
}

/// Boots an initrd.
///
/// # Errors
/// What Linux makes of it, if that is not what its table says.
fn boots_as_told(case: &Case) -> Result<(), String> {
    let name = &case.name;
    match qemu::unpack(&case.initrd) {
        Ok((verdict, _)) if verdict == case.linux => Ok(()),
        Ok((verdict, said)) => Err(format!(
            "{name}: Linux {verdict:?}, not {:?}: {said}",
            case.linux
        )),
        Err(console) => Err(format!(
            "{name}: Linux says nothing more of its initrd:\n{console}"
        )),
    }
}

/// Boots cases, as many at once as there are processors, and fails with what was not as told.
pub(crate) fn boot<C: Sync>(
    cases: impl IntoIterator<Item = C, IntoIter: Send>,
    as_told: impl Fn(C) -> Result<(), String> + Sync,
) {
    let next = Mutex::new(cases.into_iter());
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = { next.lock().unwrap().next() } {
            if let Err(line) = as_told(case) {
                wrong.lock().unwrap().push(line);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_hook_judges_as_the_table_says() {
    let wrong: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let (verdict, said) = hook(&case.initrd);
            (verdict != case.hook).then(|| format!("{}: {verdict:?}: {said}", case.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_hook_and_linux_differ_only_where_a_reason_is_given() {
    for case in CASES.iter() {
        assert_eq!(case.hook != case.linux, case.why.is_some(), "{}", case.name);
    }
}

#[test]
fn linux_takes_all_parts_that_the_hook_takes_and_none_of_a_few_others() {
    let (taken, refused): (Vec<_>, Vec<_>) = CASES
        .iter()
        .filter(|case| case.hook == case.linux)
        .partition(|case| case.hook == Verdict::Taken);
    // One after another, as armfleet itself appends an archive.
    let mut all = Vec::new();
    for case in taken.iter().filter(|case| case.may_follow) {
        all.extend_from_slice(&case.initrd);
        all.resize((all.len() + 4).next_multiple_of(4), 0);
    }
    let all = Case::taken("all that is taken", all);
    let mut booted = vec![&all];
    let some = [
        "xz with its default check",
        "gzip of a file system image",
        "lz4 in frames",
    ];
    booted.extend(
        refused
            .into_iter()
            .filter(|case| some.contains(&case.name.as_str())),
    );
    assert_eq!(booted.len(), 1 + some.len());
    boot(booted, boots_as_told);
}

#[test]
#[ignore = "long: boots a kernel for each of a hundred initrds"]
fn linux_judges_every_case_as_the_table_says() {
    boot(CASES.iter(), boots_as_told);
}
