//! A VM's generations: the masters and the note in `g/<id>`, and the links `current` and `previous` that name them.
//!
//! libvirt labels the files that `current` resolves to when a domain starts, and takes the labels back when it stops.
//! So a generation is always new inodes, its masters never change, and what boots and `current` are only replaced here,
//! before a start.

use super::master::{INITRD, KERNEL, MASTER_MODE, StagedFile, Unverified};
use crate::boot::{
    Allowance, Contents, Failure, FileNote, GenerationId, INITRD_LIMIT, InitrdError, KERNEL_LIMIT,
    KernelError, KernelKind, KernelVersion, Origin, PAIR_FORMAT, PairNote, PairSource, Trials,
    Unusual, UsedUp, check_kernel, read_pair_note, render_pair_note, walk_initrd,
};
use crate::files::{
    ChangedMeanwhile, Directory, LaterFile, NotOurs, OpenFile, OwnFileError, copy_hashed, create,
    digest_unchanged, read_named, sync_folder,
};
use crate::paths;
use crate::values::Arch;
use rustix::fs::{FileType, RenameFlags};
use std::io::{self, Write};
use std::path::PathBuf;

const FOLDER: &str = "g";
const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
/// The generation that is being made; under the staging lock there is at most one.
const DRAFT: &str = paths::GENERATION_DRAFT;
const LINK_DRAFT: &str = ".link";
const NOTE: &str = paths::PAIR_NOTE;
const NOTE_DRAFT: &str = ".pair.json.armfleet";
/// Marks a generation that is an installer, for the shim.
const INSTALLER_MARK: &str = "installer";

/// A note holds none, and `status` need not be root to read it.
const NOTE_MODE: u32 = 0o644;

/// The generations of one VM.
pub struct Generations<D> {
    boot: D,
    all: D,
}

/// A generation that is there, by its note.
pub struct Staged {
    /// Its name.
    pub id: GenerationId,
    /// Its note.
    pub note: PairNote,
}

/// A pair to be copied and checked.
pub struct Incoming<F> {
    /// What it was chosen for.
    pub source: PairSource,
    /// The kernel's version, if its name tells.
    pub version: Option<KernelVersion>,
    /// What the kernel is, and where it is read.
    pub kernel: (Origin, F),
    /// The same of the initrd.
    pub initrd: (Origin, F),
    /// What its bytes must be, if that is known.
    pub expected: Option<GenerationId>,
}

/// What holds for every pair that is staged for one start.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What its kernel must run on.
    pub arch: Arch,
    /// The group that may read the copies.
    pub group: u32,
    /// What checking it may use.
    pub allowance: &'a Allowance,
}

/// A pair that was staged.
pub struct Arrival {
    /// Its name.
    pub id: GenerationId,
    /// How much of its initrd was looked at.
    pub contents: Contents,
}

