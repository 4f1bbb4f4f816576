//! The network devices of the host.

use crate::files::Root;
use crate::host::primitives::CallError;
use crate::inventory::RawLink;
use std::io::ErrorKind;

/// All of them, sorted by name. To those that are bridges the kernel gives a folder `bridge`
/// (`Documentation/ABI/testing/sysfs-class-net`).
pub(super) fn links(root: &Root) -> Result<Vec<RawLink>, CallError> {
    let folder = root.below("/sys/class/net");
    let failed = |error| CallError::other(format!("cannot list {}: {error}", folder.display()));
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut links = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Files of the kernel's own, such as bonding_masters, are no devices.
        if entry.path().is_dir() {
            links.push(RawLink {
                name: entry.file_name().to_string_lossy().into_owned(),
                bridge: entry.path().join("bridge").is_dir(),
            });
        }
    }
    links.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(links)
}
