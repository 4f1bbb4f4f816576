//! Further shares: identity by tag, folders that VMs have in common, and what QEMU's user may do with them.

use crate::harness::applied::{applied_on, edit_domain, empty_host, plan_on, settle, spec, vm};
use crate::harness::text;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
use armfleet::plan::Plan;

const QEMU: Owner = Owner {
    uid: 64055,
    gid: 64055,
};

fn fleet(shares: &str) -> Spec {
    let vm = vm("a", "1GiB", &format!(", shares: [{shares}]"));
    spec(&format!("fleet: f\nvms:\n{vm}"))
}

/// A host that has a folder for QEMU's user, and one that everybody reads.
fn prepared() -> Memory {
    let host = empty_host();
    host.make_folder("/srv/ccache", 0o700, Some(QEMU)).unwrap();
    host.make_folder("/srv/sources", 0o755, Some(Owner { uid: 0, gid: 0 }))
        .unwrap();
    host
}

/// What a plan says: what it makes, the changes of the domain, and what it refuses.
fn said(plan: &Plan) -> String {
    let steps = plan.steps.iter().filter(|step| {
        let id = step.id.to_string();
        id.starts_with("share/a/") || id == "domain/a"
    });
    let changes = steps.flat_map(|step| {
        let made = step.changes.is_empty() && step.id.to_string() != "domain/a";
        let made = made.then(|| format!("{}: {}\n", step.id, step.reason));
        let changes = step.changes.iter().map(|change| format!("{change}\n"));
        made.into_iter().chain(changes).collect::<Vec<_>>()
    });
    let refused = plan.refusals.iter().map(|refusal| {
        let check = refusal
            .check
            .map_or(String::new(), |check| format!(" [{check}]"));
        format!("! {}{check} -> {}\n", refusal.why, refusal.remedy)
    });
    changes.chain(refused).collect()
}

/// Applies another fleet file, after which nothing is left to do.
#[track_caller]
fn apply(host: &Memory, spec: &Spec) -> (String, Memory) {
    let (planned, host) = settle(host, spec);
    (said(&planned), host)
}

#[test]
fn changes_of_the_list_touch_nobody_else() {
    let both = "{ tag: ccache, path: /srv/ccache }, { tag: src, path: /srv/sources, access: squash, readonly: true }";
    let host = applied_on(&prepared(), &fleet(both));
    let definition = |host: &Memory| host.dump_secure(&host.uuid_of("a").unwrap()).unwrap();
    let before = definition(&host);
    for xml in [
        "<filesystem type='mount' accessmode='mapped'>\n      <source dir='/srv/ccache'/>\n      <target dir='ccache'/>",
        "accessmode='squash'>\n      <source dir='/srv/sources'/>\n      <target dir='src'/>\n      <readonly/>",
    ] {
        assert!(before.contains(xml), "{before}");
    }
    for (list, expected) in [
        (
            "{ tag: src, path: /srv/sources, access: squash, readonly: true }, { tag: ccache, path: /srv/ccache }",
            "",
        ),
        (
            "{ tag: src, path: /srv/sources, access: squash, readonly: true }",
            "filesystem ccache /srv/ccache -> nothing\n",
        ),
        (
            "{ tag: new, path: /srv/new }, { tag: ccache, path: /srv/ccache }, { tag: src, path: /srv/sources, access: squash, readonly: true }",
            "share/a/new: new and empty, mounted as new\nfilesystem new nothing -> /srv/new\n",
        ),
        (
            "{ tag: cache, path: /srv/ccache }, { tag: src, path: /srv/sources, access: squash, readonly: true }",
            "filesystem cache nothing -> /srv/ccache\nfilesystem ccache /srv/ccache -> nothing\n",
        ),
        (
            "{ tag: ccache, path: /srv/ccache, access: squash, readonly: true }, { tag: src, path: /srv/sources, access: passthrough, readonly: true }",
            "filesystem ccache access mapped -> squash\nfilesystem ccache readonly nothing -> true\nfilesystem src access squash -> passthrough\n",
        ),
        (
            "{ tag: ccache, path: /srv/ccache }, { tag: src, path: /srv/ccache, access: squash }",
            "filesystem src folder /srv/sources -> /srv/ccache\nfilesystem src readonly true -> nothing\n",
        ),
        (
            "",
            "filesystem ccache /srv/ccache -> nothing\nfilesystem src /srv/sources -> nothing\n",
        ),
    ] {
        let (changed, there) = apply(&host, &fleet(list));
        assert_eq!(changed, expected, "{list}");
        let (_, back) = apply(&there, &fleet(both));
        assert_eq!(definition(&back).len(), before.len(), "{list}");
    }
}

