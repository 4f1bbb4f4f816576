//! An arm64 guest, and its processor.

use crate::host::{GuestFiles, TestHost};

pub(crate) const VM: &str = "arm64-vm";

/// The fleet file of an arm64 VM, with more keys.
pub(crate) fn fleet(keys: &str) -> String {
    format!(
        "\
fleet: recipe
vms:
  {VM}:
    arch: arm64
    memory: 512MiB
    on_guest_reboot: stop
    boot:
      cmdline: console=ttyAMA0 root=/dev/vda1
      seed: {{ kernel: /srv/arm64/vmlinuz, initrd: /srv/arm64/initrd.img }}
    disks: [{{ path: \"/srv/{{name}}.img\", size: 64MiB }}]
{keys}"
    )
}

/// A host with an arm64 seed.
pub(crate) fn with_seed() -> TestHost {
    let host = TestHost::start();
    std::fs::create_dir(host.path("/srv/arm64")).unwrap();
    for file in ["vmlinuz", "initrd.img"] {
        let from = GuestFiles::get().arm64(file);
        std::fs::copy(from, host.path("/srv/arm64").join(file)).unwrap();
    }
    host
}

/// The same, on which this fleet file is applied.
fn with_applied(text: &str) -> TestHost {
    let host = with_seed();
    host.write_fleet(text);
    host.apply().success();
    host
}

fn affinity(host: &TestHost) -> String {
    let pid = host.read(format!("/run/libvirt/qemu/{VM}.pid"));
    let threads = format!(
        "cat /proc/{}/task/*/status | grep Cpus_allowed_list: | sort -u",
        pid.trim()
    );
    host.run("sh", &["-c", &threads]).success()
}

#[test]
fn an_arm64_guest_boots_on_a_processor_of_64_bits_where_its_file_pins_it() {
    let host = with_applied(&fleet("    cpu: { pin: 1 }\n"));
    let report = host.guest_say(VM, "report").success();
    let version = &GuestFiles::get().arm64;
    for line in [
        &format!("kernel {version}"),
        "machine aarch64",
        "disk vda 67108864 serial arm64-vm ro 0",
        "boot mounted",
    ] {
        host.assert_reported(&report, line);
    }
    // The part number of a Cortex-A57.
    let part = host.guest_say(VM, "run grep part /proc/cpuinfo").success();
    assert!(part.contains("0xd07"), "{part}");
    assert_eq!(affinity(&host), "Cpus_allowed_list:\t1\n");
    host.assert_converged();

    host.write_fleet(&fleet(
        "    cpu: { model: cortex-a53 }\n    restart: when-required\n",
    ));
    let planned = host.planned(2);
    for line in ["cpu.model  cortex-a57 -> cortex-a53", "cpu.pin    - 1"] {
        assert!(planned.contains(line), "{planned}");
    }
    let before = host.definition(VM);
    host.apply().success();
    host.assert_converged();
    assert_eq!(
        host.definition(VM).replace("cortex-a53", "cortex-a57"),
        before.replace(" cpuset='1'", "")
    );
    let part = host.guest_say(VM, "run grep part /proc/cpuinfo").success();
    assert!(part.contains("0xd03"), "{part}");
    assert_ne!(affinity(&host), "Cpus_allowed_list:\t1\n");
}
