//! scratch
use crate::bed::*;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::*;
use armfleet::plan::{Policy, Removal};

fn show(name: &str, fleet: &str, change: impl FnOnce(&Memory)) {
    let host = new_host();
    converge(&host, FLEET);
    change(&host);
    let p = plan(&host, fleet);
    println!("#### {name}\n{}", text(&p));
    let a = apply(&host, fleet);
    let r = &a.outcome.residual;
    println!(
        "---- done {} residual {} refused {}",
        a.outcome.all_done(),
        r.steps.len(),
        r.refusals.len()
    );
    if !a.outcome.all_done() {
        for s in &a.plan.steps {
            print!(
                "{}",
                armfleet::report::render_step(
                    s,
                    &a.outcome.ended[&s.id],
                    armfleet::report::Paint::Plain
                )
            );
        }
    }
}
const EMPTY: &str = "fleet: lab\nvms: {}\n";
const OTHER: &str = "fleet: lab\nvms:\n  other: { arch: armhf, memory: 1GiB, boot: { cmdline: root=/dev/vda1 , share: /srv/armhf-vm-boot }, state: stopped }\n";
#[test]
fn x() {
    let m = FLEET.replace("512MiB", "1GiB");
    show("no-op", FLEET, |_| {});
    show("memory", &m, |_| {});
    show("clone", FLEET, |h| h.clone_domain(VM, "clone").unwrap());
    show("clone mem", &m, |h| h.clone_domain(VM, "clone").unwrap());
    show("renamed", FLEET, |h| h.rename_domain(VM, "new").unwrap());
    show("renamed left", EMPTY, |h| {
        h.rename_domain(VM, "new").unwrap()
    });
    show("lost record", FLEET, |h| h.remove(RECORD));
    show("lost record, changed", &m, |h| h.remove(RECORD));
    show("damaged record", FLEET, |h| {
        h.put_file(RECORD, "{").unwrap()
    });
    let other = |h: &Memory| {
        let t = String::from_utf8(h.bytes(RECORD).unwrap()).unwrap();
        t.replace("\"lab\"", "\"prod\"")
    };
    show("record of another fleet", FLEET, |h| {
        let t = other(h);
        h.put_file(RECORD, &t).unwrap()
    });
    show("record of another fleet, no domain", FLEET, |h| {
        let t = other(h);
        h.put_file(RECORD, &t).unwrap();
        h.destroy(VM).unwrap();
        h.undefine_domain(VM).unwrap()
    });
    show("foreign domain", FLEET, |h| {
        h.edit_domain(VM, |t| {
            let d = t.find("  <metadata>").unwrap();
            let e = t.find("  </metadata>\n").unwrap() + 14;
            [&t[..d], &t[e..]].concat()
        })
        .unwrap()
    });
    show("managed save", FLEET, |h| h.save_domain(VM).unwrap());
    show("transient", FLEET, |h| h.undefine_domain(VM).unwrap());
    show("ioerror", FLEET, |h| h.set_state(VM, 3, 5).unwrap());
    show("paused", FLEET, |h| h.set_state(VM, 3, 1).unwrap());
    show(
        "paused stopped",
        &format!("{FLEET}    state: stopped\n"),
        |h| h.set_state(VM, 3, 1).unwrap(),
    );
    show("crashed", FLEET, |h| h.set_state(VM, 6, 1).unwrap());
    show("stopped", &format!("{FLEET}    state: stopped\n"), |_| {});
    show("stopping", FLEET, |h| {
        h.set_state(VM, 4, 1).unwrap();
        h.end_process_after(VM, std::time::Duration::from_secs(1))
            .unwrap()
    });
    show("same image", FLEET, |h| {
        h.define("<domain type='qemu'><name>thief</name><memory>1024</memory><os><type arch='armv7l' machine='virt'>hvm</type></os><devices><disk type='file' device='disk'><source file='/srv/armhf-vm.img'/><target dev='vda' bus='virtio'/></disk></devices></domain>").unwrap()
    });
    show("image gone", FLEET, |h| h.remove(IMAGE));
    show("share owner", FLEET, |h| {
        h.own(SHARE, 0o755, Owner { uid: 0, gid: 0 }).unwrap()
    });
    show("share file", FLEET, |h| {
        h.remove(SHARE);
        h.put_file(SHARE, "").unwrap()
    });
    show("share gone", FLEET, |h| {
        h.remove(SHARE);
    });
    show("share gone off", FLEET, |h| {
        h.destroy(VM).unwrap();
        h.remove(SHARE);
    });
    let shim = "/etc/libvirt/hooks/qemu.d/50-armfleet";
    show("hook different", FLEET, |h| {
        h.put_file(shim, "#!/bin/sh").unwrap()
    });
    show("hook not executable", FLEET, |h| {
        h.own(shim, 0o644, Owner { uid: 0, gid: 0 }).unwrap()
    });
    show("hook is folder", FLEET, |h| {
        h.remove(shim);
        h.make_folder(shim, 0o755, None).unwrap()
    });
    show("hook binary missing", FLEET, |h| {
        h.remove("/usr/bin/armfleet-hook")
    });
    show("hook binary missing off", FLEET, |h| {
        h.remove("/usr/bin/armfleet-hook");
        h.destroy(VM).unwrap()
    });
    show("drift memory", FLEET, |h| {
        h.edit_domain(VM, |t| t.replace("524288", "262144"))
            .unwrap()
    });
    show("drift and file memory", &m, |h| {
        h.edit_domain(VM, |t| t.replace("524288", "262144"))
            .unwrap()
    });
    show("log by hand", FLEET, |h| {
        h.edit_domain(VM, |t| t.replace("/var/log/armhf-vm.log", "/tmp/x"))
            .unwrap()
    });
    show("remove", EMPTY, |_| {});
    show("replace", OTHER, |_| {});
    show("unreadable record", FLEET, |h| {
        h.make_unreadable(RECORD, "Permission denied (os error 13)")
    });
    show("unreadable records", FLEET, |h| {
        h.make_unreadable("/var/lib/armfleet/vms", "Permission denied (os error 13)")
    });
    show("unreadable share", FLEET, |h| {
        h.make_unreadable(SHARE, "Permission denied (os error 13)")
    });
    show("unreadable image", FLEET, |h| {
        h.make_unreadable(IMAGE, "Permission denied (os error 13)")
    });
    show("unreadable dump", FLEET, |h| {
        h.forbid_dump(VM, "cannot dump").unwrap()
    });
    show("no libvirt", FLEET, |h| h.stop_daemon());
    show("new kernel in share", FLEET, |h| {
        for n in ["vmlinuz", "initrd.img"] {
            h.put_guest_file(SHARE, &format!("{n}-6.1.0-50-armmp"), n)
                .unwrap();
            h.put_guest_link(SHARE, n, &format!("{n}-6.1.0-50-armmp"))
                .unwrap();
        }
    });
    show("seed changed", FLEET, |h| {
        h.put_file("/srv/seed/vmlinuz-6.1.0-48-armmp", "other")
            .unwrap()
    });
    show("seed gone", FLEET, |h| h.remove("/srv/seed"));
    show("grow", &FLEET.replace("8GiB", "9GiB"), |_| {});
    show("shrink", &FLEET.replace("8GiB", "7GiB"), |_| {});
    show(
        "disk gone from file",
        &FLEET.replace("    disks: [{ path: /srv/armhf-vm.img, size: 8GiB }]\n", ""),
        |_| {},
    );
    show(
        "disk path changed",
        &FLEET.replace("/srv/armhf-vm.img", "/srv/other.img"),
        |_| {},
    );
    show(
        "share path changed",
        &FLEET.replace("/srv/armhf-vm-boot", "/srv/other-boot"),
        |_| {},
    );
    show("accel kvm", &format!("{FLEET}    accel: kvm\n"), |_| {});
    show("undefined", FLEET, |h| {
        h.destroy(VM).unwrap();
        h.undefine_domain(VM).unwrap()
    });
    show("undefined and left", EMPTY, |h| {
        h.destroy(VM).unwrap();
        h.undefine_domain(VM).unwrap()
    });
    let _ = Policy {
        removal: Removal::Asked,
    };
}
