//! The file as a whole: its keys, and how VMs come of them.

use super::cloud_init::{self, NoCloud};
use super::hosts::{HOST, trusted};
use super::texts::{TextReader, Texts};
use super::vm::{LOCAL, PartialVm, Vm};
use super::{conflicts, uses};
use crate::fleetfile::{
    Declared, DeclaredSecrets, Field, Fields, Layered, Map, Placeholders, Readable, Room, SECRET,
    Scope, VAR, ValueType, Vars, keys, layered,
};
use crate::problem::{Checked, Diagnostics};
use crate::values::{FleetName, HostPath, Secrets, VmName};
use crate::yaml::{Node, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The map that the language begins with.
pub(crate) static FILE: &Map = keys! {
    "file": "a fleet file", "", "it belongs at the top of the file";
    /// The fleet's name, which marks its VMs as its own: armfleet changes and removes only domains with this mark.
    /// Choose one for each fleet file, and keep it.
    fleet: ValueType::Name => {
        required, effect: Described("with another name, the VMs made so far are another fleet's, and are refused"),
        example: "obs-workers", also_called: ["name"],
    }
    /// The VMs by name. A VM's name is also that of its libvirt domain. A VM that leaves the file is stopped and its
    /// domain removed, when that is confirmed; its disks and its boot share stay.
    vms: ValueType::Entries(Vm::MAP) => {
        required, effect: Now,
        example: "{ armhf-vm: { arch: armhf, memory: 512MiB, boot: { cmdline: console=ttyAMA0 root=/dev/vda1 } } }",
    }
    /// The keys of all VMs. A VM's profile, its range and its own entry override them, in this order. Maps are merged
    /// key by key, lists are replaced as a whole, and `null` removes a key.
    defaults: Vm::TYPE => {
        absent: "each VM has all its keys itself", effect: Now, example: "{ arch: armhf, memory: 2GiB }",
    }
    /// Named sets of a VM's keys. A VM gets those of the one that it names under `profile`.
    profiles: ValueType::Named(Vm::MAP, "worker") => {
        absent: "there are no profiles", effect: Now, example: "{ worker: { vcpus: 4, autostart: true } }",
    }
    /// Variables: `{var.NAME}` in a text is replaced by the value that `--var NAME=VALUE` gives, or else by the
    /// default.
    vars: ValueType::Named(VAR, "release") => {
        absent: "there are no variables", effect: Now, example: "{ release: { default: bookworm } }",
    }
    /// What there is to say of hosts, by name. `local` is the one on which armfleet runs.
    hosts: ValueType::Named(HOST, "local") => {
        absent: "there is nothing to say", effect: Now, example: "{ local: { trust: [/home/me/vms] } }",
    }
    /// The secrets that `cmdline` and the files of `cloud_init` have as `{env.NAME}`, by that name. It is the name of an
    /// environment variable. Where there is such a map, a secret that is not in it is refused; one that no VM has need not be set.
    secrets: ValueType::Named(SECRET, "CACHE_KEY") => {
        absent: "any environment variable can be a secret", effect: Now,
        example: "{ CACHE_KEY: { description: the key of the build cache } }",
    }
};

/// A whole fleet file after validation and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The ownership name that marks this file's domains.
    pub fleet: FleetName,
    /// The VMs, by name. All are on the host `local`. Where their command lines have secrets, `{env.NAME}` stands for each.
    pub vms: BTreeMap<VmName, Vm>,
    /// The texts of VMs with `cloud_init`, where they were given: templates, as command lines are.
    pub cloud_init: BTreeMap<VmName, Arc<NoCloud>>,
    /// Folders of the host that are taken as they are, with all below them, whoever may write there.
    pub trusted: BTreeSet<HostPath>,
    /// The secrets that are in it, which nothing else of it holds.
    pub secrets: Secrets,
}

/// What is given to fleet files from outside.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The values of variables, by name: `--var NAME=VALUE`.
    pub vars: BTreeMap<String, String>,
    /// The environment variables that the files [ask for](super::environment).
    pub secrets: Secrets,
    /// The texts that the files [name](super::texts_named). Without them they are not checked, and no VM's can be compared.
    pub texts: Option<Texts>,
}

