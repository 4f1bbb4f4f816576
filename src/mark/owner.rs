//! The owner mark: an element in a domain's `<metadata>` that says whose domain this is.

use roxmltree::Node;

/// The mark's XML namespace. It is read by namespace and local name, never by prefix: libvirt keeps prefixes, other tools
/// need not.
pub const MARK_NAMESPACE: &str = "urn:armfleet:vm:1";

/// What a mark says. It is foreign text until it has been compared with the domain that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMark {
    /// The fleet that owns the domain.
    pub fleet: String,
    /// The VM that the domain is.
    pub vm: String,
    /// The domain's own UUID at the time it was marked; a clone carries its original's.
    pub uuid: String,
}

impl OwnerMark {
    /// The mark's attribute that names the fleet.
    pub const FLEET: &str = "fleet";

    /// The mark's element in a domain's XML.
    #[must_use]
    pub fn node<'a, 'input>(domain: Node<'a, 'input>) -> Option<Node<'a, 'input>> {
        let metadata = domain
            .children()
            .find(|node| node.has_tag_name("metadata"))?;
        metadata
            .children()
            .find(|node| node.has_tag_name((MARK_NAMESPACE, "vm")))
    }

    /// Finds the mark in a domain's XML.
    #[must_use]
    pub fn find(domain: Node<'_, '_>) -> Option<Self> {
        let mark = Self::node(domain)?;
        let attribute = |name| mark.attribute(name).unwrap_or_default().to_owned();
        Some(Self {
            fleet: attribute(Self::FLEET),
            vm: attribute("vm"),
            uuid: attribute("uuid"),
        })
    }
}

/// The mark's element. Names and UUIDs need no escaping: their types admit no such character.
#[must_use]
pub fn render_mark(
    fleet: &crate::values::FleetName,
    vm: &crate::values::VmName,
    uuid: &crate::values::Uuid,
) -> String {
    format!(
        r#"<armfleet:vm xmlns:armfleet="{MARK_NAMESPACE}" fleet="{fleet}" vm="{vm}" uuid="{uuid}"/>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_under_any_prefix_and_only_in_its_namespace() {
        let find = |xml: &str| {
            let document = roxmltree::Document::parse(xml).unwrap();
            OwnerMark::find(document.root_element())
        };
        let uuid: crate::values::Uuid = "729407af-9814-8a14-ab03-bb922bf75d3d".parse().unwrap();
        let mark = render_mark(&"f".parse().unwrap(), &"v".parse().unwrap(), &uuid);
        let seen = find(&format!("<domain><metadata>{mark}</metadata></domain>")).unwrap();
        assert_eq!(
            (seen.fleet.as_str(), seen.vm.as_str(), seen.uuid.as_str()),
            ("f", "v", uuid.as_str())
        );
        let renamed = mark
            .replace("<armfleet:vm", "<x:vm")
            .replace("xmlns:armfleet", "xmlns:x");
        assert_eq!(
            find(&format!("<domain><metadata>{renamed}</metadata></domain>")),
            Some(seen)
        );
        assert_eq!(
            find("<domain><metadata><vm xmlns='urn:other' fleet='f'/></metadata></domain>"),
            None
        );
        assert_eq!(find(&format!("<domain>{mark}</domain>")), None);
    }
}
