//! Ethernet addresses.

use super::name::{FleetName, Unacceptable, VmName};
use super::{NetworkName, identity};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// The address of a network interface: of one machine, not of a group, and not of those that libvirt has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct MacAddress([u8; 6]);

/// The first byte of derived addresses. Its bits say that nobody assigned them (`0x02`), and that they are of one machine.
const DERIVED: u8 = 0x52;
/// libvirt gives its own end of an interface the guest's address with this first byte (`virNetDevTapCreateInBridgePort`).
const LIBVIRTS: u8 = 0xfe;

impl MacAddress {
    /// What a schema says of the text.
    pub(crate) const PATTERN: &'static str = "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$";

    /// The address of a VM's new interface: `52` and the first 40 bits of a SHA-256 of the names, so that creating it again
    /// gives the same.
    #[must_use]
    pub fn derived(fleet: &FleetName, vm: &VmName, network: &NetworkName) -> Self {
        let names = ["mac", fleet.as_str(), vm.as_str(), network.as_str()];
        let digest = identity::digest_of(&names);
        let mut bytes = [DERIVED; 6];
        bytes[1..].copy_from_slice(&digest[..5]);
        Self(bytes)
    }
}

impl FromStr for MacAddress {
    type Err = Unacceptable;

    fn from_str(text: &str) -> Result<Self, Unacceptable> {
        let no = |why: String| Err(Unacceptable(why));
        let byte = |part: &str| {
            let is_byte = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            u8::from_str_radix(part, 16).ok().filter(|_| is_byte)
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let Some(bytes) = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) else {
            return no(format!(
                "a MAC address is six bytes in hexadecimal, as in 52:54:00:12:34:56, not `{text}`"
            ));
        };
        match bytes {
            [0, 0, 0, 0, 0, 0] => no("this MAC address is nobody's".to_owned()),
            [first, ..] if first & 1 == 1 => no(format!(
                "{text} is the MAC address of a group: the second digit of a machine's is even"
            )),
            [LIBVIRTS, ..] => no(format!(
                "{text} begins with fe, which libvirt keeps for the host's end of interfaces"
            )),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_address_is_of_one_machine() {
        let known: MacAddress = "52:54:00:AB:cd:01".parse().unwrap();
        assert_eq!(known.to_string(), "52:54:00:ab:cd:01");
        for wrong in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52-54-00-12-34-56",
            "5:54:0:12:34:56",
            "+2:54:00:12:34:56",
            "52:54:00:12:34:5g",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "fe:54:00:12:34:56",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn derived_addresses_are_of_their_names_alone_and_all_different() {
        let of = |fleet: &str, vm: &str, network: &str| {
            let (fleet, vm) = (fleet.parse().unwrap(), vm.parse().unwrap());
            MacAddress::derived(&fleet, &vm, &network.parse().unwrap())
        };
        let known = of("obs-workers", "armhf-vm", "br0");
        assert_eq!(known.to_string(), "52:5e:cc:86:9f:af");
        assert_eq!(known.to_string().parse(), Ok(known));
        assert_ne!(of("a", "bc", "d"), of("ab", "c", "d"));
        let vms = (0..10_000).map(|number| format!("obs-{number}"));
        let all =
            vms.flat_map(|vm| (0..10).map(move |network| of("farm", &vm, &format!("n{network}"))));
        assert_eq!(all.collect::<BTreeSet<_>>().len(), 100_000);
    }
}
