//! Saved plans in their files.

use super::exit::Exit;
use super::{output, terminal};
use crate::plan::{SaveError, SavedPlan, SavedPlanError};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Far above the plan of any fleet; a larger file is none.
const SIZE_LIMIT: u64 = 256 << 20;

/// Writes a plan to its file, or prints why it cannot be saved.
pub(super) fn write(path: &Path, saved: Result<SavedPlan, SaveError>) -> Result<(), Exit> {
    let text = saved.and_then(|saved| saved.render()).map_err(|error| {
        let remedy =
            "see to it that armfleet can see what the plan names with `?`, then plan again";
        terminal::error(&error, Some(remedy));
        Exit::Failed
    })?;
    if terminal::holds_secret(&text) {
        let remedy = "apply the fleet file itself; a plan in a file would give the secret away";
        terminal::error(&Secret, Some(remedy));
        return Err(Exit::Refused);
    }
    output::write(path, text.as_bytes())
}

/// Reads a plan from its file, or prints why it cannot be applied.
pub(super) fn read(path: &Path) -> Result<SavedPlan, Exit> {
    let read = load(path).map_err(|error| (Box::from(error), None));
    let read: Result<_, (Box<dyn Error>, _)> = read.and_then(|text| {
        SavedPlan::read(&text).map_err(|error| {
            let remedy = remedy(&error);
            (Box::from(error), Some(remedy))
        })
    });
    read.map_err(|(source, remedy)| {
        let path = path.display().to_string();
        terminal::error(&Unusable { path, source }, remedy);
        Exit::Invalid
    })
}

fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIZE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

const fn remedy(error: &SavedPlanError) -> &'static str {
    match error {
        SavedPlanError::OtherVersion(_) | SavedPlanError::OtherFormat(_) => {
            "plan again with this version: armfleet plan --out FILE"
        }
        SavedPlanError::NotAPlan(_) | SavedPlanError::Renamed(..) => {
            "name a file that armfleet plan --out wrote"
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the plan in {path}")]
struct Unusable {
    path: String,
    source: Box<dyn Error>,
}

#[derive(Debug, thiserror::Error)]
#[error("a plan that holds the value of an {{env.NAME}} cannot be saved")]
struct Secret;
