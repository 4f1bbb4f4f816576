//! What the hook does at `prepare`: whose VM it is, in short, and then what the real one does, over the tree in memory.

use super::definition;
use super::files::{Files, Tree, TreeFolder};
use crate::boot::{Allowance, PairSource, Trials, read_pair_note};
use crate::files::{Directory as _, chain, copy_hashed_fresh, parent_and_name, read_named};
use crate::host::primitives::CallError;
use crate::mark::{Phase, Record, read_record};
use crate::paths;
use crate::staging::{
    Choosing, DomainDisk, Generations, Rules, Said, beside_note, files, may_be_of, may_install,
    noted_beside, renew, stage_installer, wanted_id,
};
use crate::values::{Arch, HostPath, VmName};
use std::error::Error;
use std::io::Write as _;
use std::path::Path;

/// Runs the hook for a domain; what it fails with is what it says. The disks of one that is restored go with its memory.
pub(super) fn prepare(
    files: &mut Files,
    (domain, uuid): (&str, &str),
    definition: &str,
    restored: bool,
) -> Result<(), String> {
    let Ok(vm) = domain.parse::<VmName>() else {
        return Ok(());
    };
    let binary = files.stat(paths::HOOK_BINARY);
    let Some(text) = files.bytes(&paths::record(&vm)) else {
        return Ok(());
    };
    if binary.is_none_or(|binary| binary.mode & 0o111 == 0) {
        return Ok(());
    }
    let record = read_record(text).map_err(|error| {
        format!("armfleet: {vm} cannot start: its record is damaged: {error}\n")
    })?;
    if record.uuid.as_str() != uuid {
        return Ok(());
    }
    let mut said = Said::default();
    let disks = match restored {
        true => Vec::new(),
        false => definition::disks(definition),
    };
    let staged = stage(files, &record, definition, &disks, &mut said);
    let lines: String = said
        .lines()
        .map(|line| format!("armfleet: {vm}: {line}\n"))
        .collect();
    let text = match &staged {
        Ok(()) => lines,
        Err(error) => format!(
            "armfleet: {vm} cannot start: {}\n{lines}",
            chain(error.as_ref())
        ),
    };
    if let Err(error) = &staged {
        said.say(format!("cannot start: {}", chain(error.as_ref())));
    }
    stamp(files, &vm, &said.note().render()).map_err(|error| error.why)?;
    staged.map_err(|_| text)
}

/// The proof that the hook ran, and what it said.
fn stamp(files: &mut Files, vm: &VmName, said: &str) -> Result<(), CallError> {
    files.make_folders(paths::HOOK_SEEN, 0o700)?;
    files.write_file(
        &paths::hook_seen(vm),
        paths::HOOK_SEEN,
        said.as_bytes(),
        0o600,
    )
}

/// Makes `current` name what the VM is to boot.
fn stage(
    files: &mut Files,
    record: &Record,
    definition: &str,
    disks: &[DomainDisk],
    said: &mut Said,
) -> Result<(), Box<dyn Error>> {
    let vm = &record.vm;
    let trials = files.bytes(&paths::trials(vm)).map(Trials::read);
    let mut trials = trials.and_then(Result::ok).unwrap_or_default();
    let arch = definition::arch(definition).and_then(|arch| Arch::from_libvirt(&arch));
    let allowance = Allowance::without_clock();
    let rules = Rules {
        arch: arch.ok_or("armfleet boots no such architecture")?,
        group: 0,
        allowance: &allowance,
    };
    let tree = Tree::new(files);
    let boot = tree.folder(&paths::vm_folder(vm))?;
    let boot = boot.sub_or_make("boot", paths::PASSAGE)?;
    let generations = Generations::open(boot)?;
    let share = tree.share(record.boot.share.as_str());
    let chosen = match &record.phase {
        Phase::Own => {
            let share = share.map_err(|error| said.warn(error.to_string())).ok();
            let mut choosing = Choosing {
                record,
                generations: &generations,
                share: share.as_ref(),
                rules,
                trials: &mut trials,
                said,
            };
            let chosen = choosing.choose();
            chosen.ok_or("there is no pair of kernel and initrd to boot")?
        }
        Phase::Installing { disk } => {
            may_install(&share?, disk, |disk| {
                tree.is_blank(Path::new(disk.as_str()))
            })?;
            stage_installer(&generations, rules)?
        }
    };
    generations.switch(&chosen)?;
    let kernel = definition::text_at(definition, &["os", "kernel"]);
    let beside = kernel.and_then(|kernel| paths::share_beside(&kernel));
    hand_over(&tree, record, &generations, beside)?;
    let own = tree.folder(&paths::vm_folder(vm))?;
    let open = |path: &HostPath| {
        let folder = tree.folder(path.parent())?;
        Ok((folder, path.file_name().to_owned()))
    };
    for path in renew(record, disks, &own, open)? {
        said.say(format!("made its scratch disk {path} anew"));
    }
    let kept: Vec<_> = generations.linked().chain(wanted_id(record)).collect();
    generations.tidy(&kept)?;
    Ok(())
}

