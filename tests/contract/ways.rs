//! What is seen on the way of a path, on the file system and in memory.

use armfleet::fleet::read_fleet;
use armfleet::host::intercept::{Intercepted, Recording};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::host::{Inspect, Observer};
use armfleet::inventory::{Fact, Look, Query, RawInventory, query};
use armfleet::trust::Writer;
use std::collections::BTreeSet;

/// What root does with a shell, on one kind of host.
pub(crate) struct Shell<'a> {
    pub(crate) link: &'a dyn Fn(&str, &str),
    pub(crate) give_link: &'a dyn Fn(&str, u32),
    pub(crate) set_acl: &'a dyn Fn(&str, &[Writer]),
}

/// Runs the suite on a host that has an empty folder `/srv`.
pub(crate) fn contract(host: &Observer<impl Primitives>, shell: &Shell<'_>) {
    for folder in ["/srv/a", "/srv/a/b", "/srv/c"] {
        host.0.make_folder(folder, 0o755, None).unwrap();
    }
    (shell.set_acl)("/srv/a/b", &[Writer::User(1000), Writer::Group(50)]);
    (shell.link)("/srv/of-root", "a");
    (shell.link)("/srv/c/again", "/srv/of-root/b");
    (shell.link)("/srv/of-user", "/srv/c");
    (shell.give_link)("/srv/of-user", 1000);

    let seen = observe(host, &[("/srv/c/again/x.img", Look::Image)]);
    assert_eq!(
        names(&seen),
        [
            "/",
            "/srv",
            "/srv/a",
            "/srv/a/b",
            "/srv/a/b/x.img",
            "/srv/c",
            "/srv/c/again",
            "/srv/c/again/x.img",
            "/srv/of-root",
        ]
    );
    assert_eq!(target(&seen, "/srv/c/again"), Some("/srv/of-root/b"));
    assert_eq!(target(&seen, "/srv/of-root"), Some("a"));
    assert!(seen.paths["/srv/a/b/x.img"].is_absent());
    let listed = seen.paths["/srv/a/b"].present().unwrap().stat.acl.clone();
    assert_eq!(listed, Some(vec![Writer::User(1000), Writer::Group(50)]));
    assert_eq!(seen.paths["/srv/a"].present().unwrap().stat.acl, None);

    // Another's link is seen, and where it leads is not.
    let seen = observe(host, &[("/srv/of-user/x", Look::Stat)]);
    assert_eq!(
        names(&seen),
        ["/", "/srv", "/srv/of-user", "/srv/of-user/x"]
    );
    assert_eq!(target(&seen, "/srv/of-user"), Some("/srv/c"));

    // A share is no link; where nothing is, nothing is on the way.
    let share = observe(host, &[("/srv/of-root", Look::Share)]);
    assert_eq!(names(&share), ["/", "/srv", "/srv/of-root"]);
    let nowhere = observe(host, &[("/srv/none/x/y", Look::Stat)]);
    assert_eq!(names(&nowhere), ["/", "/srv", "/srv/none", "/srv/none/x/y"]);
    assert_eq!(nowhere.paths["/srv/none"], Fact::Absent);

    // The digest of a source is in the plan, wherever it lies.
    let source = observe(host, &[("/srv/c/vmlinuz", Look::Seed)]);
    assert_eq!(names(&source), ["/srv/c/vmlinuz"]);
}

/// Each folder is looked at once, however many VMs have something in it.
pub(crate) fn each_folder_is_looked_at_once(host: impl Reads) {
    let host = Observer(Intercepted {
        calls: host,
        by: Recording::default(),
    });
    let looks = |count: usize| {
        let fleet = format!(
            "fleet: f\nvms:\n  'v-[0001-{count:04}]': {{ arch: armhf, memory: 64MiB, boot: {{ cmdline: x }}, disks: [{{ path: \
             '/srv/{{name}}.img', size: 1MiB }}], console: {{ log: '/var/log/{{name}}.log' }} }}\n"
        );
        let spec = read_fleet(fleet.as_bytes(), "fleet.yaml", "/fleet").unwrap();
        let query = query(&spec);
        let before = host.0.by.calls().len();
        host.observe(&query).unwrap();
        let calls = host.0.by.calls();
        let calls = calls[before..]
            .iter()
            .filter(|call| call.call.starts_with("look "));
        let paths: Vec<_> = calls.map(|call| call.call.clone()).collect();
        let different: BTreeSet<_> = paths.iter().collect();
        assert_eq!(paths.len(), different.len(), "{paths:?}");
        paths.len() - query.paths.len()
    };
    assert_eq!(looks(1), looks(50));
}

fn observe(host: &impl Inspect, paths: &[(&str, Look)]) -> RawInventory {
    let paths = paths.iter().map(|(path, look)| ((*path).to_owned(), *look));
    let query = Query {
        paths: paths.collect(),
        ..Query::default()
    };
    host.observe(&query).unwrap()
}

fn names(seen: &RawInventory) -> Vec<&str> {
    seen.paths.keys().map(String::as_str).collect()
}

fn target<'a>(seen: &'a RawInventory, path: &str) -> Option<&'a str> {
    seen.paths[path].present()?.text.as_deref()
}

/// What domains use is looked at once, and the folders that it is in.
pub(crate) fn what_domains_use_costs_a_look_each(host: &Memory) {
    let observer = Observer(Intercepted {
        calls: host.clone(),
        by: Recording::default(),
    });
    let looks = || {
        let before = observer.0.by.calls().len();
        let seen = observer.observe(&Query::default()).unwrap();
        let calls = observer.0.by.calls();
        let looks = calls[before..]
            .iter()
            .filter(|call| call.call.starts_with("look "));
        (looks.count(), seen)
    };
    assert_eq!(looks().0, 0);
    host.make_folder("/vms", 0o755, None).unwrap();
    for number in 0..1000 {
        host.put_file(&format!("/vms/{number}.img"), "").unwrap();
        let disk = format!("<source file='/vms/{number}.img'/><target dev='vda' bus='virtio'/>");
        host.define(&format!(
            "<domain type='qemu'><name>d{number}</name><memory>1024</memory><os><type arch='armv7l' machine='virt'>hvm</type>\
             </os><devices><disk type='file' device='disk'>{disk}</disk></devices></domain>"
        ))
        .unwrap();
    }
    let (count, seen) = looks();
    // `/`, `/vms` and the images.
    assert_eq!(count, 1002);
    assert!(seen.paths.is_empty() && seen.claims.len() == 1002);
    let image = seen.claims["/vms/7.img"].present().unwrap();
    assert_eq!(
        (&image.head, &image.sha256, image.blank),
        (&None, &None, None)
    );
}
