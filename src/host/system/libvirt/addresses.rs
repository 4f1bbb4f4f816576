//! The addresses of guests.

use super::{Connect, Domain, Error, ReadConnection, WriteConnection, ask, limit, open, sys};
use crate::host::primitives::CallError;
use crate::host::system::pool::{Daemon, Request};
use crate::inventory::{AddressSource, RawAddress};
use std::sync::{Arc, OnceLock};

/// The agents of guests. libvirt lets only those ask them who may change domains
/// (`virDomainInterfaceAddresses`), so there is a connection of its own, opened when the first one is asked.
pub(in super::super) struct Agents {
    uri: String,
    daemon: Arc<Daemon>,
    connection: OnceLock<Result<WriteConnection, CallError>>,
}

impl Agents {
    pub(in super::super) fn new(reads: &ReadConnection, uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            daemon: Arc::clone(&reads.pool.daemon),
            connection: OnceLock::new(),
        }
    }

    /// What a guest's agent tells of its interfaces.
    pub(in super::super) fn addresses(&self, uuid: &str) -> Result<Vec<RawAddress>, CallError> {
        let connection = self.connection.get_or_init(|| {
            let pool = open(&self.uri, Connect::open, Arc::clone(&self.daemon))?;
            Ok(WriteConnection { pool })
        });
        let connection = connection.as_ref().map_err(CallError::clone)?;
        let what = connection.doing("hear from the guest agent of", uuid);
        let call = Request::reading_within(what, limit::AGENT);
        connection.with(uuid, &call, |domain| {
            interfaces(domain, AddressSource::Agent)
        })
    }
}

impl ReadConnection {
    /// What libvirt's DHCP servers gave a domain's guest.
    pub(in super::super) fn leases(&self, uuid: &str) -> Result<Vec<RawAddress>, CallError> {
        let call = Request::reading(self.doing("tell the leases of", uuid));
        let uuid = uuid.to_owned();
        ask(&self.pool, &call, move |connect| {
            let domain = connect.lookup_domain_by_uuid_string(&uuid)?;
            interfaces(&domain, AddressSource::Lease)
        })
    }
}

fn interfaces(domain: &Domain, source: AddressSource) -> Result<Vec<RawAddress>, Error> {
    let from = match source {
        AddressSource::Lease => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        AddressSource::Agent => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
    };
    let interfaces = domain.interface_addresses(from, 0)?.into_iter();
    // A guest may have interfaces without a MAC address, such as a tunnel's.
    let known = interfaces.filter_map(|interface| Some((interface.hwaddr?, interface.addrs)));
    let addresses = known.flat_map(|(mac, addresses)| {
        addresses.into_iter().map(move |address| RawAddress {
            mac: mac.clone(),
            address: address.addr,
            source,
        })
    });
    Ok(addresses.collect())
}
