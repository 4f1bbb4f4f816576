//! Devices that a VM has or has not: a new VM gets them, another one keeps what it has.

use super::*;

/// A VM of whose rng the file says this.
fn vm_with(rng: Option<bool>) -> Vm {
    Vm { rng, ..vm() }
}

/// What a definition has after the VM was applied to it, and what is then recorded.
fn applied(vm: &Vm, record: Option<&Record>, definition: &str) -> (String, Applied) {
    let comparison = compared(vm, record, definition);
    assert_eq!((comparison.refusals, comparison.moved), (vec![], vec![]));
    let text = apply_edits(definition, &comparison.edits).unwrap();
    (text, comparison.applied)
}

#[test]
fn a_new_vm_gets_random_numbers_unless_the_file_says_no() {
    let has_rng = |vm: &Vm| {
        created(vm)
            .0
            .contains("<backend model='random'>/dev/urandom</backend>")
    };
    assert!(has_rng(&vm_with(None)) && has_rng(&vm_with(Some(true))));
    assert!(!has_rng(&vm_with(Some(false))));
}

#[test]
fn a_vm_keeps_what_it_has_until_the_file_says_something_else() {
    let (without, none) = created(&vm_with(Some(false)));
    let before = record(&vm(), none);
    let (text, still_none) = applied(&vm_with(None), Some(&before), &without);
    assert_eq!((&text, &still_none), (&without, &before.applied));

    let (with, some) = applied(&vm_with(Some(true)), Some(&before), &without);
    assert!(with.contains("<rng model='virtio'>"));
    let before = record(&vm(), some);
    let (text, still_some) = applied(&vm_with(None), Some(&before), &with);
    assert_eq!((&text, &still_some), (&with, &before.applied));

    let comparison = compared(&vm_with(Some(false)), Some(&before), &with);
    let changes: Vec<_> = comparison.changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["rng host /dev/urandom -> nothing"]);
    assert_eq!(apply_edits(&with, &comparison.edits).unwrap(), without);
}

#[test]
fn one_that_was_added_by_hand_stays_as_it_is() {
    let by_hand = "    <rng model='virtio'>\n      <backend model='random'>/dev/hwrng</backend>\n      \
                   <address type='virtio-mmio'/>\n    </rng>\n  </devices>";
    let (without, none) = created(&vm_with(Some(false)));
    let definition = without.replace("  </devices>", by_hand);
    let before = record(&vm(), none);
    for rng in [None, Some(false), Some(true)] {
        let (text, _) = applied(&vm_with(rng), Some(&before), &definition);
        assert_eq!(text, definition, "{rng:?}");
    }
}
