//! Who watches an apply, and may end it before its time.

use crate::host::waits::Wait;
use crate::plan::{Ended, Step};

/// Sees what happens while steps are performed.
pub trait Monitor: Sync {
    /// A step begins.
    fn begins(&self, step: &Step);
    /// A step has ended.
    fn ended(&self, step: &Step, ended: &Ended);
    /// Waits that have become worth a line: each after ten seconds, and again from time to time.
    fn waits(&self, _: &[Wait]) {}
    /// Whether the user interrupted it.
    fn interruption(&self) -> Interruption;
}

/// Sees nothing and never interrupts.
impl Monitor for () {
    fn begins(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {}
    fn interruption(&self) -> Interruption {
        Interruption::None
    }
}

/// How an apply is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It is not.
    None,
    /// The steps under way are finished, and no others are begun.
    Finish,
    /// At once: the process is about to end, and what steps under way come to will not be seen.
    Leave,
}
