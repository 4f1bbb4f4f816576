//! Several disks: their places in the domain, and what their guest calls them.

use super::*;

/// A VM with disks at these paths, or with maps of their keys, and with more keys. It boots from its /dev/vda1.
fn with_disks(disks: &[&str], more: &str) -> Vm {
    let disk = |disk: &&str| match disk.starts_with('{') {
        true => (*disk).to_owned(),
        false => format!("{{ path: /srv/{disk} }}"),
    };
    let disks = disks.iter().map(disk).collect::<Vec<_>>().join(", ");
    let file = format!(
        "{{ fleet: obs, vms: {{ armhf-vm: {{ arch: armhf, memory: 512MiB, boot: {{ cmdline: root=/dev/vda1 }}, disks: [{disks}], {more} }} }} }}"
    );
    let spec = read_fleet(file.as_bytes(), "fleet.yaml", "/").unwrap();
    spec.vms.into_values().next().unwrap()
}

/// The same without a root that is named by its place.
pub(super) fn by_label(vm: Vm) -> Vm {
    let mut vm = vm;
    vm.boot.cmdline = "root=LABEL=root".parse().unwrap();
    vm
}

/// The disks of a definition, as `target file`, the guest's first one first on virtio-mmio.
fn disks(definition: &str) -> Vec<String> {
    let document = parse(definition).unwrap();
    let disks = document
        .descendants()
        .filter(|node| node.has_tag_name("disk"));
    let disks = disks.map(|disk| {
        let attribute = |child: &str, name| {
            let mut children = disk.children();
            let child = children.find(|node| node.has_tag_name(child));
            child.unwrap().attribute(name).unwrap()
        };
        format!(
            "{} {}",
            attribute("target", "dev"),
            attribute("source", "file")
        )
    });
    let mut disks: Vec<_> = disks.collect();
    disks.sort();
    disks.reverse();
    disks
}

/// A domain with these disks, and its record.
fn domain_with(vm: &Vm) -> (String, Record) {
    let (text, applied) = created(vm);
    (text, record(vm, applied))
}

/// A domain and its record after edits.
fn edited(comparison: &Comparison, (text, record): &(String, Record)) -> (String, Record) {
    let record = Record {
        applied: comparison.applied.clone(),
        ..record.clone()
    };
    (apply_edits(text, &comparison.edits).unwrap(), record)
}

/// What a domain becomes, and its record.
fn becomes(vm: &Vm, (text, record): &(String, Record)) -> (Comparison, (String, Record)) {
    let comparison = compared(vm, Some(record), text);
    let (text, record) = edited(&comparison, &(text.clone(), record.clone()));
    let again = compared(vm, Some(&record), &text);
    if comparison.held.is_empty() {
        assert_eq!((again.edits, &again.applied), (vec![], &record.applied));
    }
    (comparison, (text, record))
}

/// The renamed ones, as `before after`.
fn renamed(comparison: &Comparison) -> Vec<String> {
    let renamed = comparison.renumbered.iter();
    renamed
        .map(|disk| format!("{} {} {}", disk.source, disk.before, disk.after).replace("/dev/", ""))
        .collect()
}

#[test]
fn the_list_is_the_order_of_a_new_guest() {
    let (text, _) = created(&with_disks(&["a", "b", "c"], ""));
    assert_eq!(disks(&text), ["vdz /srv/a", "vdy /srv/b", "vdx /srv/c"]);
    let (text, _) = created(&with_disks(&["a", "b", "c"], "transport: pci"));
    assert_eq!(disks(&text), ["vdc /srv/c", "vdb /srv/b", "vda /srv/a"]);
    let said = [
        "{ path: /srv/a, target: vdy }",
        "b",
        "{ path: /srv/c, target: vdc }",
    ];
    let (text, _) = created(&with_disks(&said, ""));
    assert_eq!(disks(&text), ["vdy /srv/a", "vdx /srv/b", "vdc /srv/c"]);
}

#[test]
fn a_target_that_the_file_gives_one_of_them_leaves_a_new_guest_its_order() {
    for (list, expected) in [
        (
            [
                "a.img",
                "b.img",
                "{ path: /srv/c.img, target: vdg }",
                "d.img",
            ],
            [
                "vdz /srv/a.img",
                "vdy /srv/b.img",
                "vdg /srv/c.img",
                "vdf /srv/d.img",
            ],
        ),
        (
            [
                "{ path: /srv/a.img, target: vdm }",
                "b.img",
                "c.img",
                "{ path: /srv/d.img, target: vdz }",
            ],
            [
                "vdz /srv/d.img",
                "vdm /srv/a.img",
                "vdl /srv/b.img",
                "vdk /srv/c.img",
            ],
        ),
        // There is no room before the first.
        (
            [
                "a.img",
                "b.img",
                "{ path: /srv/c.img, target: vdy }",
                "d.img",
            ],
            [
                "vdz /srv/a.img",
                "vdy /srv/c.img",
                "vdx /srv/b.img",
                "vdw /srv/d.img",
            ],
        ),
    ] {
        let (text, _) = domain_with(&with_disks(&list, ""));
        assert_eq!(disks(&text), expected, "{list:?}");
    }
}

