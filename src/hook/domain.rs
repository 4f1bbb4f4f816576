//! The domain that libvirt is about to start, from the XML it gives its hooks.

use crate::mark::{OwnerMark, Record};
use crate::paths;
use crate::staging::DomainDisk;
use crate::values::{HostPath, VmName};
use std::io::{self, Read};

/// The longest XML that libvirt can send (`REMOTE_STRING_MAX`, `src/remote/remote_protocol.x`).
const XML_LIMIT: u64 = 4 << 20;

/// What the hook must know of a domain.
pub(super) struct Starting {
    name: String,
    uuid: String,
    /// libvirt's name of its instruction set.
    pub(super) arch: String,
    kernel: String,
    /// What it has as disks.
    pub(super) disks: Vec<DomainDisk>,
    mark: Option<OwnerMark>,
}

/// Where a domain with the handover `link` opens its pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linked {
    /// In a folder of root's beside this share.
    Beside(HostPath),
    /// In this share itself, as 0.1.0 had it, until the next apply.
    Inside(HostPath),
}

impl Linked {
    pub(super) fn share(&self) -> &HostPath {
        match self {
            Self::Beside(share) | Self::Inside(share) => share,
        }
    }
}

/// Why a domain's XML cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DomainXmlError {
    #[error("the domain's XML cannot be read")]
    Read(#[source] io::Error),
    #[error("the domain's XML has more than {XML_LIMIT} bytes")]
    TooLong,
    #[error("the domain's XML is malformed")]
    Malformed(#[source] roxmltree::Error),
}

impl Starting {
    pub(super) fn read(xml: impl Read) -> Result<Self, DomainXmlError> {
        let mut text = String::new();
        let read = xml.take(XML_LIMIT + 1).read_to_string(&mut text);
        if read.map_err(DomainXmlError::Read)? as u64 > XML_LIMIT {
            return Err(DomainXmlError::TooLong);
        }
        let document = roxmltree::Document::parse(&text).map_err(DomainXmlError::Malformed)?;
        let domain = document.root_element();
        let child = |name| domain.children().find(|node| node.has_tag_name(name));
        let text = |name| child(name).and_then(|node| node.text()).unwrap_or_default();
        let os = |name| child("os")?.children().find(|node| node.has_tag_name(name));
        Ok(Self {
            name: text("name").to_owned(),
            uuid: text("uuid").to_owned(),
            arch: os("type")
                .and_then(|node| node.attribute("arch"))
                .unwrap_or_default()
                .to_owned(),
            kernel: os("kernel")
                .and_then(|node| node.text())
                .unwrap_or_default()
                .to_owned(),
            disks: DomainDisk::all_of(domain),
            mark: OwnerMark::find(domain),
        })
    }

    /// Where it opens the guest's own files; none if it boots a copy. What it is about to open tells, whatever the record
    /// says.
    pub(super) fn linked(&self) -> Option<Linked> {
        if let Some(share) = paths::share_beside(&self.kernel) {
            return Some(Linked::Beside(share));
        }
        let share = self.kernel.strip_suffix(paths::LINKED_KERNEL)?;
        Some(Linked::Inside(share.strip_suffix('/')?.parse().ok()?))
    }

    /// Whether the domain's own mark says that it is this VM; for when there is no record to compare with.
    pub(super) fn claims_to_be(&self, name: &VmName) -> bool {
        let claims = |mark: &OwnerMark| mark.vm == name.as_str() && mark.uuid == self.uuid;
        self.mark.as_ref().is_some_and(claims)
    }

    /// Says why this is not the domain that the record is about; `None` if it is.
    ///
    /// A clone carries its original's mark and another UUID; a domain that was defined anew under a known name
    /// carries no mark.
    pub(super) fn foreign_to(&self, record: &Record, name: &VmName) -> Option<&'static str> {
        let Some(mark) = &self.mark else {
            return Some("the domain has no owner mark");
        };
        let same = [
            (
                self.name.as_str(),
                name.as_str(),
                "the domain has another name",
            ),
            (
                record.vm.as_str(),
                name.as_str(),
                "the record is about another VM",
            ),
            (
                self.uuid.as_str(),
                record.uuid.as_str(),
                "the record has another UUID",
            ),
            (
                mark.uuid.as_str(),
                record.uuid.as_str(),
                "the domain's owner mark was copied",
            ),
            (
                mark.vm.as_str(),
                name.as_str(),
                "the domain's owner mark names another VM",
            ),
            (
                mark.fleet.as_str(),
                record.fleet.as_str(),
                "the domain's owner mark names another fleet",
            ),
        ];
        same.into_iter()
            .find(|(seen, expected, _)| seen != expected)
            .map(|(_, _, why)| why)
    }
}
