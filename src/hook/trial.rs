//! The trials of a VM's pairs as files: what is remembered of them, and what the last run left behind.

use super::files::{FileFault, chain, create, identity, read_own, remove_file, sync_folder};
use super::root::Root;
use super::share::Share;
use crate::boot::{
    CONFIRMATION, CONFIRMATION_LIMIT, Confirmation, Evidence, Identity, Judged, Ran, Trials,
};
use crate::mark::{Action, Entry, Event, StepTrace, render_entry};
use crate::spec::{VmName, layout};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is remembered, with a complaint if that cannot be read: then nothing is.
pub(super) fn recall(path: &Path) -> (Trials, Option<String>) {
    let text = match read_own(path) {
        Ok(None) => return (Trials::default(), None),
        Ok(Some(text)) => text,
        Err(fault) => return (Trials::default(), Some(chain(&fault))),
    };
    match Trials::read(&text) {
        Ok(trials) => (trials, None),
        Err(fault) => {
            let why = format!(
                "{} is damaged and begun anew: {}",
                path.display(),
                chain(&fault)
            );
            (Trials::default(), Some(why))
        }
    }
}

/// Writes what is to be remembered. Only a judgement is worth waiting for the disk: a start that a power cut forgets is
/// one that nobody can judge.
pub(super) fn remember(path: &Path, trials: &Trials, durable: bool) -> Result<(), FileFault> {
    let text = trials.render().map_err(io::Error::other);
    let text = text.map_err(FileFault::new("write", path))?;
    let draft = path.with_extension("new");
    remove_file(&draft)?;
    let mut file = create(&draft)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&draft, path))
        .map_err(FileFault::new("write", path))?;
    match path.parent() {
        Some(folder) if durable => sync_folder(folder),
        _ => Ok(()),
    }
}

/// What the last run left behind. The stamps are taken away, so that no run is judged twice.
pub(super) fn take_evidence(root: &Root, vm: &VmName, share: Option<&Share>) -> Evidence {
    let take = |path: &Path| {
        let text = read_own(path).ok().flatten();
        let taken = fs::remove_file(path).is_ok();
        text.filter(|_| taken)
            .and_then(|text| String::from_utf8(text).ok())
    };
    let (started, stopped) = (
        take(&root.below(&layout::started(vm))),
        take(&root.below(&layout::stopped(vm))),
    );
    Evidence {
        ran: Ran::between(started.as_deref(), stopped.as_deref()),
        confirmation: share.and_then(confirmation),
    }
}

/// The guest's confirmation, by what tells it from another.
pub(super) fn confirmation_identity(share: &Share) -> Option<Identity> {
    identity(&share.open_named(CONFIRMATION).ok()?).ok()
}

/// What the guest wrote about itself.
fn confirmation(share: &Share) -> Option<(Identity, Confirmation)> {
    let file = share.open_named(CONFIRMATION).ok()?;
    let seen = identity(&file).ok()?;
    if !file.metadata().ok()?.is_file() || seen.size > CONFIRMATION_LIMIT {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(CONFIRMATION_LIMIT).read_to_end(&mut bytes).ok()?;
    Some((seen, Confirmation::read(&bytes)?))
}

/// Adds a judgement to the journal.
pub(super) fn journal(root: &Root, vm: &VmName, judged: &Judged) -> Result<(), FileFault> {
    let path = root.below(layout::JOURNAL);
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let entry = Entry {
        at: at.map_or(0, |since| since.as_secs()),
        by: "armfleet-hook".to_owned(),
        event: Event::Step(StepTrace {
            plan: None,
            id: format!("trial/{vm}"),
            vm: Some(vm.clone()),
            action: Action::Change,
            kind: "trial".to_owned(),
            subject: vm.to_string(),
            reason: judged.to_string(),
            changes: Vec::new(),
            milliseconds: 0,
            error: Vec::new(),
            before: None,
            after: None,
        }),
    };
    let line = render_entry(&entry).map_err(io::Error::other);
    let line = line.map_err(FileFault::new("write", &path))?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .map_err(FileFault::new("write", &path))
}
