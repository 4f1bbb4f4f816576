//! What libvirt does with domains.

use armfleet::host::primitives::{CallError, CallErrorKind, Primitives};
use armfleet::inventory::{AddressSource, Fact, RawDomain, RunState};
use std::time::Duration;

const RUNNING: u32 = 1;
const OFF: u32 = 5;

/// A host to try, and what differs between hosts.
pub(crate) struct Subject<'a> {
    pub(crate) host: &'a dyn Primitives,
    /// The type of domain that it can run (`qemu`, `test`).
    pub(crate) domain_type: &'a str,
    /// Ends a domain whose guest may not heed a request.
    pub(crate) power_off: &'a dyn Fn(&str),
}

/// Runs the suite. It leaves no domain behind unless it fails.
pub(crate) fn contract(subject: &Subject<'_>) {
    type Check = (&'static str, fn(&Vm<'_>));
    let checks: [Check; 13] = [
        ("libvirt tells its version and capabilities", about),
        ("what is not there is missing", missing),
        ("a defined domain is listed", defined),
        ("redefining keeps identity", redefined),
        (
            "metadata is kept as long as it is in the definition",
            metadata,
        ),
        ("a name or UUID in use is told from other failures", taken),
        ("what libvirt does not know is refused", validated),
        ("secrets are in the secure dump only", secrets),
        (
            "autostart survives redefining and dies with the domain",
            autostart,
        ),
        ("a started domain has a process", started),
        (
            "redefining a running domain is for its next start",
            redefined_while_running,
        ),
        ("a domain that is off cannot be stopped", off),
        (
            "undefining a running domain leaves its process",
            undefined_while_running,
        ),
    ];
    for (number, (name, check)) in checks.into_iter().enumerate() {
        println!("contract: {name}");
        check(&Vm { subject, number });
    }
}

/// The domain of one check.
struct Vm<'a> {
    subject: &'a Subject<'a>,
    number: usize,
}

impl Vm<'_> {
    fn host(&self) -> &dyn Primitives {
        self.subject.host
    }

    fn name(&self) -> String {
        format!("armfleet-contract-{}", self.number)
    }

    fn uuid(&self) -> String {
        format!("a5f1ee70-0000-4000-8000-{:012}", self.number)
    }

    /// A UUID that no domain has.
    fn other_uuid(&self) -> String {
        format!("a5f1ee70-0000-4000-9000-{:012}", self.number)
    }

    fn xml(&self, kib: u32, rest: &str) -> String {
        definition(
            self.subject.domain_type,
            &self.name(),
            Some(&self.uuid()),
            kib,
            rest,
        )
    }

    fn define(&self, xml: &str) {
        self.host().define(xml).unwrap();
    }

    fn seen(&self) -> RawDomain {
        self.host().domain(&self.uuid()).unwrap()
    }

    fn inactive(&self) -> String {
        present(self.seen().inactive)
    }

    fn is_listed(&self) -> bool {
        let domains = self.host().domains().unwrap();
        domains.iter().any(|domain| domain.name == self.name())
    }

    fn undefine(&self) {
        self.host().undefine(&self.uuid(), false).unwrap();
        assert!(!self.is_listed());
    }
}

fn definition(domain_type: &str, name: &str, uuid: Option<&str>, kib: u32, rest: &str) -> String {
    let uuid = uuid.map_or_else(String::new, |uuid| format!("<uuid>{uuid}</uuid>"));
    format!(
        "<domain type='{domain_type}'><name>{name}</name>{uuid}<memory unit='KiB'>{kib}</memory><vcpu>1</vcpu>\
         <os><type arch='armv7l' machine='virt'>hvm</type></os>{rest}</domain>"
    )
}

fn present(fact: Fact<String>) -> String {
    match fact {
        Fact::Present(text) => text,
        other => panic!("{other:?}"),
    }
}

fn kind<T>(result: Result<T, CallError>) -> CallErrorKind {
    result.map(drop).unwrap_err().kind
}

fn about(vm: &Vm<'_>) {
    let libvirt = vm.host().libvirt().unwrap();
    assert!(libvirt.version >= 6_000_000, "{}", libvirt.version);
    assert!(libvirt.capabilities.contains("<capabilities>"));
}

