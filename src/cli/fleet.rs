//! The fleet file, from its place to a spec.

use super::arguments::FleetOptions;
use super::caller::STDIN;
use super::exit::Exit;
use super::{terminal, texts};
use crate::fleet::{FleetFile, FleetSource, Given, KeptFile, Spec, Texts, Vm, read_files};
use crate::problem::Problems;
use crate::report::{Paint, render_problems};
use crate::values::{Secrets, VmName};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More of a file is not read; `read_files` refuses it with the reason.
pub(super) const READ_LIMIT: u64 = (1 << 20) + 1;
/// What is read unless files are named, here or in the environment.
const DEFAULT: &str = "fleet.yaml";
/// Names it in the environment.
const DEFAULT_VARIABLE: &str = "ARMFLEET_FILE";

/// What is read unless files are named.
pub(super) fn default_file() -> PathBuf {
    let named = std::env::var_os(DEFAULT_VARIABLE).filter(|name| !name.is_empty());
    PathBuf::from(named.unwrap_or_else(|| DEFAULT.into()))
}

/// Whether there is a fleet file by default: one is here, or the environment names one.
pub(super) fn has_default() -> bool {
    let default = default_file();
    default != Path::new(DEFAULT) || default.exists()
}

/// What becomes of a secret whose variable is not set.
#[derive(Clone, Copy)]
pub(super) enum Unset {
    /// It is a problem of the file.
    Refused,
    /// Its value is unknown, and compared with nothing.
    Unknown,
    /// The value of no variable is used, whether it is set or not.
    Ignored,
}

impl Unset {
    /// As `--no-secrets` says.
    pub(super) const fn if_no_secrets(no_secrets: bool) -> Self {
        if no_secrets {
            Self::Unknown
        } else {
            Self::Refused
        }
    }
}

/// A fleet file, read.
pub(super) struct Loaded {
    pub(super) name: String,
    /// Absolute, without links.
    pub(super) folder: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads and checks the fleet files, and prints what is wrong with them.
pub(super) fn read(files: &[PathBuf], options: &FleetOptions, unset: Unset) -> Result<Spec, Exit> {
    check(files, options, unset)?.map_err(|problems| invalid(&problems))
}

/// The same, with what the fleet was read from.
pub(super) fn read_with_source(
    files: &[PathBuf],
    options: &FleetOptions,
    unset: Unset,
) -> Result<(Spec, FleetSource), Exit> {
    let loaded = load_all(files, options)?;
    let (spec, texts) = read_loaded(&loaded, options, unset);
    let spec = spec.map_err(|problems| invalid(&problems))?;
    let source = FleetSource {
        files: loaded.into_iter().map(Loaded::kept).collect(),
        vars: options.var.iter().cloned().collect(),
        texts: FleetSource::kept_texts(&texts),
    };
    Ok((spec, source))
}

/// Prints what is wrong with fleet files.
pub(super) fn invalid(problems: &Problems) -> Exit {
    let colours = terminal::remark_paint() == Paint::Colours;
    terminal::remark_prose(&render_problems(problems, colours));
    Exit::Invalid
}

/// Reads and checks the fleet files; only what keeps them from being read is printed. From here on, nothing that is
/// printed shows what is secret.
pub(super) fn check(
    files: &[PathBuf],
    options: &FleetOptions,
    unset: Unset,
) -> Result<Result<Spec, Problems>, Exit> {
    Ok(read_loaded(&load_all(files, options)?, options, unset).0)
}

fn load_all(files: &[PathBuf], options: &FleetOptions) -> Result<Vec<Loaded>, Exit> {
    let named: Vec<&Path> = files
        .iter()
        .chain(&options.file)
        .map(PathBuf::as_path)
        .collect();
    load_named(&named)
}

/// The fleet files of what was named.
pub(super) fn load_named(named: &[&Path]) -> Result<Vec<Loaded>, Exit> {
    paths(named)?.iter().map(|path| load(path)).collect()
}

fn read_loaded(
    loaded: &[Loaded],
    options: &FleetOptions,
    unset: Unset,
) -> (Result<Spec, Problems>, Texts) {
    let vars = options.var.iter().cloned().collect();
    let files: Vec<FleetFile<'_>> = loaded.iter().map(Loaded::file).collect();
    let texts = texts::read(&files, &vars);
    let given = Given {
        secrets: secrets(texts::environment_of(&files, &texts), unset),
        vars,
        texts: Some(texts.clone()),
    };
    (read_files(&files, &given), texts)
}

/// The fleet files as the user named them.
pub(super) fn named(files: &[PathBuf], options: &FleetOptions) -> Vec<String> {
    let named = files.iter().chain(&options.file);
    let named: Vec<String> = named.map(|path| path.display().to_string()).collect();
    if named.is_empty() {
        return vec![default_file().display().to_string()];
    }
    named
}

/// The fleet files of what was named: for a folder the YAML files in it, in the order of their names.
fn paths(named: &[&Path]) -> Result<Vec<PathBuf>, Exit> {
    let default = default_file();
    let named = match named {
        [] => &[default.as_path()],
        named => named,
    };
    let mut paths = Vec::new();
    for path in named {
        if path.is_dir() {
            paths.extend(in_folder(path)?);
        } else {
            paths.push(path.to_path_buf());
        }
    }
    Ok(paths)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Exit> {
    let entries = folder
        .read_dir()
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(folder, error))?;
    let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.retain(|path| is_fleet_file(path) && !path.is_dir());
    paths.sort();
    if paths.is_empty() {
        let folder = folder.display().to_string();
        terminal::error(
            &NoFleetFile(folder),
            Some("fleet files end in .yaml or .yml"),
        );
        return Err(Exit::Invalid);
    }
    Ok(paths)
}

/// Whether a file in a folder of fleet files is one, by its name.
pub(super) fn is_fleet_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let is_hidden = name.as_encoded_bytes().starts_with(b".");
    let suffix = path.extension();
    let is_yaml = suffix.is_some_and(|suffix| suffix == "yaml" || suffix == "yml");
    is_yaml && !is_hidden
}

