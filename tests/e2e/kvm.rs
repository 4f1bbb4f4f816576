//! KVM, which no machine has for guests of another architecture: what libvirt makes of such a VM's definition where it is told
//! that QEMU has it, and what QEMU answers to that.

use std::fs;
use std::path::PathBuf;

use snapbox::assert_data_eq;

use crate::arm64::{VM, fleet, with_seed};
use crate::host::{TestHost, script};

fn of_accel(accel: &str) -> String {
    fleet(&format!("    accel: {accel}\n    state: stopped\n"))
}

/// The answers of QEMU for arm64, as libvirt keeps them.
fn answers(host: &TestHost) -> PathBuf {
    host.virsh(&["capabilities"]).success();
    let folder = fs::read_dir(host.path("/var/cache/libvirt/qemu/capabilities")).unwrap();
    let mut files = folder.map(|file| file.unwrap().path());
    let is_arm64 = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("<arch>aarch64</arch>")
    };
    files.find(is_arm64).unwrap()
}

/// Has libvirt believe that QEMU runs arm64 guests under KVM. It asks the machine itself only for its own architecture.
fn pretend_kvm(host: &TestHost) {
    let file = answers(host);
    host.run(script("libvirt"), &["stop"]).success();
    let text = fs::read_to_string(&file).unwrap();
    let machines = text
        .lines()
        .filter(|line| line.contains("<machine type='tcg'"));
    let machines: String = machines
        .map(|line| line.replace("'tcg'", "'kvm'") + "\n")
        .collect();
    let cpu = "<hostCPU type='kvm' model='host' migratability='no'></hostCPU>\
               <cpu type='kvm' name='host' typename='host-arm-cpu' usable='yes'/>\
               <cpu type='kvm' name='cortex-a57' typename='cortex-a57-arm-cpu' usable='yes'/>";
    let put = |text: String, before: &str, what: &str| {
        assert!(text.contains(before), "{before}: {text}");
        text.replacen(before, &format!("{what}{before}"), 1)
    };
    let text = put(text, "<flag name=", "<flag name='kvm'/>");
    let text = put(text, "<cpu type='tcg'", cpu);
    let text = put(text, "<machine type='tcg'", &machines);
    fs::write(&file, text).unwrap();
    host.start_libvirtd();
}

/// libvirt's command line for a definition, a word each.
fn command_line(host: &TestHost, definition: &str) -> Result<Vec<String>, String> {
    host.write("/run/test/kvm.xml", definition);
    let made = host.virsh(&["domxml-to-native", "qemu-argv", "--xml", "kvm.xml"]);
    if made.code != Some(0) {
        return Err(made.stderr);
    }
    let words = format!(
        "for word in {}; do printf '%s\\n' \"$word\"; done",
        without_environment(&made.stdout)
    );
    let words = host.run("bash", &["-c", &words]).success();
    Ok(words.lines().map(str::to_owned).collect())
}

fn without_environment(command: &str) -> &str {
    &command[command.find("/usr/bin/qemu-system-aarch64").unwrap()..]
}

/// What QEMU says to a command line, and whether it made the machine.
fn answer(host: &TestHost, words: &[String]) -> (String, bool) {
    let asked = "printf '%s\\n' '{\"execute\":\"qmp_capabilities\"}' '{\"execute\":\"query-status\"}' '{\"execute\":\"quit\"}' | \"$@\" -qmp stdio";
    let mut arguments = vec!["-c".to_owned(), asked.to_owned(), "sh".to_owned()];
    arguments.extend_from_slice(words);
    let output = host.run("sh", &arguments);
    let is_made = output.code == Some(0) && output.stdout.contains("\"status\": \"prelaunch\"");
    (output.stderr, is_made)
}

/// The word behind an option.
fn value<'a>(words: &'a mut [String], option: &str) -> &'a mut String {
    let at = words.iter().position(|word| word == option).unwrap();
    &mut words[at + 1]
}

#[test]
fn an_arm64_vm_moves_to_kvm_and_back_and_qemu_lacks_nothing_but_kvm() {
    let host = with_seed();
    pretend_kvm(&host);
    host.write_fleet(&of_accel("tcg"));
    host.apply().success();
    let emulated = host.definition(VM);

    host.write_fleet(&of_accel("kvm"));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ domain    arm64-vm    (file changed)
      accel      qemu -> kvm
      cpu.model  - cortex-a57

1 to change.

"#]]
    );
    host.apply().success();
    host.assert_converged();
    let accelerated = host.definition(VM);

    // The host's processor is all that libvirt misses, and KVM all that QEMU does.
    let refused = command_line(&host, &accelerated).unwrap_err();
    assert_data_eq!(
        refused,
        "error: unsupported configuration: CPU mode 'host-passthrough' for aarch64 kvm domain on x86_64 host is not supported by hypervisor\n"
    );
    let other_cpu = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>cortex-a57</model></cpu>";
    let passthrough = "<cpu mode='host-passthrough' check='none'/>";
    assert!(accelerated.contains(passthrough), "{accelerated}");
    let mut words = command_line(&host, &accelerated.replace(passthrough, other_cpu)).unwrap();
    let folders = "cd /var/lib/libvirt/qemu && mkdir -p domain--1-arm64-vm channel/target/domain--1-arm64-vm && head -c 32 /dev/zero >domain--1-arm64-vm/master-key.aes";
    host.run("sh", &["-c", folders]).success();
    let (said, is_made) = answer(&host, &words);
    assert!(!is_made);
    assert_data_eq!(
        said,
        "[..] qemu-system-aarch64: -accel kvm: invalid accelerator kvm\n"
    );
    assert_eq!(value(&mut words, "-accel"), "kvm");
    // A start brings the kernel there.
    for (option, instead) in [
        ("-accel", "tcg"),
        ("-kernel", "/srv/arm64/vmlinuz"),
        ("-initrd", "/srv/arm64/initrd.img"),
    ] {
        instead.clone_into(value(&mut words, option));
    }
    let (said, is_made) = answer(&host, &words);
    assert!(is_made, "{said}");

    host.write_fleet(&of_accel("tcg"));
    host.apply().success();
    // libvirt sorts what it reads again.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&host.definition(VM)), sorted(&emulated));
    host.assert_converged();
}
