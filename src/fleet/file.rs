//! The file as a whole: its keys, and how VMs come of them.

use super::vm::{LOCAL, PartialVm, Vm};
use super::{conflicts, uses};
use crate::fleetfile::{
    Declared, Field, Layered, Map, Placeholders, Readable, Room, Scope, Spanned, Typed, ValueType,
    Vars, fields, keys, layered,
};
use crate::problem::{Checked, Diagnostics};
use crate::values::{FleetName, Secrets, VmName};
use crate::yaml::{Node, Sources};
use std::collections::BTreeMap;

/// The map that the language begins with.
pub(crate) static FILE: &Map = keys! {
    "file": "a fleet file", "", "it belongs at the top of the file";
    /// The fleet's name, which marks its VMs as its own: armfleet changes and removes only domains with this mark.
    /// Choose one for each fleet file, and keep it.
    fleet: FleetName {
        required, effect: Told("with another name, the VMs made so far are another fleet's, and are refused"),
        example: "obs-workers", also_called: ["name"],
    }
    /// The VMs by name. A VM's name is also that of its libvirt domain. A VM that leaves the file is stopped and its
    /// domain removed, when that is confirmed; its disks and its boot share stay.
    vms: Vms {
        required, effect: Now,
        example: "{ armhf-vm: { arch: armhf, memory: 512MiB, boot: { cmdline: console=ttyAMA0 root=/dev/vda1 } } }",
    }
    /// The keys of all VMs. A VM's profile, its range and its own entry override them, in this order. Maps are merged
    /// key by key, lists are replaced as a whole, and `null` removes a key.
    defaults: Defaults {
        absent: "each VM has all its keys itself", effect: Now, example: "{ arch: armhf, memory: 2GiB }",
    }
    /// Named sets of a VM's keys. A VM gets those of the one that it names under `profile`.
    profiles: Profiles {
        absent: "there are no profiles", effect: Now, example: "{ worker: { vcpus: 4, autostart: true } }",
    }
    /// Variables: `{var.NAME}` in a text is replaced by the value that `--var NAME=VALUE` gives, or else by the
    /// default.
    vars: Vars { absent: "there are no variables", effect: Now, example: "{ release: { default: bookworm } }" }
    planned ["hosts"]
};

/// The VMs by their names.
struct Vms;

impl Typed for Vms {
    fn value_type() -> ValueType {
        ValueType::Entries(Vm::MAP)
    }
}

/// What all VMs say.
struct Defaults;

impl Typed for Defaults {
    fn value_type() -> ValueType {
        ValueType::Nested(Vm::MAP)
    }
}

/// What VMs with a profile say.
struct Profiles;

impl Typed for Profiles {
    fn value_type() -> ValueType {
        ValueType::Named(Vm::MAP, "worker")
    }
}

/// A whole fleet file after validation and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The ownership name that marks this file's domains.
    pub fleet: FleetName,
    /// The VMs, by name. All are on the host `local`.
    pub vms: BTreeMap<VmName, Vm>,
    /// The secrets that are in it.
    pub secrets: Secrets,
}

/// A fleet, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialSpec {
    fleet: Checked<Spanned<FleetName>>,
    vms: Checked<Vec<Checked<Layered<PartialVm>>>>,
}

impl PartialSpec {
    /// Reads a whole fleet, to which the values of variables are given.
    pub(crate) fn read(
        root: &Node,
        sources: &Sources<'_>,
        vars: &BTreeMap<String, String>,
        secrets: &Secrets,
        found: &mut Diagnostics,
    ) -> Checked<Self> {
        let start = root.range.start..root.range.start;
        let fields = fields(&Field::of_map(&start, root), FILE, FILE, found)?;
        let none = Placeholders::none(secrets, sources);
        let vars = &Vars::read(fields.get("vars"), vars, &none, FILE, found);
        let words = Placeholders {
            vars: Some(vars),
            ..none
        };
        let fleet = fields
            .required("fleet", found)
            .and_then(|field| fleet(field, words, found));
        let name = fleet.as_ref().map(|fleet| fleet.value.as_str());
        let words = Placeholders {
            host: Some(LOCAL),
            fleet: Some(name.map_err(|reported| *reported)),
            ..words
        };
        let vms = layered::<Vm>(&fields, words, found);
        Ok(Self { fleet, vms })
    }

    /// Reports what is wrong though all values are of the right type.
    pub(crate) fn check(&self, found: &mut Diagnostics) {
        let Ok(vms) = &self.vms else {
            return;
        };
        for (number, one) in vms.iter().enumerate() {
            if found.patience().is_err() {
                break;
            }
            if let Ok(Layered { vm, layers }) = one {
                found.turn(number, layers);
                let mut problems = uses::path_problems(vm);
                Vm::check(vm, &mut problems);
                problems.into_iter().for_each(|problem| {
                    found.report(problem);
                });
            }
        }
        found.end_turns();
        let all = vms.iter().flatten().map(|layered| &layered.vm);
        for problem in conflicts::shared_path(all) {
            found.report(problem);
        }
    }

    /// The spec, if everything could be read.
    pub(crate) fn finish(self, secrets: &Secrets) -> Checked<Spec> {
        let vms = self.vms?.into_iter().map(|layered| {
            let vm = Vm::finish(layered?.vm)?;
            Ok((vm.name.clone(), vm))
        });
        Ok(Spec {
            fleet: self.fleet?.value,
            vms: vms.collect::<Checked<_>>()?,
            secrets: secrets.clone(),
        })
    }
}

fn fleet(
    field: &Field<'_>,
    words: Placeholders<'_>,
    found: &mut Diagnostics,
) -> Checked<Spanned<FleetName>> {
    let node = words.expand(field.node, &mut Room::default(), found)?;
    let field = Field {
        node: &node,
        ..field.clone()
    };
    let scope = Scope {
        sources: words.sources,
        root: FILE,
        vm: Err(Diagnostics::left_open()),
    };
    FleetName::read(&field, scope, found)
}
