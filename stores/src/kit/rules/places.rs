//! The places of a limit key: how many runs of all jobs with it may be running at once, which are, and which jobs wait.
//!
//! ```text
//! settle  job 7 starts run 3 at fence 5 → a place for (7, 3, 5), then the run is written as running
//! record  run 3 ends                    → the end is written, then the place is free, and the first job that waits is due
//! settle  job 8, no place               → job 8 waits, and is due again after a while
//! ```
//!
//! A place is taken before its run is written and given back after the end is, so that a crash between two writes leaves a place too
//! many, never one too few. Whether a place is still needed shows in the record of its job ([`Held::is_needed`]), and once it is not,
//! it never is again: the run is running under the fence of its claim, or the claim of that fence holds, under which it may yet be
//! written. So a key that seems full is looked through before a job has to wait.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::{
    LimitKey, NodeId, RunState, Uid,
    store::{KeyLimit, Move, Waits},
};
use serde::{Deserialize, Serialize};

use super::{Head, Runs};

/// How long a job waits at least before it looks for a place by itself, and at most: it waits as long again as it has waited.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(1);
const LAST_LOOK: TimeDelta = TimeDelta::seconds(60);

/// The most places that are noted when a key is given a limit: every database takes a record of so many.
const COUNTED_LIMIT: usize = 2 * KeyLimit::HIGHEST as usize;

/// What is kept of a limit key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Places {
    /// The key.
    pub key: LimitKey,
    /// The limit; without one, nothing is noted.
    #[serde(default)]
    limit: Option<NonZeroU32>,
    /// Whether the runs are still to be counted that were running, or about to start, when the key was given a limit.
    #[serde(default)]
    is_to_be_counted: bool,
    #[serde(default)]
    held: Vec<Held>,
    /// The jobs that wait, by since when they have been due.
    #[serde(default)]
    waiting: Vec<Waiter>,
}

/// A place that is taken: by a run of a job, under the fence of a claim. Its number is 0 if it was only known that the job is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held(pub Uid, pub u64, pub u64);

/// A job that waits, and since when it has been due, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Waiter(i64, Uid);

/// What becomes of a move that needs places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// It has them, or needs none.
    Places,
    /// There are too few.
    None {
        /// Whether that is news.
        waits: Waits,
        /// Since when the job has been due, if it is among those that are noted.
        since: Option<DateTime<Utc>>,
    },
}

impl Held {
    /// Whether the place is needed, as its job is. Of a job that is gone it is not.
    pub fn is_needed(&self, head: &Head, runs: &impl Runs) -> bool {
        let Self(_, _, fence) = *self;
        // A job that was read before the claim was written says nothing of that.
        let may_start = head.fence < fence || head.fence == fence && head.claim.is_some();
        may_start || runs.open().any(|run| run.state == RunState::Running && run.fence == fence)
    }

    fn is_of(&self, uid: Uid, fence: u64) -> bool {
        (self.0, self.2) == (uid, fence)
    }
}

impl Places {
    /// A key without a limit.
    pub fn new(key: LimitKey) -> Self {
        Self { key, limit: None, is_to_be_counted: false, held: Vec::new(), waiting: Vec::new() }
    }

    /// The limit, and how far it is used.
    pub fn shown(&self) -> Option<KeyLimit> {
        let limit = KeyLimit::new(self.key.clone(), self.limit?);
        Some(limit.with_running(self.held.len()).with_waiting(self.waiting.len()))
    }

    /// Whether nothing has to be known of the key.
    pub fn is_unlimited(&self) -> bool {
        self.limit.is_none()
    }

    /// Whether the runs are to be counted that were there before the limit.
    pub fn is_to_be_counted(&self) -> bool {
        self.is_to_be_counted
    }

    /// Sets the limit, or takes it away. With the first one, the places that are taken already are to be [counted](Self::count).
    pub fn set_limit(&mut self, limit: Option<NonZeroU32>) {
        match limit {
            Some(_) => self.is_to_be_counted |= self.limit.is_none(),
            None => (self.is_to_be_counted, self.held) = (false, Vec::new()),
        }
        self.limit = limit;
    }

    /// Notes the places that are taken, those that were there before the limit. If those are very many, they are counted once more
    /// when the next job looks for a place, and no run starts until then.
    pub fn count(&mut self, taken: Vec<Held>) {
        if taken.len() > COUNTED_LIMIT {
            return;
        }
        for held in taken {
            // One that was noted when it started, or counted as a claim, is the same.
            if !self.held.iter().any(|known| known.is_of(held.0, held.2)) {
                self.held.push(held);
            }
        }
        self.is_to_be_counted = false;
    }

    /// The jobs whose runs have places.
    pub fn holders(&self) -> impl Iterator<Item = Uid> {
        self.held.iter().map(|held| held.0)
    }

