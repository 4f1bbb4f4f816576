//! Scratch disks, made anew before a start.
//!
//! A file is replaced only if armfleet made it: an apply, as the record says, or an earlier start, as the receipt says. The
//! receipt has each new file before that gets its name, so that after a start cut short at any moment what is there is known.

use crate::files::{Directory, LaterFile, OpenFile as _, OwnFileError, read_owned};
use crate::fleet::DiskFormat;
use crate::mark::{
    AppliedDevice, FRESH_FORMAT, FreshDisk, FreshReceipt, Place, Record, read_fresh_receipt,
    render_fresh_receipt,
};
use crate::paths;
use crate::qcow2::{Backing, HEAD_LENGTH, Qcow2, new_qcow2};
use crate::values::HostPath;
use crate::xml::child;
use roxmltree::Node;
use rustix::fs::{FileType, RenameFlags};
use std::io::{self, Read as _, Write as _};

/// A disk that a domain is about to be started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDisk {
    target: String,
    source: String,
    format: String,
}

impl DomainDisk {
    /// The disks of a domain that have an image.
    #[must_use]
    pub fn all_of(domain: Node<'_, '_>) -> Vec<Self> {
        let devices = child(domain, "devices").into_iter();
        let disks = devices.flat_map(|devices| devices.children());
        let disks = disks.filter(|node| node.has_tag_name("disk"));
        disks.filter_map(Self::of).collect()
    }

    fn of(disk: Node<'_, '_>) -> Option<Self> {
        let attribute = |element, name| child(disk, element)?.attribute(name).map(str::to_owned);
        Some(Self {
            target: attribute("target", "dev")?,
            source: attribute("source", "file").or_else(|| attribute("source", "dev"))?,
            format: attribute("driver", "type").unwrap_or_default(),
        })
    }
}

/// Why a scratch disk was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The domain has another file in its place.
    #[error("its domain has {at} in the place of its scratch disk {path}")]
    Elsewhere {
        /// What the record says.
        path: HostPath,
        /// What the domain has.
        at: String,
    },
    /// The domain has it in another format.
    #[error("its domain has its scratch disk {path} as {domain}, and its record as {record}")]
    Format {
        /// The disk.
        path: HostPath,
        /// The domain's format.
        domain: String,
        /// The record's format.
        record: DiskFormat,
    },
    /// Something else is at its path.
    #[error("{0} is not the scratch disk that armfleet made there, and is not erased")]
    NotOurs(HostPath),
    /// It has internal snapshots.
    #[error("its scratch disk {0} holds snapshots, and is not erased")]
    Snapshots(HostPath),
    /// The new file could not be made.
    #[error("cannot make its scratch disk {path} anew")]
    Make {
        /// The disk.
        path: HostPath,
        /// As the system says.
        #[source]
        source: io::Error,
    },
    /// A later version keeps what was made.
    #[error(transparent)]
    Later(LaterFile),
    /// What was made cannot be noted.
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

/// A file on its way: under another name until what was made is noted.
struct NewDisk<'a, D: Directory> {
    path: &'a HostPath,
    folder: D,
    name: String,
    draft: String,
}

impl<D: Directory> Drop for NewDisk<'_, D> {
    fn drop(&mut self) {
        // It is not there any more if it was renamed, and nothing can be done about it if it stays.
        let _ = self.folder.remove(&self.draft);
    }
}

/// Makes the scratch disks anew that a domain is about to be started with; tells which. `own` is the VM's own folder, and
/// `open` gives the folder that an image is in, with its name there.
///
/// # Errors
/// Says why the domain must not start. Then nothing was replaced, or some with new ones as they are.
pub fn renew<'a, D: Directory>(
    record: &'a Record,
    disks: &[DomainDisk],
    own: &D,
    open: impl Fn(&HostPath) -> io::Result<(D, String)>,
) -> Result<Vec<&'a HostPath>, RenewError> {
    let attached = attached(record, disks)?;
    if attached.is_empty() {
        return Ok(Vec::new());
    }
    let mut receipt = receipt(own)?;
    receipt
        .files
        .retain(|path, _| attached.iter().any(|(_, disk)| disk.path == *path));
    let mut made = Vec::new();
    for (device, disk) in attached {
        let failed = |source| RenewError::Make {
            path: disk.path.clone(),
            source,
        };
        let (folder, name) = open(&disk.path).map_err(failed)?;
        let old = replaceable(&folder, &name, disk, device, &receipt)?;
        let (new, place) = draft(folder, name, disk).map_err(failed)?;
        let known = old.into_iter().chain([place]).collect();
        receipt.files.insert(disk.path.clone(), known);
        made.push(new);
    }
    note(own, &receipt)?;
    for new in &made {
        let renamed = new
            .folder
            .rename(&new.draft, &new.folder, &new.name, RenameFlags::empty());
        renamed.map_err(|source| RenewError::Make {
            path: new.path.clone(),
            source,
        })?;
    }
    Ok(made.iter().map(|new| new.path).collect())
}