#[test]
fn changes_of_the_list_that_rename_nobody() {
    let before = domain_with(&with_disks(&["a", "b", "c"], ""));
    for (list, expected) in [
        (
            &["b", "c", "a"][..],
            &["vdz /srv/a", "vdy /srv/b", "vdx /srv/c"][..],
        ),
        // In front, in between, at the end: the guest counts it last.
        (
            &["n", "a", "b", "c"],
            &["vdz /srv/a", "vdy /srv/b", "vdx /srv/c", "vdw /srv/n"],
        ),
        (
            &["a", "n", "b", "c"],
            &["vdz /srv/a", "vdy /srv/b", "vdx /srv/c", "vdw /srv/n"],
        ),
        (
            &["a", "b", "c", "n"],
            &["vdz /srv/a", "vdy /srv/b", "vdx /srv/c", "vdw /srv/n"],
        ),
        (&["a", "b"], &["vdz /srv/a", "vdy /srv/b"]),
        // One instead of another has its place.
        (
            &["n", "b", "c"],
            &["vdz /srv/n", "vdy /srv/b", "vdx /srv/c"],
        ),
        (
            &["a", "n", "c"],
            &["vdz /srv/a", "vdy /srv/n", "vdx /srv/c"],
        ),
        (
            &["a", "n", "m"],
            &["vdz /srv/a", "vdy /srv/n", "vdx /srv/m"],
        ),
        // Another name for the same image.
        (
            &["{ path: /srv/a, name: root }", "b", "c"],
            &["vdz /srv/a", "vdy /srv/b", "vdx /srv/c"],
        ),
    ] {
        let (comparison, (text, _)) = becomes(&with_disks(list, ""), &before);
        assert_eq!(
            (comparison.held, comparison.moved),
            (vec![], vec![]),
            "{list:?}"
        );
        assert_eq!(comparison.renumbered, vec![], "{list:?}");
        assert_eq!(disks(&text), expected, "{list:?}");
    }
    // What goes and what stays keep their places also for those that come later.
    let without = by_label(with_disks(&["b", "c"], ""));
    let comparison = if_first_may_change(&without, &before.1, &before.0);
    let without = edited(&comparison, &before);
    let (comparison, (text, _)) = becomes(&with_disks(&["n", "b", "c"], ""), &without);
    assert_eq!((comparison.held, comparison.renumbered), (vec![], vec![]));
    assert_eq!(disks(&text), ["vdy /srv/b", "vdx /srv/c", "vdw /srv/n"]);
}

#[test]
fn a_root_that_would_be_another_disk_holds_all_disks() {
    let before = domain_with(&with_disks(&["a", "b", "c"], ""));
    for (list, says) in [
        (
            &["b", "c"][..],
            "its cmdline has root=/dev/vda1, and its guest's /dev/vda would be /srv/b instead of /srv/a",
        ),
        (
            &["b", "c", "n"],
            "/dev/vda would be /srv/b instead of /srv/a",
        ),
        (
            &["{ path: /srv/a, target: vdc }", "b", "c"],
            "/dev/vda would be /srv/b instead of /srv/a",
        ),
        (
            &["a", "b", "c", "{ path: /srv/n, target: vdz }"],
            "its disk n would have the target of its disk a, vdz",
        ),
        (
            &["{ path: /srv/a, target: vdy }", "b", "c"],
            "two of its disks would have the target vdy",
        ),
    ] {
        let mut vm = with_disks(list, "");
        vm.memory = "1GiB".parse().unwrap();
        let comparison = compared(&vm, Some(&before.1), &before.0);
        let held: Vec<_> = comparison
            .held
            .iter()
            .map(|held| held.why.as_str())
            .collect();
        assert!(
            held.len() == 1 && held[0].contains(says),
            "{list:?}: {held:?}"
        );
        assert_eq!(comparison.applied.devices, before.1.applied.devices);
        // The rest is done.
        let text = apply_edits(&before.0, &comparison.edits).unwrap();
        assert_eq!(text, before.0.replace(">524288<", ">1048576<"), "{list:?}");
    }
}

