//! What an apply says while it is at work, and how it hears of an interruption.

use super::exit::Exit;
use super::signals::on_signals;
use super::terminal;
use crate::engine::{Interruption, Monitor};
use crate::host::waits::Wait;
use crate::plan::Ended;
use crate::plan::{Act, Step};
use crate::report::{Paint, render_begin, render_step};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the journal may take to get what is known when an apply leaves at once.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many VMs are named in one line about waits that are alike.
const NAMED: usize = 4;
/// From so many steps on, an apply counts them.
const COUNTED: usize = 10;
/// How long an apply has been at work before it says how long the rest may take.
const FORESEEN: Duration = Duration::from_secs(10);

/// Tells how steps end, and hears of an interruption.
pub(super) struct Progress {
    shared: Arc<Mutex<Shared>>,
    /// Only a terminal gets progress; failures and waits everybody gets.
    on_terminal: bool,
    paint: Paint,
}

/// What the thread that hears signals knows, too.
struct Shared {
    interruption: Interruption,
    under_way: BTreeSet<String>,
    count: Count,
    /// What completes what was left.
    again: String,
}

/// How many steps have ended, of how many.
struct Count {
    ended: usize,
    all: usize,
    since: Instant,
}

impl Progress {
    /// Of a command with so many steps, which begins now, and what completes it where it is left. From now on, an interruption
    /// is heard.
    pub(super) fn new(steps: usize, again: impl Into<String>) -> Result<Self, Exit> {
        let shared = Arc::new(Mutex::new(Shared {
            interruption: Interruption::None,
            under_way: BTreeSet::new(),
            count: Count {
                ended: 0,
                all: steps,
                since: Instant::now(),
            },
            again: again.into(),
        }));
        let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
        on_signals(
            &[SIGINT, SIGTERM],
            move || finish(&first),
            move || leave(&second),
        )?;
        Ok(Self {
            shared,
            on_terminal: terminal::shows_remarks(),
            paint: terminal::remark_paint(),
        })
    }

    /// Prints something about the progress.
    pub(super) fn on_terminal(&self, text: &str) {
        if self.on_terminal {
            terminal::remark(text);
        }
    }

    /// How to print results.
    pub(super) fn paint(&self) -> Paint {
        terminal::paint()
    }

    /// Whether the user interrupted it.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interruption() != Interruption::None
    }
}

