//! Looking at paths.

use super::place::{file_system, room};
use super::seed::Receipts;
use super::text::{text_in, utf8};
use super::{at, device, image, is_missing, raw_stat, share, stat_of};
use crate::boot::{Allowance, GenerationId, GivenAs, Unfit, about_owners, unfit};
use crate::files::{
    Directory as _, Folder, LinkInTheWay, OpenFile as _, Root, digest_unchanged, is_blank,
    processor_time,
};
use crate::host::primitives::CallError;
use crate::inventory::{Fact, FileKind, Look, RawEntry, RawFile, RawStat};
use crate::paths;
use crate::trust::{End, Rules, acl_writers};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

/// The largest file that is hashed: twice the largest initrd.
const DIGEST_LIMIT: u64 = 1 << 30;

/// Looks at a path. What the look asks for is there only if the path is what the look is for: text and digest of a
/// regular file, target of a link, names of a folder.
pub(in super::super) fn look(
    root: &Root,
    receipts: &Receipts,
    path: &str,
    look: Look,
) -> Fact<RawFile> {
    match seen(root, receipts, path, look) {
        Ok(file) => Fact::Present(file),
        Err(error) if is_missing(&error) => Fact::Absent,
        Err(error) => Fact::Unreadable(error.to_string()),
    }
}

fn seen(root: &Root, receipts: &Receipts, name: &str, look: Look) -> io::Result<RawFile> {
    let own = paths::own_part(name).is_some_and(|(_, rest)| !rest.is_empty());
    let through = if own { staged_in(root, name)? } else { None };
    let name = through.as_deref().unwrap_or(name);
    // What another may have put there is opened where its way was found to lead, and through no link.
    let (folder, in_folder) = match look.opens() {
        true => root.place(name)?,
        false => root.holding(name)?,
    };
    let in_folder = if in_folder.is_empty() { "." } else { in_folder };
    let mut stat = raw_stat(&folder.stat(in_folder)?);
    // Without this bit the list's mask lets nobody write.
    if stat.kind == FileKind::Folder && stat.mode & 0o020 != 0 {
        let list = folder.acl(in_folder)?;
        stat.acl = list.and_then(|list| acl_writers(&list, stat.gid));
    }
    match (look, stat.kind) {
        (Look::Text, FileKind::File) => text_in(&folder, in_folder),
        (Look::Owners, FileKind::File) => text_in(&folder, in_folder).map(|conf| RawFile {
            text: conf.text.as_deref().map(about_owners),
            ..conf
        }),
        (_, FileKind::Symlink) if look.tells_target() => Ok(RawFile {
            text: Some(utf8(folder.read_link(in_folder)?)?),
            free: (look == Look::Room)
                .then(|| room(&root.below(name)))
                .flatten(),
            ..RawFile::only(stat)
        }),
        (Look::Folder, FileKind::Folder) => Ok(RawFile {
            entries: Some(own_folder(&folder.sub(in_folder)?)?),
            ..RawFile::only(stat)
        }),
        (Look::Lock, FileKind::File) => Ok(RawFile {
            text: super::lock::held_by(&folder, in_folder)?,
            ..RawFile::only(stat)
        }),
        (Look::Generation, FileKind::Symlink) => generation(&folder, in_folder, stat),
        _ => outside(root, receipts, name, (&folder, in_folder), look, stat),
    }
}

