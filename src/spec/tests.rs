use super::*;

fn read(text: &str) -> Result<Spec, Problems> {
    read_fleet(text.as_bytes(), "fleet.yaml", "/home/me/fleet")
}

/// The VM of design section 1, in as few words as it takes.
const SHORTEST: &str = "
fleet: obs-workers
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: \"/srv/{name}.img\", size: 8GiB }]
";

#[test]
fn what_is_left_out_has_the_documented_default() {
    let spec = read(SHORTEST).unwrap();
    let vm = &spec.vms[&"armhf-vm".parse().unwrap()];
    let expected = Vm {
        name: "armhf-vm".parse().unwrap(),
        arch: Arch::Armhf,
        accel: Accel::Auto,
        machine: "virt".parse().unwrap(),
        memory: Size::from_bytes(512 << 20),
        vcpus: 1,
        transport: None,
        boot: Boot {
            share: "/srv/armhf-vm-boot".parse().unwrap(),
            handover: Handover::Copy,
            cmdline: "console=ttyAMA0 root=/dev/vda1".parse().unwrap(),
            seed: None,
        },
        disks: vec![Disk {
            name: "armhf-vm".parse().unwrap(),
            path: "/srv/armhf-vm.img".parse().unwrap(),
            size: Some(Size::from_bytes(8 << 30)),
        }],
        console_log: None,
        state: DesiredState::Running,
        autostart: true,
        on_guest_reboot: GuestReboot::Stop,
        stop_timeout: Duration::from_secs(120),
    };
    assert_eq!(spec.fleet.as_str(), "obs-workers");
    assert_eq!(*vm, expected);
}