pub(super) fn spec(
    root: &Node,
    sources: &Sources,
    given: &Given,
    texts: &TextReader<'_>,
    found: &Diagnostics,
) -> Checked<Spec> {
    let scope = Scope {
        sources,
        found,
        root: FILE,
        vm: None,
    };
    let start = root.range.start..root.range.start;
    let fields = Fields::read(&Field::of_map(&start, root, scope), FILE)?;
    let none = Placeholders {
        index: None,
        host: None,
        fleet: None,
        vars: None,
        secrets: &given.secrets,
        declared: None,
        secret: false,
        room: &Room::default(),
        scope,
    };
    let declared = fields.get("secrets").map(DeclaredSecrets::read);
    let declared = declared.and_then(Result::ok);
    let vars = &Vars::read(fields.get("vars"), &given.vars, &none);
    let words = Placeholders {
        vars: Some(vars),
        declared: declared.as_ref(),
        ..none
    };
    let fleet = fields.required("fleet").and_then(|field| {
        let node = &words.expand(field.node)?;
        FleetName::read(&Field {
            node,
            ..field.clone()
        })
    });
    let name = fleet.as_ref().map(|fleet| fleet.value.as_str());
    let words = Placeholders {
        host: Some(LOCAL),
        fleet: Some(name.map_err(|reported| *reported)),
        ..words
    };
    let trusted = trusted(fields.get("hosts"), &words);
    let vms = layered::<Vm, _>(&fields, words, &|vm, words| match &vm.cloud_init {
        Ok(Some(files)) => cloud_init::read(files, former_fleet(vm), words, texts),
        _ => Ok(None),
    })?;
    check(&vms, found);
    let mut cloud_init = BTreeMap::new();
    let vms = vms.into_iter().map(|layered| {
        let layered = layered?;
        let mut vm = Vm::finish(layered.vm)?;
        name_secrets(&mut vm, &given.secrets);
        let texts = layered.texts?.map(Arc::new);
        cloud_init.extend(texts.map(|texts| (vm.name.clone(), texts)));
        Ok((vm.name.clone(), vm))
    });
    Ok(Spec {
        fleet: fleet?.value,
        vms: vms.collect::<Checked<_>>()?,
        cloud_init,
        trusted: trusted?,
        secrets: given.secrets.clone(),
    })
}

/// Has `{env.NAME}` stand for each secret from here on: only whoever defines the domain needs the value.
fn name_secrets(vm: &mut Vm, secrets: &Secrets) {
    let install = vm.install.as_mut().map(|install| &mut install.cmdline);
    for cmdline in install.into_iter().chain([&mut vm.boot.cmdline]) {
        // A template is as printable as its text.
        if let Ok(template) = secrets.template_of(cmdline.as_str()).parse() {
            *cmdline = template;
        }
    }
}

/// Reports what is wrong though all values are of the right type.
fn check<X>(vms: &[Checked<Layered<PartialVm, X>>], found: &Diagnostics) {
    for (number, one) in vms.iter().enumerate() {
        if found.patience().is_err() {
            break;
        }
        if let Ok(Layered { vm, layers, .. }) = one {
            found.turn(Some(number), layers);
            let mut problems = uses::path_problems(vm);
            Vm::check(vm, &mut problems);
            for problem in problems {
                problem.report(found);
            }
        }
    }
    found.turn(None, &[]);
    let all = || vms.iter().flatten().map(|layered| &layered.vm);
    let problems = conflicts::shared_path(all()).into_iter();
    for problem in problems.chain(conflicts::shared_mac(all())) {
        problem.report(found);
    }
}

/// The fleet that a VM is taken over from.
fn former_fleet(vm: &PartialVm) -> Option<&FleetName> {
    let adopt = vm.adopt.as_ref().ok()?.as_ref()?;
    adopt.from.as_ref().ok().map(|from| &from.value)
}
