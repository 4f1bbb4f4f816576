//! What a declaration says of a map and its keys.

use super::suggest::nearest;
use ValueType::{Entries, List, Named, Nested};

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it says, in whole sentences.
    pub(crate) text: &'static str,
    pub(crate) value_type: ValueType,
    pub(crate) absence: Absence,
    pub(crate) effect: Effect,
    /// A value, on one line.
    pub(crate) example: &'static str,
    /// What people who know other programs write for it.
    pub(crate) also_called: &'static [&'static str],
}

impl Key {
    pub(crate) const fn is_required(&self) -> bool {
        matches!(self.absence, Absence::Error)
    }

    /// Whether the key names its map: then `null` is an error, and not the same as leaving it out.
    pub(crate) fn is_name(&self) -> bool {
        self.name == "name"
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Absence {
    Error,
    /// The same as this value.
    Value(&'static str),
    /// What no value expresses, in words.
    Means(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// When it is applied, also to a VM that runs.
    Now,
    /// When the VM next starts.
    NextBoot,
    /// As this text describes.
    Described(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueType {
    Boolean,
    Whole(u64, u64),
    Word(&'static [&'static str]),
    /// A name, with placeholders.
    Name,
    Size,
    Cpus,
    Mac,
    Sha256,
    Duration,
    /// An absolute path on the VM's host, with placeholders.
    HostPath,
    /// A list of such paths.
    HostPaths,
    /// A path on the VM's host or beside the file, with placeholders.
    Path,
    /// A path in the folder of the fleet file or below it, with placeholders.
    InFolder,
    /// A text of one line, with placeholders.
    Line,
    /// Any text, on any number of lines, which is taken as it is.
    Text,
    /// Any text, number or truth, which is taken as it is.
    Value,
    Nested(&'static Map),
    List(&'static Map),
    /// A map from names or ranges of names to maps with these keys.
    Entries(&'static Map),
    /// A map from names, such as this one, to maps with these keys.
    Named(&'static Map, &'static str),
    /// A map from absolute paths to paths on the VM's host or beside the file, with placeholders.
    Files,
}

impl ValueType {
    pub(crate) const fn map(self) -> Option<&'static Map> {
        match self {
            Nested(map) | List(map) | Entries(map) | Named(map, _) => Some(map),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Map {
    /// What the schema calls it.
    pub(crate) id: &'static str,
    /// The subject of messages about it (`a VM`).
    pub(crate) owner: &'static str,
    /// The label of one of its keys that is given elsewhere.
    pub(crate) place: &'static str,
    /// What its keys are called in full (`boot.`).
    pub(crate) prefix: &'static str,
    /// The label of a `name` among its keys.
    pub(crate) named: Option<&'static str>,
    pub(crate) keys: &'static [Key],
    /// Keys that belong to the language, but that this version does not do.
    pub(crate) planned: &'static [&'static str],
}

impl Map {
    /// This map and all below it, each once, in the order in which they are declared.
    pub(crate) fn all(&'static self) -> Vec<&'static Self> {
        let mut maps = Vec::new();
        self.collect(&mut maps);
        maps
    }

    fn collect(&'static self, maps: &mut Vec<&'static Self>) {
        if maps.iter().any(|known| known.id == self.id) {
            return;
        }
        maps.push(self);
        let below = self.keys.iter().filter_map(|key| key.value_type.map());
        below.for_each(|map| map.collect(maps));
    }

    pub(crate) fn find(&self, written: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == written)
    }

    /// What one looks like: its required keys, or its first where none is.
    pub(crate) fn example(&self) -> String {
        let required: Vec<&Key> = self.keys.iter().filter(|key| key.is_required()).collect();
        let shown = match required.as_slice() {
            [] => &self.keys.iter().take(1).collect(),
            _ => &required,
        };
        let shown = shown
            .iter()
            .map(|key| format!("{}: {}", key.name, key.example));
        format!("`{{ {} }}`", shown.collect::<Vec<_>>().join(", "))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }

    /// The correction of an unknown key, where it can be guessed, in a language that begins with the map `root`.
    pub(crate) fn suggestion(&self, written: &str, root: &'static Self) -> Option<Suggestion> {
        let mut keys = self.keys.iter();
        let other = keys.find(|key| key.also_called.contains(&written));
        other
            .map(|key| Suggestion::Here(key.name))
            .or_else(|| self.elsewhere(written, root).map(Suggestion::Elsewhere))
            .or_else(|| nearest(written, self.names()).map(Suggestion::Here))
    }

    /// The label of a key that is right in another place.
    fn elsewhere(&self, written: &str, root: &'static Self) -> Option<&'static str> {
        if written == "name" {
            return self.named;
        }
        let maps = root.all().into_iter();
        let mut others = maps.filter(|map| map.id != self.id);
        others
            .find(|map| map.find(written).is_some())
            .map(|map| map.place)
    }
}

/// What an unknown key was probably meant as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suggestion {
    Here(&'static str),
    /// A key of another place, with the label that says so.
    Elsewhere(&'static str),
}
