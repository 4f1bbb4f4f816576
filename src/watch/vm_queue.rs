//! What is to be decided about one VM, in its order.

use super::decide::Heard;
use crate::host::guests::Happening;
use crate::mark::{Moment, RunStamp};
use std::collections::VecDeque;

/// One VM's events, and when to look at it. What was told comes before every look: it says more than can be seen.
#[derive(Debug, Default)]
pub(super) struct VmQueue {
    told: VecDeque<(Happening, Option<RunStamp>)>,
    look: bool,
    due: Option<Moment>,
    /// Nothing is decided before this, since deciding failed.
    pause: Option<Moment>,
}

impl VmQueue {
    /// Something happened, in this run.
    pub(super) fn tell(&mut self, what: Happening, run: Option<RunStamp>) {
        self.told.push_back((what, run));
    }

    /// Something may have been missed.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    /// It is to be looked at again then.
    pub(super) fn again(&mut self, moment: Moment) {
        self.due = Some(moment);
    }

    /// What was to be decided could not be: it is tried once more, not before then.
    pub(super) fn failed(&mut self, heard: Heard, moment: Moment) {
        match heard {
            Heard::Event(what, run) => self.told.push_front((what, run)),
            Heard::Look => self.look = true,
            Heard::Due => self.due = Some(moment),
        }
        self.pause = Some(moment);
    }

    /// When there will be something to decide, if nothing happens before.
    pub(super) fn wakes(&self) -> Option<Moment> {
        self.pause.or(self.due)
    }

    /// Whether there is nothing to decide, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && !self.look && self.due.is_none()
    }

    /// Whether there is something to decide.
    pub(super) fn is_ready(&self, now: Moment) -> bool {
        let paused = self.pause.is_some_and(|moment| now < moment);
        !paused && (!self.told.is_empty() || self.look || self.due.is_some_and(|due| due <= now))
    }

    /// What is to be decided next. Each decision says anew when to look again.
    pub(super) fn next(&mut self, now: Moment) -> Option<Heard> {
        if !self.is_ready(now) {
            return None;
        }
        self.pause = None;
        if let Some((what, run)) = self.told.pop_front() {
            return Some(Heard::Event(what, run));
        }
        if std::mem::take(&mut self.look) {
            return Some(Heard::Look);
        }
        self.due.take_if(|due| *due <= now).map(|_| Heard::Due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_comes_first_and_what_failed_comes_again() {
        let mut queue = VmQueue::default();
        queue.look();
        queue.again(Moment(5));
        queue.tell(Happening::Started, None);
        let told = Heard::Event(Happening::Started, None);
        assert_eq!(queue.next(Moment(0)), Some(told));
        queue.failed(told, Moment(3));
        assert_eq!(
            (queue.next(Moment(2)), queue.wakes()),
            (None, Some(Moment(3)))
        );
        assert_eq!(queue.next(Moment(3)), Some(told));
        assert_eq!(queue.next(Moment(3)), Some(Heard::Look));
        assert_eq!(
            (queue.next(Moment(3)), queue.wakes()),
            (None, Some(Moment(5)))
        );
        assert!(!queue.is_empty());
        assert_eq!(queue.next(Moment(6)), Some(Heard::Due));
        assert!(queue.is_empty() && queue.wakes().is_none());
    }
}
