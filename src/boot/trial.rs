//! Trials: whether the pairs that a guest installed prove themselves, and which of them are not booted again.
//!
//! Everything is decided at the next start, from what the run before left behind: stamps of libvirt's hook, and what the
//! guest itself wrote into its share. No watcher needs to have run.

use super::KernelVersion;
use super::note::{GenerationId, Identity, PairNote, PairSource};
use crate::format::{Format, FormatError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a `trials.json` says it is.
pub const TRIALS_FORMAT: Format = Format::new("armfleet-trials", 64 << 10);
/// After so many unproved runs a pair has failed.
pub const STRIKES: u32 = 3;
/// A run of this length proves its pair, unless the guest has to confirm it itself.
pub const PROVING_TIME: Duration = Duration::from_secs(600);
/// How many failed pairs are remembered; the share rarely holds more than three.
const FAILED_KEPT: usize = 16;

/// The file in the share by which a guest says that it has come up: kernel version and boot id.
pub const CONFIRMATION: &str = "armfleet-confirmed";
/// The file in the share by which an installation says that it is complete: written last, and with it the pair counts.
pub const INSTALLED: &str = "armfleet-installed";

/// What is known about the pairs that a VM was started with: the file `trials.json` beside its generations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// Each pair's trial.
    pub pairs: BTreeMap<GenerationId, Trial>,
    /// The pair that worked last: it boots in place of a failed one.
    pub proved: Option<GenerationId>,
    /// The last start, until it is known how its run went.
    pub last: Option<LastStart>,
    /// The boot that the guest confirmed last; a copy of an old confirmation proves nothing.
    pub boot_id: Option<String>,
}

/// One pair on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its kernel's version, if that is known.
    pub version: Option<KernelVersion>,
    /// What made it the pair to boot.
    pub source: PairSource,
    /// The kernel's file when its bytes were last seen.
    pub kernel: Identity,
    /// The initrd's file when its bytes were last seen.
    pub initrd: Identity,
    /// How it stands.
    pub standing: Standing,
}

/// How a pair stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Not proved yet.
    OnTrial {
        /// How many of its runs ended without a proof.
        strikes: u32,
    },
    /// It works.
    Proved(Proof),
    /// It is not booted again until its bytes change or the user chooses it.
    Failed(Failure),
}

/// Why a pair is believed to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The guest said so.
    Guest,
    /// It ran for [`PROVING_TIME`].
    Uptime,
}

/// Why a pair is believed not to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// [`STRIKES`] of its runs ended without a proof.
    Strikes,
    /// It ran for so many seconds, which is `boot.confirm_within`, and its guest said nothing.
    Silent(u64),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strikes => write!(f, "{STRIKES} starts without a sign of life"),
            Self::Silent(seconds) => {
                let time = crate::values::render_duration(Duration::from_secs(*seconds));
                write!(f, "no sign of life within {time}")
            }
        }
    }
}

/// A start whose run is not decided on yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastStart {
    /// The pair.
    pub id: GenerationId,
    /// The guest's confirmation as it lay in the share before.
    pub before: Option<Identity>,
    /// Whether the user chose this very pair: then its failing does not count.
    pub asked_for: bool,
}

/// What a run left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How long it took.
    pub ran: Ran,
    /// Whether its guest shut it down, or an operator destroyed it: neither says anything about the kernel.
    pub was_ended: bool,
    /// The confirmation in the share, if there is one that can be read.
    pub confirmation: Option<(Identity, Confirmation)>,
}

/// How long a VM ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ran {
    /// QEMU did not come up: that says nothing about the kernel.
    #[default]
    NotAtAll,
    /// Its end was not seen: the host went down with it, or it runs still.
    Unknown,
    /// So long.
    For(Duration),
}

impl Ran {
    /// Reads the stamps that the shim leaves when a VM has started and when it has stopped: the host's uptime, as
    /// `/proc/uptime` begins.
    #[must_use]
    pub fn between(started: Option<&str>, stopped: Option<&str>) -> Self {
        let Some(started) = started else {
            return Self::NotAtAll;
        };
        let ran = read_uptime(started).zip(stopped.and_then(read_uptime));
        // A stop before the start is of another uptime of the host.
        ran.and_then(|(started, stopped)| stopped.checked_sub(started))
            .map_or(Self::Unknown, Self::For)
    }
}

