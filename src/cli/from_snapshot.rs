//! What commands look at that take a snapshot's file instead of the host.

use super::exit::Exit;
use super::fleet::Unset;
use super::input::{self, InputError};
use super::local::reads;
use super::terminal;
use crate::format::{FormatError, UPGRADE};
use crate::host::{Inspect, Observer};
use crate::inventory::{SNAPSHOT_FORMAT, Snapshot};
use crate::report::Basis;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The option of such a command.
#[derive(Debug, Args)]
pub(super) struct SnapshotOption {
    /// Look at this file, which armfleet snapshot wrote, instead of the host. The values of secrets are not compared
    #[arg(long, value_name = "FILE")]
    from_snapshot: Option<PathBuf>,
}

/// What a command looks at.
pub(super) struct Looked {
    /// The host, or what was recorded of it.
    pub(super) host: Box<dyn Inspect>,
    /// What a report says of that.
    pub(super) basis: Option<Basis>,
}

impl SnapshotOption {
    /// Whether a snapshot is looked at.
    pub(super) fn is_given(&self) -> bool {
        self.from_snapshot.is_some()
    }

    /// What to look at.
    pub(super) fn look(&self) -> Result<Looked, Exit> {
        let Some(path) = &self.from_snapshot else {
            return Ok(Looked {
                host: Box::new(Observer(reads()?)),
                basis: None,
            });
        };
        let snapshot = read(path)?;
        Ok(Looked {
            basis: Some(Basis::snapshot(snapshot.taken(), now())),
            host: Box::new(snapshot),
        })
    }

    /// What becomes of secrets: a snapshot has none to compare with.
    pub(super) fn unset(&self, otherwise: Unset) -> Unset {
        match self.from_snapshot {
            Some(_) => Unset::Ignored,
            None => otherwise,
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn read(path: &Path) -> Result<Snapshot, Exit> {
    let limit = u64::try_from(SNAPSHOT_FORMAT.limit() + 1).unwrap_or(u64::MAX);
    let text = input::read(path, limit).map_err(SnapshotError::Unreadable);
    let snapshot = text.and_then(|text| Ok(Snapshot::read(&text)?));
    snapshot.map_err(|source| {
        let remedy = source.remedy();
        let path = path.display().to_string();
        terminal::error(&Unusable { path, source }, Some(remedy));
        Exit::Invalid
    })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the snapshot {path}")]
struct Unusable {
    path: String,
    source: SnapshotError,
}

#[derive(Debug, thiserror::Error)]
enum SnapshotError {
    #[error(transparent)]
    Unreadable(InputError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl SnapshotError {
    const fn remedy(&self) -> &'static str {
        match self {
            Self::Format(error) if error.is_later() => UPGRADE,
            _ => "name a file that armfleet snapshot wrote: armfleet snapshot --out FILE",
        }
    }
}