/// What is not armfleet's own folders and files.
fn outside(
    root: &Root,
    receipts: &Receipts,
    name: &str,
    (folder, in_folder): (&Folder, &str),
    look: Look,
    stat: RawStat,
) -> io::Result<RawFile> {
    let opened = || {
        let file = folder.open_file(in_folder)?;
        let stat = stat_of(&file)?;
        Ok::<_, io::Error>((file, stat))
    };
    match (look, stat.kind) {
        (Look::Digest, FileKind::File) => {
            opened().and_then(|(mut file, stat)| digest((&mut file, stat)))
        }
        (_, FileKind::File) if look.is_source() => {
            match receipts.digest(root, name, &stat) {
                None => source(receipts, root, opened()?, look),
                // Another guest's architecture may ask.
                sha256 => Ok(RawFile {
                    sha256,
                    unfit: match look.given_as() {
                        Some(GivenAs::Kernel) => opened()
                            .and_then(|(mut file, _)| unfit_for(&mut file, GivenAs::Kernel))
                            .unwrap_or_default(),
                        _ => Unfit::new(),
                    },
                    ..RawFile::only(stat)
                }),
            }
        }
        (Look::Image, FileKind::File) => match opened() {
            Ok((file, stat)) => {
                let blank = is_blank(&file)?;
                let head = (!blank).then(|| image::head(&file)).transpose()?;
                Ok(RawFile {
                    blank: Some(blank),
                    allocated: Some(image::allocated(&file)?),
                    head,
                    ..RawFile::only(stat)
                })
            }
            // Users other than root plan, too; what they cannot see is named where it matters.
            Err(_) => Ok(RawFile::only(stat)),
        },
        (Look::Device, FileKind::Special) => match stat.block {
            Some(number) => Ok(device::look(root, folder, in_folder, number, stat)),
            None => Ok(RawFile::only(stat)),
        },
        (Look::Log, FileKind::File) => match opened() {
            Ok((file, stat)) => Ok(RawFile {
                begins_as: image::log_head(&file)?,
                ..RawFile::only(stat)
            }),
            Err(_) => Ok(RawFile::only(stat)),
        },
        (Look::Share, FileKind::Folder) => share::look(folder, in_folder),
        (Look::Tail, FileKind::File) => opened().and_then(|(file, stat)| tail(&file, stat)),
        (Look::Place, FileKind::Folder) => Ok(RawFile {
            file_system: file_system(root, name).map(Box::new),
            ..RawFile::only(stat)
        }),
        (Look::Program, FileKind::File) => opened().and_then(|(file, stat)| program(&file, stat)),
        (Look::Room, FileKind::Folder) => Ok(RawFile {
            free: room(&root.below(name)),
            ..RawFile::only(stat)
        }),
        _ => Ok(RawFile::only(stat)),
    }
}

/// A file that will be staged, and was not yet.
fn source(
    receipts: &Receipts,
    root: &Root,
    (mut file, stat): (File, RawStat),
    look: Look,
) -> io::Result<RawFile> {
    let head = (look == Look::DeviceTree)
        .then(|| image::head(&file))
        .transpose()?;
    let seen = digest((&mut file, stat))?;
    let unfit = match look.given_as() {
        // The same bytes were staged from another path: an initrd is not unpacked for each plan.
        Some(GivenAs::Initrd) if receipts.have(root, seen.sha256.as_deref()) => Unfit::new(),
        Some(given_as) => unfit_for(&mut file, given_as)?,
        None => Unfit::new(),
    };
    Ok(RawFile {
        head,
        unfit,
        ..seen
    })
}

fn unfit_for(file: &mut File, given_as: GivenAs) -> io::Result<Unfit> {
    unfit(file, given_as, &Allowance::of_a_start(processor_time))
}

/// How much is read of a text that grows.
const TAIL: u64 = 256 << 10;

/// The last lines of a text; one that begins before is left out.
fn tail(file: &File, stat: RawStat) -> io::Result<RawFile> {
    let from = stat.size.saturating_sub(TAIL);
    let mut bytes = vec![0; usize::try_from(stat.size - from).unwrap_or_default()];
    file.read_exact_at(&mut bytes, from)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = match (from, text.split_once('\n')) {
        (0, _) | (_, None) => &text,
        (_, Some((_, rest))) => rest,
    };
    Ok(RawFile {
        text: Some(whole.to_owned()),
        ..RawFile::only(stat)
    })
}

/// The longest line that Linux reads of a script (`BINPRM_BUF_SIZE`).
const INTERPRETER_LIMIT: usize = 256;

fn program(file: &File, stat: RawStat) -> io::Result<RawFile> {
    let mut head = [0; INTERPRETER_LIMIT];
    let count = file.read_at(&mut head, 0)?;
    let head = &head[..count];
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let script = head.starts_with(b"#!");
    Ok(RawFile {
        text: script.then(|| String::from_utf8_lossy(line).into_owned()),
        head: Some(
            head.iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ),
        ..RawFile::only(stat)
    })
}

