//! A recorded host for tests that need no libvirt: what planning would see on a host after an apply.

use armfleet::domain::apply_edits;
use armfleet::fleet::{Spec, read_fleet};
use armfleet::inventory::{
    Fact, FileKind, Inventory, RawDomain, RawFile, RawInventory, RawLibvirt, RawStat,
    SNAPSHOT_FORMAT, digest,
};
use armfleet::mark::render_record;
use armfleet::paths;
use armfleet::plan::{Act, Base, Plan, Policy, plan};
use std::collections::BTreeMap;

/// QEMU's user and group in the recorded capabilities.
pub const QEMU: (u32, u32) = (64055, 108);

pub fn spec(yaml: &str) -> Spec {
    read_fleet(yaml.as_bytes(), "fleet.yaml", "/home/me/fleet").unwrap()
}

/// A VM of a fleet file.
pub fn vm(name: &str, memory: &str, rest: &str) -> String {
    format!(
        "  {name}: {{ arch: armhf, memory: {memory}, boot: {{ cmdline: console=ttyAMA0 root=/dev/vda1, seed: {{ kernel: /srv/seed/vmlinuz, \
         initrd: /srv/seed/initrd.img }} }}, disks: [{{ path: /srv/{name}.img, size: 8GiB }}], on_guest_reboot: stop{rest} }}\n"
    )
}

pub fn stat(kind: FileKind, mode: u32, owner: (u32, u32), size: u64) -> RawStat {
    RawStat {
        kind,
        size,
        mode,
        uid: owner.0,
        gid: owner.1,
        dev: 1,
        ino: 1,
        mtime_ns: 1_000,
        ctime_ns: 1_000,
        born_ns: None,
    }
}

pub fn file(stat: RawStat) -> RawFile {
    RawFile::only(stat)
}

/// A host with libvirt and the hook's binary, and nothing else.
pub fn empty_host() -> RawInventory {
    let capabilities = include_str!("../captured/capabilities-9.0.xml").to_owned();
    let folder = || Fact::Present(file(stat(FileKind::Folder, 0o755, (0, 0), 0)));
    let program = Fact::Present(file(stat(FileKind::File, 0o755, (0, 0), 1)));
    let seed = RawFile {
        sha256: Some("5".repeat(64)),
        ..file(stat(FileKind::File, 0o644, (0, 0), 1 << 20))
    };
    let paths = [
        ("/srv", folder()),
        ("/srv/seed/vmlinuz", Fact::Present(seed.clone())),
        ("/srv/seed/initrd.img", Fact::Present(seed)),
        (paths::HOOK_BINARY, program.clone()),
        (paths::DAEMON_PID_FILES[0], program),
        (paths::SHIM, Fact::Absent),
        (paths::VMS, Fact::Absent),
    ];
    RawInventory {
        format: SNAPSHOT_FORMAT.to_owned(),
        at: 1_700_000_000,
        libvirt: Fact::Present(RawLibvirt {
            version: 9_000_000,
            capabilities,
        }),
        domains: Fact::Present(Vec::new()),
        paths: paths.map(|(path, fact)| (path.to_owned(), fact)).into(),
    }
}

/// Everything that a query asks for and the host does not say is absent.
pub fn see(spec: &Spec, host: &RawInventory) -> Inventory {
    let mut raw = host.clone();
    for path in armfleet::inventory::query(spec).paths.into_keys() {
        raw.paths.entry(path).or_insert(Fact::Absent);
    }
    Inventory::read(raw)
}

pub fn plan_on(spec: &Spec, host: &RawInventory) -> Plan {
    plan(spec, &see(spec, host), &Policy::default())
}

