//! Disks of running domains.

use super::{CallError, WriteConnection, limit, sys};

impl WriteConnection {
    /// libvirt's call shrinks a disk as readily as it grows it, so its size is asked right before.
    pub(in super::super) fn block_resize(
        &self,
        uuid: &str,
        path: &str,
        from: u64,
        to: u64,
    ) -> Result<(), CallError> {
        let call = self.change(&format!("grow {path} of"), uuid, limit::CHANGE);
        let path = path.to_owned();
        let resized = self.with(uuid, &call, move |domain| {
            // On virtio-mmio libvirt 9.0 does not find it, and says 0.
            let seen = domain.block_info(&path, 0)?.capacity;
            if (seen != 0 && seen != from) || to < from {
                return Ok(Err(seen));
            }
            domain.block_resize(&path, to, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)?;
            Ok(Ok(()))
        })?;
        resized.map_err(|seen| {
            CallError::other(format!(
                "it has {seen} bytes and is not grown from {from} to {to}"
            ))
        })
    }
}
