//! The example of a build farm, on a host that has what it names.

use std::path::Path;

use crate::host::{GuestFiles, TestHost, WORK};

const ARMHF: &str = "armhf-01";
const ARM64: &str = "arm64-01";

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/build-farm");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The example, with disks and memory for a small machine, of which only the first workers run.
fn fleet() -> String {
    let mut text = example("fleet.yaml");
    for (theirs, ours) in [
        ("size: 20GiB", "size: 64MiB"),
        ("size: 60GiB", "size: 16MiB"),
        ("memory: 3GiB", "memory: 256MiB"),
        ("memory: 8GiB", "memory: 512MiB"),
        ("vcpus: 4", "vcpus: 1"),
        ("vcpus: 8", "vcpus: 1"),
    ] {
        let smaller = text.replace(theirs, ours);
        assert_ne!(smaller, text, "{theirs}");
        text = smaller;
    }
    text + "  armhf-02: { state: stopped }\n  arm64-02: { state: stopped }\n"
}

/// A host with the bridge, the base images, the kernels and the files for cloud-init.
fn farm() -> TestHost {
    let host = TestHost::start();
    let prepared = "ip link add br0 type bridge && ip link set br0 up && mkdir -p /srv/base /srv/workers \
                    && for arch in armhf arm64; do truncate -s 32M /srv/base/$arch.img \
                    && echo the base image for $arch | dd of=/srv/base/$arch.img conv=notrunc status=none || exit 1; done";
    host.run("sh", &["-c", prepared]).success();
    let files = GuestFiles::get();
    for (arch, kernel, initrd) in [
        (
            "armhf",
            files.kernel(&files.first),
            files.initrd(&files.first),
        ),
        ("arm64", files.arm64("vmlinuz"), files.arm64("initrd.img")),
    ] {
        let folder = host.path(WORK).join("seed").join(arch);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(kernel, folder.join("vmlinuz")).unwrap();
        std::fs::copy(initrd, folder.join("initrd.img")).unwrap();
    }
    for name in ["user-data", "network-config.armhf", "network-config.arm64"] {
        host.write(Path::new(WORK).join(name), example(name));
    }
    host.write_fleet(&fleet());
    host
}

/// Nothing is to be done; nobody watches here, which is said.
fn assert_converged(host: &TestHost) {
    let plan = host.plan();
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert!(plan.stdout.ends_with("\nNo changes.\n"), "{}", plan.stdout);
}

#[test]
fn two_workers_of_the_example_reach_each_other_with_the_addresses_that_their_files_give() {
    let host = farm();
    host.apply().success();
    assert_converged(&host);
    let say = |vm: &str, command: &str| host.guest_say(vm, command).success();
    for (vm, arch) in [(ARMHF, "armhf"), (ARM64, "arm64")] {
        let report = say(vm, "report");
        for line in [
            "disk vda 67108864 serial root ro 0",
            "disk vdb 16777216 serial scratch ro 0",
            "share ccache",
            "boot mounted",
        ] {
            host.assert_reported(&report, line);
        }
        let base = say(vm, "run head -n 1 /dev/vda");
        assert!(
            base.contains(&format!("the base image for {arch}")),
            "{base}"
        );
        say(
            vm,
            "run [ -z \"$(head -c 512 /dev/vdb | tr -d '\\0')\" ] && echo used > /dev/vdb && sync",
        );
        // What cloud-init does with it.
        let mounted = "run mkdir -p /cidata && mount -t vfat -o ro $(findfs LABEL=CIDATA) /cidata && cat /cidata/user-data";
        let identity = say(vm, mounted);
        assert!(
            identity.contains(&format!("hostname: {vm}\n")),
            "{identity}"
        );
        let address = "$(grep -o '192[0-9.]*/24' /cidata/network-config)";
        say(
            vm,
            &format!("run ip addr add {address} dev eth0 && ip link set eth0 up"),
        );
    }
    say(ARMHF, "run ping -c 1 -W 10 192.0.2.201");
    say(ARM64, "run ping -c 1 -W 10 192.0.2.101");
    let cache = "run mkdir -p /c && mount -t 9p -o trans=virtio,version=9p2000.L ccache /c && echo object > /c/object";
    say(ARMHF, cache);
    assert!(host.path("/srv/workers/ccache-armhf/object").exists());

    // The scratch disk is another one at the next start, and everything else is as it was.
    host.shut_down_vm(ARMHF);
    host.apply().success();
    let scratch = say(ARMHF, "run head -c 512 /dev/vdb | tr -d '\\0' | wc -c");
    assert!(scratch.lines().any(|line| line.trim() == "0"), "{scratch}");
    let system = say(ARMHF, "run head -n 1 /dev/vda");
    assert!(system.contains("the base image for armhf"), "{system}");
    assert_converged(&host);
}
