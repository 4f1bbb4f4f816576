//! A VM's generations: `g/<id>/{vmlinuz,initrd.img,pair.json}`, and the links `current` and `previous` that name them.
//!
//! libvirt labels the files that `current` resolves to when a domain starts, and takes the labels back when it stops.
//! So a generation is always new inodes, nothing in it is changed afterwards, and `current` is only switched here,
//! before a start.

use super::files::{LaterFile, NotOurs, OwnFileError, create, read_named, sync_folder};
use crate::boot::{
    Failure, FileNote, GenerationId, INITRD_LIMIT, InitrdError, KERNEL_LIMIT, KernelError,
    KernelVersion, Origin, PAIR_FORMAT, PairNote, PairSource, Trials, check_kernel, read_pair_note,
    render_pair_note, walk_initrd,
};
use crate::files::{ChangedMeanwhile, Deadline, Folder, Root, Timed, copy_hashed, digest};
use crate::fleet::Arch;
use crate::format::FormatError;
use crate::paths;
use crate::values::VmName;
use rustix::fs::{FileType, RenameFlags};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::PathBuf;

const FOLDER: &str = "g";
const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
/// The generation that is being made; under the staging lock there is at most one.
const DRAFT: &str = paths::GENERATION_DRAFT;
const LINK_DRAFT: &str = ".link";
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd.img";
const NOTE: &str = "pair.json";
/// Marks a generation that is an installer, for the shim.
const INSTALLER_MARK: &str = "installer";

/// An initrd may hold secrets: only root and QEMU's group read a staged file, until libvirt labels it at the start.
const STAGED_MODE: u32 = 0o640;
/// A note holds none, and `status` need not be root to read it.
const NOTE_MODE: u32 = 0o644;

/// The generations of one VM.
pub(super) struct Generations {
    boot: Folder,
    all: Folder,
}

/// A generation that is there, by its note.
pub(super) struct Staged {
    pub(super) id: GenerationId,
    pub(super) note: PairNote,
}

/// A pair to be copied and checked.
pub(super) struct Incoming {
    pub(super) source: PairSource,
    pub(super) version: Option<KernelVersion>,
    pub(super) kernel: (Origin, File),
    pub(super) initrd: (Origin, File),
    /// What its bytes must be, if that is known.
    pub(super) expected: Option<GenerationId>,
}

/// What holds for every pair that is staged for one start.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// What its kernel must run on.
    pub(super) arch: Arch,
    /// The group that may read the copies.
    pub(super) group: u32,
    /// When copying and checking must be over.
    pub(super) deadline: Deadline,
}