/// The folder of the generation that a link in a folder names; none if it is no such link.
fn named_generation(folder: &Folder, link: &str) -> io::Result<Option<String>> {
    let target = match folder.read_link(link) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(GenerationId::of_link(&target).map(|id| id.link_text()))
}

/// The one link that is followed within armfleet's own folders, to nothing but a generation: where a path through
/// `current` leads.
fn staged_in(root: &Root, name: &str) -> io::Result<Option<String>> {
    let Some((boot, file)) = paths::through_current(name) else {
        return Ok(None);
    };
    let target = named_generation(&root.folder(boot)?, "current")?;
    let none = || io::Error::from(ErrorKind::NotFound);
    Ok(Some(format!("{boot}/{}/{file}", target.ok_or_else(none)?)))
}

fn generation(boot: &Folder, link: &str, stat: RawStat) -> io::Result<RawFile> {
    let entries = match named_generation(boot, link)? {
        None => Vec::new(),
        Some(target) => match boot.sub(&target) {
            Ok(folder) => {
                let names = paths::GENERATION_FILES.map(str::to_owned);
                let mut entries = entries_of(&folder, names)?;
                read_changed(&folder, &mut entries);
                entries
            }
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(error),
        },
    };
    Ok(RawFile {
        text: Some(String::from_utf8_lossy(&boot.read_link(link)?).into_owned()),
        entries: Some(entries),
        ..RawFile::only(stat)
    })
}

/// Reads the masters that were changed after the note about them, as far as they can be read.
fn read_changed(folder: &Folder, entries: &mut [RawEntry]) {
    let note = entries.iter().find(|entry| entry.name == paths::PAIR_NOTE);
    let Some(note) = note.map(|note| note.stat.clone()) else {
        return;
    };
    let masters = entries
        .iter_mut()
        .filter(|entry| paths::MASTERS.contains(&entry.name.as_str()));
    for master in masters.filter(|entry| entry.is_later_than(&note)) {
        let read = || {
            let mut file = folder.open_file(&master.name)?;
            let stat = stat_of(&file)?;
            digest((&mut file, stat))
        };
        master.sha256 = read().ok().and_then(|seen| seen.sha256);
    }
}

/// More names than any of armfleet's own folders has.
const NAME_LIMIT: usize = 4096;

fn own_folder(folder: &Folder) -> io::Result<Vec<RawEntry>> {
    entries_of(folder, folder.names()?.into_iter().take(NAME_LIMIT))
}

fn entries_of(
    folder: &Folder,
    names: impl IntoIterator<Item = String>,
) -> io::Result<Vec<RawEntry>> {
    let mut entries = Vec::new();
    for name in names {
        match folder.stat(&name) {
            Ok(stat) => entries.push(RawEntry::only(name, raw_stat(&stat))),
            // Removed meanwhile, or not UTF-8.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn digest((file, stat): (&mut File, RawStat)) -> io::Result<RawFile> {
    let before = file.identity()?;
    let sha256 = digest_unchanged(file, &before, DIGEST_LIMIT)?;
    Ok(RawFile {
        sha256: Some(sha256.into()),
        ..RawFile::only(stat)
    })
}

/// Where a path leads, if only root can change that.
pub(in super::super) fn way(
    root: &Root,
    path: &str,
    end: End,
    rules: &Rules,
) -> Result<String, CallError> {
    root.way(path, end, rules).map_err(at(&root.below(path)))
}

/// The `record.json` of each folder in a folder, sorted.
pub(in super::super) fn records(root: &Root, folder: &str) -> Result<Vec<String>, CallError> {
    let path = root.below(folder);
    let vms = match root.folder(folder) {
        Ok(vms) => vms,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(&path)(error)),
    };
    let mut records = Vec::new();
    for name in vms.names().map_err(at(&path))? {
        let there = vms.sub(&name).and_then(|vm| vm.kind("record.json"));
        match there {
            Ok(Some(_)) => records.push(format!("{folder}/{name}/record.json")),
            Ok(None) => {}
            // Not a VM's folder; a link is seen when its VM is looked at.
            Err(error) if is_missing(&error) || LinkInTheWay::of(&error).is_some() => {}
            Err(error) => return Err(at(&vms.at(&name))(error)),
        }
    }
    records.sort();
    Ok(records)
}
