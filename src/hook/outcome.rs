//! What libvirt is told.

use crate::values::VmName;

/// Whether the VM may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has a kernel to boot, or is none of armfleet's VMs.
    Done,
    /// It has none.
    Refused,
}

/// The answer to libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the VM may start.
    pub verdict: Verdict,
    /// What happened, for standard error: libvirt quotes it when the start is refused.
    pub text: String,
}

impl Outcome {
    pub(super) fn done<'a>(vm: &VmName, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let text = lines
            .into_iter()
            .map(|line| format!("armfleet: {vm}: {line}\n"));
        Self {
            verdict: Verdict::Done,
            text: text.collect(),
        }
    }

    pub(super) fn nothing() -> Self {
        Self {
            verdict: Verdict::Done,
            text: String::new(),
        }
    }

    pub(super) fn refused<'a>(
        vm: &VmName,
        why: &str,
        lines: impl IntoIterator<Item = &'a str>,
        remedy: &str,
    ) -> Self {
        let lines: String = lines
            .into_iter()
            .map(|line| format!("  {line}\n"))
            .collect();
        Self {
            verdict: Verdict::Refused,
            text: format!("armfleet: {vm} cannot start: {why}\n{lines}To do: {remedy}\n"),
        }
    }
}
