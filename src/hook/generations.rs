//! A VM's generations: `g/<id>/{vmlinuz,initrd.img,pair.json}`, and the links `current` and `previous` that name them.
//!
//! libvirt labels the files that `current` resolves to when a domain starts, and takes the labels back when it stops.
//! So a generation is always new inodes, nothing in it is changed afterwards, and `current` is only switched here,
//! before a start.

use super::files::{
    Deadline, FileFault, LaterFile, Timed, copy, create, digest, identity, later, make_folder,
    open_plain, read_own, remove_file, sync_folder,
};
use crate::boot::{
    Failure, FileNote, GenerationId, GuestArch, INITRD_LIMIT, InitrdFault, KERNEL_LIMIT,
    KernelFault, KernelVersion, Origin, PAIR_FORMAT, PairNote, PairSource, Sha256Hex, Trials,
    check_kernel, read_pair_note, render_pair_note, walk_initrd,
};
use crate::format::FormatError;
use rustix::fs::{CWD, RenameFlags};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

const FOLDER: &str = "g";
const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
/// The generation that is being made; under the staging lock there is at most one.
const DRAFT: &str = ".draft";
const LINK_DRAFT: &str = ".link";
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd.img";
const NOTE: &str = "pair.json";
/// Marks a generation that is an installer, for the shim.
pub(super) const INSTALLER_MARK: &str = "installer";

/// Passable for QEMU, which is not root, and listable for nobody else.
const FOLDER_MODE: u32 = 0o711;
/// An initrd may hold secrets: only root and QEMU's group read a staged file, until libvirt labels it at the start.
const STAGED_MODE: u32 = 0o640;
/// A note holds none, and `status` need not be root to read it.
const NOTE_MODE: u32 = 0o644;

/// The generations of one VM.
pub(super) struct Generations {
    boot: PathBuf,
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
    pub(super) arch: GuestArch,
    /// The group that may read the copies.
    pub(super) group: u32,
    /// When copying and checking must be over.
    pub(super) deadline: Deadline,
}

