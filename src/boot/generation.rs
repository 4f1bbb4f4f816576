//! A generation, as people see it.

use super::note::GenerationId;
use super::trial::Trial;
use serde::Serialize;

/// One generation of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Its name.
    pub id: GenerationId,
    /// What is known of it.
    #[serde(flatten)]
    pub trial: Trial,
    /// Whether its files are there; of a failed one only the memory may be left.
    pub staged: bool,
    /// Whether the last start booted it.
    pub current: bool,
    /// Whether the one that was current before is this.
    pub previous: bool,
    /// Whether the next start boots it because the user chose it.
    pub wanted: bool,
}
