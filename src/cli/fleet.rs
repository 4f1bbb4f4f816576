//! The fleet file, from its place to a spec.

use super::exit::Exit;
use super::terminal;
use crate::report::{Paint, render_problems};
use crate::spec::{Spec, Vm, VmName, read_fleet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More is not read; `read_fleet` refuses it with the reason.
const READ_LIMIT: u64 = (1 << 20) + 1;

/// Reads and checks a fleet file, and prints what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Spec, Exit> {
    let shown = path.display().to_string();
    let (bytes, folder) = load(path).map_err(|error| {
        let what = Unreadable {
            path: shown.clone(),
            source: error,
        };
        let remedy = (what.source.kind() == std::io::ErrorKind::NotFound)
            .then_some("name a fleet file, or write fleet.yaml here");
        terminal::error(&what, remedy);
        Exit::Invalid
    })?;
    read_fleet(&bytes, &shown, &folder.to_string_lossy()).map_err(|problems| {
        let colours = terminal::paint(&std::io::stderr()) == Paint::Colours;
        terminal::remark(&render_problems(&problems, &bytes, colours));
        Exit::Invalid
    })
}

/// The file's bytes, and the folder that relative paths in it are beside.
fn load(path: &Path) -> std::io::Result<(Vec<u8>, PathBuf)> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(READ_LIMIT)
        .read_to_end(&mut bytes)?;
    let path = path.canonicalize()?;
    Ok((bytes, path.parent().unwrap_or(Path::new("/")).to_owned()))
}

/// The VM of a name, or a message that names those there are.
pub(super) fn vm<'a>(spec: &'a Spec, name: &str) -> Result<&'a Vm, Exit> {
    let found = name
        .parse::<VmName>()
        .ok()
        .and_then(|name| spec.vms.get(&name));
    found.ok_or_else(|| {
        let known: Vec<&str> = spec.vms.keys().map(VmName::as_str).collect();
        terminal::error(
            &NoSuchVm(name.to_owned()),
            Some(&format!("the file has {}", known.join(", "))),
        );
        Exit::Invalid
    })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
struct Unreadable {
    path: String,
    source: std::io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("the fleet file has no VM {0:?}")]
struct NoSuchVm(String);
