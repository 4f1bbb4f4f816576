//! Whether a VM's domain is this fleet's to change or to create.

use crate::domain::{Cause, Comparison, Edit, RowChange, Subject};
use crate::inventory::{self, Domain, Ownership};
use crate::mark::PropertyId;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::run::without_saved;
use crate::values::FleetName;

/// How a domain gets another name, which libvirt allows only while it is off.
pub(in crate::plan) fn renaming(domain: &Domain, to: &str) -> String {
    let first = if domain.state.has_process() {
        "shut it down, then "
    } else {
        ""
    };
    format!("{first}virsh domrename {} {to}", domain.raw.name)
}

/// Why a domain is not this fleet's VM of its name; nothing of one that is.
pub(in crate::plan) fn not_ours(ownership: &Ownership) -> String {
    match ownership {
        Ownership::Ours(_) => String::new(),
        Ownership::Unknown(why) => format!("its domain could not be read: {why}"),
        Ownership::Renamed(vm) => format!("its domain is {vm}, renamed by hand"),
        Ownership::CopiedMark => "its domain is foreign, with a copied mark: a clone".to_owned(),
        Ownership::OtherFleet(fleet) => format!("its domain belongs to fleet {fleet}"),
        Ownership::RenamedOfOther { fleet, vm } => {
            format!("its domain is {vm} of fleet {fleet}, renamed by hand")
        }
        Ownership::Unmarked => {
            "a domain of this name exists, and armfleet did not create it".to_owned()
        }
    }
}

impl VmPlanner<'_> {
    /// The VM's domain, if there is one and it is this fleet's.
    pub(super) fn own_domain(&self, builder: &mut PlanBuilder) -> Result<Option<&Domain>, Blocked> {
        let name = &self.vm.name;
        let Some(domain) = self.input.domains.get(name.as_str()) else {
            return self.none_elsewhere(builder);
        };
        let elsewhere = || {
            let renaming = renaming(domain, "OTHER-NAME");
            format!("{renaming}, or give this VM another name")
        };
        let ownership = self.input.ownership(domain);
        let remedy = match &ownership {
            Ownership::Ours(_) => return Ok(Some(domain)),
            Ownership::Unknown(why) => {
                builder.unknown(name, format!("its domain could not be read: {why}"));
                return Err(Blocked);
            }
            Ownership::Renamed(vm) => renaming(domain, vm.as_str()),
            Ownership::OtherFleet(fleet) if self.adopts_from(fleet) => return Ok(Some(domain)),
            Ownership::OtherFleet(fleet) => format!(
                "adopt: {{ from: {fleet} }} takes it over; otherwise give this VM another name"
            ),
            Ownership::CopiedMark | Ownership::RenamedOfOther { .. } | Ownership::Unmarked => {
                elsewhere()
            }
        };
        let why = not_ours(&ownership);
        builder.refuse(name, why, remedy);
        Err(Blocked)
    }

    /// Whether the VM is to be taken over from this fleet.
    fn adopts_from(&self, fleet: &str) -> bool {
        let adopt = self.vm.adopt.as_ref();
        adopt.is_some_and(|adopt| adopt.from.as_str() == fleet)
    }

    /// The fleet that has the VM's domain, if this one takes it over.
    pub(super) fn adopted_from(&self, domain: Option<&Domain>) -> Option<&FleetName> {
        let Ownership::OtherFleet(fleet) = self.input.ownership(domain?) else {
            return None;
        };
        let adopt = self.vm.adopt.as_ref()?;
        self.adopts_from(&fleet).then_some(&adopt.from)
    }

    /// Has the domain's mark name this fleet.
    pub(super) fn adopt(&self, domain: Option<&Domain>, comparison: &mut Comparison) {
        let Some(from) = self.adopted_from(domain) else {
            return;
        };
        let fleet = &self.input.spec.fleet;
        comparison.edits.push(Edit::Own(fleet.clone()));
        comparison.changes.push(RowChange {
            what: Subject::Property(PropertyId::new("fleet")),
            before: Some(from.to_string()),
            after: Some(fleet.to_string()),
            waits: None,
            cause: Some(Cause::FileChanged),
        });
    }

    /// There is no domain of this VM's name; one under another name, or one with its UUID, forbids creating it.
    fn none_elsewhere(&self, builder: &mut PlanBuilder) -> Result<Option<&Domain>, Blocked> {
        let name = &self.vm.name;
        let uuid = self.uuid(None);
        for (other, domain) in self.input.domains {
            let (why, remedy) = if self.input.ownership(domain) == Ownership::Renamed(name.clone())
            {
                (
                    format!("its domain was renamed to {other} by hand"),
                    renaming(domain, name.as_str()),
                )
            } else if domain.raw.uuid == uuid.as_str() {
                (
                    format!("domain {other} has the UUID that this VM would get"),
                    "give the VM another name".to_owned(),
                )
            } else {
                continue;
            };
            builder.refuse(name, why, remedy);
            return Err(Blocked);
        }
        Ok(None)
    }

    /// A new domain would take over what an old one of its name left.
    pub(super) fn no_leftovers(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        for path in [
            inventory::managed_save(&self.vm.name),
            inventory::nvram(&self.vm.name),
        ] {
            let fact = self.input.inventory.path(&path);
            if fact.present().is_some() {
                let why = format!("{path} is left from an earlier domain of this name");
                builder.refuse(&self.vm.name, why, format!("move {path} away"));
                return Err(Blocked);
            }
            if let Some(why) = fact.unknown() {
                builder.unknown(
                    &self.vm.name,
                    format!("whether {path} is left over could not be seen: {why}"),
                );
                return Err(Blocked);
            }
        }
        Ok(())
    }

    pub(super) fn changeable(
        &self,
        domain: &Domain,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        let (why, remedy) = if !domain.raw.persistent {
            (
                "not planned: its domain is transient and vanishes when it stops",
                format!("virsh shutdown {name}"),
            )
        } else if domain.raw.managed_save {
            (
                "not planned: its managed save image would ignore the new kernel",
                without_saved(name),
            )
        } else {
            return Ok(());
        };
        builder.refuse(name, why, remedy);
        Err(Blocked)
    }
}