#[test]
fn the_first_is_another_one_only_where_the_user_says_so() {
    let before = domain_with(&with_disks(&["a", "b", "c"], ""));
    let without = by_label(with_disks(&["b", "c"], ""));
    let (comparison, (text, _)) = becomes(&without, &before);
    assert_eq!(
        (renamed(&comparison), disks(&text)),
        (vec![], disks(&before.0))
    );
    let [held] = comparison.held.as_slice() else {
        panic!("{:?}", comparison.held);
    };
    assert_eq!(
        (held.why.as_str(), held.remedy.as_str()),
        (
            "its guest's /dev/vda would be /srv/b instead of /srv/a",
            "keep an entry with `name: a` in `disks` (its path may change), or armfleet apply --allow-replace armhf-vm once its guest is ready for \
             another /dev/vda"
        )
    );
    let comparison = if_first_may_change(&without, &before.1, &before.0);
    assert_eq!(renamed(&comparison), ["/srv/b vdb vda", "/srv/c vdc vdb"]);
    // A command line that names it by its place is no such word.
    let rooted = with_disks(&["b", "c"], "");
    let comparison = if_first_may_change(&rooted, &before.1, &before.0);
    assert_eq!(comparison.held.len(), 1);
}

#[test]
fn names_that_change_are_told_where_no_root_depends_on_them() {
    let before = domain_with(&with_disks(&["a", "b", "c"], ""));
    let (comparison, _) = becomes(&with_disks(&["a", "c"], ""), &before);
    assert_eq!(renamed(&comparison), ["/srv/c vdc vdb"]);
}

#[test]
fn a_disk_by_hand_keeps_its_name_in_the_guest() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied);
    // It has vda, and is thus the guest's last.
    let text = STORED.replace("vdb", "vda");
    assert!(
        disks(&text).contains(&"vda /srv/by-hand.img".to_owned()),
        "{:?}",
        disks(&text)
    );
    let mut more = vm();
    let second = Disk {
        name: "second".parse().unwrap(),
        path: "/srv/second".parse().unwrap(),
        ..more.disks[0].clone()
    };
    more.disks.push(second);
    let comparison = compared(&more, Some(&record), &text);
    let why = &comparison.held[0].why;
    assert!(why.contains("a new disk would rename others in its guest: /srv/by-hand.img from /dev/vdb to /dev/vdc"), "{why}");
    let comparison = compared(&by_label(more), Some(&record), &text);
    assert_eq!(renamed(&comparison), ["/srv/by-hand.img vdb vdc"]);
}

/// As libvirt stores what is on PCI: three disks on the root ports 2 to 4, a port that is free, and one that was left.
fn on_pci(free_port: u32) -> (Vm, String, Record) {
    let vm = with_disks(&["a", "b", "c"], "transport: pci");
    let (mut text, record) = domain_with(&vm);
    for bus in [4, 3, 2] {
        let at = text
            .rfind("<address type='pci'/>\n    </disk>")
            .or_else(|| {
                text.match_indices("<address type='pci'/>")
                    .map(|(at, _)| at)
                    .nth(bus - 2)
            });
        let address = format!(
            "<address type='pci' domain='0x0000' bus='0x0{bus}' slot='0x00' function='0x0'/>"
        );
        text.replace_range(
            at.unwrap()..at.unwrap() + "<address type='pci'/>".len(),
            &address,
        );
    }
    let ports = [2, 3, 4, free_port]
        .map(|port| format!("<controller type='pci' index='{port}' model='pcie-root-port'/>"));
    // So are the share and what else there is, elsewhere.
    let text = text.replace(
        "<address type='pci'/>",
        "<address type='pci' domain='0x0001' bus='0x00' slot='0x01' function='0x0'/>",
    );
    let text = text.replace("</devices>", &format!("{}</devices>", ports.concat()));
    (vm, text, record)
}

#[test]
fn on_pci_a_new_disk_is_behind_the_others_whatever_bus_is_free() {
    let more = with_disks(&["a", "b", "c", "n"], "transport: pci");
    for (free_port, address) in [
        (5, "<address type='pci'/>"),
        (1, "<address type='pci' bus='0x05'/>"),
    ] {
        let (_, text, record) = on_pci(free_port);
        let comparison = compared(&more, Some(&record), &text);
        let after = apply_edits(&text, &comparison.edits).unwrap();
        assert_eq!((comparison.held, comparison.renumbered), (vec![], vec![]));
        assert_eq!(after.matches(address).count(), 1, "{after}");
    }
}

#[test]
fn on_pci_one_instead_of_another_has_its_address() {
    let (_, text, record) = on_pci(1);
    let other = with_disks(&["n", "b", "c"], "transport: pci");
    let comparison = compared(&other, Some(&record), &text);
    let after = apply_edits(&text, &comparison.edits).unwrap();
    assert_eq!(comparison.held, vec![]);
    let addresses = |text: &str| {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.contains("<address"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&after), addresses(&text));
    assert!(
        after.contains("/srv/n") && !after.contains("/srv/a'"),
        "{after}"
    );
}

