//! The pairs that do not come from the guest: its seed, and its installer.

use super::generations::{Arrival, Generations, Incoming, Rules, StageError, Staged};
use crate::boot::{
    Contents, GenerationId, INSTALLER_FORMAT, InstallerReceipt, Origin, PairSource, SEED_FORMAT,
    SeedPart, SeedReceipt, Trials,
};
use crate::files::{Directory, LaterFile, OpenFile as _, OwnFileError, read_owned};
use crate::format::{Format, FormatError};
use crate::paths;
use serde::de::DeserializeOwned;
use std::io;
use std::path::PathBuf;

/// Why a provided pair cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReceiptError {
    #[error("{} is not there; run `armfleet apply`", .0.display())]
    NoReceipt(PathBuf),
    #[error("{} is damaged; run `armfleet apply`", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    #[error("{} could have been written by another user than root: {why}; run `armfleet apply`", path.display())]
    Untrusted { path: PathBuf, why: String },
    #[error("its receipt cannot be used")]
    Later(#[source] LaterFile),
    /// Its receipt is taken away, so that the next apply puts the copy there again.
    #[error("{} is damaged: its bytes are not those that were put there; run `armfleet apply`", .0.display())]
    Altered(PathBuf),
    #[error(transparent)]
    Own(#[from] OwnFileError),
    #[error(transparent)]
    Stage(#[from] StageError),
}

const SEED: &str = "seed.json";
const INSTALLER: &str = "installer.json";

/// Stages the seed, unless it is staged.
pub(super) fn stage_seed<D: Directory>(
    generations: &Generations<D>,
    staged: Option<&Staged>,
    rules: Rules,
    trials: &Trials,
) -> Result<Arrival, ReceiptError> {
    let folder = &open_folder(generations, paths::SEED_FOLDER)?;
    let receipt: SeedReceipt = read_receipt(folder, SEED, SEED_FORMAT)?;
    let same = |staged: &&Staged| {
        let is_it = staged.id == receipt.id() && generations.is_for(staged, rules.arch);
        is_it && generations.renew(staged, rules.group).is_ok()
    };
    if let Some(staged) = staged.filter(same) {
        let (id, contents) = (staged.id.clone(), Contents::Unpacked);
        return Ok(Arrival { id, contents });
    }
    let incoming = Incoming {
        source: PairSource::Seed,
        version: receipt.version(),
        kernel: open(folder, "vmlinuz", &receipt.kernel)?,
        initrd: open(folder, "initrd.img", &receipt.initrd)?,
        expected: Some(receipt.id()),
    };
    // What the share's pairs used up is no matter of the seed's.
    let allowance = &rules.allowance.renewed();
    let rules = Rules { allowance, ..rules };
    staged_as(folder, SEED, generations.stage(incoming, rules, trials))
}

/// Stages the installer.
///
/// # Errors
/// Why it is not staged.
pub fn stage_installer<D: Directory>(
    generations: &Generations<D>,
    rules: Rules,
) -> Result<GenerationId, ReceiptError> {
    let folder = &open_folder(generations, paths::INSTALLER_FOLDER)?;
    let receipt: InstallerReceipt = read_receipt(folder, INSTALLER, INSTALLER_FORMAT)?;
    let incoming = Incoming {
        source: PairSource::Installer,
        version: None,
        kernel: open(folder, "vmlinuz", &receipt.kernel)?,
        initrd: open(folder, "initrd.img", &receipt.initrd)?,
        expected: Some(receipt.id()),
    };
    // No trial: an installer runs once.
    let staged = generations.stage(incoming, rules, &Trials::default());
    staged_as(folder, INSTALLER, staged).map(|staged| staged.id)
}

fn open_folder<D: Directory>(generations: &Generations<D>, name: &str) -> Result<D, ReceiptError> {
    let path = generations.path_beside(name);
    generations
        .beside(name)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReceiptError::NoReceipt(path),
            _ => OwnFileError::new("open", &path)(error).into(),
        })
}

fn open<D: Directory>(
    folder: &D,
    name: &str,
    part: &SeedPart,
) -> Result<(Origin, D::File), ReceiptError> {
    let opened = folder
        .open_file(name)
        .and_then(|file| Ok((file.identity()?, file)));
    let (identity, file) = opened.map_err(OwnFileError::new("open", &folder.at(name)))?;
    let origin = Origin {
        name: part.path.to_string(),
        link: None,
        file: identity,
    };
    Ok((origin, file))
}

fn read_receipt<T: DeserializeOwned>(
    folder: &impl Directory,
    name: &str,
    format: Format,
) -> Result<T, ReceiptError> {
    let path = folder.at(name);
    let Some(file) = read_owned(folder, name)? else {
        return Err(ReceiptError::NoReceipt(path));
    };
    if let Some(why) = file.not_roots() {
        return Err(ReceiptError::Untrusted { path, why });
    }
    if let Some(later) = LaterFile::of(&path, &file.bytes, format) {
        return Err(ReceiptError::Later(later));
    }
    format
        .read(&file.bytes)
        .map_err(|source| ReceiptError::Damaged { path, source })
}

/// What came of staging what a receipt describes. A copy of other bytes has no receipt from here on: who plans compares
/// sizes and times alone.
fn staged_as(
    folder: &impl Directory,
    receipt: &str,
    staged: Result<Arrival, StageError>,
) -> Result<Arrival, ReceiptError> {
    match staged {
        Err(StageError::Unexpected) => {
            let removed = folder.remove(receipt);
            removed.map_err(OwnFileError::new("remove", &folder.at(receipt)))?;
            Err(ReceiptError::Altered(folder.path().to_owned()))
        }
        staged => Ok(staged?),
    }
}