/// Why a pair was not staged.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error("cannot copy {name}")]
    Copy {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{0} changed while it was copied")]
    Changed(String),
    #[error("{name} is not a kernel to boot")]
    Kernel {
        name: String,
        #[source]
        source: KernelError,
    },
    #[error("{name} is not a whole initrd")]
    Initrd {
        name: String,
        #[source]
        source: InitrdError,
    },
    #[error("the bytes are not those that its receipt names")]
    Unexpected,
    #[error("these bytes failed before: {1}")]
    Failed(GenerationId, Failure),
    #[error("cannot write its note")]
    Note(#[source] FormatError),
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

impl StageError {
    /// Whether the pair may be good all the same: the host could not take its copy.
    pub(super) fn is_the_hosts(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Copy { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// Why a staged generation is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unverified {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not what was staged: its SHA-256 differs", .0.display())]
    Differs(PathBuf),
}

impl Generations {
    /// Opens a VM's generations, making what is missing.
    pub(super) fn open(root: &Root, vm: &VmName) -> Result<Self, OwnFileError> {
        let path = paths::boot_folder(vm);
        let open = || {
            let (folder, name) = root.holding(&path)?;
            let boot = folder.sub_or_make(name, paths::PASSAGE)?;
            let all = boot.sub_or_make(FOLDER, paths::PASSAGE)?;
            Ok(Self { boot, all })
        };
        open().map_err(OwnFileError::new("open the folders of", &root.below(&path)))
    }

    /// Opens them where they are there; nothing is made.
    fn existing(root: &Root, vm: &VmName) -> io::Result<Self> {
        let boot = root.folder(&paths::boot_folder(vm))?;
        let all = boot.sub(FOLDER)?;
        Ok(Self { boot, all })
    }

    /// The generation that `current` names, if its note can be read.
    pub(super) fn current(&self) -> Option<Staged> {
        self.get(self.named_by(CURRENT)?)
    }

    /// A generation, if it is there and its note describes it.
    pub(super) fn get(&self, id: GenerationId) -> Option<Staged> {
        let folder = self.all.sub(id.as_str()).ok()?;
        let text = read_named(&folder, NOTE).ok()??;
        let note = read_pair_note(&text).ok()?;
        (note.id() == id).then_some(Staged { id, note })
    }

    /// The note of a generation that a later version of armfleet staged, if there is one.
    pub(super) fn later_note(&self) -> Option<LaterFile> {
        let mut names = self.all.names().ok()?.into_iter();
        names.find_map(|name| {
            let folder = self.all.sub(&name).ok()?;
            let text = read_named(&folder, NOTE).ok()??;
            LaterFile::of(&folder.at(NOTE), &text, PAIR_FORMAT)
        })
    }

    /// Whether a generation's files are there with their sizes. Only root changes them, so this is enough for
    /// every day; [`Self::verify`] reads them.
    pub(super) fn is_whole(&self, staged: &Staged) -> bool {
        let Ok(folder) = self.all.sub(staged.id.as_str()) else {
            return false;
        };
        files(staged)
            .iter()
            .all(|(name, file)| size_in(&folder, name) == Some(file.size))
    }

    /// Compares a generation's bytes with its note.
    pub(super) fn verify(&self, staged: &Staged, deadline: Deadline) -> Result<(), Unverified> {
        for (name, file) in files(staged) {
            let path = self.all.at(staged.id.as_str()).join(name);
            let open = self.open_file(staged, name);
            match open.and_then(|open| digest(&open, deadline)) {
                Ok(sha256) if sha256 == file.sha256 => {}
                Ok(_) => return Err(Unverified::Differs(path)),
                Err(source) => return Err(Unverified::Unreadable { path, source }),
            }
        }
        Ok(())
    }

    /// Opens a file of a generation.
    pub(super) fn open_file(&self, staged: &Staged, name: &str) -> io::Result<File> {
        self.all.sub(staged.id.as_str())?.open_file(name)
    }

    /// Copies a pair, checks the copy, and makes it a generation. `current` stays as it is.
    pub(super) fn stage(
        &self,
        incoming: Incoming,
        rules: Rules,
        trials: &Trials,
    ) -> Result<GenerationId, StageError> {
        let draft = self.folder_of_draft()?;
        let copy = |of, name, limit| copy_in(of, &draft, name, limit, rules.deadline);
        let (kernel_copy, kernel) = copy(&incoming.kernel, KERNEL, KERNEL_LIMIT)?;
        let (initrd_copy, initrd) = copy(&incoming.initrd, INITRD, INITRD_LIMIT)?;
        let note = PairNote {
            version: incoming.version,
            source: incoming.source,
            kernel,
            initrd,
        };
        let id = note.id();
        if incoming.expected.is_some_and(|expected| expected != id) {
            return Err(StageError::Unexpected);
        }
        if let Some(failure) = trials.failure(&id) {
            return Err(StageError::Failed(id, failure));
        }
        check_copies(&note, &kernel_copy, &initrd_copy, rules)?;
        for (copy, name) in [(&kernel_copy, KERNEL), (&initrd_copy, INITRD)] {
            finish(copy, Some(rules.group), STAGED_MODE)
                .map_err(OwnFileError::new("finish", &draft.at(name)))?;
        }
        if note.source == PairSource::Installer {
            create(&draft, INSTALLER_MARK)?;
        }
        write_note(&draft, &note)?;
        sync_folder(&draft)?;
        self.publish(&id)?;
        Ok(id)
    }

    /// Makes `current` name a generation, and `previous` the one that it named before.
    pub(super) fn switch(&self, to: &GenerationId) -> Result<(), OwnFileError> {
        let from = self.named_by(CURRENT);
        if from.as_ref() == Some(to) {
            return Ok(());
        }
        if let Some(from) = from {
            self.link(PREVIOUS, &from)?;
        }
        self.link(CURRENT, to)?;
        sync_folder(&self.boot)
    }

    /// The generations that a link names.
    pub(super) fn linked(&self) -> impl Iterator<Item = GenerationId> {
        [CURRENT, PREVIOUS]
            .into_iter()
            .filter_map(|link| self.named_by(link))
    }

    /// Removes the generations that are not to be kept, and what a killed run left. Everything else that lies there stays;
    /// the answer says what.
    pub(super) fn tidy(&self, kept: &[GenerationId]) -> Result<Vec<String>, OwnFileError> {
        self.remove_link_draft()?;
        let names = self.all.names();
        let names = names.map_err(OwnFileError::new("list", self.all.path()))?;
        let mut stays = Vec::new();
        for name in names {
            if kept.iter().any(|id| id.as_str() == name) {
                continue;
            }
            let is_ours = name == DRAFT || GenerationId::try_from(name.clone()).is_ok();
            let path = self.all.at(&name);
            let is_folder = self.all.kind(&name);
            let is_folder = is_folder.map_err(OwnFileError::new("look at", &path))?
                == Some(FileType::Directory);
            if is_ours && is_folder {
                let left = self.all.remove_folder(&name, &paths::GENERATION_FILES);
                let left = left.map_err(OwnFileError::new("remove", &path))?;
                stays.extend(left.iter().map(|name| path.join(name)));
            } else {
                stays.push(path);
            }
        }
        let remark = |path: PathBuf| {
            format!(
                "{} is none of armfleet's files, and stays",
                path.display().to_string().escape_debug()
            )
        };
        Ok(stays.into_iter().map(remark).collect())
    }

    /// The generation that a link names.
    fn named_by(&self, link: &str) -> Option<GenerationId> {
        let target = String::from_utf8(self.boot.read_link(link).ok()?).ok()?;
        let id = target.strip_prefix(FOLDER)?.strip_prefix('/')?;
        GenerationId::try_from(id.to_owned()).ok()
    }

    /// Makes a link name a generation, by a rename. Nothing but a link is replaced.
    fn link(&self, name: &str, to: &GenerationId) -> Result<(), OwnFileError> {
        self.remove_link_draft()?;
        let switch = || {
            only_link(&self.boot, name)?;
            self.boot.link(&format!("{FOLDER}/{to}"), LINK_DRAFT)?;
            self.boot
                .rename(LINK_DRAFT, &self.boot, name, RenameFlags::empty())
        };
        switch().map_err(OwnFileError::new("switch", &self.boot.at(name)))
    }

    fn remove_link_draft(&self) -> Result<(), OwnFileError> {
        let remove = || {
            only_link(&self.boot, LINK_DRAFT)?;
            self.boot.remove(LINK_DRAFT)
        };
        let removed = remove().map_err(OwnFileError::new("remove", &self.boot.at(LINK_DRAFT)));
        removed.map(drop)
    }

    /// An empty draft.
    fn folder_of_draft(&self) -> Result<Folder, OwnFileError> {
        let path = self.all.at(DRAFT);
        let make = || {
            let left = self.all.remove_folder(DRAFT, &paths::GENERATION_FILES)?;
            if let Some(name) = left.first() {
                let path = path.join(name);
                let what = "a file";
                return Err(io::Error::other(NotOurs { path, what }));
            }
            self.all.sub_or_make(DRAFT, paths::PASSAGE)
        };
        make().map_err(OwnFileError::new("make", &path))
    }

    /// Gives the draft its name. A generation of that name has the same bytes, or had; the draft takes its place at once,
    /// so that `current` never names nothing.
    fn publish(&self, id: &GenerationId) -> Result<(), OwnFileError> {
        let rename = |how| self.all.rename(DRAFT, &self.all, id.as_str(), how);
        let published = match rename(RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                rename(RenameFlags::EXCHANGE)
            }
            other => other,
        };
        published.map_err(OwnFileError::new("publish", &self.all.at(id.as_str())))?;
        sync_folder(&self.all)
    }
}

/// Whether a VM has something staged to boot; an installer is nothing to fall back on.
pub(super) fn is_bootable(root: &Root, vm: &VmName) -> bool {
    let staged = || {
        let generations = Generations::existing(root, vm).ok()?;
        let current = generations.named_by(CURRENT)?;
        generations.all.sub(current.as_str()).ok()
    };
    staged().is_some_and(|folder| {
        let has = |name| size_in(&folder, name).is_some_and(|size| size > 0);
        has(KERNEL) && has(INITRD) && size_in(&folder, INSTALLER_MARK).is_none()
    })
}

/// A generation's kernel and initrd by their names in it, and what is known of them.
pub(super) fn files(staged: &Staged) -> [(&'static str, &FileNote); 2] {
    [(KERNEL, &staged.note.kernel), (INITRD, &staged.note.initrd)]
}

/// The size of a regular file, if it is there.
fn size_in(folder: &Folder, name: &str) -> Option<u64> {
    let stat = folder.stat(name).ok()?;
    let plain = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
    plain.then_some(stat.stx_size)
}

/// Fails if something that is no link has this name.
fn only_link(folder: &Folder, name: &str) -> io::Result<()> {
    match folder.kind(name)? {
        None | Some(FileType::Symlink) => Ok(()),
        Some(kind) => Err(io::Error::other(NotOurs {
            path: folder.at(name),
            what: if kind == FileType::Directory {
                "a folder"
            } else {
                "a file"
            },
        })),
    }
}

/// Copies a file and describes the copy. What it was copied from must have been the same before and after.
fn copy_in(
    (origin, file): &(Origin, File),
    draft: &Folder,
    to: &str,
    limit: u64,
    deadline: Deadline,
) -> Result<(File, FileNote), StageError> {
    let into = create(draft, to)?;
    let name = || origin.name.clone();
    match copy_hashed(file, &origin.file, &into, limit, deadline) {
        Err(error) if ChangedMeanwhile::is(&error) => Err(StageError::Changed(name())),
        Err(source) => Err(StageError::Copy {
            name: name(),
            source,
        }),
        Ok(sha256) => {
            let (from, size) = (origin.clone(), origin.file.size);
            Ok((into, FileNote { from, size, sha256 }))
        }
    }
}

/// Checks the copies, not what they were copied from: those the guest cannot change any more.
fn check_copies(
    note: &PairNote,
    kernel: &File,
    initrd: &File,
    Rules { arch, deadline, .. }: Rules,
) -> Result<(), StageError> {
    let mut kernel = Timed {
        file: kernel,
        deadline,
    };
    check_kernel(&mut kernel, arch).map_err(|source| StageError::Kernel {
        name: note.kernel.from.name.clone(),
        source,
    })?;
    walk_initrd(Timed {
        file: initrd,
        deadline,
    })
    .map_err(|source| StageError::Initrd {
        name: note.initrd.from.name.clone(),
        source,
    })?;
    Ok(())
}

fn write_note(draft: &Folder, note: &PairNote) -> Result<(), StageError> {
    let text = render_pair_note(note).map_err(StageError::Note)?;
    let mut file = create(draft, NOTE)?;
    file.write_all(text.as_bytes())
        .and_then(|()| finish(&file, None, NOTE_MODE))
        .map_err(OwnFileError::new("write", &draft.at(NOTE)))?;
    Ok(())
}

/// Gives a new file its group and mode, whatever the umask is, and puts it on disk.
fn finish(file: &File, group: Option<u32>, mode: u32) -> io::Result<()> {
    fchown(file, None, group)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Whether a VM has something to boot that only armfleet can have made.
pub(super) fn can_boot_unchecked(root: &Root, vm: &VmName) -> bool {
    let linked = root
        .holding(&paths::linked(vm))
        .and_then(|(folder, name)| folder.kind(name));
    matches!(linked, Ok(None)) && is_bootable(root, vm)
}
