//! The guest's processor and where it runs.

use super::*;

fn with(accel: Accel, model: Option<&str>, pin: Option<&str>) -> Vm {
    Vm {
        accel,
        cpu: Cpu {
            model: model.map(|model| model.parse().unwrap()),
            pin: pin.map(|pin| pin.parse().unwrap()),
        },
        ..vm()
    }
}

/// A definition after the file wanted one thing and then another, and the changes that are shown.
fn edited(before: &Vm, after: &Vm, definition: &str) -> (String, Vec<String>) {
    let record = record(before, created(before).1);
    let comparison = compared(after, Some(&record), definition);
    assert_eq!((comparison.refusals, comparison.moved), (vec![], vec![]));
    let shown = comparison.changes.iter().map(ToString::to_string);
    let text = apply_edits(definition, &comparison.edits).unwrap();
    (text, shown.collect())
}

const LIBVIRTS: &str = "  <cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>cortex-a15</model>\n  </cpu>\n";

#[test]
fn a_model_and_a_pin_come_and_go_and_leave_nothing_behind() {
    let plain = with(Accel::Tcg, None, None);
    let given = with(Accel::Tcg, Some("cortex-a7"), Some("3,0-1"));
    let before = STORED.replace(LIBVIRTS, "");
    let (text, shown) = edited(&plain, &given, &before);
    assert_eq!(
        shown,
        ["cpu.model nothing -> cortex-a7", "cpu.pin nothing -> 0-1,3"]
    );
    for part in [
        "<cpu mode='custom' match='exact' check='none'>",
        "<model fallback='forbid'>cortex-a7</model>",
        "<vcpu placement='static' cpuset='0-1,3'>1</vcpu>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let (again, shown) = edited(&given, &plain, &text);
    assert_eq!(again, before);
    assert_eq!(
        shown,
        ["cpu.model cortex-a7 -> nothing", "cpu.pin 0-1,3 -> nothing"]
    );
}

/// Also where the file says nothing of it: libvirt writes its own choice into the definition.
#[test]
fn what_libvirt_chose_and_how_it_writes_a_pin_are_no_change() {
    let plain = with(Accel::Auto, None, None);
    assert_eq!(edited(&plain, &plain, STORED), (STORED.to_owned(), vec![]));
    let pinned = with(Accel::Auto, None, Some("0-3"));
    let text = STORED.replace("placement='static'", "placement='static' cpuset='0,1-3'");
    assert_eq!(edited(&pinned, &pinned, &text), (text.clone(), vec![]));
}

#[test]
fn what_others_put_into_the_processor_survives_a_change_of_the_accelerator() {
    let (emulated, kvm) = (with(Accel::Tcg, None, None), with(Accel::Kvm, None, None));
    let topology = "    <topology sockets='1' dies='1' cores='1' threads='1'/>\n";
    let before = STORED.replace("</model>\n", &format!("</model>\n{topology}"));
    let (text, _) = edited(&emulated, &kvm, &before);
    assert!(
        text.contains(&format!(
            "<cpu mode='host-passthrough'>\n{topology}  </cpu>"
        )),
        "{text}"
    );
    let (again, _) = edited(&kvm, &emulated, &text);
    assert!(
        again.contains(&format!("<cpu>\n{topology}  </cpu>")),
        "{again}"
    );
}

#[test]
fn an_arm64_guest_is_emulated_with_64_bits_unless_its_file_says_otherwise() {
    let arm64 = |accel, model| Vm {
        arch: Arch::ARM64,
        ..with(accel, model, None)
    };
    let model = |vm: &Vm| {
        let (definition, _) = created(vm);
        let given = read_back(&vm.name, &definition).unwrap();
        given.get("cpu.model").cloned()
    };
    assert_eq!(
        model(&arm64(Accel::Auto, None)).as_deref(),
        Some("cortex-a57")
    );
    assert_eq!(
        model(&arm64(Accel::Tcg, Some("max"))).as_deref(),
        Some("max")
    );
    assert_eq!(model(&arm64(Accel::Kvm, None)), None);
    let kvm = arm64(Accel::Kvm, None);
    let (text, shown) = edited(&kvm, &arm64(Accel::Tcg, None), &created(&kvm).0);
    assert_eq!(
        shown,
        ["accel kvm -> qemu", "cpu.model nothing -> cortex-a57"]
    );
    assert!(!text.contains("host-passthrough"), "{text}");
}
