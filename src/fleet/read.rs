//! From the bytes of fleet files to what is wanted.

use super::file::{FILE, Given, Spec, spec};
use super::texts::{NamedText, TextReader};
use crate::fleetfile::environment_names;
use crate::problem::{Diagnostics, Problems};
use crate::values::Secrets;
use crate::yaml::{FleetFile, Node, Sources, Value, unite};
use std::collections::{BTreeMap, BTreeSet};

/// The key that declares variables.
const VARS: &str = "vars";

/// Reads one fleet file, to which nothing is given.
///
/// `file_name` is what the user calls it, and `folder` the absolute path of the folder that it is in, without links.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read_fleet(bytes: &[u8], file_name: &str, folder: &str) -> Result<Spec, Problems> {
    let file = FleetFile {
        name: file_name,
        folder,
        bytes,
    };
    read_files(&[file], &Given::default())
}

/// Reads the files of a fleet: `fleet` is in one of them; the other maps may each be written in several, an entry in one.
///
/// Nothing is looked up anywhere: the same bytes always give the same.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn read_files(files: &[FleetFile<'_>], given: &Given) -> Result<Spec, Problems> {
    read_with(files, given, &TextReader::new(given.texts.as_ref()))
}

fn read_with(
    files: &[FleetFile<'_>],
    given: &Given,
    texts: &TextReader<'_>,
) -> Result<Spec, Problems> {
    let sources = Sources::new(files, texts.files());
    let found = Diagnostics::new(given.secrets.clone());
    let spec = sources
        .read(&found)
        .and_then(|files| unite(files, &sections(), &found))
        .and_then(|root| spec(&root, &sources, given, texts, &found));
    found.outcome(spec, sources.all)
}

/// The files beside fleet files whose texts belong to the fleet, as far as the fleet files can be read: what is given to
/// [`read_files`] as [`Given::texts`].
#[must_use]
pub fn texts_named(
    files: &[FleetFile<'_>],
    vars: &BTreeMap<String, String>,
) -> BTreeSet<NamedText> {
    const KEY: &[u8] = b"cloud_init";
    let names_some = |file: &FleetFile<'_>| file.bytes.windows(KEY.len()).any(|part| part == KEY);
    if !files.iter().any(names_some) {
        return BTreeSet::new();
    }
    let environment = files.iter().flat_map(|file| environment(file.bytes));
    let given = Given {
        vars: vars.clone(),
        secrets: Secrets::default().or_unknown(environment),
        texts: None,
    };
    let texts = TextReader::new(None);
    // What is wrong with them is said when they are read with the texts.
    let _ = read_with(files, &given, &texts);
    texts.named()
}

/// The variables that fleet files declare, as far as the files can be read.
#[must_use]
pub fn vars_declared(files: &[FleetFile<'_>]) -> BTreeSet<String> {
    let sources = Sources::new(files, std::iter::empty());
    let found = Diagnostics::new(Secrets::default());
    let root = sources.read(&found);
    let root = root.and_then(|files| unite(files, &sections(), &found));
    let Ok(Value::Map(sections)) = root.map(|root| root.value) else {
        return BTreeSet::new();
    };
    let named = |node: &Node| match &node.value {
        Value::Scalar(text, _) => Some(text.clone()),
        _ => None,
    };
    let vars = sections
        .iter()
        .filter(|(key, _)| named(key).as_deref() == Some(VARS));
    let entries = vars.filter_map(|(_, value)| match &value.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    });
    let names = entries.flat_map(|entries| entries.iter().filter_map(|(key, _)| named(key)));
    names.collect()
}

/// The keys of the file that hold maps, or will in a later version.
fn sections() -> Vec<&'static str> {
    let maps = FILE
        .keys
        .iter()
        .filter(|key| key.value_type.map().is_some());
    let names = maps.map(|key| key.name);
    names.chain(FILE.planned.iter().copied()).collect()
}

/// The names of the environment variables that a fleet file asks for, with `{env.NAME}`.
#[must_use]
pub fn environment(bytes: &[u8]) -> BTreeSet<String> {
    let names = std::str::from_utf8(bytes).map(environment_names);
    names.into_iter().flatten().map(str::to_owned).collect()
}
