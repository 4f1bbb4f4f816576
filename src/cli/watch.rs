//! `armfleet watch`

use super::exit::Exit;
use super::plan::failed;
use super::systemd::Systemd;
use super::{LIBVIRT, terminal};
use crate::host::HostError;
use crate::host::guests::Guests;
use crate::host::primitives::CallErrorKind;
use crate::host::system::{SystemFiles, SystemGuests, moment};
use crate::spec::layout;
use crate::watch::{Connect, Ender, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A plan may hold the lock for a moment to see whether somebody watches.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn run() -> Result<Exit, Exit> {
    let files = SystemFiles::new(Path::new("/"));
    let note = format!(
        "pid {}, user {}, since {}",
        std::process::id(),
        files.user(),
        crate::spec::render_time(files.now())
    );
    let lock = files.lock(layout::WATCH_LOCK, &note, LOCK_PATIENCE);
    let _only = lock.map_err(|error| {
        failed(match error.kind {
            CallErrorKind::Locked => HostError::new("this host is watched already", error)
                .with_remedy("one watcher is enough: it watches all VMs of all fleets")
                .as_refusal(),
            _ => HostError::new(format!("cannot lock {}", layout::WATCH_LOCK), error)
                .with_remedy("run it as root"),
        })
    })?;
    let connect: Arc<Connect> = Arc::new(|tell| {
        let guests = SystemGuests::connect(LIBVIRT, Path::new("/"), tell)?;
        Ok(Arc::new(guests) as Arc<dyn Guests>)
    });
    let systemd = Systemd::from_environment();
    let watcher = Watcher::new(connect, moment, &systemd);
    end_on_signals(watcher.ender())?;
    watcher.run();
    Ok(Exit::Success)
}

fn end_on_signals(ender: Ender) -> Result<(), Exit> {
    let unheard = |error: std::io::Error| {
        terminal::error(&NoSignals(error), None);
        Exit::Failed
    };
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(unheard)?;
    let listening = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _signal in signals.forever() {
                ender.end();
            }
        });
    listening.map(drop).map_err(unheard)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals")]
struct NoSignals(#[source] std::io::Error);