#[test]
fn what_qemus_user_cannot_give_a_guest_is_refused() {
    let host = prepared();
    host.make_folder(
        "/srv/private",
        0o750,
        Some(Owner {
            uid: 1000,
            gid: 1000,
        }),
    )
    .unwrap();
    host.make_folder(
        "/srv/group",
        0o770,
        Some(Owner {
            uid: 1000,
            gid: 1000,
        }),
    )
    .unwrap();
    host.put_file("/srv/file", "text").unwrap();
    for (share, expected) in [
        ("path: /srv/sources, readonly: true", ""),
        (
            "path: /srv/sources",
            "! QEMU's user (64055) cannot write in its share /srv/sources [share-access] -> setfacl -m u:64055:rwx /srv/sources, or chown 64055:64055 /srv/sources\n",
        ),
        ("path: /srv/group", ""),
        ("path: /srv/private, readonly: true", ""),
        (
            "path: /srv/private",
            "! QEMU's user (64055) cannot write in its share /srv/private [share-access] -> setfacl -m u:64055:rwx /srv/private, or chown 64055:64055 /srv/private\n",
        ),
        (
            "path: /srv/ccache, access: passthrough",
            "! its share /srv/ccache has `access: passthrough`, with which a guest can write only where QEMU runs as root [share-access] -> set access: mapped, access: squash, or readonly: true\n",
        ),
        (
            "path: /srv/file",
            "! its share /srv/file is not a folder -> name the folder itself\n",
        ),
        (
            "path: /srv/none, readonly: true",
            "! its share /srv/none is not there -> mkdir -p /srv/none, and put there what the guest is to read\n",
        ),
        (
            "path: /srv/none/one",
            "! /srv/none is not a folder, so /srv/none/one cannot be created in it [no-folder] -> mkdir -p /srv/none\n",
        ),
        (
            "path: /srv/none",
            "share/a/t: new and empty, mounted as t\n",
        ),
    ] {
        let planned = plan_on(&fleet(&format!("{{ tag: t, {share} }}")), &host);
        assert_eq!(said(&planned), expected, "{share}");
    }
}

#[test]
fn vms_have_a_folder_in_common_and_it_is_made_once() {
    let two = |share: &str| {
        let share = format!(", shares: [{share}]");
        let vms = vm("a", "1GiB", &share) + &vm("b", "1GiB", &share);
        spec(&format!("fleet: f\nvms:\n{vms}"))
    };
    let both = two("{ tag: t, path: /srv/common }");
    let host = prepared();
    let planned = plan_on(&both, &host);
    let made = planned
        .steps
        .iter()
        .filter(|step| step.subject() == "/srv/common");
    assert_eq!(made.count(), 1, "{}", text(&planned));
    let (_, host) = apply(&host, &both);
    // A domain of somebody else's may have it, too.
    let foreign = |tag: &str, folder: &str| {
        format!(
            "<domain type='qemu'><name>other</name><memory>1024</memory><os><type arch='armv7l' machine='virt'>hvm</type></os>\
             <devices><filesystem type='mount'><source dir='{folder}'/><target dir='{tag}'/></filesystem></devices></domain>"
        )
    };
    let with = |definition: &str| {
        let host = host.fork();
        host.define(definition).unwrap();
        let planned = plan_on(&both, &host);
        let notices = planned
            .notices
            .iter()
            .map(|notice| format!("i {}\n", notice.what));
        said(&planned) + &notices.collect::<String>()
    };
    assert_eq!(with(&foreign("t", "/srv/common")), "");
    // What is another's /boot, or has one in it, is no share.
    assert!(with(&foreign("virtio-boot", "/srv/common")).contains("domain other uses /srv/common"));
    assert!(with(&foreign("t", "/srv/common/part")).contains("/srv/common/part"));
    let inside = two("{ tag: t, path: /srv/common }, { tag: u, path: /srv/elsewhere }");
    host.make_folder("/srv/elsewhere", 0o700, Some(QEMU))
        .unwrap();
    host.define(&foreign("virtio-boot", "/srv/elsewhere/boot"))
        .unwrap();
    let refused = said(&plan_on(&inside, &host));
    assert!(
        refused.contains("its share /srv/elsewhere holds /srv/elsewhere/boot, which domain other uses [path-in-use]"),
        "{refused}"
    );
}

#[test]
fn a_share_that_is_gone_or_another_is_not_taken_for_what_was_applied() {
    let spec = fleet("{ tag: t, path: /srv/ccache }");
    let host = applied_on(&prepared(), &spec);
    let gone = host.fork();
    gone.remove("/srv/ccache");
    assert_eq!(
        said(&plan_on(&spec, &gone)),
        "! its share /srv/ccache is gone; it was there at the last apply -> restore it and armfleet apply --accept a, or begin \
         anew: mkdir /srv/ccache; armfleet apply --accept a\n"
    );
    gone.make_folder("/srv/ccache", 0o700, Some(QEMU)).unwrap();
    let refused = said(&plan_on(&spec, &gone));
    assert!(
        refused.contains("its share /srv/ccache is not the one that was applied"),
        "{refused}"
    );
    // Another folder in the domain was put there on purpose.
    edit_domain(&host, "a", "/srv/ccache", "/srv/sources");
    let refused = said(&plan_on(&spec, &host));
    assert!(
        refused.starts_with("! ") && refused.contains("/srv/sources"),
        "{refused}"
    );
}
