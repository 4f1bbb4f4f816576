//! What a fleet was read from, kept so that it can be read again: with every check, and with secrets of its own time.

use super::file::{Given, Spec};
use super::read::{environment, read_files};
use super::texts::Texts;
use crate::problem::Problems;
use crate::values::{HostPath, Secrets};
use crate::yaml::FleetFile;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The files of a fleet, and the variables that were given to them. Secrets are in neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSource {
    /// The files, in the order in which they were given.
    pub files: Vec<KeptFile>,
    /// The values of variables, by name.
    pub vars: BTreeMap<String, String>,
    /// Which files the texts were read from that the fleet files name. The texts themselves may hold secrets, and are read
    /// again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<HostPath, String>,
}

/// A fleet file that could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptFile {
    /// What the user called it.
    pub name: String,
    /// The absolute path of the folder that it was in.
    pub folder: String,
    /// What it held.
    pub text: String,
}

impl FleetSource {
    /// The names of the environment variables that the files ask for.
    #[must_use]
    pub fn environment(&self) -> BTreeSet<String> {
        let names = |file: &KeptFile| environment(file.text.as_bytes());
        self.files.iter().flat_map(names).collect()
    }

    /// The files as they were.
    #[must_use]
    pub fn files(&self) -> Vec<FleetFile<'_>> {
        let files = self.files.iter().map(|kept| FleetFile {
            name: &kept.name,
            folder: &kept.folder,
            bytes: kept.text.as_bytes(),
        });
        files.collect()
    }

    /// What is kept of texts.
    #[must_use]
    pub fn kept_texts(texts: &Texts) -> BTreeMap<HostPath, String> {
        let kept = texts
            .iter()
            .filter_map(|(path, text)| Some((path.clone(), text.identity.clone()?)));
        kept.collect()
    }

    /// Reads and checks the files as if they had just been found.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(&self, secrets: Secrets, texts: Option<Texts>) -> Result<Spec, Problems> {
        let vars = self.vars.clone();
        let given = Given {
            vars,
            secrets,
            texts,
        };
        read_files(&self.files(), &given)
    }

    /// The same where no secret is known: each `{env.NAME}` stands for itself.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn read_templates(&self) -> Result<Spec, Problems> {
        self.read(Secrets::default().or_unknown(self.environment()), None)
    }
}
