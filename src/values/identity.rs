//! Identities of new domains, derived so that creating one again gives the same.

use super::name::{FleetName, Uuid, VmName};
use sha2::{Digest, Sha256};

/// The UUID of a VM's new domain: SHA-256 of fleet and VM name, in the form of an RFC 9562 version 8 UUID.
#[must_use]
pub fn domain_uuid(fleet: &FleetName, vm: &VmName) -> Uuid {
    let digest = digest_of(&["domain", fleet.as_str(), vm.as_str()]);
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

/// SHA-256 of parts. Before each is its length, so that no two lists of parts give the same bytes.
pub(super) fn digest_of(parts: &[&str]) -> [u8; 32] {
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

    #[test]
    fn a_derived_uuid_is_of_its_names_alone() {
        let uuid =
            |fleet: &str, vm: &str| domain_uuid(&fleet.parse().unwrap(), &vm.parse().unwrap());
        let known = "729407af-9814-8a14-ab03-bb922bf75d3d";
        assert_eq!(uuid("obs-workers", "armhf-vm").as_str(), known);
        assert_eq!(known.parse(), Ok(uuid("obs-workers", "armhf-vm")));
        assert_ne!(uuid("a", "bc"), uuid("ab", "c"));
    }
}
