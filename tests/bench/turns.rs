//! Things to measure, by turns.

use std::time::Instant;

/// One thing to measure, and what has to be done before, which is not measured.
pub(super) struct Turn<'a> {
    before: Box<dyn Fn() + 'a>,
    work: Box<dyn Fn() + 'a>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(work: impl Fn() + 'a) -> Self {
        Self::after(|| (), work)
    }

    pub(super) fn after(before: impl Fn() + 'a, work: impl Fn() + 'a) -> Self {
        Self {
            before: Box::new(before),
            work: Box::new(work),
        }
    }

    fn milliseconds(&self) -> f64 {
        (self.before)();
        let began = Instant::now();
        (self.work)();
        began.elapsed().as_secs_f64() * 1000.0
    }
}

/// The median of each, in milliseconds, of so many rounds in which each has its turn.
pub(super) fn medians<const N: usize>(rounds: usize, turns: [Turn<'_>; N]) -> [f64; N] {
    let mut took: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for (took, turn) in took.iter_mut().zip(&turns) {
            took.push(turn.milliseconds());
        }
    }
    took.map(|mut took| {
        took.sort_by(f64::total_cmp);
        took[took.len() / 2]
    })
}