/// Whether libvirt's log of a VM ends with an operator's `virsh destroy`, as libvirt writes it before it calls the hook for
/// the VM's end (`qemuProcessStop` in `qemu_process.c`). QEMU writes there, too: a VM can deceive this about its own kernel.
#[must_use]
pub fn ends_destroyed(log: &str) -> bool {
    let mut lines = log.lines().rev();
    let is_turn =
        |line: &&str| line.contains(": shutting down, ") || line.contains(": starting up ");
    lines
        .find(is_turn)
        .is_some_and(|line| line.ends_with("reason=destroyed"))
}

/// The time since the host came up, as `/proc/uptime` begins.
#[must_use]
pub fn read_uptime(text: &str) -> Option<Duration> {
    let seconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What a guest says of itself once it has come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Its kernel, as `uname -r` has it.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl Confirmation {
    /// Reads the guest's file. The guest owns every byte of it; what is not a confirmation is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (kernel, boot_id) = (words.next()?, words.next()?);
        let is_id = boot_id.len() == 36
            && boot_id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_kernel = kernel.bytes().all(|byte| byte.is_ascii_graphic());
        (is_id && is_kernel && words.next().is_none()).then(|| Self {
            kernel: kernel.to_owned(),
            boot_id: boot_id.to_owned(),
        })
    }
}

/// What deciding on a run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialOutcome {
    /// A pair proved itself for the first time.
    Proved(String, Proof),
    /// A run ended without a proof: the n-th.
    Strike(String, u32),
    /// A pair failed.
    Failed(String, Failure),
}

impl fmt::Display for TrialOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(what, Proof::Guest) => write!(f, "{what} works: its guest confirmed it"),
            Self::Proved(what, Proof::Uptime) => {
                let time = crate::values::render_duration(PROVING_TIME);
                write!(f, "{what} works: it ran for {time}")
            }
            Self::Strike(what, count) => {
                write!(f, "{what} gave no sign of life: {count} of {STRIKES}")
            }
            Self::Failed(what, why) => write!(f, "{what} failed: {why}"),
        }
    }
}

