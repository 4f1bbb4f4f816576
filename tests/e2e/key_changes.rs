//! Each key of a VM's devices and machine is changed on a VM that is off, and back on the VM that runs: what the plan says, that
//! an apply leaves nothing to do, what its guest sees after the next boot, and that nothing of others' changes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::fleet::{VM, recipe};
use crate::host::{TestHost, WORK};
use crate::key_table::{CHANGES, ELSEWHERE, MAPS, OTHER_MAPS, OTHERS, fleet, vm_keys};

/// Elements of others in the domain, as libvirt writes them.
const FOREIGN: &[&str] = &[
    "<title>by hand</title>",
    "<description>of somebody else</description>",
    "<libosinfo:libosinfo ",
    "<note:note ",
    "<iothreads>2</iothreads>",
    "<memtune>",
    "<blkiotune>",
    "<shares>512</shares>",
    "<sysinfo type='fwcfg'>",
    "<perf>",
    "<channel type='unix'>\n      <target type='virtio' name='org.example.channel'/>",
    "<input type='tablet' bus='virtio'>",
    "<input type='tablet' bus='usb'>",
    "<controller type='usb' ",
    "<serial type='null'>",
    "<watchdog model='i6300esb' action='none'>",
    "<memballoon model='virtio'>",
    "<seclabel type='dynamic' model='dac' relabel='yes'/>",
    "<qemu:commandline>",
    // In devices of the file.
    "<alias name='ua-disk-by-hand'/>",
    "<alias name='ua-interface-by-hand'/>",
];

fn with_foreign_parts(definition: &str) -> String {
    let mut text = definition.to_owned();
    let mut put = |before: &str, what: &str| {
        assert!(text.contains(before), "{before}: {text}");
        text = text.replacen(before, &format!("{what}{before}"), 1);
    };
    put(
        "<metadata>",
        "<title>by hand</title><description>of somebody else</description>",
    );
    put(
        "</metadata>",
        "<libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
         <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo>\
         <note:note xmlns:note='urn:example:note'><note:owner mail='a@example.org'>A &amp; B</note:owner></note:note>",
    );
    put(
        "<os>",
        "<iothreads>2</iothreads><cputune><shares>512</shares></cputune><blkiotune><weight>800</weight></blkiotune>\
         <memtune><soft_limit unit='KiB'>1048576</soft_limit></memtune>\
         <sysinfo type='fwcfg'><entry name='opt/org.example/text'>by hand</entry></sysinfo>\
         <perf><event name='cmt' enabled='no'/></perf>",
    );
    put(
        "<memballoon model='none'/>",
        "<channel type='unix'><target type='virtio' name='org.example.channel'/></channel>\
         <input type='tablet' bus='virtio'><address type='virtio-mmio'/></input>\
         <controller type='usb' model='qemu-xhci'/><input type='tablet' bus='usb'/>\
         <serial type='null'><target port='1'/></serial><watchdog model='i6300esb' action='none'/>",
    );
    put(
        "</domain>",
        "<seclabel type='dynamic' model='dac' relabel='yes'/>",
    );
    put(
        "</domain>",
        "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\
         <qemu:arg value='-name'/><qemu:arg value='debug-threads=on'/><qemu:env name='BY_HAND' value='1'/></qemu:commandline>",
    );
    put("<serial>one</serial>", "<alias name='ua-disk-by-hand'/>");
    put(
        "<source dev='va' mode='bridge'/>",
        "<alias name='ua-interface-by-hand'/>",
    );
    let balloon =
        "<memballoon model='virtio'><stats period='10'/><address type='virtio-mmio'/></memballoon>";
    text.replace("<memballoon model='none'/>", balloon)
}

