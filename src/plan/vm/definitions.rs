//! A domain's definitions as trees.

use crate::inventory::Domain;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::xml;
use roxmltree::Document;

/// The definitions of a VM's domain, each read once.
pub(super) struct Definitions<'a> {
    /// What libvirt has stored; the skeleton of a domain that is not there yet.
    pub stored: Document<'a>,
    live: Option<Live<'a>>,
}

enum Live<'a> {
    AsStored,
    Other(Document<'a>),
}

impl<'a> Definitions<'a> {
    /// What its process runs with, if that could be seen.
    pub(super) fn live(&self) -> Option<&Document<'a>> {
        Some(match self.live.as_ref()? {
            Live::AsStored => &self.stored,
            Live::Other(document) => document,
        })
    }
}

impl VmPlanner<'_> {
    /// Reads the definitions of the VM's domain; of a domain that is to be created, its skeleton.
    pub(super) fn definitions<'a>(
        &self,
        domain: Option<&'a Domain>,
        skeleton: &'a str,
        builder: &mut PlanBuilder,
    ) -> Result<Definitions<'a>, Blocked> {
        let seen = domain.and_then(|domain| domain.raw.inactive.present());
        let stored = xml::parse(seen.map_or(skeleton, String::as_str));
        let live = domain.and_then(|domain| domain.raw.live.present());
        let stored = stored.map_err(|error| {
            let what = format!("its domain could not be read: {error}");
            builder.unknown(&self.vm.name, what);
            Blocked
        })?;
        Ok(Definitions {
            stored,
            live: live.and_then(|live| match Some(live) == seen {
                // As on a host that was only imagined.
                true => Some(Live::AsStored),
                false => xml::parse(live).ok().map(Live::Other),
            }),
        })
    }
}
