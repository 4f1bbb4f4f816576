//! What is to be judged about one VM, in its order.

use super::judge::Heard;
use crate::host::guests::Happening;
use crate::mark::{Moment, RunStamp};
use std::collections::VecDeque;

/// One VM's events, and when to look at it. What was told comes before every look: it says more than can be seen.
#[derive(Debug, Default)]
pub(super) struct Lane {
    told: VecDeque<(Happening, Option<RunStamp>)>,
    look: bool,
    due: Option<Moment>,
    /// Nothing is judged before this, since judging failed.
    pause: Option<Moment>,
}

impl Lane {
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

    /// What was to be judged could not be: once more, not before then.
    pub(super) fn failed(&mut self, heard: Heard, moment: Moment) {
        match heard {
            Heard::Event(what, run) => self.told.push_front((what, run)),
            Heard::Look => self.look = true,
            Heard::Due => self.due = Some(moment),
        }
        self.pause = Some(moment);
    }

    /// When there will be something to judge, if nothing happens before.
    pub(super) fn wakes(&self) -> Option<Moment> {
        self.pause.or(self.due)
    }

    /// Whether there is nothing to judge, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && !self.look && self.due.is_none()
    }

    /// Whether there is something to judge.
    pub(super) fn is_ready(&self, now: Moment) -> bool {
        let paused = self.pause.is_some_and(|moment| now < moment);
        !paused && (!self.told.is_empty() || self.look || self.due.is_some_and(|due| due <= now))
    }

    /// What is to be judged next. Each judgement says anew when to look again.
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
        let mut lane = Lane::default();
        lane.look();
        lane.again(Moment(5));
        lane.tell(Happening::Started, None);
        let told = Heard::Event(Happening::Started, None);
        assert_eq!(lane.next(Moment(0)), Some(told));
        lane.failed(told, Moment(3));
        assert_eq!(
            (lane.next(Moment(2)), lane.wakes()),
            (None, Some(Moment(3)))
        );
        assert_eq!(lane.next(Moment(3)), Some(told));
        assert_eq!(lane.next(Moment(3)), Some(Heard::Look));
        assert_eq!(
            (lane.next(Moment(3)), lane.wakes()),
            (None, Some(Moment(5)))
        );
        assert!(!lane.is_empty());
        assert_eq!(lane.next(Moment(6)), Some(Heard::Due));
        assert!(lane.is_empty() && lane.wakes().is_none());
    }
}
