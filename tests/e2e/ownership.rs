//! Domains that look like this fleet's and are not, and those whose record is not what it was.

use snapbox::assert_data_eq;

use crate::fleet::{DISK, RECORD, SHARE, VM, recipe, second_vm, stopped_recipe};
use crate::host::{Output, TestHost};

const CLONE: &str = "its-clone";
const CLONES_UUID: &str = "11111111-2222-4333-8444-555555555555";

/// The domain as `virt-clone` copies it: a name, a UUID and a disk of its own, and all else as it was.
fn clone_domain(host: &TestHost) {
    let definition = host.definition(VM);
    let uuid = uuid_in(&definition);
    let copy = definition
        .replacen(&format!("<name>{VM}<"), &format!("<name>{CLONE}<"), 1)
        .replacen(
            &format!("<uuid>{uuid}<"),
            &format!("<uuid>{CLONES_UUID}<"),
            1,
        )
        .replacen(DISK, "/srv/its-clone.img", 1)
        .replacen(SHARE, "/srv/its-clone-boot", 1);
    host.define(&copy);
}

fn uuid_in(definition: &str) -> &str {
    let (_, rest) = definition.split_once("<uuid>").unwrap();
    rest.split_once('<').unwrap().0
}

/// A fleet file from which the VM is gone, while another stays.
fn without_the_vm() -> String {
    "fleet: recipe\nvms:\n".to_owned() + &second_vm("other-vm")
}

fn apply_with_removal(host: &TestHost) -> Output {
    host.armfleet(&["apply", "--auto-approve", "--allow-removal=9"])
}

/// What an apply that changes nothing says below its headline.
#[track_caller]
fn unchanged(host: &TestHost, apply: Output, definitions: &[(&str, &str)]) -> String {
    for (domain, definition) in definitions {
        assert_eq!(host.definition(domain), *definition);
    }
    crate::fleet::below_headline(apply, 3)
}

#[test]
fn a_clone_is_foreign_and_left_alone_whatever_becomes_of_the_original() {
    let host = TestHost::with_applied(&stopped_recipe());
    clone_domain(&host);
    let clone = host.definition(CLONE);
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i its-clone: foreign, with a copied mark of armhf-vm
      left alone

No changes.

"#]]
    );

    // It leaves the file; its clone is not taken for it.
    host.write_fleet(&without_the_vm());
    apply_with_removal(&host).success();
    let left = host.virsh(&["list", "--all", "--name"]).success();
    assert_eq!(
        left.split_whitespace().collect::<Vec<_>>(),
        [CLONE, "other-vm"]
    );
    assert_eq!(host.definition(CLONE), clone);
}