/// The scratch disks that the domain has, each with what was applied. One that it has not got is nobody's to make: it left
/// the definition.
fn attached<'a>(
    record: &'a Record,
    disks: &[DomainDisk],
) -> Result<Vec<(Option<&'a AppliedDevice>, &'a FreshDisk)>, RenewError> {
    let mut attached = Vec::new();
    for (id, disk) in &record.boot.fresh {
        let device = record.applied.devices.get(id);
        let target = device.map(|device| device.key.as_str());
        let has = disks.iter().find(|has| has.source == disk.path.as_str());
        let in_its_place = || disks.iter().find(|has| Some(has.target.as_str()) == target);
        match (has, in_its_place()) {
            (Some(has), _) if has.format == disk.format.as_str() => attached.push((device, disk)),
            (Some(has), _) => {
                return Err(RenewError::Format {
                    path: disk.path.clone(),
                    domain: has.format.clone(),
                    record: disk.format,
                });
            }
            (None, Some(other)) => {
                return Err(RenewError::Elsewhere {
                    path: disk.path.clone(),
                    at: other.source.clone(),
                });
            }
            (None, None) => {}
        }
    }
    Ok(attached)
}

/// What earlier starts made. One that another user could have written, or that is damaged, says nothing.
fn receipt(own: &impl Directory) -> Result<FreshReceipt, RenewError> {
    let Some(file) = read_owned(own, paths::FRESH_RECEIPT)? else {
        return Ok(FreshReceipt::default());
    };
    if file.not_roots().is_some() {
        return Ok(FreshReceipt::default());
    }
    let path = own.at(paths::FRESH_RECEIPT);
    if let Some(later) = LaterFile::of(&path, &file.bytes, FRESH_FORMAT) {
        return Err(RenewError::Later(later));
    }
    Ok(read_fresh_receipt(&file.bytes).unwrap_or_default())
}

/// What is at a scratch disk's path, if it may be replaced; none if nothing is there.
fn replaceable(
    folder: &impl Directory,
    name: &str,
    disk: &FreshDisk,
    device: Option<&AppliedDevice>,
    receipt: &FreshReceipt,
) -> Result<Option<Place>, RenewError> {
    let path = &disk.path;
    let failed = |source| RenewError::Make {
        path: path.clone(),
        source,
    };
    let Some(seen) = folder.inode(name).map_err(failed)? else {
        return Ok(None);
    };
    let is_file = seen.kind == FileType::RegularFile;
    let seen = Place::of_file(seen.ino, seen.born_ns);
    let applied = device.and_then(|device| device.place.as_ref());
    let is_applied = applied.is_some_and(|applied| applied.is_same(&seen));
    if !is_file || !(is_applied || receipt.has(path, &seen)) {
        return Err(RenewError::NotOurs(path.clone()));
    }
    if disk.format == DiskFormat::Qcow2 && has_snapshots(folder, name).map_err(failed)? {
        return Err(RenewError::Snapshots(path.clone()));
    }
    Ok(Some(seen))
}

fn has_snapshots(folder: &impl Directory, name: &str) -> io::Result<bool> {
    let mut head = Vec::new();
    let file = folder.open_file(name)?;
    file.take(HEAD_LENGTH as u64).read_to_end(&mut head)?;
    Ok(matches!(Qcow2::read(&head), Some(Ok(image)) if image.has_snapshots))
}

/// The new file beside the old one, and what tells it from others. Its name is not that of an apply's draft.
fn draft<D: Directory>(
    folder: D,
    name: String,
    disk: &FreshDisk,
) -> io::Result<(NewDisk<'_, D>, Place)> {
    let new = NewDisk {
        path: &disk.path,
        draft: format!(".{name}.fresh.armfleet"),
        folder,
        name,
    };
    let backing = disk.backing.as_ref().map(|base| Backing {
        path: base.path.as_str(),
        format: base.format.as_str(),
    });
    let (head, bytes) = match disk.format {
        DiskFormat::Raw => (Vec::new(), disk.size),
        DiskFormat::Qcow2 => new_qcow2(disk.size, backing),
    };
    new.folder.remove(&new.draft)?;
    let mut file = new.folder.create(&new.draft)?;
    file.write_all(&head)?;
    file.extend(bytes)?;
    let seen = new.folder.inode(&new.draft)?;
    let seen = seen.ok_or(io::ErrorKind::NotFound)?;
    Ok((new, Place::of_file(seen.ino, seen.born_ns)))
}

/// Keeps on disk what was made: after a power cut, too, each file must be known.
fn note(own: &impl Directory, receipt: &FreshReceipt) -> Result<(), OwnFileError> {
    const NAME: &str = paths::FRESH_RECEIPT;
    const DRAFT: &str = paths::FRESH_RECEIPT_DRAFT;
    let write = || {
        let text = render_fresh_receipt(receipt).map_err(io::Error::other)?;
        own.remove(DRAFT)?;
        let mut file = own.create(DRAFT)?;
        file.write_all(text.as_bytes())?;
        file.finish(None, 0o600)?;
        own.rename(DRAFT, own, NAME, RenameFlags::empty())?;
        own.sync()
    };
    write().map_err(OwnFileError::new("write", &own.at(NAME)))
}