/// Why a pair was not staged.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StageError {
    #[error("cannot copy {name}")]
    Copy {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{0} is {what}", what = Unusual::Leased.describe())]
    Leased(String),
    /// It was not looked at.
    #[error("it was not tried: {0}")]
    UsedUp(#[from] UsedUp),
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
    #[error(transparent)]
    Boots(#[from] Unverified),
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

impl StageError {
    /// What to do about it in the guest.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Kernel { source, .. } => source.remedy(),
            Self::Initrd { source, .. } => source.remedy(),
            _ => None,
        }
    }

    /// What to do about it on the host, where the host could not take the copy.
    #[must_use]
    pub fn hosts_remedy(&self) -> Option<String> {
        match self {
            // A draft's own path says nothing: it is gone.
            _ if self.is_no_room() => Some(format!(
                "free some room in the file system of {}",
                paths::STATE
            )),
            Self::Own(fault) | Self::Boots(Unverified::Own(fault)) => fault.remedy(),
            _ => None,
        }
    }

    fn is_no_room(&self) -> bool {
        match self {
            Self::Own(fault) | Self::Boots(Unverified::Own(fault)) => fault.is_no_room(),
            Self::Copy { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Why a file of the share was not opened.
    pub(super) fn unopened(name: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock => Self::Leased(name),
            _ => Self::Copy { name, source },
        }
    }

    /// Whether the pair may be good all the same: the host could not open it, or not take its copy.
    pub fn is_the_hosts(&self) -> bool {
        match self {
            Self::Own(_) | Self::Boots(_) | Self::Leased(_) => true,
            _ => self.is_no_room(),
        }
    }
}

impl<D: Directory> Generations<D> {
    /// Opens the generations in a VM's folder of staged kernels, making what is missing.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(boot: D) -> Result<Self, OwnFileError> {
        let all = boot.sub_or_make(FOLDER, paths::PASSAGE);
        let all = all.map_err(OwnFileError::new("open the folders of", boot.path()))?;
        Ok(Self { boot, all })
    }

    /// Whether there is something staged to boot on a processor, by libvirt's name of it; an installer is nothing to fall
    /// back on.
    pub fn is_bootable(boot: &D, arch: &str) -> bool {
        let staged = || {
            let all = boot.sub(FOLDER).ok()?;
            all.sub(named_by(boot, CURRENT)?.as_str()).ok()
        };
        staged().is_some_and(|folder: D| {
            let has = |file: StagedFile| size_of(&file, &folder).is_some_and(|size| size > 0);
            let kind = || KernelKind::read(&mut KERNEL.open(&folder).ok()?);
            // Of a processor that no guest of ours has, nothing is known.
            let arch = Arch::from_libvirt(arch);
            let is_other = || {
                kind()
                    .zip(arch)
                    .is_some_and(|(kind, arch)| kind.arch != arch)
            };
            has(KERNEL)
                && has(INITRD)
                && !is_other()
                && matches!(folder.kind(INSTALLER_MARK), Ok(None))
        })
    }

    /// A folder beside them.
    pub(super) fn beside(&self, name: &str) -> io::Result<D> {
        self.boot.sub(name)
    }

    pub(super) fn path_beside(&self, name: &str) -> PathBuf {
        self.boot.at(name)
    }

    /// The generation that `current` names, if its note can be read.
    pub fn current(&self) -> Option<Staged> {
        self.get(named_by(&self.boot, CURRENT)?)
    }

    /// A generation, if it is there and its note describes it.
    pub fn get(&self, id: GenerationId) -> Option<Staged> {
        let folder = self.all.sub(id.as_str()).ok()?;
        let text = read_named(&folder, NOTE).ok()??;
        let note = read_pair_note(&text).ok()?;
        (note.id() == id).then_some(Staged { id, note })
    }

    /// The note of a generation that a later version of armfleet staged, if there is one.
    pub fn later_note(&self) -> Option<LaterFile> {
        let mut names = self.all.names().ok()?.into_iter();
        names.find_map(|name| {
            let folder = self.all.sub(&name).ok()?;
            let text = read_named(&folder, NOTE).ok()??;
            LaterFile::of(&folder.at(NOTE), &text, PAIR_FORMAT)
        })
    }

    /// Makes the copies that boot anew, for one start, from masters that are what they were.
    pub fn renew(&self, staged: &Staged, group: u32) -> Result<(), Unverified> {
        let folder = self.folder_of(staged)?;
        let mut adopted = false;
        for (file, note) in files(staged) {
            adopted |= file.adopt(&folder, &note.sha256)?;
            file.renew(&folder, &note.sha256, group)?;
        }
        // Who plans reads the masters that are later than the note.
        if adopted {
            self.note_again(staged, staged.note.clone())?;
        }
        Ok(())
    }

    /// Notes that the times of what a generation was copied from tell its later changes.
    pub fn note_settled(&self, staged: &Staged) -> Result<(), Unverified> {
        let mut note = staged.note.clone();
        (note.kernel.settled, note.initrd.settled) = (true, true);
        self.note_again(staged, note)
    }

    fn note_again(&self, staged: &Staged, note: PairNote) -> Result<(), Unverified> {
        let folder = self.folder_of(staged)?;
        Ok(write_note(&folder, &note)?)
    }

    fn folder_of(&self, staged: &Staged) -> Result<D, Unverified> {
        let folder = self.all.sub(staged.id.as_str());
        folder.map_err(|source| Unverified::Unreadable {
            path: self.all.at(staged.id.as_str()),
            source,
        })
    }

    /// What a generation's kernel is for, as far as it tells.
    pub fn kind(&self, staged: &Staged) -> Option<KernelKind> {
        let read = || KernelKind::read(&mut self.open_file(staged, KERNEL).ok()?);
        staged.note.kind.or_else(read)
    }

    /// Whether a generation's kernel runs on the guest's processor, as far as it tells. One that was staged before the guest
    /// was moved to another architecture does not.
    pub fn is_for(&self, staged: &Staged, arch: Arch) -> bool {
        self.kind(staged).is_none_or(|kind| kind.arch == arch)
    }

    /// Opens a file of a generation.
    ///
    /// # Errors
    /// As the system says.
    pub fn open_file(&self, staged: &Staged, file: StagedFile) -> io::Result<D::File> {
        file.open(&self.all.sub(staged.id.as_str())?)
    }

    /// Copies a pair, checks the copy, and makes it a generation. `current` stays as it is.
    pub fn stage(
        &self,
        incoming: Incoming<D::File>,
        rules: Rules,
        trials: &Trials,
    ) -> Result<Arrival, StageError> {
        let staged = self.stage_draft(incoming, rules, trials);
        // The room is for another pair, or for what is noted of this one. What stays the next start removes.
        staged.inspect_err(|_| drop(self.all.remove_folder(DRAFT, &paths::GENERATION_FILES)))
    }

    fn stage_draft(
        &self,
        mut incoming: Incoming<D::File>,
        rules: Rules,
        trials: &Trials,
    ) -> Result<Arrival, StageError> {
        let draft = self.folder_of_draft()?;
        let copy = |of, file: StagedFile, limit| copy_in(of, &draft, file.master, limit);
        let (mut kernel_copy, kernel) = copy(&mut incoming.kernel, KERNEL, KERNEL_LIMIT)?;
        let (mut initrd_copy, initrd) = copy(&mut incoming.initrd, INITRD, INITRD_LIMIT)?;
        let note = PairNote {
            version: incoming.version,
            source: incoming.source,
            kernel,
            initrd,
            kind: KernelKind::read(&mut kernel_copy),
        };
        let id = note.id();
        if incoming.expected.is_some_and(|expected| expected != id) {
            return Err(StageError::Unexpected);
        }
        if let Some(failure) = trials.failure(&id) {
            return Err(StageError::Failed(id, failure));
        }
        let contents = check_copies(&note, &mut kernel_copy, &mut initrd_copy, rules)?;
        let copies = [
            (&kernel_copy, KERNEL, &note.kernel),
            (&initrd_copy, INITRD, &note.initrd),
        ];
        for (copy, file, note) in copies {
            copy.finish(None, MASTER_MODE)
                .map_err(OwnFileError::new("finish", &draft.at(file.master)))?;
            file.renew(&draft, &note.sha256, rules.group)?;
        }
        if note.source == PairSource::Installer {
            create(&draft, INSTALLER_MARK)?;
        }
        write_note(&draft, &note)?;
        sync_folder(&draft)?;
        self.publish(&id)?;
        Ok(Arrival { id, contents })
    }

    /// Makes `current` name a generation, and `previous` the one that it named before.
    pub fn switch(&self, to: &GenerationId) -> Result<(), OwnFileError> {
        let from = named_by(&self.boot, CURRENT);
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
    pub fn linked(&self) -> impl Iterator<Item = GenerationId> {
        [CURRENT, PREVIOUS]
            .into_iter()
            .filter_map(|link| named_by(&self.boot, link))
    }

    /// Removes the generations that are not to be kept, what earlier starts booted, and what a killed run left. Everything
    /// else that lies there stays; the answer says what.
    pub fn tidy(&self, kept: &[GenerationId]) -> Result<Vec<String>, OwnFileError> {
        self.remove_link_draft()?;
        let current = named_by(&self.boot, CURRENT);
        for id in kept.iter().filter(|id| current.as_ref() != Some(*id)) {
            let retire = || {
                let folder = self.all.sub(id.as_str())?;
                KERNEL.retire(&folder)?;
                INITRD.retire(&folder)
            };
            match retire() {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OwnFileError::new("tidy", &self.all.at(id.as_str()))(error));
                }
                _ => {}
            }
        }
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

    /// Makes a link name a generation, by a rename. Nothing but a link is replaced.
    fn link(&self, name: &str, to: &GenerationId) -> Result<(), OwnFileError> {
        self.remove_link_draft()?;
        let switch = || {
            only_link(&self.boot, name)?;
            self.boot.link(&to.link_text(), LINK_DRAFT)?;
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
    fn folder_of_draft(&self) -> Result<D, OwnFileError> {
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

/// The generation that a link names.
fn named_by(boot: &impl Directory, link: &str) -> Option<GenerationId> {
    GenerationId::of_link(&boot.read_link(link).ok()?)
}

/// A generation's kernel and initrd by their names in it, and what is known of them.
pub fn files(staged: &Staged) -> [(StagedFile, &FileNote); 2] {
    [(KERNEL, &staged.note.kernel), (INITRD, &staged.note.initrd)]
}

/// The size of a regular file of a generation, if it is there.
fn size_of(file: &StagedFile, folder: &impl Directory) -> Option<u64> {
    Some(file.open(folder).ok()?.identity().ok()?.size)
}

/// Fails if something that is no link has this name.
fn only_link(folder: &impl Directory, name: &str) -> io::Result<()> {
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

/// Copies a file and describes the copy. What it was copied from must have been the same before and after, and read a second
/// time: what is written through a mapping may leave its times as they are.
fn copy_in<D: Directory>(
    (origin, file): &mut (Origin, D::File),
    draft: &D,
    to: &str,
    limit: u64,
) -> Result<(D::File, FileNote), StageError> {
    let mut into = create(draft, to)?;
    let mut copy = || {
        let settled = file.settle()?;
        let sha256 = copy_hashed(file, &origin.file, &mut into, limit)?;
        let again = digest_unchanged(&mut *file, &origin.file, limit)?;
        let same = again == sha256;
        same.then_some((settled, sha256))
            .ok_or_else(|| io::Error::other(ChangedMeanwhile))
    };
    match copy() {
        Err(error) if ChangedMeanwhile::is(&error) => Err(StageError::Changed(origin.name.clone())),
        Err(source) => Err(StageError::Copy {
            name: origin.name.clone(),
            source,
        }),
        Ok((settled, sha256)) => {
            let (from, size) = (origin.clone(), origin.file.size);
            let note = FileNote {
                from,
                size,
                sha256,
                settled,
            };
            Ok((into, note))
        }
    }
}

/// Checks the copies, not what they were copied from: those the guest cannot change any more.
fn check_copies(
    note: &PairNote,
    kernel: &mut impl OpenFile,
    initrd: &mut impl OpenFile,
    rules: Rules,
) -> Result<Contents, StageError> {
    check_kernel(kernel, rules.arch).map_err(|source| StageError::Kernel {
        name: note.kernel.from.name.clone(),
        source,
    })?;
    let walked = walk_initrd(initrd, rules.arch, rules.allowance);
    let walked = walked.map_err(|source| StageError::Initrd {
        name: note.initrd.from.name.clone(),
        source,
    })?;
    Ok(walked.contents)
}

/// Writes a generation's note, also over the one that is there.
fn write_note(folder: &impl Directory, note: &PairNote) -> Result<(), OwnFileError> {
    let write = || {
        let text = render_pair_note(note).map_err(io::Error::other)?;
        folder.remove(NOTE_DRAFT)?;
        let mut file = folder.create(NOTE_DRAFT)?;
        file.write_all(text.as_bytes())?;
        file.finish(None, NOTE_MODE)?;
        folder.rename(NOTE_DRAFT, folder, NOTE, RenameFlags::empty())
    };
    write().map_err(OwnFileError::new("write", &folder.at(NOTE)))
}