#[test]
fn a_vm_is_not_made_of_a_clone_that_has_its_name() {
    let host = TestHost::with_applied(&stopped_recipe());
    clone_domain(&host);
    let clone = host.definition(CLONE);
    host.write_fleet(&(stopped_recipe() + &second_vm(CLONE)));
    assert_data_eq!(
        unchanged(&host, host.apply(), &[(CLONE, &clone)]),
        snapbox::str![[r#"
  ! its-clone: its domain is foreign, with a copied mark: a clone
      -> virsh domrename its-clone OTHER-NAME, or give this VM another name

No changes, 1 refused.

"#]]
    );
}

#[test]
fn a_domain_renamed_by_hand_is_neither_created_again_nor_removed() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.virsh(&["domrename", VM, "by-hand"]).success();
    let renamed = host.definition("by-hand");
    assert_data_eq!(
        unchanged(&host, host.apply(), &[("by-hand", &renamed)]),
        snapbox::str![[r#"
  ! armhf-vm: its domain was renamed to by-hand by hand
      -> virsh domrename by-hand armhf-vm

No changes, 1 refused.

"#]]
    );

    host.write_fleet(&without_the_vm());
    let removal = apply_with_removal(&host);
    assert_eq!(removal.code, Some(3));
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! by-hand: armhf-vm left the file, but its domain was renamed to by-hand by hand: not removed
      -> virsh domrename by-hand armhf-vm, then apply again

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.definition("by-hand"), renamed);

    // The remedy works.
    host.write_fleet(&stopped_recipe());
    host.virsh(&["domrename", "by-hand", VM]).success();
    host.virsh(&["undefine", "other-vm"]).success();
    apply_with_removal(&host).success();
    host.assert_converged();
}

#[test]
fn a_lost_record_is_written_again_and_nothing_else_is_done() {
    let host = TestHost::with_applied(&stopped_recipe());
    let definition = host.definition(VM);
    let good = host.read(RECORD);
    std::fs::remove_file(host.path(RECORD)).unwrap();
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  + record    armhf-vm    lost: written again from what this host has (drifted)

1 to create.

"#]]
    );
    host.apply().success();
    let what_the_hook_reads = |record: &str| {
        let (_, rest) = record.split_once("\"boot\"").unwrap();
        rest.split_once('}').unwrap().0.to_owned()
    };
    assert_eq!(
        what_the_hook_reads(&host.read(RECORD)),
        what_the_hook_reads(&good)
    );
    assert_eq!(host.definition(VM), definition);
    host.assert_converged();
}

#[test]
fn a_damaged_record_is_written_again_and_nothing_else_is_done() {
    let host = TestHost::with_applied(&stopped_recipe());
    let definition = host.definition(VM);
    for damaged in ["", "{", "not a record", "\u{0}\u{1}", "{\"format\": 99}"] {
        host.write(RECORD, damaged);
        let planned = host.planned(2);
        assert!(
            planned.contains("  ~ record    armhf-vm    damaged ("),
            "{planned}"
        );
        assert!(planned.ends_with("\n1 to change.\n"), "{planned}");
        host.apply().success();
        host.assert_converged();
    }
    assert_eq!(host.definition(VM), definition);
}

#[test]
fn a_vm_that_left_the_file_is_not_removed_while_its_record_is_lost() {
    let host = TestHost::with_applied(&stopped_recipe());
    let definition = host.definition(VM);
    std::fs::remove_file(host.path(RECORD)).unwrap();
    host.write_fleet("fleet: recipe\nvms: {}\n");
    assert_data_eq!(
        unchanged(&host, apply_with_removal(&host), &[(VM, &definition)]),
        snapbox::str![[r#"
  ! armhf-vm: not in the fleet file any more; not removed: its record is lost
      -> put it back into the file and apply, which writes the record again; then remove it

No changes, 1 refused.

"#]]
    );
    host.write(RECORD, "garbage");
    let refused = unchanged(&host, apply_with_removal(&host), &[(VM, &definition)]);
    assert!(refused.contains("its record is damaged"), "{refused}");
}

#[test]
fn a_domain_that_armfleet_did_not_make_is_never_taken_over() {
    let host = TestHost::with_fleet(&stopped_recipe());
    host.define(include_str!("armhf.xml"));
    let theirs = host.definition(VM);
    assert_data_eq!(
        unchanged(&host, host.apply(), &[(VM, &theirs)]),
        snapbox::str![[r#"
  + hook      /etc/libvirt/hooks/qemu.d/50-armfleet    not installed
  ~ libvirtd  reload                                   it looks for hooks only when it starts or reloads
  ! armhf-vm: a domain of this name exists, and armfleet did not create it
      -> virsh domrename armhf-vm OTHER-NAME, or give this VM another name

1 to create, 1 to change, 1 refused.

2 of 2 steps done.
1 change was refused; see its `!` line above.

"#]]
    );
}

#[test]
fn another_fleets_vm_is_never_taken_over_or_removed() {
    let host = TestHost::with_applied(&stopped_recipe());
    let theirs = host.definition(VM);
    host.write_fleet(&stopped_recipe().replace("fleet: recipe", "fleet: another"));
    let apply = host.apply();
    assert_eq!(apply.code, Some(3));
    assert!(
        apply
            .stdout
            .contains("! armhf-vm: its domain belongs to fleet recipe\n"),
        "{}",
        apply.stdout
    );
    host.write_fleet("fleet: another\nvms: {}\n");
    apply_with_removal(&host).success();
    assert_eq!(host.definition(VM), theirs);
}

#[test]
fn a_renamed_fleet_takes_its_vms_over_only_where_its_file_says_so() {
    const STRANGER: &str = "stranger";
    const FOLDERS: [&str; 2] = ["/srv", SHARE];
    let host = TestHost::with_applied(&recipe());
    host.define(&include_str!("armhf.xml").replace(VM, STRANGER));
    let (theirs, stranger) = (host.definition(VM), host.definition(STRANGER));
    let id = host.virsh(&["domid", VM]).success();
    let files = host.listing(&FOLDERS);
    let renamed = recipe().replace("fleet: recipe", "fleet: another");
    host.write_fleet(&renamed);
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: its domain belongs to fleet recipe
      -> adopt: { from: recipe } takes it over; otherwise give this VM another name
  i fleet: probably recipe under another name: this host has no VM of fleet another, and 1 of the file's as VMs of recipe
      write fleet: recipe again, or take its VMs over with defaults: { adopt: { from: recipe } }

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.definition(VM), theirs);

    let adopting = renamed.clone() + "    adopt: { from: recipe }\n";
    let of_stranger = second_vm(STRANGER) + "    adopt: { from: recipe }\n";
    host.write_fleet(&(adopting.clone() + &of_stranger));
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (adopted from fleet recipe)
      fleet  recipe -> another
  ! stranger: a domain of this name exists, and armfleet did not create it
      -> virsh domrename stranger OTHER-NAME, or give this VM another name

1 to change, 1 refused.

"#]]
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.definition(STRANGER), stranger);
    let ours = theirs.replace("fleet=\"recipe\"", "fleet=\"another\"");
    assert_eq!(host.definition(VM), ours);
    assert_eq!(host.virsh(&["domid", VM]).success(), id);
    assert_eq!(host.listing(&FOLDERS), files);
    assert_eq!(host.state(VM), "running");

    // It is this fleet's from then on, whether the key stays or goes, and no longer the other's.
    for fleet in [&adopting, &renamed] {
        host.write_fleet(fleet);
        host.assert_converged();
    }
    host.write_fleet(&recipe());
    assert!(
        host.planned(3)
            .contains("its domain belongs to fleet another")
    );
    host.write_fleet("fleet: recipe\nvms: {}\n");
    apply_with_removal(&host).success();
    assert_eq!(host.definition(VM), ours);
}