fn missing(vm: &Vm<'_>) {
    let (host, uuid) = (vm.host(), &vm.uuid());
    let kinds = [
        kind(host.domain(uuid)),
        kind(host.state(uuid)),
        kind(host.dump_secure(uuid)),
        kind(host.undefine(uuid, false)),
        kind(host.set_autostart(uuid, true)),
        kind(host.start(uuid)),
        kind(host.shutdown(uuid, Duration::from_secs(30))),
        kind(host.block_resize(uuid, "/srv/none.img", 1 << 29, 1 << 30)),
    ];
    assert_eq!(kinds, [CallErrorKind::Missing; 8]);
    assert_eq!(kind(host.domain("not a UUID")), CallErrorKind::Other);
}

fn defined(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    let seen = vm.seen();
    assert_eq!((&seen.name, &seen.uuid), (&vm.name(), &vm.uuid()));
    assert_eq!((seen.state, seen.reason), (OFF, 0));
    assert_eq!(
        (seen.persistent, seen.autostart, seen.managed_save),
        (true, false, false)
    );
    assert_eq!(seen.live, Fact::Absent);
    let xml = present(seen.inactive.clone());
    assert!(
        xml.contains(&format!("<name>{}</name>", vm.name())),
        "{xml}"
    );
    assert!(
        xml.contains(&format!("<uuid>{}</uuid>", vm.uuid())),
        "{xml}"
    );
    assert!(xml.contains("<memory unit='KiB'>65536</memory>"), "{xml}");

    let domains = vm.host().domains().unwrap();
    assert!(domains.is_sorted_by(|one, other| one.name < other.name));
    assert_eq!(
        domains.into_iter().find(|domain| domain.uuid == vm.uuid()),
        Some(seen)
    );
    vm.undefine();
}

fn redefined(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    let first = vm.inactive();
    vm.define(&first);
    assert_eq!(vm.inactive(), first);
    let edited = first.replace("65536", "131072");
    vm.define(&edited);
    assert_eq!(vm.inactive(), edited);
    vm.undefine();
}

fn metadata(vm: &Vm<'_>) {
    let ours = r#"<armfleet:vm xmlns:armfleet="urn:armfleet:vm:1" fleet="f" vm="v" uuid="u"/>"#;
    let others = r#"<app:note xmlns:app="urn:example:other">kept</app:note>"#;
    vm.define(&vm.xml(65536, &format!("<metadata>{ours}{others}</metadata>")));
    let first = vm.inactive();
    assert!(first.contains(ours) && first.contains(others), "{first}");
    vm.define(&first.replace("65536", "131072"));
    let second = vm.inactive();
    assert!(second.contains(ours) && second.contains(others), "{second}");
    vm.define(&vm.xml(65536, ""));
    assert!(!vm.inactive().contains("metadata"));
    vm.undefine();
}

fn taken(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    let before = vm.seen();
    let (name, uuid, free) = (vm.name(), vm.uuid(), vm.other_uuid());
    let attempts = [
        (name.as_str(), Some(free.as_str())),
        (name.as_str(), None),
        ("armfleet-contract-other", Some(uuid.as_str())),
    ];
    for (name, uuid) in attempts {
        let xml = definition(vm.subject.domain_type, name, uuid, 65536, "");
        assert_eq!(
            kind(vm.host().define(&xml)),
            CallErrorKind::Exists,
            "{name} {uuid:?}"
        );
    }
    assert_eq!(vm.seen(), before);
    assert_eq!(kind(vm.host().domain(&free)), CallErrorKind::Missing);
    vm.undefine();
}

fn validated(vm: &Vm<'_>) {
    for xml in [
        vm.xml(65536, "<bogus/>"),
        "<domain".to_owned(),
        String::new(),
        "\0".to_owned(),
    ] {
        assert_eq!(kind(vm.host().define(&xml)), CallErrorKind::Other, "{xml}");
    }
    assert!(!vm.is_listed());
}

