//! What is kept of texts that hold secrets: definitions as plans know them, and keyed digests.

use super::failure::cannot;
use super::folders::PASSAGE;
use super::kept::PRIVATE;
use super::primitives::Primitives;
use super::recorded::recorded;
use super::{Executor, HostError};
use crate::inventory::{Fact, Look, Redaction};
use crate::mark::{Record, read_key, render_key};
use crate::paths;
use crate::values::{HostKey, VmName};
use std::sync::{Arc, Mutex, PoisonError};

impl<P: Primitives> Executor<P> {
    /// What is known of the host's secrets.
    pub(super) fn redaction(&self) -> Option<Arc<Redaction>> {
        let redaction = self.redaction.read();
        redaction.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A domain's definition with templates for its secrets, as plans know it.
    pub(super) fn shown(&self, vm: &VmName, uuid: &str, text: &str) -> String {
        let redaction = self.redaction().unwrap_or_else(|| {
            let record = recorded(self.calls(), vm);
            Arc::new(record.map_or_else(
                |_| Redaction::default(),
                |record| Redaction::of_record(&record),
            ))
        });
        redaction.definition(vm.as_str(), uuid, text)
    }

    /// Puts the digest of the applied command line into a record, if that has secrets. Where the plan has one, that of an
    /// earlier apply stays, as `present` has it: the record that is there.
    pub(super) fn note_cmdline(
        &self,
        record: &mut Record,
        present: Option<&Record>,
    ) -> Result<(), HostError> {
        let Some(cmdline) = record.applied.cmdline().map(str::to_owned) else {
            return Ok(());
        };
        if record.secret_cmdlines.is_empty() {
            return Ok(());
        }
        if record.cmdline_digest.is_some() {
            let present = present.ok_or_else(|| HostError::plain("its record is gone"))?;
            record.keep_cmdline(present);
            return Ok(());
        }
        let redaction = self.redaction().unwrap_or_default();
        let filled = redaction.secrets().filled(&cmdline);
        record.cmdline_digest = Some(self.keyed_digest(&filled)?);
        Ok(())
    }

    /// The digest of a text that may hold secrets, by the host's key. Plans compare it with
    /// [`Redaction::keyed_digest`].
    pub(super) fn keyed_digest(&self, text: &str) -> Result<String, HostError> {
        Ok(self.key()?.digest(text))
    }

    /// The key of this host's digests. It is made when it is needed first.
    fn key(&self) -> Result<HostKey, HostError> {
        // Steps run side by side, and what one digests the next is to find by the same key.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = paths::KEY;
        let unusable = |why| Err(HostError::plain(format!("{path} cannot be used: {why}")));
        let remedy = |error: HostError| error.with_remedy(format!("mv {path} {path}.old"));
        match self.calls().look(path, Look::Text) {
            Fact::Present(file) => {
                if let Some(why) = file.not_roots().or(file.no_text) {
                    return unusable(why).map_err(remedy);
                }
                match read_key(file.text.unwrap_or_default().as_bytes()) {
                    Ok(Some(key)) => Ok(key),
                    Ok(None) => unusable("it has no key".to_owned()).map_err(remedy),
                    Err(error) => unusable(error.to_string()).map_err(remedy),
                }
            }
            Fact::Absent => {
                let key = HostKey::new(
                    self.calls()
                        .random()
                        .map_err(cannot("make a key".to_owned()))?,
                );
                self.ensure_folder(paths::STATE, PASSAGE)?;
                self.keep(path, PRIVATE, render_key(&key))?;
                Ok(key)
            }
            Fact::NotObserved => unusable("it was not looked at".to_owned()),
            Fact::Unreadable(why) => unusable(why),
        }
    }
}
