//! The files that a fleet is read from. Positions count through all of them, so that one number says file and place.

use super::document::{self, FILES_LIMIT};
use super::node::Node;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind, Source};
use std::ops::Range;

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

/// All files, each with the position that its first byte counts as.
#[derive(Debug)]
pub(crate) struct Sources<'a>(Vec<(usize, FleetFile<'a>)>);

impl<'a> Sources<'a> {
    pub(crate) fn new(files: &[FleetFile<'a>]) -> Self {
        let mut start = 0;
        let place = |file: &FleetFile<'a>| {
            let placed = (start, *file);
            // The end of a file is a place of its own.
            start += file.bytes.len() + 1;
            placed
        };
        Self(files.iter().map(place).collect())
    }

    /// The values of all files that can be read as YAML; fails unless all can.
    pub(crate) fn read(&self, found: &Diagnostics) -> Checked<Vec<Node>> {
        let read = |(start, file): &(usize, FleetFile<'_>)| {
            if start + file.bytes.len() > FILES_LIMIT {
                let message =
                    format!("with this file, the fleet has more than {FILES_LIMIT} bytes");
                let place = *start..*start;
                let problem = Problem::new(ProblemKind::FileTooLarge, &place, message);
                return Err(problem.report(found));
            }
            let text = document::decode(file.bytes, *start, found)?;
            document::read(text, *start, found)
        };
        let nodes: Vec<_> = self.0.iter().map(read).collect();
        nodes.into_iter().collect()
    }

    pub(crate) fn folder(&self, at: usize) -> &'a str {
        self.file(at).map_or("/", |(_, file)| file.folder)
    }

    pub(crate) fn text(&self, range: &Range<usize>) -> &'a str {
        let text = self.file(range.start).and_then(|(start, file)| {
            let bytes = file.bytes.get(range.start - start..range.end - start)?;
            std::str::from_utf8(bytes).ok()
        });
        text.unwrap_or_default()
    }

    /// The place of a part of a value, if the value stands in its file as it is; otherwise all of it.
    pub(crate) fn part(&self, node: &Node, written: &str, part: &Range<usize>) -> Range<usize> {
        self.verbatim(node, written).map_or_else(
            || node.range.clone(),
            |start| start + part.start..start + part.end,
        )
    }

    /// Where a value's text begins, if it stands in its file as it is.
    pub(crate) fn verbatim(&self, node: &Node, written: &str) -> Option<usize> {
        let at = self.text(&node.range).find(written)?;
        Some(node.range.start + at)
    }

    /// The same for those who show problems.
    pub(crate) fn owned(&self) -> Vec<Source> {
        let owned = self.0.iter().map(|(start, file)| Source {
            name: file.name.to_owned(),
            bytes: file.bytes.to_owned(),
            start: *start,
        });
        owned.collect()
    }

    fn file(&self, at: usize) -> Option<(usize, &FleetFile<'a>)> {
        let number = self
            .0
            .partition_point(|(start, _)| *start <= at)
            .checked_sub(1)?;
        self.0.get(number).map(|(start, file)| (*start, file))
    }
}