fn secrets(vm: &Vm<'_>) {
    let screen = "<devices><graphics type='vnc' port='5999' passwd='5wordfis'/></devices>";
    vm.define(&vm.xml(65536, screen));
    assert!(!vm.inactive().contains("5wordfis"));
    let secure = vm.host().dump_secure(&vm.uuid()).unwrap();
    assert!(secure.contains("passwd='5wordfis'"), "{secure}");
    vm.define(&secure);
    assert_eq!(vm.host().dump_secure(&vm.uuid()).unwrap(), secure);
    vm.undefine();
}

fn autostart(vm: &Vm<'_>) {
    let xml = vm.xml(65536, "");
    let set = |on| vm.host().set_autostart(&vm.uuid(), on).unwrap();
    vm.define(&xml);
    for on in [true, true, false, true] {
        set(on);
        assert_eq!(vm.seen().autostart, on);
        vm.define(&xml);
        assert_eq!(vm.seen().autostart, on);
    }
    let mut domains = vm.host().domains().unwrap().into_iter();
    assert_eq!(
        domains.find(|domain| domain.uuid == vm.uuid()),
        Some(vm.seen())
    );
    vm.undefine();
    vm.define(&xml);
    assert!(!vm.seen().autostart);
    vm.undefine();
}

fn started(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    let definition = vm.inactive();
    vm.host().start(&vm.uuid()).unwrap();
    let seen = vm.seen();
    assert_eq!(
        (seen.state, seen.reason, seen.persistent),
        (RUNNING, 0, true)
    );
    assert_eq!(vm.host().state(&vm.uuid()).unwrap(), RunState::Running);
    assert_eq!(present(seen.inactive.clone()), definition);
    let live = present(seen.live.clone());
    assert!(
        live.starts_with(&format!("<domain type='{}' id='", vm.subject.domain_type)),
        "{live}"
    );
    let mut domains = vm.host().domains().unwrap().into_iter();
    assert_eq!(domains.find(|domain| domain.uuid == vm.uuid()), Some(seen));
    assert_eq!(kind(vm.host().start(&vm.uuid())), CallErrorKind::Other);
    (vm.subject.power_off)(&vm.uuid());
    let seen = vm.seen();
    assert_eq!(vm.host().state(&vm.uuid()).unwrap(), RunState::Off);
    assert_eq!((seen.state, seen.reason, seen.live), (OFF, 0, Fact::Absent));
    assert_eq!(present(seen.inactive), definition);
    vm.undefine();
}

fn redefined_while_running(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    vm.host().start(&vm.uuid()).unwrap();
    let before = vm.seen();
    let edited = present(before.inactive).replace("65536", "131072");
    vm.define(&edited);
    let after = vm.seen();
    assert_eq!(
        (after.state, present(after.inactive)),
        (RUNNING, edited.clone())
    );
    assert_eq!(after.live, before.live);
    (vm.subject.power_off)(&vm.uuid());
    assert_eq!(vm.inactive(), edited);
    vm.undefine();
}

fn off(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    for source in [AddressSource::Lease, AddressSource::Agent] {
        let told = vm.host().addresses(&vm.uuid(), source);
        assert_eq!(kind(told), CallErrorKind::Other);
    }
    assert_eq!(
        kind(vm.host().shutdown(&vm.uuid(), Duration::from_secs(30))),
        CallErrorKind::Other
    );
    vm.undefine();
}

fn undefined_while_running(vm: &Vm<'_>) {
    vm.define(&vm.xml(65536, ""));
    vm.host().set_autostart(&vm.uuid(), true).unwrap();
    vm.host().start(&vm.uuid()).unwrap();
    vm.host().undefine(&vm.uuid(), false).unwrap();
    let seen = vm.seen();
    assert_eq!(
        (seen.state, seen.persistent, seen.autostart),
        (RUNNING, false, false)
    );
    let mut domains = vm.host().domains().unwrap().into_iter();
    assert_eq!(domains.find(|domain| domain.uuid == vm.uuid()), Some(seen));
    (vm.subject.power_off)(&vm.uuid());
    assert_eq!(kind(vm.host().domain(&vm.uuid())), CallErrorKind::Missing);
    assert!(!vm.is_listed());
}