impl Trials {
    /// Reads the text of a `trials.json`.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn read(text: &[u8]) -> Result<Self, FormatError> {
        TRIALS_FORMAT.read(text)
    }

    /// The text of a `trials.json`, ending in a newline.
    ///
    /// # Errors
    /// None in practice: every part of it can be written as JSON.
    pub fn render(&self) -> Result<String, FormatError> {
        TRIALS_FORMAT.render(self)
    }

    /// Decides on the last run, once. `within` is `boot.confirm_within`: with it only the guest's word counts.
    pub fn decide(
        &mut self,
        evidence: &Evidence,
        within: Option<Duration>,
    ) -> Option<TrialOutcome> {
        let last = self.last.take()?;
        let said = self.said_so(&last, evidence);
        if let Some(boot_id) = &said {
            self.boot_id = Some(boot_id.clone());
        }
        let what = self.name_of(&last.id);
        let gives_way = self.proved.as_ref().is_some_and(|id| *id != last.id);
        let trial = self.pairs.get_mut(&last.id)?;
        let proof = match (said, evidence.ran, within) {
            (Some(_), ..) => Some(Proof::Guest),
            (None, Ran::For(time), None) if time >= PROVING_TIME => Some(Proof::Uptime),
            _ => None,
        };
        if let Some(proof) = proof {
            self.proved = Some(last.id);
            let known = matches!(trial.standing, Standing::Proved(_));
            trial.standing = Standing::Proved(proof);
            return (!known).then_some(TrialOutcome::Proved(what, proof));
        }
        let (Standing::OnTrial { strikes }, Ran::For(time)) = (&trial.standing, evidence.ran)
        else {
            return None;
        };
        let overdue = within.filter(|within| time >= *within);
        if last.asked_for || (evidence.was_ended && overdue.is_none()) {
            return None;
        }
        let strikes = strikes.saturating_add(1).min(STRIKES);
        let failure = match overdue {
            Some(within) => Some(Failure::Silent(within.as_secs())),
            None => (strikes >= STRIKES).then_some(Failure::Strikes),
        };
        // Without a pair that works there is nothing to boot instead.
        match failure.filter(|_| gives_way) {
            Some(failure) => {
                trial.standing = Standing::Failed(failure);
                Some(TrialOutcome::Failed(what, failure))
            }
            None => {
                trial.standing = Standing::OnTrial { strikes };
                Some(TrialOutcome::Strike(what, strikes))
            }
        }
    }

    /// The boot id, if the guest of the last run has confirmed it.
    fn said_so(&self, last: &LastStart, evidence: &Evidence) -> Option<String> {
        let (identity, said) = evidence.confirmation.as_ref()?;
        let version = self.pairs.get(&last.id)?.version.as_ref();
        let fits = version.is_none_or(|version| version.may_be(&said.kernel));
        let new = last.before != Some(*identity) && self.boot_id.as_ref() != Some(&said.boot_id);
        (fits && new).then(|| said.boot_id.clone())
    }

    /// What a start would decide if the run under way ended now: its guest's word counts when it is there.
    #[must_use]
    pub fn heard(&self, confirmation: Option<(Identity, Confirmation)>) -> Self {
        let evidence = Evidence {
            ran: Ran::Unknown,
            confirmation,
            ..Evidence::default()
        };
        let mut heard = self.clone();
        heard.decide(&evidence, None);
        heard
    }

    /// Begins the trial of the pair that is about to be booted. `before` is the guest's confirmation as it lies in the
    /// share now.
    pub fn begin(
        &mut self,
        id: &GenerationId,
        note: &PairNote,
        before: Option<Identity>,
        asked_for: bool,
    ) {
        let trial = self.pairs.entry(id.clone()).or_insert_with(|| Trial {
            version: note.version.clone(),
            source: note.source,
            kernel: note.kernel.from.file,
            initrd: note.initrd.from.file,
            standing: Standing::OnTrial { strikes: 0 },
        });
        // A seed has a version once its guest has installed the same bytes.
        trial.version = note.version.clone().or(trial.version.take());
        trial.source = note.source;
        (trial.kernel, trial.initrd) = (note.kernel.from.file, note.initrd.from.file);
        self.last = Some(LastStart {
            id: id.clone(),
            before,
            asked_for,
        });
    }

    /// Why a pair is not to be booted.
    #[must_use]
    pub fn failure(&self, id: &GenerationId) -> Option<Failure> {
        match self.pairs.get(id)?.standing {
            Standing::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The failed pair whose bytes these files held when they were last read.
    #[must_use]
    pub fn failed_files(&self, kernel: &Identity, initrd: &Identity) -> Option<&GenerationId> {
        self.pairs
            .iter()
            .find(|(id, trial)| {
                (&trial.kernel, &trial.initrd) == (kernel, initrd) && self.failure(id).is_some()
            })
            .map(|(id, _)| id)
    }

    /// Remembers that files hold a failed pair's bytes, so that they are not copied again to find that out.
    pub fn seen_again(&mut self, id: &GenerationId, kernel: Identity, initrd: Identity) {
        if let Some(trial) = self.pairs.get_mut(id) {
            (trial.kernel, trial.initrd) = (kernel, initrd);
        }
    }

    /// Gives every failed pair another chance; tells which there were.
    pub fn retry(&mut self) -> Vec<GenerationId> {
        let mut retried = Vec::new();
        for (id, trial) in &mut self.pairs {
            if matches!(trial.standing, Standing::Failed(_)) {
                trial.standing = Standing::OnTrial { strikes: 0 };
                retried.push(id.clone());
            }
        }
        retried
    }

    /// Forgets pairs that are neither kept nor failed.
    pub fn retain(&mut self, kept: &[GenerationId]) {
        let mut failed = 0;
        self.pairs.retain(|id, trial| {
            let remembered = matches!(trial.standing, Standing::Failed(_));
            failed += usize::from(remembered);
            kept.contains(id) || (remembered && failed <= FAILED_KEPT)
        });
    }

    /// A pair as people know it.
    #[must_use]
    pub fn name_of(&self, id: &GenerationId) -> String {
        let version = self.pairs.get(id).and_then(|trial| trial.version.as_ref());
        version.map_or_else(|| format!("generation {id}"), ToString::to_string)
    }
}

#[cfg(test)]
mod tests;
