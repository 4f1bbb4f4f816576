//! State × desired state: what each state of a domain calls for.

use crate::fleet::DesiredState;
use crate::inventory::{Pause, RunState};
use crate::values::VmName;
use std::fmt;

/// What a state calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Calls {
    /// Nothing.
    Nothing,
    /// A start.
    Start,
    /// The end of the stop under way, then a start.
    AwaitThenStart,
    /// A graceful stop.
    Stop,
    /// The end of the stop under way.
    Await,
    /// Nothing, and the user should know.
    Notice(String, String),
    /// A refusal, with the remedy.
    Refuse(String, String),
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Start => "start",
            Self::AwaitThenStart => "wait until off, start",
            Self::Stop => "stop",
            Self::Await => "wait until off",
            Self::Notice(..) => "nothing, and says so",
            Self::Refuse(..) => "refused",
        })
    }
}

/// The table. `image` is one of the domain's, if any is known.
pub(super) fn calls(
    state: RunState,
    desired: DesiredState,
    domain: &str,
    image: Option<&str>,
) -> Calls {
    use DesiredState::{Running, Stopped};
    let resume = || format!("virsh resume {domain}");
    let notice = |what: &str, outlook: String| Calls::Notice(what.to_owned(), outlook);
    let refuse = |why: &str, remedy: String| Calls::Refuse(why.to_owned(), remedy);
    match (state, desired) {
        (RunState::Running, Running) | (RunState::Off, Stopped) => Calls::Nothing,
        (RunState::Off, Running) => Calls::Start,
        (RunState::Running, Stopped) => Calls::Stop,
        (RunState::Stopping, Running) => Calls::AwaitThenStart,
        (RunState::Stopping, Stopped) => Calls::Await,
        (RunState::Paused(Pause::IoError), _) => {
            let image = image.unwrap_or("its images");
            Calls::Refuse(
                format!(
                    "it is paused because a disk could not be written; most often the file system of {image} is full"
                ),
                format!("free space there (df {image}), then {}", resume()),
            )
        }
        (RunState::Paused(Pause::AtWork), Running) => notice(
            "libvirt paused it for an operation of its own",
            "it resumes when that ends".to_owned(),
        ),
        (RunState::Paused(_), Running) => {
            notice("it is paused, and armfleet leaves it so", resume())
        }
        (RunState::Paused(_), Stopped) => {
            refuse("it is paused, so its guest cannot power off", resume())
        }
        (RunState::Sleeping, Running) => notice(
            "its guest suspended itself, and armfleet leaves it so",
            format!("virsh dompmwakeup {domain}"),
        ),
        (RunState::Sleeping, Stopped) => refuse(
            "its guest is suspended and cannot power off",
            format!("virsh dompmwakeup {domain}"),
        ),
        (RunState::Crashed, _) => refuse(
            "its guest crashed, and its process is kept for inspection",
            format!("look at it, then armfleet stop --force {domain}"),
        ),
        (RunState::Unknown(_), _) => refuse(
            "libvirt reports a state that this version of armfleet does not know",
            format!("virsh domstate --reason {domain}"),
        ),
    }
}

/// Both ways on for a domain whose memory was saved, with what each costs.
pub(super) fn without_saved(vm: &VmName) -> String {
    format!(
        "virsh start {vm} resumes it as it was, with the kernel it had; or virsh managedsave-remove {vm}, which loses its memory as a power cut does"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_libvirt_has_an_answer_and_none_is_a_power_cut() {
        for desired in [DesiredState::Running, DesiredState::Stopped] {
            for state in 0..=9 {
                for reason in 0..=20 {
                    let state_now = RunState::read(state, reason);
                    let answer = calls(state_now, desired, "vm", None);
                    let fits = match answer {
                        Calls::Start => !state_now.has_process(),
                        Calls::Stop => state_now.has_process(),
                        _ => true,
                    };
                    assert!(fits, "{state}/{reason}");
                }
            }
        }
    }
}