/// The host after a plan was performed, as far as planning looks.
pub fn perform(host: &RawInventory, plan: &Plan) -> RawInventory {
    let mut host = host.clone();
    let Fact::Present(domains) = &mut host.domains else {
        panic!("the host has no domains");
    };
    let mut domains: BTreeMap<String, RawDomain> = std::mem::take(domains)
        .into_iter()
        .map(|domain| (domain.name.clone(), domain))
        .collect();
    for step in &plan.steps {
        let name = step
            .vm
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut put = |path: &str, file| host.paths.insert(path.to_owned(), Fact::Present(file));
        match &step.act {
            Act::InstallHook { sha256, .. } => {
                let shim = stat(FileKind::File, 0o755, (0, 0), 100);
                let sha256 = Some(sha256.clone());
                put(
                    paths::SHIM,
                    RawFile {
                        sha256,
                        ..file(shim)
                    },
                );
            }
            Act::ReloadDaemon { .. } => {
                put(
                    paths::RELOADED,
                    file(stat(FileKind::File, 0o600, (0, 0), 0)),
                );
            }
            Act::CreateShare { path, mode, owner } => {
                let folder = stat(FileKind::Folder, *mode, owner.unwrap_or_default(), 0);
                let entries = Some(Vec::new());
                put(
                    path.as_str(),
                    RawFile {
                        entries,
                        ..file(folder)
                    },
                );
            }
            Act::MendFolder { path, mode } => {
                put(path, file(stat(FileKind::Folder, *mode, (0, 0), 0)));
            }
            Act::CreateDisk { path, size } => {
                let image = stat(FileKind::File, 0o600, (0, 0), size.bytes());
                put(path.as_str(), file(image));
            }
            Act::StageSeed { kernel, initrd, .. } => {
                let part = |source: &armfleet::plan::SeedSource| {
                    serde_json::json!({"path": source.path, "size": 1, "sha256": source.sha256,
                        "file": {"dev": 1, "ino": 1, "size": 1, "mtime": [0, 0], "ctime": [0, 0]}})
                };
                let receipt = serde_json::json!({"format": "armfleet-seed/1", "kernel": part(kernel), "initrd": part(initrd)});
                let text = Some(receipt.to_string());
                let path = paths::seed_receipt(step.vm.as_ref().unwrap());
                put(
                    &path,
                    RawFile {
                        text,
                        ..file(stat(FileKind::File, 0o600, (0, 0), 1))
                    },
                );
            }
            Act::Define { uuid, base, edits } => {
                let base = match base {
                    Base::Skeleton(text) => text.clone(),
                    Base::Stored(_) => domains[&name].inactive.present().unwrap().clone(),
                };
                let domain = domains.entry(name.clone()).or_insert_with(|| RawDomain {
                    name,
                    uuid: uuid.to_string(),
                    state: 5,
                    reason: 0,
                    persistent: true,
                    autostart: false,
                    managed_save: false,
                    snapshots: Vec::new(),
                    checkpoints: Vec::new(),
                    inactive: Fact::Absent,
                    live: Fact::Absent,
                });
                domain.inactive = Fact::Present(apply_edits(&base, edits).unwrap());
            }
            Act::WriteRecord { record, .. } => {
                let vms = file(stat(FileKind::Folder, 0o711, (0, 0), 0));
                put(paths::VMS, vms);
                let text = Some(render_record(record).unwrap());
                put(
                    &paths::record(&record.vm),
                    RawFile {
                        text,
                        ..file(stat(FileKind::File, 0o600, (0, 0), 1))
                    },
                );
            }
            Act::SetAutostart { on, .. } => domains.get_mut(&name).unwrap().autostart = *on,
            Act::Start { .. } => {
                let domain = domains.get_mut(&name).unwrap();
                (domain.state, domain.live) = (1, domain.inactive.clone());
            }
            Act::Stop { .. } | Act::AwaitOff { .. } => {
                let domain = domains.get_mut(&name).unwrap();
                (domain.state, domain.live) = (5, Fact::Absent);
            }
            Act::Undefine { .. } => drop(domains.remove(&name)),
            Act::Forget => drop(host.paths.remove(&paths::record(step.vm.as_ref().unwrap()))),
            Act::OwnShare { .. }
            | Act::GrowDisk { .. }
            | Act::StageInstaller(_)
            | Act::EraseDisk { .. } => {}
        }
    }
    host.domains = Fact::Present(domains.into_values().collect());
    host
}

/// The host on which a fleet file has been applied.
pub fn applied(spec: &Spec) -> RawInventory {
    let host = empty_host();
    let planned = plan_on(spec, &host);
    assert!(
        planned.refusals.is_empty() && planned.is_complete(),
        "{planned:#?}"
    );
    perform(&host, &planned)
}

/// A domain of a recorded host.
pub fn domain<'a>(host: &'a mut RawInventory, name: &str) -> &'a mut RawDomain {
    match &mut host.domains {
        Fact::Present(domains) => domains
            .iter_mut()
            .find(|domain| domain.name == name)
            .unwrap(),
        _ => panic!("the host has no domains"),
    }
}

/// Changes a domain's definition as somebody with virsh would.
pub fn edit_domain(host: &mut RawInventory, name: &str, from: &str, to: &str) {
    let domain = domain(host, name);
    let text = domain.inactive.present().unwrap();
    assert!(text.contains(from), "{from} in {text}");
    domain.inactive = Fact::Present(text.replace(from, to));
}

/// SHA-256 of a domain's definition.
pub fn definition_digest(host: &mut RawInventory, name: &str) -> String {
    digest(domain(host, name).inactive.present().unwrap())
}