    /// Keeps those places that are needed.
    pub fn retain(&mut self, is_needed: impl Fn(&Held) -> bool) {
        self.held.retain(is_needed);
    }

    /// How many places are free.
    fn free(&self) -> usize {
        let limit = self.limit.map_or(usize::MAX, |limit| limit.get() as usize);
        if self.is_to_be_counted { 0 } else { limit.saturating_sub(self.held.len()) }
    }

    /// Whether the move finds places, without which it has to wait. One that has them, by an earlier sending, does.
    pub fn has_room_for(&self, to: &Move) -> bool {
        let missing = self.missing(to).count();
        // What was counted as a claim is one of them, and has no place yet: the limit may be lower than what was there before it.
        let is_counted = self.held.contains(&Held(to.uid, 0, to.fence));
        let taken = self.held.len().saturating_sub(usize::from(is_counted));
        let limit = self.limit.map_or(usize::MAX, |limit| limit.get() as usize);
        missing == 0 || !self.is_to_be_counted && missing <= limit.saturating_sub(taken)
    }

    /// The places that the move needs and has not.
    fn missing(&self, to: &Move) -> impl Iterator<Item = Held> {
        to.starts().map(|seq| Held(to.uid, seq, to.fence)).filter(|held| !self.held.contains(held))
    }

    /// Takes places for the runs that a move starts, or lets its job wait, which has been due since then.
    pub fn take(&mut self, to: &Move, due: DateTime<Utc>) -> Granted {
        if self.limit.is_none() {
            return Granted::Places;
        }
        if self.has_room_for(to) {
            let missing: Vec<Held> = self.missing(to).collect();
            // What was counted as a claim is one of them.
            self.held.retain(|held| *held != Held(to.uid, 0, to.fence));
            self.held.extend(missing);
            self.waiting.retain(|waiter| waiter.1 != to.uid);
            return Granted::Places;
        }
        let was_waiting = self.waiting.iter().any(|waiter| waiter.1 == to.uid);
        if !was_waiting {
            let waiter = Waiter(due.timestamp_micros(), to.uid);
            let at = self.waiting.partition_point(|other| *other < waiter);
            self.waiting.insert(at, waiter);
            self.waiting.truncate(KeyLimit::WAITING_LIMIT);
        }
        let since = self.waiting.iter().find(|waiter| waiter.1 == to.uid).map(|waiter| time(waiter.0));
        Granted::None { waits: if was_waiting { Waits::GoOn } else { Waits::Begin }, since }
    }

    /// Gives back the places of a run, or of the claim as which it was counted.
    pub fn give_back(&mut self, run: Held) {
        self.held.retain(|held| !(held.is_of(run.0, run.2) && (held.1 == run.1 || held.1 == 0)));
    }

    /// Whether jobs wait though there is room.
    pub fn has_room_for_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.free() > 0
    }

    /// Takes out the first jobs that wait, so many as there are free places for, with the time since when they have been due.
    pub fn next_waiting(&mut self, woken: usize) -> Vec<(Uid, DateTime<Utc>)> {
        let count = self.free().saturating_sub(woken).min(self.waiting.len());
        let next = self.waiting.drain(..count);
        next.map(|Waiter(due, uid)| (uid, time(due))).collect()
    }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}

impl Head {
    /// Whether a move can be applied: the claim behind it holds, and nothing has touched the job since.
    pub fn can_move(&self, to: &Move, owner: &NodeId) -> bool {
        let is_claimed = self.claim.as_ref().is_some_and(|claim| claim.owner == *owner);
        self.revision == to.revision && self.fence == to.fence && is_claimed
    }

    /// Gives up the claim of a job that finds no place for what it was to start: it waits, and looks again after a while, which is as
    /// long as it has waited.
    pub fn wait_for_place(&mut self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let waited = since.map_or(LAST_LOOK, |since| now.signed_duration_since(since));
        let pause = waited.clamp(FIRST_LOOK, LAST_LOOK).to_std().unwrap_or(Duration::ZERO);
        // A sending of the move that is still on its way must not be applied any more.
        self.fence = super::grown(self.fence);
        self.claim = None;
        // There has been a place since the claim, or a run of the job has ended.
        self.due = Some(if self.claim_is_stale { now } else { super::lease_end(now, pause) });
        self.keep_quarantined_undue();
    }

    /// Makes a job that waits for a place due, since there is one. Says whether it can take it at all.
    pub fn wake_for_place(&mut self, since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let can_run = self.state.is_live() && self.due.is_some();
        if can_run {
            // What has been decided from the claim does not know of the place.
            self.claim_is_stale |= self.claim.is_some();
            self.make_due(since.min(now));
        }
        can_run
    }
}

