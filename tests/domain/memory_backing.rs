//! An element that is there or not.

use super::*;

const BACKING: &str = "<currentMemory unit='KiB'>524288</currentMemory>\n";

/// What libvirt stored, with something by hand after the memory.
fn stored_with(element: &str) -> String {
    let text = STORED.replace(BACKING, &format!("{BACKING}{element}"));
    assert_ne!(text, STORED);
    text
}

fn on_huge_pages() -> Vm {
    Vm {
        memory_backing: MemoryBacking::Hugepages,
        ..vm()
    }
}

/// A definition after what armfleet does to it, and the changes that it shows.
fn edited(vm: &Vm, before: &Vm, definition: &str) -> (String, Vec<RowChange>) {
    let record = record(before, created(before).1);
    let comparison = compared(vm, Some(&record), definition);
    assert_eq!((comparison.refusals, comparison.moved), (vec![], vec![]));
    let text = apply_edits(definition, &comparison.edits).unwrap();
    (text, comparison.changes)
}

#[test]
fn huge_pages_come_and_go_at_the_next_boot_and_leave_nothing_behind() {
    for by_hand in ["", "  <memoryBacking>\n    <locked/>\n  </memoryBacking>\n"] {
        let definition = STORED.replace(BACKING, &format!("{BACKING}{by_hand}"));
        let (text, changes) = edited(&on_huge_pages(), &vm(), &definition);
        assert!(
            text.contains("    <hugepages/>\n  </memoryBacking>"),
            "{text}"
        );
        let [change] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(change.what.to_string(), "memory_backing");
        assert_eq!(
            (&change.before, change.after.as_deref()),
            (&None, Some("hugepages"))
        );
        assert_eq!(change.cause, Some(Cause::FileChanged));
        assert!(change.waits.is_some());
        let (again, changes) = edited(&vm(), &on_huge_pages(), &text);
        assert_eq!(again, definition);
        assert_eq!(changes[0].cause, Some(Cause::FileChanged));
    }
}

#[test]
fn huge_pages_by_hand_are_the_wanted_ones_or_drift() {
    let by_hand = "  <memoryBacking>\n    <hugepages>\n      <page size='2048' unit='KiB'/>\n    </hugepages>\n  </memoryBacking>\n";
    let definition = stored_with(by_hand);
    let (text, changes) = edited(&on_huge_pages(), &on_huge_pages(), &definition);
    assert_eq!((text, changes), (definition.clone(), vec![]));
    // The record is the same as that of a version which did not know the key.
    assert!(
        !created(&vm())
            .1
            .rows
            .contains_key(&PropertyId::new("memory_backing"))
    );
    let (text, changes) = edited(&vm(), &vm(), &definition);
    assert_eq!(text, STORED);
    assert_eq!(changes[0].cause, Some(Cause::Drifted));
    assert_eq!(changes[0].before.as_deref(), Some("hugepages"));
}