/// The elements of others with all they hold, as they are now.
fn foreign_parts(definition: &str) -> String {
    let document = roxmltree::Document::parse(definition).unwrap();
    let parts = FOREIGN.iter().map(|foreign| {
        let mut nodes = document.descendants().filter(roxmltree::Node::is_element);
        let bytes = nodes.find_map(|node| {
            let bytes = &definition[node.range()];
            bytes.starts_with(foreign).then_some(bytes)
        });
        bytes.unwrap_or_else(|| panic!("{foreign} is not in {definition}"))
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// What the tables name of a host.
pub(crate) fn prepare(host: &TestHost) {
    let links = "for b in br0 br1; do ip link add $b type bridge && ip link set $b up || exit 1; done; \
                 ip link add va type veth peer name vb && ip link set va up && ip link set vb up && \
                 for f in one two ro; do install -d -o libvirt-qemu -g libvirt-qemu /srv/$f; done";
    host.run("sh", &["-c", links]).success();
    for network in ["farm", "lab"] {
        let xml = format!(
            "<network><name>{network}</name><forward mode='bridge'/><bridge name='br1'/></network>"
        );
        let file = Path::new(WORK).join(format!("{network}.xml"));
        host.write(&file, xml);
        host.virsh(&["net-define", file.to_str().unwrap()])
            .success();
        host.virsh(&["net-start", network]).success();
        host.virsh(&["net-autostart", network]).success();
    }
    for suffix in ["", "-2"] {
        for (name, text) in [
            ("user-data", "#cloud-config\n"),
            ("meta-data", "local-hostname: x\n"),
            ("network", "version: 2\n"),
        ] {
            let text = format!("{text}# {name}{suffix}\n");
            host.write(Path::new(WORK).join(format!("{name}{suffix}")), text);
        }
    }
}

/// The plan's lines, each with single spaces.
pub(crate) fn planned(host: &TestHost) -> String {
    let plan = host.armfleet(&["plan"]).success();
    let (_, plan) = plan.split_once("\n\n").unwrap();
    // What waits for a boot is told by every later plan as well; and a notice has a second line.
    let mut lines = plan.lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next() {
        match line.contains("-vm: runs with") {
            true => drop(lines.next()),
            false => told.push(line),
        }
    }
    let lines = told.into_iter().filter(|line| !line.is_empty());
    let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.map(|line| format!("    {line}\n")).collect()
}

/// Makes one change after the other, and tells what each plan said. Each apply leaves nothing to do, and nothing of others
/// changes.
fn make(
    host: &TestHost,
    mut text: String,
    changes: &[(&str, &str, &str)],
    foreign: &str,
) -> (String, String) {
    let mut said = String::new();
    for (key, before, after) in changes {
        assert_eq!(text.matches(before).count(), 1, "{before}: {text}");
        text = text.replace(before, after);
        host.write_fleet(&text);
        writeln!(said, "{key}: {before} -> {after}").unwrap();
        said += &planned(host);
        host.apply().success();
        assert_eq!(foreign_parts(&host.definition(VM)), foreign, "{key}");
    }
    assert!(!host.planned(0).contains("  ~ "), "{}", host.planned(0));
    (text, said)
}

/// The guest's memory with what its kernel took of it.
fn rounded(line: &str) -> String {
    const PART: u64 = 128 << 10;
    let told = line
        .strip_prefix("guest: memory ")
        .and_then(|rest| rest.strip_suffix(" KiB"));
    match told.and_then(|kib| kib.parse::<u64>().ok()) {
        Some(kib) => format!("guest: memory {} MiB", kib.div_ceil(PART) * PART / 1024),
        None => line.to_owned(),
    }
}

/// What a VM's guest sees of all that was changed.
pub(crate) fn seen(host: &TestHost, vm: &str) -> String {
    let guest = |command: &str| host.guest_say(vm, command).success();
    let report = guest("report");
    let kinds = ["cpus ", "memory ", "disk ", "mac ", "share "];
    let is_one = |line: &&str| {
        kinds
            .iter()
            .any(|kind| line.starts_with(&format!("guest: {kind}")))
    };
    let lines = report.lines().filter(is_one).map(rounded);
    let mut seen: String = lines.map(|line| format!("    {line}\n")).collect();
    let part = guest("run grep -m 1 part /proc/cpuinfo");
    let devices = guest("run cat /sys/bus/virtio/devices/*/device | sort | uniq -c");
    let options = "trans=virtio,version=9p2000.L";
    guest("run mkdir -p /ro /cidata");
    let mounted = guest(&format!(
        "run mount -t 9p -o {options} ro /ro && (touch /ro/x 2>/dev/null && echo written || echo refused); umount /ro"
    ));
    let texts = guest(
        "run mount -t vfat -o ro $(findfs LABEL=CIDATA) /cidata && grep -h '^# ' /cidata/*; umount /cidata",
    );
    for text in [part, devices, mounted, texts] {
        let lines = text.lines().filter(|line| !line.starts_with("guest: "));
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        seen.extend(lines.map(|line| format!("    {line}\n")));
    }
    seen
}

#[test]
fn every_key_changes_what_it_says_and_when_on_a_vm_that_is_off_and_back_while_it_runs() {
    let host = TestHost::with_fleet(&fleet(&recipe(), true));
    prepare(&host);
    host.apply().success();
    host.define(&with_foreign_parts(&host.definition(VM)));
    let foreign = foreign_parts(&host.definition(VM));
    host.assert_converged();

    let forward: Vec<_> = CHANGES
        .iter()
        .map(|change| (change.key, change.before, change.after))
        .collect();
    let (text, off) = make(&host, fleet(&recipe(), true), &forward, &foreign);
    let text = text.replace("state: stopped", "state: running");
    host.write_fleet(&text);
    host.apply().success();
    let changed = seen(&host, VM);
    let machine = host.run("sh", &["-c", "tr '\\0' '\\n' < /proc/$(cat /run/libvirt/qemu/armhf-vm.pid)/cmdline | grep -A1 -e '^-machine'"]);
    assert!(machine.success().contains("virt-7.1"));

    let back: Vec<_> = CHANGES
        .iter()
        .rev()
        .map(|change| (change.key, change.after, change.back))
        .collect();
    let (_, running) = make(&host, text, &back, &foreign);
    let grown = changed.replace("disk vda 75497472 ", "disk vda 83886080 ");
    assert_ne!(grown, changed);
    assert_eq!(
        seen(&host, VM),
        grown,
        "a running guest keeps what it has, and a disk grows at once"
    );
    host.shut_down();
    host.apply().success();
    let again = seen(&host, VM);
    host.assert_converged();
    let told = format!(
        "while it is off\n{off}\nits guest then\n{changed}\nwhile it runs\n{running}\nits guest after the next boot\n{again}"
    );
    snapbox::assert_data_eq!(told, snapbox::file!["key_changes.txt"].raw());
}

#[test]
fn no_key_of_a_device_or_of_the_machine_is_forgotten() {
    let known: BTreeSet<&str> = CHANGES
        .iter()
        .map(|change| change.key)
        .chain(ELSEWHERE.iter().map(|(key, _)| *key))
        .chain(OTHERS.iter().chain(MAPS).copied())
        .collect();
    let forgotten: Vec<String> = vm_keys()
        .into_iter()
        .filter(|key| !known.contains(key.as_str()))
        .filter(|key| {
            !OTHER_MAPS
                .iter()
                .any(|map| key == map || key.starts_with(&format!("{map}.")))
        })
        .collect();
    assert_eq!(forgotten, [""; 0]);
}

#[test]
fn a_key_that_is_changed_elsewhere_is_in_that_file() {
    for (key, file) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let name = key.rsplit('.').next().unwrap_or(key);
        assert!(text.contains(&format!("{name}: ")), "{key}: {file}");
    }
}
