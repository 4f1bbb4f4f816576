//! A host whose every primitive call is seen before it is made, and may be stopped there: to record what was called, to let
//! a call fail, or to let a process end.

use super::primitives::{Answer, Call, CallError, Change, Primitives, Read, Reads};
use crate::mark::Moment;
use crate::values::HostKey;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sees calls, and may stop them.
pub trait Intercept: Send + Sync {
    /// Sees one call before it is made.
    ///
    /// # Errors
    /// The call is not made, and fails with this.
    fn before(&self, call: Call<'_>) -> Result<(), CallError>;

    /// Sees one call after it was made.
    ///
    /// # Errors
    /// The call was made, and its caller gets this for an answer.
    fn after(&self, _: Call<'_>) -> Result<(), CallError> {
        Ok(())
    }
}

impl<I: Intercept> Intercept for &I {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        (*self).before(call)
    }

    fn after(&self, call: Call<'_>) -> Result<(), CallError> {
        (*self).after(call)
    }
}

/// A host whose calls are intercepted.
pub struct Intercepted<P, I> {
    /// The host.
    pub calls: P,
    /// Who sees them.
    pub by: I,
}

/// Records calls.
#[derive(Debug, Default)]
pub struct Recording(Mutex<Vec<Recorded>>);

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recorded {
    /// Its name and what it was made on.
    pub call: String,
    /// Whether it changes anything.
    pub changes: bool,
}

/// Lets one call fail, and no other.
#[derive(Debug)]
pub struct Failing {
    call: String,
    /// How many times it is still to succeed.
    left: AtomicUsize,
    /// Whether it is made, and only its answer is lost.
    made: bool,
}

/// Lets every call from the n-th on fail, as for a process that is killed there.
#[derive(Debug)]
pub struct Killed {
    at: usize,
    seen: AtomicUsize,
}

impl Recording {
    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The calls so far that change something.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| call.changes);
        calls.map(|call| call.call).collect()
    }
}

impl Intercept for Recording {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        let recorded = Recorded {
            call: call.to_string(),
            changes: call.changes,
        };
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(recorded);
        Ok(())
    }
}

impl Failing {
    /// Lets a call, as a [`Recording`] has it, fail once, after it has succeeded so many times. Counting equal calls only
    /// makes it the same one whatever else is done meanwhile.
    pub fn new(call: impl Into<String>, successes: usize) -> Self {
        Self {
            call: call.into(),
            left: AtomicUsize::new(successes),
            made: false,
        }
    }

    /// The same, but the call is made: only its answer is lost.
    pub fn answer(call: impl Into<String>, successes: usize) -> Self {
        Self {
            made: true,
            ..Self::new(call, successes)
        }
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        // Counting on below zero wraps, and no call is made so often.
        self.left.load(Ordering::SeqCst) > usize::MAX / 2
    }

    fn see(&self, call: Call<'_>, made: bool) -> Result<(), CallError> {
        let is_it = self.made == made && call.to_string() == self.call;
        if is_it && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(CallError::other(format!("{call} fails")));
        }
        Ok(())
    }
}

impl Intercept for Failing {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        self.see(call, false)
    }

    fn after(&self, call: Call<'_>) -> Result<(), CallError> {
        self.see(call, true)
    }
}

impl Killed {
    /// Lets this call, counted from 0, and all after it fail.
    #[must_use]
    pub fn at(at: usize) -> Self {
        Self {
            at,
            seen: AtomicUsize::new(0),
        }
    }

    /// Whether a call has failed.
    pub fn is_dead(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > self.at
    }
}

impl Intercept for Killed {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        if self.seen.fetch_add(1, Ordering::SeqCst) < self.at {
            return Ok(());
        }
        Err(CallError::other(format!("{call}: killed")))
    }
}

impl<P, I: Intercept> Intercepted<P, I> {
    /// Makes a call of the host below.
    ///
    /// # Errors
    /// As the call fails, or is let fail.
    pub fn make<T>(
        &self,
        call: Call<'_>,
        make: impl FnOnce(&P) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.by.before(call)?;
        let answer = make(&self.calls);
        self.by.after(call)?;
        answer
    }
}

impl<P: Reads, I: Intercept> Reads for Intercepted<P, I> {
    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        self.make(call.seen(), |calls| calls.read(call))
    }

    fn now(&self) -> u64 {
        self.calls.now()
    }
}

impl<P: Primitives, I: Intercept> Primitives for Intercepted<P, I> {
    fn change(&self, call: Change<'_>) -> Result<Answer, CallError> {
        self.make(call.seen(), |calls| calls.change(call))
    }

    fn user(&self) -> String {
        self.calls.user()
    }

    fn boots_at_once(&self) -> usize {
        self.calls.boots_at_once()
    }

    fn random(&self) -> Result<[u8; HostKey::LENGTH], CallError> {
        self.calls.random()
    }

    fn pause(&self, time: Duration) {
        self.calls.pause(time);
    }

    fn moment(&self) -> Moment {
        self.calls.moment()
    }
}
