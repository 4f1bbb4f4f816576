//! Signals, heard on a thread of their own: whatever the rest of the process waits for, it can be ended.

use super::exit::Exit;
use super::terminal;
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Calls `first` when one of these signals comes, and `second` when another does, after which the process ends as
/// interrupted. A third one ends it without a message, in case the messages of `second` block.
pub(super) fn on_signals(
    numbers: &'static [i32],
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) -> Result<(), Exit> {
    let unheard = |error: std::io::Error| {
        terminal::error(&NoSignals(error), None);
        Exit::Failed
    };
    let last = Arc::new(AtomicBool::new(false));
    // Before the signals are listened to: the one that arms this must not be the one that finds it armed.
    for number in numbers {
        register_conditional_shutdown(*number, Exit::Interrupted.code().into(), Arc::clone(&last))
            .map_err(unheard)?;
    }
    let mut signals = Signals::new(numbers).map_err(unheard)?;
    let listen = move || {
        let mut heard = signals.forever();
        if heard.next().is_some() {
            first();
        }
        if heard.next().is_some() {
            last.store(true, Ordering::SeqCst);
            second();
            process::exit(Exit::Interrupted.code().into());
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(listen).map(drop).map_err(unheard)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals")]
struct NoSignals(#[source] std::io::Error);