/// A file's bytes, and the folder that relative paths in it are beside: of a pipe, the current one.
fn load(path: &Path) -> Result<Loaded, Exit> {
    let read = || {
        let mut bytes = Vec::new();
        if path == Path::new(STDIN) {
            std::io::stdin().take(READ_LIMIT).read_to_end(&mut bytes)?;
            return Ok((bytes, std::env::current_dir()?));
        }
        let file = std::fs::File::open(path)?;
        let is_regular = file.metadata()?.is_file();
        file.take(READ_LIMIT).read_to_end(&mut bytes)?;
        let folder = match is_regular {
            true => path.canonicalize()?.parent().map(Path::to_path_buf),
            false => Some(std::env::current_dir()?),
        };
        Ok((bytes, folder.unwrap_or_else(|| PathBuf::from("/"))))
    };
    let (bytes, folder) = read().map_err(|error| unreadable(path, error))?;
    Ok(Loaded {
        name: path.display().to_string(),
        folder: folder.to_string_lossy().into_owned(),
        bytes,
    })
}

impl Loaded {
    pub(super) fn file(&self) -> FleetFile<'_> {
        FleetFile {
            name: &self.name,
            folder: &self.folder,
            bytes: &self.bytes,
        }
    }

    /// The file as a saved plan has it; one that was read as a fleet file is text.
    fn kept(self) -> KeptFile {
        KeptFile {
            name: self.name,
            folder: self.folder,
            text: String::from_utf8_lossy(&self.bytes).into_owned(),
        }
    }
}

/// The environment variables of these names, as far as they are set. From here on, nothing that is printed shows them.
pub(super) fn secrets(names: BTreeSet<String>, unset: Unset) -> Secrets {
    let set = names.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some((name.clone(), value))
    });
    let set = Secrets::new(set.collect());
    terminal::keep_secret(&set);
    let names = names.iter().cloned();
    match unset {
        Unset::Refused => set,
        Unset::Unknown => set.or_unknown(names),
        Unset::Ignored => Secrets::default().or_unknown(names),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Exit {
    let remedy = (source.kind() == std::io::ErrorKind::NotFound)
        .then_some("name a fleet file, or write fleet.yaml here");
    let path = path.display().to_string();
    terminal::error(&Unreadable { path, source }, remedy);
    Exit::Invalid
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

#[derive(Debug, thiserror::Error)]
#[error("there is no fleet file in {0}")]
struct NoFleetFile(String);