/// Puts what is staged beside the share that the VM boots from, if it does, and takes back what it had beside others.
fn hand_over<'f>(
    tree: &Tree<'f>,
    record: &Record,
    generations: &Generations<TreeFolder<'_, 'f>>,
    share: Option<HostPath>,
) -> Result<(), Box<dyn Error>> {
    let path = paths::linked(&record.vm);
    let (folder, name) = parent_and_name(&path);
    let folder = tree.folder(folder)?;
    let note = read_named(&folder, name)?;
    let mut former = noted_beside(note.as_deref(), record);
    former.retain(|had| Some(had) != share.as_ref());
    folder.remove(name)?;
    if let Some(share) = &share {
        put_beside(tree, generations, share)?;
    }
    former.retain(|share| take_back(tree, &record.vm, share).is_err());
    let note = beside_note(former.iter().chain(&share));
    if share.is_some() {
        folder.create(name)?.write_all(note.as_bytes())?;
    }
    Ok(())
}

/// Takes away what a VM has had beside a share, unless that is another VM's by now.
fn take_back(tree: &Tree, vm: &VmName, share: &HostPath) -> Result<(), Box<dyn Error>> {
    for other in tree.folder(paths::VMS)?.names()? {
        let (Ok(other), true) = (other.parse::<VmName>(), other != vm.as_str()) else {
            continue;
        };
        let path = paths::record(&other);
        let (folder, name) = parent_and_name(&path);
        let record = read_named(&tree.folder(folder)?, name)?;
        if record.is_some_and(|record| may_be_of(&record, share)) {
            return Ok(());
        }
    }
    let beside = paths::beside_named(share.file_name());
    let above = tree.folder(share.parent())?;
    above.remove_folder(&beside, &paths::BESIDE_FILES)?;
    Ok(())
}

/// Puts what is staged beside a share. In memory a file has one name, so it is always a copy.
fn put_beside<'f>(
    tree: &Tree<'f>,
    generations: &Generations<TreeFolder<'_, 'f>>,
    share: &HostPath,
) -> Result<(), Box<dyn Error>> {
    let above = tree.folder(share.parent())?;
    let beside = paths::beside_named(share.file_name());
    let folder = above.sub_or_make(&beside, paths::PASSAGE)?;
    let staged = generations.current().ok_or("nothing is staged")?;
    for (file, _) in files(&staged) {
        folder.remove(file.boots)?;
        let mut from = generations.open_file(&staged, file)?;
        copy_hashed_fresh(&mut from, &mut folder.create(file.boots)?)?;
    }
    Ok(())
}

/// Runs the hook once a domain has started: nothing is left of an installer that could boot again.
pub(super) fn started(files: &mut Files, domain: &str) {
    let Ok(vm) = domain.parse::<VmName>() else {
        return;
    };
    let staged = files.bytes(&paths::current_pair(&vm)).map(read_pair_note);
    if matches!(staged, Some(Ok(pair)) if pair.source == PairSource::Installer) {
        files.remove(&paths::current(&vm));
    }
}
