//! The trail: the journal of what was done, and what domains were before it.

use super::failure::cannot;
use super::folders::PASSAGE;
use super::kept::PRIVATE;
use super::primitives::Primitives;
use super::{Executor, HostError, Traces};
use crate::inventory::{Fact, Look, digest};
use crate::mark::{Entry, Event, Kept, render_entry};
use crate::paths;
use crate::values::{Uuid, VmName};

/// A journal of this size is put aside when the next apply begins.
const JOURNAL_LIMIT: u64 = 4 << 20;

impl<P: Primitives> Executor<P> {
    /// Adds a line to the journal.
    pub(super) fn write_journal(&self, mut event: Event) -> Result<(), HostError> {
        self.ensure_folder(paths::STATE, PASSAGE)?;
        if let Event::Began(beginning) = &mut event {
            beginning.from = self.caller.from.clone();
            self.put_aside()?;
        }
        let entry = Entry {
            at: self.calls().now(),
            by: self.calls().user(),
            event,
        };
        self.keep_line(paths::JOURNAL, render_entry(&entry))
    }

    /// Makes room for a new journal if this one is large; the oldest goes.
    fn put_aside(&self) -> Result<(), HostError> {
        let seen = self.calls().look(paths::JOURNAL, Look::Stat);
        let size = seen.present().map_or(0, |file| file.stat.size);
        if size < JOURNAL_LIMIT {
            return Ok(());
        }
        // From the oldest on: wherever this is cut short, none is lost but that one.
        for age in (0..paths::OLDER_JOURNALS).rev() {
            let (from, to) = (
                paths::older_journal(age),
                paths::older_journal(age.saturating_add(1)),
            );
            if self.calls().look(&from, Look::Stat).present().is_some() {
                self.calls()
                    .rename_file(&from, &to)
                    .map_err(cannot(format!("rename {from}")))?;
            }
        }
        Ok(())
    }

    /// Keeps what a domain is before it is changed: as everybody sees it, and as root does.
    pub(super) fn keep_before(&self, vm: &VmName, shown: &str, whole: &str) -> Traces {
        let mut traces = Traces::default();
        match self.keep_definition(vm, shown, shown == whole) {
            Ok(kept) => traces.before = Some(kept),
            Err(error) => traces.warnings.push(error),
        }
        traces
    }

    /// Keeps what has become of a definition that was kept before.
    pub(super) fn keep_after(&self, vm: &VmName, uuid: &Uuid, traces: &mut Traces) {
        let Some(whole) = traces.before.as_ref().map(|before| before.whole) else {
            return;
        };
        let seen = self
            .calls()
            .domain(uuid.as_str())
            .map_err(cannot(format!("read domain {vm}")));
        let kept = seen.and_then(|domain| match domain.inactive {
            Fact::Present(text) => {
                let shown = self.shown(vm, uuid.as_str(), &text);
                self.keep_definition(vm, &shown, whole && shown == text)
            }
            _ => Err(HostError::plain(format!("cannot read domain {vm}"))),
        });
        match kept {
            Ok(kept) => traces.after = Some(kept),
            Err(error) => traces.warnings.push(error),
        }
    }

    /// Keeps a definition without what is secret in it.
    fn keep_definition(&self, vm: &VmName, shown: &str, whole: bool) -> Result<Kept, HostError> {
        let text = self.redacted(shown);
        let kept = Kept {
            sha256: digest(&text),
            whole: whole && text == shown,
            templates: true,
        };
        let (folder, path) = (paths::history(vm), paths::kept_definition(vm, &kept.sha256));
        if self.calls().look(&path, Look::Stat).present().is_none() {
            self.ensure_folder(paths::STATE, PASSAGE)?;
            self.ensure_folder(paths::HISTORY, 0o700)?;
            self.ensure_folder(&folder, 0o700)?;
            self.keep(&path, PRIVATE, Ok(text))?;
        }
        Ok(kept)
    }
}
