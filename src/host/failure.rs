//! What is said when a call fails.

use super::HostError;
use super::primitives::{CallError, CallErrorKind};

/// What to say when a call fails.
pub(super) fn cannot(doing: String) -> impl FnOnce(CallError) -> HostError {
    move |error| {
        let remedy = match error.kind {
            CallErrorKind::Unanswered => Some("apply again once libvirt answers: virsh list"),
            _ => error.remedy(),
        };
        let failed = HostError::new(format!("cannot {doing}"), error);
        match remedy {
            Some(remedy) => failed.with_remedy(remedy),
            None => failed,
        }
    }
}

/// A lock that was not taken: only one that is held says that another process is at work.
pub(super) fn not_locked(
    error: CallError,
    held: impl FnOnce() -> String,
    doing: impl FnOnce() -> String,
) -> HostError {
    match error.kind {
        CallErrorKind::Locked => HostError::new(held(), error).with_remedy("apply again"),
        _ => cannot(doing())(error),
    }
}

/// The step rests on something that has changed since it was planned.
pub(super) fn stale(what: impl std::fmt::Display) -> HostError {
    HostError::plain(format!("{what} changed since it was planned")).with_remedy("apply again")
}
