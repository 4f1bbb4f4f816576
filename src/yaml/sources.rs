//! The files that a fleet is read from. Positions count through all of them, so that one number says file and place.

use super::document;
use super::node::Node;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind, Source};
use std::ops::Range;

/// The most bytes of all files of a fleet.
const FILES_LIMIT: usize = 4 << 20;

/// A fleet file as it was found.
#[derive(Debug, Clone, Copy)]
pub struct FleetFile<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// The absolute path of the folder that it is in, without links: a relative path in the file is beside the file.
    pub folder: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
pub(crate) struct Sources {
    /// The fleet files, and after them the texts that they name.
    pub(crate) all: Vec<Source>,
    fleet_files: usize,
}

impl Sources {
    /// `texts` are files that fleet files name, and which hold no YAML of theirs.
    pub(crate) fn new<'a>(
        files: &[FleetFile<'a>],
        texts: impl Iterator<Item = FleetFile<'a>>,
    ) -> Self {
        let mut start = 0;
        let place = |(number, file): (usize, FleetFile<'_>)| {
            let source = Source {
                name: file.name.to_owned(),
                folder: file.folder.to_owned(),
                bytes: file.bytes.to_owned(),
                start,
                private: number >= files.len(),
            };
            // The end of a file is a place of its own.
            start += file.bytes.len() + 1;
            source
        };
        let all = files.iter().copied().chain(texts).enumerate();
        Self {
            all: all.map(place).collect(),
            fleet_files: files.len(),
        }
    }

    /// The text of this number, and the position that its first byte counts as.
    pub(crate) fn text_file(&self, number: usize) -> Option<(&[u8], usize)> {
        let source = self.all.get(self.fleet_files + number)?;
        Some((&source.bytes, source.start))
    }

    /// The values of all files that can be read as YAML; fails unless all can.
    pub(crate) fn read(&self, found: &Diagnostics) -> Checked<Vec<Node>> {
        let read = |source: &Source| {
            let start = source.start;
            if start + source.bytes.len() > FILES_LIMIT {
                let message =
                    format!("with this file, the fleet has more than {FILES_LIMIT} bytes");
                let problem = Problem::new(ProblemKind::FileTooLarge, &(start..start), message);
                return Err(problem.report(found));
            }
            document::read(&source.bytes, start, found)
        };
        let files = self.all.iter().take(self.fleet_files);
        let nodes: Vec<_> = files.map(read).collect();
        nodes.into_iter().collect()
    }

    pub(crate) fn folder(&self, at: usize) -> &str {
        Source::at(&self.all, at).map_or("/", |(_, source)| &source.folder)
    }

    pub(crate) fn text(&self, range: &Range<usize>) -> &str {
        let text = Source::at(&self.all, range.start).and_then(|(_, source)| {
            let place = range.start - source.start..range.end - source.start;
            let bytes = source.bytes.get(place)?;
            std::str::from_utf8(bytes).ok()
        });
        text.unwrap_or_default()
    }

    /// The places of parts of a value, if the value stands in its file as it is; otherwise all of it for each.
    pub(crate) fn parts(
        &self,
        node: &Node,
        written: &str,
    ) -> impl Fn(&Range<usize>) -> Range<usize> {
        let whole = node.range.clone();
        let at = self.text(&whole).find(written);
        move |part| match at.map(|at| whole.start + at) {
            Some(start) => start + part.start..start + part.end,
            None => whole.clone(),
        }
    }
}
