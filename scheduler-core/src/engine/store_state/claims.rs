//! When the next claim is sent, and what the last one took.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    link::{FIRST_PAUSE, LONGEST_PAUSE},
    survey::Survey,
    takeover::Takeover,
};
use crate::{
    JobId, Now, Outdated, Uid,
    engine::by_id::ById,
    engine::effect::{Wake, WakeReason},
    store::{Claim, Claimed, ClaimedJob},
};

/// How long claims yield to conflict retries at the most, so that changes without an end keep no job from running.
const LONGEST_YIELD: Duration = Duration::from_secs(1);

/// What a node claims from a store, and when.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Claims {
    pub(in crate::engine) is_in_flight: bool,
    pub(in crate::engine) alarm: Alarm,
    /// The time by the store, while claims leave due jobs out, up to which they have taken those that became due meanwhile.
    pub(in crate::engine) recent_since: Option<DateTime<Utc>>,
    pub(in crate::engine) conflict_retries: ConflictRetries,
    /// Jobs that this node has claimed and is settling.
    pub(in crate::engine) settling: ById<Uid, Box<Settling>>,
    pub(in crate::engine) takeover: Takeover,
    /// When claims ask for the jobs that this node declines.
    pub(in crate::engine) survey: Survey,
    /// Jobs that this node has declined, and how often.
    declined: BTreeMap<JobId, u32>,
}

/// When to claim next.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Alarm {
    /// By the store's clock.
    pub(in crate::engine) at: Option<DateTime<Utc>>,
    /// What has become known while a claim was in flight, whose answer may not tell of it.
    pub(in crate::engine) known_meanwhile: Option<DateTime<Utc>>,
    /// Claims back off: none is sent before this, even if `at` has passed.
    pub(in crate::engine) not_before: Duration,
    /// Not before the engine has been told of something else, since planning has taken it for long enough.
    pub(in crate::engine) waits_its_turn: bool,
    pub(in crate::engine) pause: Duration,
    /// Whether jobs have been changed, here or elsewhere, since the last claim that led to nothing though something was due.
    pub(in crate::engine) are_jobs_changed: bool,
}

/// Changes of jobs that lost the race against another change or a claim, and are tried again. While there are any, this node
/// does not claim: each claim raises the fence, so that a job that fires faster than its store answers would make each retry
/// fail.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::engine) struct ConflictRetries {
    /// How many are on their way.
    pub(in crate::engine) count: u32,
    /// Since when there have been some without a break.
    since: Option<Duration>,
}

/// A job that has been claimed, until the store has confirmed where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Settling {
    pub(in crate::engine) claimed: ClaimedJob,
    /// What was wrong with the fire time that it leaves behind.
    pub(in crate::engine) outdated: Option<Outdated>,
}

impl Claims {
    pub(in crate::engine) fn new() -> Self {
        Self {
            is_in_flight: false,
            alarm: Alarm {
                at: Some(DateTime::<Utc>::MIN_UTC),
                known_meanwhile: None,
                not_before: Duration::ZERO,
                waits_its_turn: false,
                pause: FIRST_PAUSE,
                are_jobs_changed: false,
            },
            recent_since: None,
            conflict_retries: ConflictRetries::default(),
            settling: ById::default(),
            takeover: Takeover::default(),
            survey: Survey::default(),
            declined: BTreeMap::new(),
        }
    }

    /// Notes how far a claim has come. While a backlog is left, the next claims take first what has become due since, so that jobs
    /// that are on time do not wait for it.
    pub(in crate::engine) fn note_backlog(&mut self, claim: &Claim, claimed: &Claimed) {
        let is_recent = |job: &&ClaimedJob| job.job.due >= claim.recent_since;
        self.recent_since = match claim.recent_since {
            _ if !claimed.more => None,
            // More has become due meanwhile than it may take.
            Some(since) if claimed.jobs.iter().filter(is_recent).count() >= claim.recent_limit() => Some(since),
            _ => Some(claimed.now),
        };
    }

    /// Notes that a job is due at a time, which may be earlier than what is known.
    pub(in crate::engine) fn note_due(&mut self, due: Option<DateTime<Utc>>) {
        let Some(due) = due else {
            return;
        };
        self.alarm.at = Some(self.alarm.at.map_or(due, |at| at.min(due)));
        if self.is_in_flight {
            self.alarm.known_meanwhile = Some(self.alarm.known_meanwhile.map_or(due, |known| known.min(due)));
        }
    }

    /// Notes that something has changed, so that the next claim is due.
    pub(in crate::engine) fn note_change(&mut self) {
        self.note_due(Some(DateTime::<Utc>::MIN_UTC));
    }

    /// Notes since when there have been conflict retries.
    pub(in crate::engine) fn note_conflict_retries(&mut self, now: Now) {
        let ConflictRetries { count, since } = self.conflict_retries;
        self.conflict_retries.since = (count > 0).then(|| since.unwrap_or(now.monotonic));
    }

