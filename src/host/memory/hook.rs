//! What the hook does at `prepare`, in short: it chooses as the real one does, and takes every file for whole.

use super::files::{Content, Files};
use crate::boot::{
    BootFileName, Candidate, Considered, FileNote, INSTALLED, Identity, KernelVersion, Origin,
    PairNote, PairSource, SeedPart, SeedReceipt, Sha256Hex, Timestamp, choose,
    read_installer_receipt, read_pair_note, read_seed_receipt, render_pair_note,
};
use crate::host::primitives::{CallError, Owner};
use crate::inventory::{Look, RawEntry, RawFile, RawStat};
use crate::mark::{Phase, Record, read_record};
use crate::paths;
use crate::values::{HostPath, VmName};

const FILE_LIMIT: u64 = 512 << 20;

/// Runs the hook for a domain; what it fails with is what it says.
pub(super) fn prepare(files: &mut Files, domain: &str, uuid: &str) -> Result<(), String> {
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
    let mut lines = Vec::new();
    let staged = match &record.phase {
        Phase::Own => stage(files, &record, &mut lines),
        Phase::Installing { disk } => install(files, &record, disk),
    };
    let lines: String = lines
        .iter()
        .map(|line| format!("armfleet: {vm}: {line}\n"))
        .collect();
    let said = match &staged {
        Ok(()) => lines,
        Err(error) => format!("armfleet: {vm} cannot start: {error}\n{lines}"),
    };
    stamp(files, &vm, &said).map_err(|error| error.why)?;
    staged.map_err(|_| said)
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

/// Makes `current` what the share has; else leaves it; else makes it the seed. A staged seed is replaced by another one.
fn stage(files: &mut Files, record: &Record, lines: &mut Vec<String>) -> Result<(), CallError> {
    let vm = &record.vm;
    for considered in considered(files, &record.boot.share) {
        match considered {
            Ok(candidate) => return from_share(files, record, &candidate, lines),
            Err(passed_over) => lines.push(passed_over.to_string()),
        }
    }
    let staged = files.bytes(&paths::current_pair(vm)).map(read_pair_note);
    if let Some(Ok(staged)) = staged
        && staged.source != PairSource::Seed
    {
        lines.push("boots what was staged before".to_owned());
        return Ok(());
    }
    let receipt = files.bytes(&paths::seed_receipt(vm)).map(read_seed_receipt);
    match receipt {
        Some(Ok(receipt)) if record.boot.seed => {
            lines.push("boots its seed".to_owned());
            from_seed(files, vm, receipt)
        }
        _ if files.stat(&paths::current(vm)).is_some() => Ok(()),
        _ => Err(CallError::other(
            "there is no pair of kernel and initrd to boot",
        )),
    }
}

/// Boots the installer, if its disk is empty.
fn install(files: &mut Files, record: &Record, disk: &HostPath) -> Result<(), CallError> {
    let share = files.look(record.boot.share.as_str(), Look::Share);
    let entries = share.present().and_then(|share| share.entries.as_deref());
    let installed = |entry: &RawEntry| entry.name == INSTALLED;
    if entries.unwrap_or_default().iter().any(installed) {
        return Err(CallError::other(
            "it is installed, and must not be installed again",
        ));
    }
    let disk = files.look(disk.as_str(), Look::Image);
    if disk.present().and_then(|disk| disk.blank) != Some(true) {
        return Err(CallError::other("its disk is no longer empty"));
    }
    let vm = &record.vm;
    let receipt = files.bytes(&paths::installer_receipt(vm));
    match receipt.map(read_installer_receipt) {
        Some(Ok(receipt)) => {
            let (source, folder) = (PairSource::Installer, paths::installer_folder(vm));
            provided(
                files,
                vm,
                source,
                None,
                &folder,
                [&receipt.kernel, &receipt.initrd],
            )
        }
        _ => Err(CallError::other("its installer is not there")),
    }
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

fn considered(files: &Files, share: &HostPath) -> Vec<Considered> {
    let seen = files.look(share.as_str(), Look::Share);
    choose(&seen.present().map(RawFile::listing).unwrap_or_default())
}

fn from_share(
    files: &mut Files,
    record: &Record,
    candidate: &Candidate,
    lines: &mut Vec<String>,
) -> Result<(), CallError> {
    let (vm, share) = (&record.vm, &record.boot.share);
    let links = candidate.source.links();
    let note = |files: &Files, name: &BootFileName, link: Option<&str>| {
        let path = format!("{share}/{name}");
        let link = link.and_then(|link| files.stat(&format!("{share}/{link}")));
        file_note(files, &path, name.as_str(), link.as_ref())
    };
    let (kernel, initrd) = (&candidate.kernel, &candidate.initrd);
    let pair = PairNote {
        version: Some(candidate.version.clone()),
        source: candidate.source,
        kernel: note(files, kernel, links.map(|links| links.0))?,
        initrd: note(files, initrd, links.map(|links| links.1))?,
    };
    let staged = files.bytes(&paths::current_pair(vm)).map(read_pair_note);
    if matches!(staged, Some(Ok(staged)) if staged == pair) {
        return Ok(());
    }
    lines.push(format!(
        "boots {} ({})",
        candidate.version,
        candidate.source.describe()
    ));
    generation(
        files,
        vm,
        &pair,
        [&format!("{share}/{kernel}"), &format!("{share}/{initrd}")],
    )
}

fn from_seed(files: &mut Files, vm: &VmName, receipt: SeedReceipt) -> Result<(), CallError> {
    let (source, folder) = (PairSource::Seed, paths::seed_folder(vm));
    let parts = [&receipt.kernel, &receipt.initrd];
    provided(files, vm, source, receipt.version(), &folder, parts)
}

/// Makes a generation of what an apply has put into a folder.
fn provided(
    files: &mut Files,
    vm: &VmName,
    source: PairSource,
    version: Option<KernelVersion>,
    folder: &str,
    [kernel, initrd]: [&SeedPart; 2],
) -> Result<(), CallError> {
    let staged = [format!("{folder}/vmlinuz"), format!("{folder}/initrd.img")];
    let note = |path: &str, part: &SeedPart| file_note(files, path, part.path.as_str(), None);
    let pair = PairNote {
        version,
        source,
        kernel: note(&staged[0], kernel)?,
        initrd: note(&staged[1], initrd)?,
    };
    generation(files, vm, &pair, [&staged[0], &staged[1]])
}

/// Copies a pair and makes it the current one.
fn generation(
    files: &mut Files,
    vm: &VmName,
    pair: &PairNote,
    sources: [&String; 2],
) -> Result<(), CallError> {
    let id = pair.id();
    let folder = format!("{}/g/{id}", paths::boot_folder(vm));
    files.make_folders(&folder, 0o711)?;
    for (source, name) in sources.into_iter().zip(["vmlinuz", "initrd.img"]) {
        files.copy_file(source, &format!("{folder}/{name}"), FILE_LIMIT, 0o640)?;
    }
    let text = render_pair_note(pair).map_err(|error| CallError::other(error.to_string()))?;
    files.write_file(
        &format!("{folder}/pair.json"),
        &folder,
        text.as_bytes(),
        0o600,
    )?;
    let current = Content::Link(format!("g/{id}"));
    files.put(
        &paths::current(vm),
        current,
        0o777,
        Owner { uid: 0, gid: 0 },
    )
}

fn file_note(
    files: &Files,
    path: &str,
    name: &str,
    link: Option<&RawStat>,
) -> Result<FileNote, CallError> {
    let seen = files.look(path, Look::Digest);
    let gone = || CallError::other(format!("{path}: No such file or directory"));
    let file = seen.present().ok_or_else(gone)?;
    let sha256 = Sha256Hex::try_from(file.sha256.clone().unwrap_or_default())
        .map_err(|error| CallError::other(error.to_string()))?;
    Ok(FileNote {
        from: Origin {
            name: name.to_owned(),
            link: link.map(identity),
            file: identity(&file.stat),
        },
        size: file.stat.size,
        sha256,
    })
}

fn identity(stat: &RawStat) -> Identity {
    let time = |ns: i64| Timestamp(ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    Identity {
        dev: stat.dev,
        ino: stat.ino,
        size: stat.size,
        mtime: time(stat.mtime_ns),
        ctime: time(stat.ctime_ns),
    }
}
