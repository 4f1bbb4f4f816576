//! What is looked at.

use super::facts::{is_roots_program, shares};
use crate::fleet::Spec;
use crate::inventory::{Fact, Inventory, Look, Query, query_host, sources};
use crate::paths;
use std::collections::BTreeSet;

/// What is looked at. What was seen already tells more places: asked again with each answer, it asks for no more in the end.
#[must_use]
pub fn query(spec: Option<&Spec>, seen: Option<&Inventory>) -> Query {
    let mut query = query_host();
    let mut look = |path: &str, look: Look| query.paths.insert(path.to_owned(), look);
    for folder in [paths::HOOK_FOLDER, paths::VM_LOCKS, paths::STAGING_LOCKS] {
        look(folder, Look::Folder);
    }
    for folder in [paths::STATE, above(paths::STATE)] {
        look(folder, Look::Place);
    }
    look(paths::HOOK_SCRIPT, Look::Program);
    look(paths::APPLY_LOCK, Look::Lock);
    look(paths::JOURNAL, Look::Tail);
    look(paths::QEMU_CONF, Look::Owners);
    look(paths::LIBVIRT_GUESTS, Look::Text);
    look(paths::APPARMOR, Look::Text);
    look(paths::RUN, Look::Stat);
    for unit in paths::WATCH_UNITS {
        look(unit, Look::Stat);
    }
    let disks = spec.into_iter().flat_map(|spec| spec.vms.values());
    for disk in disks.flat_map(|vm| &vm.disks) {
        look(disk.path.as_str(), Look::Link);
    }
    let Some(seen) = seen else { return query };
    for share in shares(spec, seen).into_keys() {
        look(above(&share), Look::Place);
        look(&share, Look::Place);
    }
    for source in sources_of_ours(seen) {
        query.paths.entry(source).or_insert(Look::Link);
    }
    for (path, how) in found_in_folders(seen) {
        query.paths.insert(path, how);
    }
    for interpreter in interpreters(seen) {
        query.paths.entry(interpreter).or_insert(Look::Stat);
    }
    query
}

/// The programs that are asked for their versions: the emulators, and the hook's program if only root can write to it.
#[must_use]
pub fn programs(seen: &Inventory) -> BTreeSet<String> {
    let guests = seen.libvirt.present().into_iter();
    let guests = guests.flat_map(|libvirt| libvirt.guests.values());
    let emulators = guests.filter_map(|guest| guest.emulator.clone());
    let arm = emulators.filter(|path| path.contains("qemu-system-a"));
    let place = seen.leads_to(paths::HOOK_BINARY);
    let hook = place.and_then(|place| seen.path(&place).present());
    let hook = hook.filter(|file| is_roots_program(file));
    arm.chain(hook.map(|_| paths::HOOK_BINARY.to_owned()))
        .collect()
}

/// The folder that a path is in.
pub(super) fn above(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
}

/// What the definitions of armfleet's VMs name.
pub(super) fn sources_of_ours(seen: &Inventory) -> BTreeSet<String> {
    let domains = seen.domains.present().into_iter().flatten();
    let ours = domains.filter(|(name, _)| seen.records.contains_key(*name));
    let definitions = ours.filter_map(|(_, domain)| domain.raw.inactive.present());
    let sources = definitions.flat_map(|definition| sources(definition));
    sources
        .filter(|path| path.starts_with('/') && !paths::is_device(path))
        .collect()
}

/// The hooks and the locks that folders were seen to hold.
fn found_in_folders(seen: &Inventory) -> Vec<(String, Look)> {
    let folders = [
        (paths::HOOK_FOLDER, Look::Program),
        (paths::VM_LOCKS, Look::Lock),
        (paths::STAGING_LOCKS, Look::Lock),
    ];
    let found = folders.into_iter().flat_map(|(folder, look)| {
        names_in(seen, folder).map(move |name| (format!("{folder}/{name}"), look))
    });
    found.filter(|(path, _)| path != paths::SHIM).collect()
}

/// The names in a folder, as far as it could be listed.
pub(super) fn names_in<'s>(seen: &'s Inventory, folder: &str) -> impl Iterator<Item = &'s str> {
    let entries = match seen.path(folder) {
        Fact::Present(file) => file.entries.as_deref().unwrap_or_default(),
        _ => &[],
    };
    entries.iter().map(|entry| entry.name.as_str())
}

/// What runs the scripts that were seen.
fn interpreters(seen: &Inventory) -> BTreeSet<String> {
    let others = names_in(seen, paths::HOOK_FOLDER);
    let others = others.map(|name| format!("{}/{name}", paths::HOOK_FOLDER));
    let hooks = others.chain([paths::HOOK_SCRIPT.to_owned()]);
    hooks
        .filter_map(|path| interpreter(seen.path(&path).present()?.text.as_deref()?))
        .collect()
}

/// The program that a script's first line names.
pub(super) fn interpreter(line: &str) -> Option<String> {
    let named = line.strip_prefix("#!")?.split_whitespace().next()?;
    named.starts_with('/').then(|| named.to_owned())
}
