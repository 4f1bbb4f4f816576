//! A VM's own device tree: copied, known by its receipt, and copied again when it changed.

use crate::harness::applied::{applied_on, empty_host, plan_on, settle, spec, vm};
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::plan::Plan;

const SOURCE: &str = "/srv/tree.dtb";
const COPY: &str = "/var/lib/armfleet/vms/a/boot/dtb/machine.dtb";
const RECEIPT: &str = "/var/lib/armfleet/vms/a/boot/dtb/dtb.json";
const TREE: &[u8] = b"\xd0\x0d\xfe\xed\0\0\0\x10 a tree ";

fn fleet(dtb: &str) -> Spec {
    let vm = vm("a", "1GiB", "").replace("boot: {", &format!("boot: {{ {dtb}"));
    spec(&format!("fleet: f\nvms:\n{vm}"))
}

fn with_dtb() -> Spec {
    fleet(&format!("dtb: {SOURCE}, "))
}

fn prepared() -> Memory {
    let host = empty_host();
    host.put_file(SOURCE, TREE).unwrap();
    host
}

/// The steps of the device tree and what the domain gets, and what is refused or noticed.
fn said(plan: &Plan) -> String {
    let steps = plan.steps.iter();
    let steps = steps.filter(|step| ["dtb/a", "domain/a"].contains(&step.id.to_string().as_str()));
    let steps = steps.flat_map(|step| {
        let changes = step.changes.iter().map(|change| format!("{change}\n"));
        let staged = (step.id.to_string() == "dtb/a").then(|| format!("{}\n", step.reason));
        staged.into_iter().chain(changes).collect::<Vec<_>>()
    });
    let refused = plan.refusals.iter();
    let refused = refused.map(|refusal| format!("! {} -> {}\n", refusal.why, refusal.remedy));
    let notices = plan
        .notices
        .iter()
        .filter(|notice| notice.what.contains("device tree"));
    let notices = notices.map(|notice| format!("i {}; {}\n", notice.what, notice.outlook));
    steps.chain(refused).chain(notices).collect()
}

/// Applies a fleet file, after which nothing is left to do.
#[track_caller]
fn apply(host: &Memory, spec: &Spec) -> (String, Memory) {
    let (planned, host) = settle(host, spec);
    (said(&planned), host)
}

#[test]
fn a_device_tree_is_copied_and_copied_again_when_it_changed() {
    let host = applied_on(&prepared(), &with_dtb());
    assert_eq!(host.bytes(COPY).unwrap(), TREE);
    let definition = host.dump_secure(&host.uuid_of("a").unwrap()).unwrap();
    assert!(
        definition.contains(&format!("<dtb>{COPY}</dtb>")),
        "{definition}"
    );
    let (changed, host) = apply(&host, &with_dtb());
    assert_eq!(changed, "");

    let other = [TREE, b" of another machine"].concat();
    host.put_file(SOURCE, &other).unwrap();
    let (changed, host) = apply(&host, &with_dtb());
    assert_eq!(
        changed,
        "the file changed; the VM gets it at its next start\n"
    );
    assert_eq!(host.bytes(COPY).unwrap(), other);

    let damaged = host.fork();
    damaged.put_file(COPY, TREE).unwrap();
    let (changed, damaged) = apply(&damaged, &with_dtb());
    assert!(
        changed.starts_with("staged again, since its copy is damaged: machine.dtb is cut short"),
        "{changed}"
    );
    assert_eq!(damaged.bytes(COPY).unwrap(), other);
    damaged.remove(RECEIPT);
    let (changed, _) = apply(&damaged, &with_dtb());
    assert_eq!(changed, "the device tree that the VM boots with\n");

    let gone = host.fork();
    gone.remove(SOURCE);
    let (changed, _) = apply(&gone, &with_dtb());
    assert_eq!(
        changed,
        "i its device tree /srv/tree.dtb is gone; the copy staged before stays in use\n"
    );

    let (changed, host) = apply(&host, &fleet(""));
    assert_eq!(changed, format!("dtb {COPY} -> nothing\n"));
    // One that was put there by hand is nobody's business.
    host.edit_domain("a", |text| {
        text.replace("</os>", "  <dtb>/srv/mine.dtb</dtb>\n  </os>")
    })
    .unwrap();
    assert_eq!(apply(&host, &fleet("")).0, "");
}

#[test]
fn what_is_no_device_tree_is_refused() {
    let host = prepared();
    host.put_file("/srv/tree.dts", "/dts-v1/;").unwrap();
    host.make_folder("/srv/folder", 0o755, None).unwrap();
    host.put_file("/srv/empty.dtb", "").unwrap();
    host.put_file("/srv/short.dtb", &TREE[..15]).unwrap();
    host.put_file("/srv/dumped.dtb", b"\xd0\x0d\xfe\xed\0\x10\0\0")
        .unwrap();
    host.truncate("/srv/dumped.dtb", 1 << 20).unwrap();
    for (path, expected) in [
        (SOURCE, "the device tree that the VM boots with\n"),
        (
            "/srv/tree.dts",
            "! its device tree /srv/tree.dts is no compiled one -> dtc -I dts -O dtb makes one of its source\n",
        ),
        (
            "/srv/empty.dtb",
            "! its device tree /srv/empty.dtb is no compiled one -> dtc -I dts -O dtb makes one of its source\n",
        ),
        (
            "/srv/short.dtb",
            "! its device tree /srv/short.dtb is cut short: it has 15 bytes and says that they are 16 -> make it again\n",
        ),
        (
            "/srv/dumped.dtb",
            "! its device tree /srv/dumped.dtb has 1048576 bytes, and a 32-bit kernel does not boot with more than 514288 -> \
             dtc -I dtb -O dtb takes out the room that QEMU's dumpdtb leaves in it\n",
        ),
        (
            "/srv/none.dtb",
            "! its device tree /srv/none.dtb is not there -> put the file there, or correct boot.dtb\n",
        ),
        (
            "/srv/folder",
            "! its device tree /srv/folder is not a plain file -> name the file itself\n",
        ),
    ] {
        let planned = plan_on(&fleet(&format!("dtb: {path}, ")), &host);
        assert_eq!(said(&planned), expected, "{path}");
    }
}