impl Count {
    /// How far it is, and how long the rest takes if that goes on as it went so far.
    fn in_words(&self, elapsed: Duration) -> Option<String> {
        let Self { ended, all, .. } = *self;
        let left = all.saturating_sub(ended);
        if all < COUNTED {
            return None;
        }
        let count = format!("{ended} of {all}");
        if elapsed < FORESEEN || left == 0 {
            return Some(count);
        }
        let rest = elapsed.as_secs_f64() * left as f64 / ended.max(1) as f64;
        Some(match (rest / 60.0).round() {
            ..1.0 => format!("{count}, less than a minute left"),
            minutes => format!("{count}, about {minutes} min left"),
        })
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish(shared: &Mutex<Shared>) {
    lock(shared).interruption = Interruption::Finish;
    terminal::remark(
        "interrupted: finishing the steps under way; interrupt again to leave at once\n",
    );
}

fn leave(shared: &Mutex<Shared>) {
    let (under_way, again) = {
        let mut shared = lock(shared);
        shared.interruption = Interruption::Leave;
        (shared.under_way.clone(), shared.again.clone())
    };
    thread::sleep(LAST_WORDS);
    let mut text = "interrupted again: left at once\n".to_owned();
    for step in under_way {
        text += &format!("  {step}: outcome unknown\n");
    }
    terminal::remark(&format!("{text}  -> {again}\n"));
}

/// Whether a step takes long enough to be announced.
fn waits(act: &Act) -> bool {
    matches!(
        act,
        Act::Start { .. } | Act::Stop { .. } | Act::AwaitOff { .. } | Act::PowerOff { .. }
    )
}

fn name(step: &Step) -> String {
    format!("{} {}", step.act.kind(), step.subject())
}

/// Waits that are alike, as one of all their VMs.
fn folded(waits: &[Wait]) -> Vec<Wait> {
    let mut alike: BTreeMap<_, Vec<&Wait>> = BTreeMap::new();
    for wait in waits {
        let key = (&wait.what, wait.limit, wait.already.as_secs());
        alike.entry(key).or_default().push(wait);
    }
    let fold = |waits: Vec<&Wait>| {
        let names: Vec<&str> = waits
            .iter()
            .filter_map(|wait| wait.subject.as_deref())
            .collect();
        let (named, others) = names.split_at(names.len().min(NAMED));
        let subject = match others.len() {
            0 => named.join(", "),
            count => format!("{} and {count} more", named.join(", ")),
        };
        waits.first().map(|wait| Wait {
            subject: Some(subject),
            ..Wait::clone(wait)
        })
    };
    alike.into_values().filter_map(fold).collect()
}

impl Monitor for Progress {
    fn begins(&self, step: &Step) {
        tracing::debug!(step = %step.id, "begins");
        lock(&self.shared).under_way.insert(name(step));
        if self.on_terminal && waits(&step.act) {
            terminal::remark(&render_begin(step));
        }
    }

    fn ended(&self, step: &Step, ended: &Ended) {
        let mut shared = lock(&self.shared);
        shared.under_way.remove(&name(step));
        shared.count.ended += 1;
        let count = shared.count.in_words(shared.count.since.elapsed());
        drop(shared);
        let line = render_step(step, ended, self.paint);
        match (ended, count) {
            (Ended::Done, Some(count)) if self.on_terminal => {
                terminal::remark(&format!("{}  ({count})\n", line.trim_end()));
            }
            (Ended::Failed(_), _) => terminal::remark(&line),
            _ => self.on_terminal(&line),
        }
    }

    fn waits(&self, waits: &[Wait]) {
        for wait in folded(waits) {
            say(&wait);
        }
    }

    fn interruption(&self) -> Interruption {
        lock(&self.shared).interruption
    }
}

/// Says that something is waited for.
pub(super) fn say(wait: &Wait) {
    terminal::remark(&format!("  {wait}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(vm: &str, limit: u64) -> Wait {
        Wait {
            subject: Some(vm.to_owned()),
            what: "waiting for its guest to power off".to_owned(),
            already: Duration::from_secs(10),
            limit: Duration::from_secs(limit),
            causes: Vec::new(),
        }
    }

    #[test]
    fn many_steps_are_counted_and_the_rest_is_estimated() {
        let in_words = |ended, all, seconds| {
            let since = Instant::now();
            let count = Count { ended, all, since };
            count.in_words(Duration::from_secs(seconds))
        };
        assert_eq!(in_words(3, 9, 100), None);
        let cases = [
            ((1, 200, 9), "1 of 200"),
            ((17, 200, 34), "17 of 200, about 6 min left"),
            ((190, 200, 400), "190 of 200, less than a minute left"),
            ((200, 200, 400), "200 of 200"),
        ];
        for ((ended, all, seconds), text) in cases {
            assert_eq!(in_words(ended, all, seconds).as_deref(), Some(text));
        }
    }

    #[test]
    fn waits_that_are_alike_are_one_line() {
        let names = ["obs-1", "obs-2", "obs-3", "obs-4", "obs-5", "obs-6"];
        let mut waits: Vec<Wait> = names.map(|vm| wait(vm, 120)).into();
        waits.push(wait("slow", 300));
        let lines: Vec<String> = folded(&waits).iter().map(Wait::to_string).collect();
        assert_eq!(
            lines,
            [
                "obs-1, obs-2, obs-3, obs-4 and 2 more: waiting for its guest to power off, 10 s of 2 min",
                "slow: waiting for its guest to power off, 10 s of 5 min",
            ]
        );
    }
}
