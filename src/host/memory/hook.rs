//! What the hook does at `prepare`, in short: it chooses as the real one does, and takes every file for whole.

use super::files::{Content, Files};
use crate::boot::{
    BootFileName, Candidate, Entry, FileNote, Identity, Listing, PairNote, PairSource, SeedPart,
    SeedReceipt, Sha256Hex, Timestamp, choose, link_target, read_pair_note, read_seed_receipt,
    render_pair_note,
};
use crate::host::primitives::{CallError, Owner};
use crate::inventory::{FileKind, Look, RawEntry, RawStat};
use crate::mark::{Record, read_record};
use crate::spec::{HostPath, VmName, layout};

const FILE_LIMIT: u64 = 512 << 20;

/// Runs the hook for a domain; what it fails with is what it says.
pub(super) fn prepare(files: &mut Files, domain: &str, uuid: &str) -> Result<(), String> {
    let Ok(vm) = domain.parse::<VmName>() else {
        return Ok(());
    };
    let binary = files.stat(layout::HOOK_BINARY);
    let Some(text) = files.bytes(&layout::record(&vm)) else {
        return Ok(());
    };
    if binary.is_none_or(|binary| binary.mode & 0o111 == 0) {
        return Ok(());
    }
    let record = read_record(text).map_err(|error| format!("{}: {error}", layout::record(&vm)))?;
    if record.uuid.as_str() != uuid {
        return Ok(());
    }
    stage(files, &record)
        .and_then(|()| stamp(files, &vm))
        .map_err(|error| error.why)
}

/// The proof that the hook ran.
fn stamp(files: &mut Files, vm: &VmName) -> Result<(), CallError> {
    files.make_folders(layout::HOOK_SEEN, 0o700)?;
    files.write_file(&layout::hook_seen(vm), layout::HOOK_SEEN, b"", 0o600)
}

/// Makes `current` the pair to boot, or leaves it where there is no better one.
fn stage(files: &mut Files, record: &Record) -> Result<(), CallError> {
    let vm = &record.vm;
    if let Some(candidate) = candidate(files, &record.boot.share) {
        return from_share(files, vm, &record.boot.share, &candidate);
    }
    if files.stat(&layout::current(vm)).is_some() {
        return Ok(());
    }
    let receipt = files
        .bytes(&layout::seed_receipt(vm))
        .map(read_seed_receipt);
    match receipt {
        Some(Ok(receipt)) => from_seed(files, vm, receipt),
        _ => Err(CallError::other(format!(
            "armfleet: {vm}: its boot share has no kernel with its initrd, and nothing is staged"
        ))),
    }
}

fn candidate(files: &Files, share: &HostPath) -> Option<Candidate> {
    let seen = files.look(share.as_str(), Look::Share);
    let entries = seen.present()?.entries.as_deref()?;
    let entry = |entry: &RawEntry| {
        let name = BootFileName::new(entry.name.as_bytes()).ok()?;
        let what = match (&entry.link, entry.stat.kind) {
            (Some(text), _) => Entry::Link(text.as_bytes().to_vec()),
            (None, FileKind::File) => Entry::File(entry.stat.size),
            (None, _) => Entry::Other("not a file"),
        };
        Some((name, what))
    };
    let listing = Listing {
        entries: entries.iter().filter_map(entry).collect(),
        cut: false,
    };
    choose(&listing).candidates.into_iter().next()
}

fn from_share(
    files: &mut Files,
    vm: &VmName,
    share: &HostPath,
    candidate: &Candidate,
) -> Result<(), CallError> {
    let note = |files: &Files, name: &BootFileName, links: [&str; 2]| {
        let path = format!("{share}/{name}");
        let link = links.into_iter().find(|link| {
            let text = files.bytes(&format!("{share}/{link}"));
            text.and_then(|text| link_target(text).ok()).as_ref() == Some(name)
        });
        let link = link.and_then(|link| files.stat(&format!("{share}/{link}")));
        file_note(files, &path, name.as_str(), link.as_ref())
    };
    let pair = PairNote {
        version: Some(candidate.version.clone()),
        source: candidate.source,
        kernel: note(files, &candidate.kernel, ["vmlinuz", "vmlinuz.old"])?,
        initrd: note(files, &candidate.initrd, ["initrd.img", "initrd.img.old"])?,
    };
    let staged = files.bytes(&layout::current_pair(vm)).map(read_pair_note);
    if matches!(staged, Some(Ok(staged)) if staged == pair) {
        return Ok(());
    }
    let (kernel, initrd) = (&candidate.kernel, &candidate.initrd);
    generation(
        files,
        vm,
        &pair,
        [&format!("{share}/{kernel}"), &format!("{share}/{initrd}")],
    )
}

fn from_seed(files: &mut Files, vm: &VmName, receipt: SeedReceipt) -> Result<(), CallError> {
    let note = |part: SeedPart| FileNote {
        name: part.path.file_name().to_owned(),
        link: None,
        file: part.file,
        size: part.size,
        sha256: part.sha256,
    };
    let pair = PairNote {
        version: receipt.version(),
        source: PairSource::Seed,
        kernel: note(receipt.kernel),
        initrd: note(receipt.initrd),
    };
    let folder = layout::seed_folder(vm);
    let staged = [
        &format!("{folder}/vmlinuz"),
        &format!("{folder}/initrd.img"),
    ];
    generation(files, vm, &pair, staged)
}

/// Copies a pair and makes it the current one.
fn generation(
    files: &mut Files,
    vm: &VmName,
    pair: &PairNote,
    sources: [&String; 2],
) -> Result<(), CallError> {
    let id = pair.id();
    let folder = format!("{}/g/{id}", layout::boot_folder(vm));
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
        &layout::current(vm),
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
        name: name.to_owned(),
        link: link.map(identity),
        file: identity(&file.stat),
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