#[cfg(test)]
mod tests {
    use scheduler_core::{
        Run, RunId,
        store::{Move, RunChange},
    };
    use serde_json::json;

    use super::{
        super::{ClaimMark, lease_end},
        *,
    };
    use crate::kit::runs::LoadedRuns;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn run(uid: u128, fence: u64, state: RunState) -> Run {
        Run { fence, ..Run::new(RunId { uid: Uid(uid), seq: 1 }, at(0), state) }
    }

    /// A move of a job that starts its first run.
    fn start(uid: u128) -> Move {
        let to = json!({
            "uid": Uid(uid), "revision": 0, "fence": 5, "state": "Active", "next_fire_time": null, "due": null, "blocked": false,
            "runs": [RunChange::Insert(run(uid, 0, RunState::Running))], "limit_key": "key",
        });
        serde_json::from_value(to).unwrap()
    }

    fn places(limit: u32) -> Places {
        let mut places = Places::new("key".into());
        places.set_limit(NonZeroU32::new(limit));
        places.count(Vec::new());
        places
    }

    #[test]
    fn a_place_is_needed_while_its_run_may_yet_be_written_or_is_running() {
        let held = Held(Uid(1), 1, 5);
        let is_needed = |fence: u64, is_claimed: bool, running: Option<u64>| {
            let claim = ClaimMark { owner: "node".into(), until: at(9) };
            let head = Head { fence, claim: is_claimed.then_some(claim), ..Head::active(None, None) };
            let mut runs = LoadedRuns::default();
            running.into_iter().for_each(|fence| drop(runs.open.insert(run(1, fence, RunState::Running))));
            held.is_needed(&head, &runs)
        };
        assert!(is_needed(4, false, None), "it was read before the claim");
        assert!(is_needed(5, true, None), "it is claimed");
        assert!(!is_needed(5, false, None), "the claim was voided");
        assert!(is_needed(6, false, Some(5)), "its run is running");
        assert!(!is_needed(6, false, None) && !is_needed(7, true, Some(7)), "it is another claim's");
    }

    #[test]
    fn places_are_taken_once_and_those_that_wait_come_by_when_they_were_due() {
        let mut places = places(1);
        for _ in 0..2 {
            assert_eq!(places.take(&start(1), at(1)), Granted::Places);
        }
        let none = |waits, since| Granted::None { waits, since: Some(at(since)) };
        assert_eq!(places.take(&start(2), at(3)), none(Waits::Begin, 3));
        assert_eq!(places.take(&start(3), at(2)), none(Waits::Begin, 2));
        assert_eq!(places.take(&start(2), at(30)), none(Waits::GoOn, 3), "what it was due at first counts");
        assert_eq!(places.next_waiting(0), []);
        places.give_back(Held(Uid(1), 1, 5));
        assert_eq!(places.next_waiting(1), [], "one has been woken already");
        assert_eq!(places.next_waiting(0), [(Uid(3), at(2))]);
        let kept: Places = serde_json::from_value(serde_json::to_value(&places).unwrap()).unwrap();
        assert_eq!(kept, places);
    }

    #[test]
    fn what_was_there_before_the_limit_is_counted_and_very_many_are_counted_again_later() {
        let mut places = Places::new("key".into());
        assert_eq!(places.take(&start(1), at(1)), Granted::Places);
        places.set_limit(NonZeroU32::new(2));
        assert!(!places.has_room_for(&start(1)), "nothing starts before they are counted");
        places.count((0..3_000).map(|uid| Held(Uid(uid), 1, 5)).collect());
        assert!(places.is_to_be_counted() && !places.has_room_for(&start(1)));
        places.count(vec![Held(Uid(7), 1, 5), Held(Uid(7), 0, 5)]);
        assert!(places.has_room_for(&start(1)), "a claim and its run are one");
        places.count(vec![Held(Uid(1), 0, 5), Held(Uid(8), 1, 5)]);
        assert!(!places.has_room_for(&start(1)), "it was about to start, and the limit is lower");
        places.give_back(Held(Uid(8), 1, 5));
        assert_eq!((places.take(&start(1), at(0)), places.free()), (Granted::Places, 0));
    }

    #[test]
    fn a_job_looks_again_after_as_long_as_it_has_waited() {
        let mut head = Head::active(None, Some(at(0)));
        for (waited, pause) in [(0, 1), (7, 7), (600, 60)] {
            head.wait_for_place(Some(at(1_000 - waited)), at(1_000));
            assert_eq!(head.due, Some(lease_end(at(1_000), Duration::from_secs(pause))));
        }
        head.claim_is_stale = true;
        head.wait_for_place(Some(at(0)), at(1_000));
        assert_eq!(head.due, Some(at(1_000)), "there has been a place meanwhile");
    }
}