#[test]
fn keys_of_a_disk_come_and_go_and_what_others_wrote_stays() {
    let plain = with_disks(&["a"], "");
    let full = with_disks(
        &["{ path: /srv/a, serial: s1, readonly: true, cache: none, io: native, discard: unmap }"],
        "",
    );
    let (text, record) = domain_with(&plain);
    let by_hand = text.replace(
        "type='raw'/>",
        "type='raw' detect_zeroes='on'/>\n      <iotune/>",
    );
    let (comparison, after) = becomes(&full, &(by_hand.clone(), record.clone()));
    let changes: Vec<_> = comparison.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "disk a serial a -> s1",
            "disk a readonly nothing -> true",
            "disk a cache nothing -> none",
            "disk a io nothing -> native",
            "disk a discard nothing -> unmap",
        ]
    );
    assert!(after.0.contains("<driver name='qemu' type='raw' detect_zeroes='on' cache='none' io='native' discard='unmap'/>"), "{}", after.0);
    let (_, (back, _)) = becomes(&plain, &after);
    assert_eq!(back.replace("<serial>s1<", "<serial>a<"), by_hand);
    // By hand, and never in the file.
    let by_hand = text.replace(
        "type='raw'/>",
        "type='raw' cache='unsafe'/>\n      <readonly/>",
    );
    assert_eq!(compared(&plain, Some(&record), &by_hand).edits, vec![]);
    let wanted = with_disks(&["{ path: /srv/a, readonly: false, cache: writeback }"], "");
    let (_, (text, _)) = becomes(&wanted, &(by_hand, record));
    assert!(
        text.contains("cache='writeback'/>") && !text.contains("readonly"),
        "{text}"
    );
}

/// The disk for cloud-init is found by its label, so that it takes no name that another one had or may get.
#[test]
fn the_disk_for_cloud_init_is_the_last_whatever_comes() {
    const FIRST: &str = "/var/lib/armfleet/vms/armhf-vm/cloud-init/1.img";
    let more = "cloud_init: { user_data: u }";
    let vm = with_disks(&["a.img", "b.img"], more);
    let domain = domain_with(&vm);
    let last = format!("vda {FIRST}");
    let expected = ["vdz /srv/a.img", "vdy /srv/b.img", &last];
    assert_eq!(disks(&domain.0), expected);
    // One more behind them, though the root is named by its place.
    let (comparison, grown) = becomes(&with_disks(&["a.img", "b.img", "c.img"], more), &domain);
    assert_eq!((renamed(&comparison), comparison.held), (vec![], vec![]));
    let expected = ["vdz /srv/a.img", "vdy /srv/b.img", "vdx /srv/c.img", &last];
    assert_eq!(disks(&grown.0), expected);
    // It goes and comes without renaming anybody.
    let (comparison, without) = becomes(&with_disks(&["a.img", "b.img"], ""), &domain);
    assert_eq!((renamed(&comparison), comparison.held), (vec![], vec![]));
    assert_eq!(disks(&without.0), ["vdz /srv/a.img", "vdy /srv/b.img"]);
    let (_, again) = becomes(&vm, &without);
    assert_eq!(disks(&again.0), disks(&domain.0));
    // On PCI a guest counts the other way; a target that the file gives is the disk's.
    let pci = with_disks(
        &["a.img", "{ path: /srv/b.img, target: vdz }"],
        &format!("transport: pci, {more}"),
    );
    let expected = ["vdz /srv/b.img", &format!("vdy {FIRST}"), "vda /srv/a.img"];
    assert_eq!(disks(&domain_with(&pci).0), expected);
    // No key of a fleet file gives it back: its texts are elsewhere.
    let given = armfleet::domain::read_back(&vm.name, &domain.0).unwrap();
    assert_eq!(given.keys().filter(|key| key.ends_with(".path")).count(), 2);
}

/// A disk by hand at the place of the one for cloud-init is left alone, and one of another VM is not taken for it.
#[test]
fn a_disk_by_hand_is_not_taken_for_the_one_for_cloud_init() {
    let vm = with_disks(&["a.img"], "");
    let (text, applied) = created(&vm);
    let others = "/var/lib/armfleet/vms/other/cloud-init/1.img";
    let by_hand = format!(
        "<disk type='file' device='disk'><source file='{others}'/><target dev='vda' bus='virtio'/><address type='virtio-mmio'/></disk>"
    );
    let text = text.replace("</devices>", &format!("{by_hand}</devices>"));
    let with = with_disks(&["a.img"], "cloud_init: { user_data: u }");
    let (_, (after, _)) = becomes(&with, &(text, record(&vm, applied)));
    let expected = [
        "vdz /srv/a.img".to_owned(),
        "vdb /var/lib/armfleet/vms/armhf-vm/cloud-init/1.img".to_owned(),
        format!("vda {others}"),
    ];
    assert_eq!(disks(&after), expected);
    assert!(after.contains(&by_hand));
}
