//! `armfleet watch`

use super::exit::Exit;
use super::local::{LIBVIRT, lock_note};
use super::plan::failed;
use super::signals::on_signals;
use super::systemd::Systemd;
use crate::host::HostError;
use crate::host::guests::Guests;
use crate::host::primitives::CallErrorKind;
use crate::host::system::{SystemFiles, SystemGuests, moment};
use crate::paths;
use crate::watch::{Connect, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A plan may hold the lock for a moment to see whether a watcher runs.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn run() -> Result<Exit, Exit> {
    let files = SystemFiles::new(Path::new("/"));
    let lock = files.lock(paths::WATCH_LOCK, &lock_note(&files), LOCK_PATIENCE);
    let _only = lock.map_err(|error| {
        failed(match error.kind {
            CallErrorKind::Locked => {
                HostError::new("armfleet watch runs on this host already", error)
                    .with_remedy("one watcher is enough: it watches all VMs of all fleets")
                    .as_refusal()
            }
            _ => HostError::new(format!("cannot lock {}", paths::WATCH_LOCK), error)
                .with_remedy("run it as root"),
        })
    })?;
    let connect: Arc<Connect> = Arc::new(|tell| {
        let guests = SystemGuests::connect(LIBVIRT, Path::new("/"), tell)?;
        Ok(Arc::new(guests) as Arc<dyn Guests>)
    });
    let systemd = Systemd::from_environment();
    let watcher = Watcher::new(connect, moment, &systemd);
    let ender = watcher.ender();
    on_signals(&[SIGTERM, SIGINT, SIGHUP], move || ender.end(), || {})?;
    watcher.run();
    Ok(Exit::Success)
}
