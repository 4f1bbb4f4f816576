//! The pairs that do not come from the guest: its seed, and its installer.

use super::files::{FileFault, LaterFile, identity, later, open_plain, read_own};
use super::generations::{Generations, Incoming, Rules, StageFault, Staged};
use crate::boot::{
    GenerationId, INSTALLER_FORMAT, InstallerReceipt, Origin, PairSource, SEED_FORMAT, SeedPart,
    SeedReceipt, Trials,
};
use crate::format::{Format, FormatError};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Why a provided pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProvidedFault {
    #[error("{} is not there; run `armfleet apply`", .0.display())]
    NoReceipt(PathBuf),
    #[error("{} is damaged; run `armfleet apply`", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    #[error("its receipt cannot be used")]
    Later(#[source] LaterFile),
    #[error(transparent)]
    Own(#[from] FileFault),
    #[error(transparent)]
    Stage(#[from] StageFault),
}

/// Stages the seed, unless it is staged.
pub(super) fn stage_seed(
    generations: &Generations,
    folder: &Path,
    staged: Option<&Staged>,
    rules: Rules,
    trials: &Trials,
) -> Result<GenerationId, ProvidedFault> {
    let receipt: SeedReceipt = read_receipt(&folder.join("seed.json"), SEED_FORMAT)?;
    let same = |staged: &&Staged| staged.id == receipt.id() && generations.is_whole(staged);
    if let Some(staged) = staged.filter(same) {
        return Ok(staged.id.clone());
    }
    let incoming = Incoming {
        source: PairSource::Seed,
        version: receipt.version(),
        kernel: open(folder, "vmlinuz", &receipt.kernel)?,
        initrd: open(folder, "initrd.img", &receipt.initrd)?,
        expected: Some(receipt.id()),
    };
    Ok(generations.stage(incoming, rules, trials)?)
}

/// Stages the installer.
pub(super) fn stage_installer(
    generations: &Generations,
    folder: &Path,
    rules: Rules,
) -> Result<GenerationId, ProvidedFault> {
    let receipt: InstallerReceipt = read_receipt(&folder.join("installer.json"), INSTALLER_FORMAT)?;
    let incoming = Incoming {
        source: PairSource::Installer,
        version: None,
        kernel: open(folder, "vmlinuz", &receipt.kernel)?,
        initrd: open(folder, "initrd.img", &receipt.initrd)?,
        expected: Some(receipt.id()),
    };
    // No trial: an installer runs once.
    Ok(generations.stage(incoming, rules, &Trials::default())?)
}

/// Whether a disk image holds no byte: nothing was ever written to it since it was created or emptied. Where the
/// filesystem cannot tell, it counts as written.
pub(super) fn is_blank(disk: &Path) -> Result<bool, FileFault> {
    let image = open_plain(disk).map_err(FileFault::new("look at the disk", disk))?;
    match rustix::fs::seek(&image, SeekFrom::Data(0)) {
        Err(Errno::NXIO) => Ok(true),
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(FileFault::new("look at the disk", disk)(error.into())),
    }
}

fn open(
    folder: &Path,
    file: &str,
    part: &SeedPart,
) -> Result<(Origin, std::fs::File), ProvidedFault> {
    let path = folder.join(file);
    let opened = open_plain(&path).and_then(|file| Ok((identity(&file)?, file)));
    let (identity, file) = opened.map_err(FileFault::new("open", &path))?;
    let origin = Origin {
        name: part.path.to_string(),
        link: None,
        file: identity,
    };
    Ok((origin, file))
}

fn read_receipt<T: DeserializeOwned>(path: &Path, format: Format) -> Result<T, ProvidedFault> {
    if let Some(later) = later(path, format) {
        return Err(ProvidedFault::Later(later));
    }
    match read_own(path)? {
        None => Err(ProvidedFault::NoReceipt(path.to_owned())),
        Some(text) => format.read(&text).map_err(|source| ProvidedFault::Damaged {
            path: path.to_owned(),
            source,
        }),
    }
}
