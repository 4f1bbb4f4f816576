//! The texts that fleet files name, from their places.

use crate::files::{BesideError, read_beside};
use crate::fleet::{
    FleetFile, NamedText, TEXT_LIMIT, TEXTS_LIMIT, Text, TextError, Texts, environment, texts_named,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

/// Reads them, each once. Those that cannot be read say why.
pub(super) fn read(files: &[FleetFile<'_>], vars: &BTreeMap<String, String>) -> Texts {
    read_by(files, vars, |named| text(named, files))
}

/// The same by whoever knows where they are.
pub(super) fn read_by(
    files: &[FleetFile<'_>],
    vars: &BTreeMap<String, String>,
    read: impl Fn(&NamedText) -> Text,
) -> Texts {
    let mut left = TEXTS_LIMIT;
    let named = texts_named(files, vars).into_iter();
    let texts = named.map(|named| {
        let mut text = read(&named);
        let length = text.content.as_ref().map_or(0, Vec::len);
        match left.checked_sub(length) {
            Some(after) => left = after,
            None => text.content = Err(TextError::TooMany),
        }
        (named.path, text)
    });
    texts.collect()
}

/// The names of the environment variables that fleet files and their texts ask for.
pub(super) fn environment_of(files: &[FleetFile<'_>], texts: &Texts) -> BTreeSet<String> {
    let files = files.iter().map(|file| file.bytes);
    let texts = texts.values().flat_map(|text| &text.content);
    files
        .chain(texts.map(Vec::as_slice))
        .flat_map(environment)
        .collect()
}

/// Reads one of them.
pub(super) fn text(named: &NamedText, files: &[FleetFile<'_>]) -> Text {
    let folder = named.folder.trim_end_matches('/');
    let path = named.path.as_str();
    let inside = path
        .strip_prefix(folder)
        .unwrap_or(path)
        .trim_start_matches('/');
    let read = read_beside(Path::new(&named.folder), inside, TEXT_LIMIT);
    let (content, identity) = match read {
        Ok((bytes, file)) => {
            let (mtime, ctime) = (file.mtime, file.ctime);
            let times = format!("{}.{:09} {}.{:09}", mtime.0, mtime.1, ctime.0, ctime.1);
            let identity = format!("{}:{} {} {times}", file.dev, file.ino, file.size);
            (Ok(bytes), Some(identity))
        }
        Err(error) => (Err(described(error)), None),
    };
    Text {
        name: name_of(named, inside, files),
        content,
        identity,
    }
}

/// As the user would call it, who calls the fleet file as it was called.
fn name_of(named: &NamedText, inside: &str, files: &[FleetFile<'_>]) -> String {
    let file = files.iter().find(|file| file.folder == named.folder);
    let beside = file.and_then(|file| Path::new(file.name).parent());
    let beside = beside.unwrap_or(Path::new(&named.folder));
    beside.join(inside).display().to_string()
}

fn described(error: BesideError) -> TextError {
    match error {
        BesideError::Outside => TextError::Outside,
        BesideError::TooLarge => TextError::TooLarge,
        BesideError::NotPlain(_) => TextError::NotPlain,
        BesideError::Io(error) if error.kind() == ErrorKind::NotFound => TextError::Absent,
        BesideError::Io(error) => TextError::Unreadable(error.to_string()),
    }
}