/// Why a pair was not staged.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageFault {
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
        source: KernelFault,
    },
    #[error("{name} is not a whole initrd")]
    Initrd {
        name: String,
        #[source]
        source: InitrdFault,
    },
    #[error("the bytes are not those that its receipt names")]
    Unexpected,
    #[error("these bytes failed before: {1}")]
    Failed(GenerationId, Failure),
    #[error("cannot write its note")]
    Note(#[source] FormatError),
    #[error(transparent)]
    Own(#[from] FileFault),
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
    /// Opens the generations in a VM's `boot` folder, making what is missing.
    pub(super) fn open(boot: PathBuf) -> Result<Self, FileFault> {
        make_folder(&boot, FOLDER_MODE)?;
        make_folder(&boot.join(FOLDER), FOLDER_MODE)?;
        Ok(Self { boot })
    }

    /// The generation that `current` names, if its note can be read.
    pub(super) fn current(&self) -> Option<Staged> {
        self.get(self.named_by(CURRENT)?)
    }

    /// A generation, if it is there and its note describes it.
    pub(super) fn get(&self, id: GenerationId) -> Option<Staged> {
        let text = read_own(&self.folder(&id).join(NOTE)).ok()??;
        let note = read_pair_note(&text).ok()?;
        (note.id() == id).then_some(Staged { id, note })
    }

    /// The note of a generation that a later version of armfleet staged, if there is one.
    pub(super) fn later_note(&self) -> Option<LaterFile> {
        let folders = fs::read_dir(self.boot.join(FOLDER)).ok()?;
        let mut notes = folders.flatten().map(|folder| folder.path().join(NOTE));
        notes.find_map(|note| later(&note, PAIR_FORMAT))
    }

    /// Whether a generation's files are there with their sizes. Nobody but root changes them, so this is enough for
    /// every day; [`Self::verify`] reads them.
    pub(super) fn is_whole(&self, staged: &Staged) -> bool {
        self.files(staged).iter().all(|(path, file)| {
            fs::symlink_metadata(path).is_ok_and(|seen| seen.is_file() && seen.len() == file.size)
        })
    }

    /// Compares a generation's bytes with its note.
    pub(super) fn verify(&self, staged: &Staged, deadline: Deadline) -> Result<(), Unverified> {
        for (path, file) in self.files(staged) {
            match open_plain(&path).and_then(|open| digest(&open, deadline)) {
                Ok(sha256) if sha256 == file.sha256 => {}
                Ok(_) => return Err(Unverified::Differs(path)),
                Err(source) => return Err(Unverified::Unreadable { path, source }),
            }
        }
        Ok(())
    }

    /// Copies a pair, checks the copy, and makes it a generation. `current` stays as it is.
    pub(super) fn stage(
        &self,
        incoming: Incoming,
        rules: Rules,
        trials: &Trials,
    ) -> Result<GenerationId, StageFault> {
        let draft = self.folder_of_draft()?;
        let (kernel_copy, kernel) = copy_in(
            &incoming.kernel,
            &draft.join(KERNEL),
            KERNEL_LIMIT,
            rules.deadline,
        )?;
        let (initrd_copy, initrd) = copy_in(
            &incoming.initrd,
            &draft.join(INITRD),
            INITRD_LIMIT,
            rules.deadline,
        )?;
        let note = PairNote {
            version: incoming.version,
            source: incoming.source,
            kernel,
            initrd,
        };
        let id = note.id();
        if incoming.expected.is_some_and(|expected| expected != id) {
            return Err(StageFault::Unexpected);
        }
        if let Some(failure) = trials.failure(&id) {
            return Err(StageFault::Failed(id, failure));
        }
        check_copies(&note, &kernel_copy, &initrd_copy, rules)?;
        for (copy, name) in [(&kernel_copy, KERNEL), (&initrd_copy, INITRD)] {
            finish(copy, Some(rules.group), STAGED_MODE)
                .map_err(FileFault::new("finish", &draft.join(name)))?;
        }
        if note.source == PairSource::Installer {
            create(&draft.join(INSTALLER_MARK))?;
        }
        write_note(&draft.join(NOTE), &note)?;
        sync_folder(&draft)?;
        self.publish(&draft, &id)?;
        Ok(id)
    }

    /// Makes `current` name a generation, and `previous` the one that it named before.
    pub(super) fn switch(&self, to: &GenerationId) -> Result<(), FileFault> {
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

    /// Removes what is not to be kept, and what a killed run left.
    pub(super) fn tidy(&self, kept: &[GenerationId]) -> Result<(), FileFault> {
        remove_file(&self.boot.join(LINK_DRAFT))?;
        let folder = self.boot.join(FOLDER);
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(FileFault::new("list", &folder))? {
            if !entry
                .file_name()
                .to_str()
                .is_some_and(|name| kept.iter().any(|id| id.as_str() == name))
            {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    fn folder(&self, id: &GenerationId) -> PathBuf {
        self.boot.join(FOLDER).join(id.as_str())
    }

    /// A generation's kernel and initrd, and what is known of them.
    pub(super) fn files<'a>(&self, staged: &'a Staged) -> [(PathBuf, &'a FileNote); 2] {
        let folder = self.folder(&staged.id);
        [
            (folder.join(KERNEL), &staged.note.kernel),
            (folder.join(INITRD), &staged.note.initrd),
        ]
    }

    /// The generation that a link names.
    fn named_by(&self, link: &str) -> Option<GenerationId> {
        let target = fs::read_link(self.boot.join(link)).ok()?;
        let id = target.to_str()?.strip_prefix(FOLDER)?.strip_prefix('/')?;
        GenerationId::try_from(id.to_owned()).ok()
    }

    /// Makes a link name a generation, by a rename.
    fn link(&self, name: &str, to: &GenerationId) -> Result<(), FileFault> {
        let (draft, path) = (self.boot.join(LINK_DRAFT), self.boot.join(name));
        remove_file(&draft)?;
        symlink(Path::new(FOLDER).join(to.as_str()), &draft)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(FileFault::new("switch", &path))
    }

    fn folder_of_draft(&self) -> Result<PathBuf, FileFault> {
        let draft = self.boot.join(FOLDER).join(DRAFT);
        remove_tree(&draft)?;
        make_folder(&draft, FOLDER_MODE)?;
        Ok(draft)
    }

    /// Gives a draft its name. A generation of that name has the same bytes, or had; the draft takes its place at once,
    /// so that `current` never names nothing.
    fn publish(&self, draft: &Path, id: &GenerationId) -> Result<(), FileFault> {
        let (folder, parent) = (self.folder(id), self.boot.join(FOLDER));
        let published =
            match rustix::fs::renameat_with(CWD, draft, CWD, &folder, RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::EXIST) => {
                    rustix::fs::renameat_with(CWD, draft, CWD, &folder, RenameFlags::EXCHANGE)
                }
                other => other,
            };
        published
            .map_err(io::Error::from)
            .map_err(FileFault::new("publish", &folder))?;
        sync_folder(&parent)
    }
}

/// Copies a file and describes the copy. What it was copied from must have been the same before and after.
fn copy_in(
    (origin, file): &(Origin, File),
    to: &Path,
    limit: u64,
    deadline: Deadline,
) -> Result<(File, FileNote), StageFault> {
    let into = create(to)?;
    let copied = || -> io::Result<(u64, bool, Sha256Hex)> {
        let size = copy(file, &into, limit, deadline)?;
        let unchanged = size == origin.file.size && identity(file)? == origin.file;
        Ok((size, unchanged, digest(&into, deadline)?))
    };
    let name = || origin.name.clone();
    match copied() {
        Err(source) => Err(StageFault::Copy {
            name: name(),
            source,
        }),
        Ok((_, false, _)) => Err(StageFault::Changed(name())),
        Ok((size, true, sha256)) => {
            let from = origin.clone();
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
) -> Result<(), StageFault> {
    let mut kernel = Timed {
        file: kernel,
        deadline,
    };
    check_kernel(&mut kernel, arch).map_err(|source| StageFault::Kernel {
        name: note.kernel.from.name.clone(),
        source,
    })?;
    walk_initrd(Timed {
        file: initrd,
        deadline,
    })
    .map_err(|source| StageFault::Initrd {
        name: note.initrd.from.name.clone(),
        source,
    })?;
    Ok(())
}

fn write_note(path: &Path, note: &PairNote) -> Result<(), StageFault> {
    let text = render_pair_note(note).map_err(StageFault::Note)?;
    let mut file = create(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| finish(&file, None, NOTE_MODE))
        .map_err(FileFault::new("write", path))?;
    Ok(())
}

/// Gives a new file its group and mode, whatever the umask is, and puts it on disk.
fn finish(file: &File, group: Option<u32>, mode: u32) -> io::Result<()> {
    fchown(file, None, group)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn remove_tree(path: &Path) -> Result<(), FileFault> {
    let removed = match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(fault) => Err(fault),
    };
    match removed {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
            Err(FileFault::new("remove", path)(fault))
        }
        _ => Ok(()),
    }
}
