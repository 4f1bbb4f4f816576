//! Identities of new domains, derived so that creating one again gives the same.

use super::name::{FleetName, Uuid, VmName};
use sha2::{Digest, Sha256};

/// The UUID of a VM's new domain: SHA-256 of fleet and VM name, in the form of an RFC 9562 version 8 UUID.
#[must_use]
pub fn domain_uuid(fleet: &FleetName, vm: &VmName) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&derive(&["domain", fleet.as_str(), vm.as_str()])[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    Uuid::from_derived(text)
}

/// SHA-256 over the parts; each is preceded by its length, so that no two lists of parts give the same bytes.
fn derive(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"armfleet/1");
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_derived_uuid_never_changes_between_versions() {
        let uuid = domain_uuid(
            &"obs-workers".parse().unwrap(),
            &"armhf-vm".parse().unwrap(),
        );
        assert_eq!(uuid.as_str().parse(), Ok(uuid.clone()));
        assert_eq!(uuid.as_str().as_bytes()[14], b'8');
        assert_eq!(uuid.as_str(), "729407af-9814-8a14-ab03-bb922bf75d3d");
    }

    #[test]
    fn a_hundred_thousand_names_give_as_many_uuids() {
        let fleet: FleetName = "f".parse().unwrap();
        let seen: BTreeSet<_> = (0..100_000)
            .map(|n| domain_uuid(&fleet, &format!("vm{n}").parse().unwrap()))
            .collect();
        assert_eq!(seen.len(), 100_000);
    }
}