    /// Until when claims yield to conflict retries.
    fn yields_until(&self) -> Option<Duration> {
        self.conflict_retries.since.map(|since| since.saturating_add(LONGEST_YIELD))
    }

    /// Notes that this node has declined a job, and says how often it had before.
    pub(in crate::engine) fn note_declined(&mut self, job: JobId) -> u32 {
        /// Enough to name each trouble once; beyond it they are told again.
        const REMEMBERED: usize = 1_000;
        if self.declined.len() >= REMEMBERED {
            self.declined.clear();
        }
        let times = self.declined.entry(job).or_default();
        let before = *times;
        *times = times.saturating_add(1);
        before
    }

    /// Lets the next claim wait, for longer each time in a row: the last one has led to nothing though something was due.
    pub(in crate::engine) fn back_off(&mut self, now: Now) {
        self.alarm.not_before = now.monotonic.saturating_add(self.alarm.pause);
        self.alarm.pause = self.alarm.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Whether a claim, or what it has led to, is under way.
    pub(in crate::engine) fn is_firing(&self) -> bool {
        self.is_in_flight || !self.settling.is_empty()
    }

    /// Whether a claim may be sent and is due. `store_time` is the latest that the store's clock can show, `reached` is when the
    /// latest turn was sent that the store has answered.
    pub(in crate::engine) fn are_due(
        &self,
        now: Now,
        store_time: DateTime<Utc>,
        reached: Option<Duration>,
        lease: Duration,
    ) -> bool {
        let yields = self.yields_until().is_some_and(|until| now.monotonic < until);
        if self.is_firing() || self.alarm.waits_its_turn || yields {
            return false;
        }
        let is_alarm = self.alarm.at.is_some_and(|at| at <= store_time) && self.alarm.not_before <= now.monotonic;
        is_alarm || self.recheck_at(now, store_time, reached, lease).is_some_and(|at| at <= now.monotonic)
    }

    /// When to look at the store whatever is due: to take over, to stay in touch for that, or for jobs that no node can run.
    fn recheck_at(
        &self,
        now: Now,
        store_time: DateTime<Utc>,
        reached: Option<Duration>,
        lease: Duration,
    ) -> Option<Duration> {
        self.takeover.next(reached, lease).into_iter().chain(self.survey.next(now, store_time)).min()
    }

    /// When the next claim is due, for a node that claims.
    pub(in crate::engine) fn next_wake(
        &self,
        now: Now,
        store_time: DateTime<Utc>,
        reached: Option<Duration>,
        lease: Duration,
    ) -> Option<Wake> {
        if self.is_firing() {
            return None;
        }
        let until = |at: Duration| at.saturating_sub(now.monotonic);
        let alarm = self.alarm.at.map(|at| {
            let after = at.signed_duration_since(store_time).to_std().unwrap_or(Duration::ZERO);
            after.max(until(self.alarm.not_before))
        });
        let recheck = self.recheck_at(now, store_time, reached, lease).map(until);
        let after = alarm.into_iter().chain(recheck).min()?;
        let yielding = self.yields_until().map_or(Duration::ZERO, until);
        Some(Wake { after: after.max(yielding), reason: WakeReason::Due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(millis: u64) -> Now {
        let passed = Duration::from_millis(millis);
        Now { utc: DateTime::UNIX_EPOCH + passed, monotonic: passed }
    }

    fn are_due(claims: &Claims, now: Now) -> bool {
        claims.are_due(now, now.utc, None, LEASE)
    }

    fn claims_due_at(millis: u64) -> Claims {
        let mut claims = Claims::new();
        claims.alarm.at = Some(at(millis).utc);
        claims
    }

    #[test]
    fn a_claim_that_has_led_to_nothing_is_repeated_after_pauses_that_double_up_to_the_longest() {
        let mut claims = claims_due_at(0);
        let pauses: Vec<u128> = (0..10)
            .map(|_| {
                claims.back_off(at(0));
                claims.next_wake(at(0), at(0).utc, None, LEASE).unwrap().after.as_millis()
            })
            .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    }

    #[test]
    fn what_becomes_known_while_a_claim_is_on_its_way_is_kept_for_when_it_has_been_answered() {
        let mut claims = claims_due_at(5_000);
        claims.note_due(Some(at(4_000).utc));
        assert_eq!(claims.alarm.known_meanwhile, None);
        claims.is_in_flight = true;
        claims.note_due(Some(at(4_500).utc));
        assert_eq!((claims.alarm.at, claims.alarm.known_meanwhile), (Some(at(4_000).utc), Some(at(4_500).utc)));
    }

    #[test]
    fn claims_yield_to_conflict_retries_for_a_second_at_most() {
        let mut claims = claims_due_at(0);
        claims.conflict_retries.count = 1;
        claims.note_conflict_retries(at(0));
        claims.note_conflict_retries(at(900));
        assert!(!are_due(&claims, at(999)));
        assert!(are_due(&claims, at(1_000)));
        claims.conflict_retries.count = 0;
        claims.note_conflict_retries(at(500));
        assert!(are_due(&claims, at(500)), "without retries they do not");
    }
}
