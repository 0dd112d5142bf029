//! What the engine knows about one of its stores.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    CallId, Wake, WakeReason,
    slots::{Place, Queues},
    survey::Survey,
};
use crate::{
    Delivery, JobId, Now, Outcome, Outdated, Retry, RunId, RunRef, StoreName, Uid,
    store::{ClaimedJob, Clock, Entry, StoreError, StoreErrorKind, StoreLimits, Turn, Wakes},
};

/// The pause after a first failure, and after a claim that took nothing though something was due. It doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause: a store that is back is used again within this.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most records that wait for an answer at once: those of one lease, and one to spare.
const MOST_RECORDS: usize = 4;

/// How long to wait after so many failures in a row.
pub(super) fn pause_after(failures: u32, longest: Duration) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(longest)
}

/// How long claims give way at the most, so that changes without an end keep no job from running.
const LONGEST_WAY: Duration = Duration::from_secs(1);

/// By how much a clock has been set that is so far from where it should be after some time, if that is no drift: those of
/// machines differ by less than a thousandth, and a second is what reading two clocks on a busy machine can take.
pub(super) fn step(by: TimeDelta, passed: Duration) -> Option<TimeDelta> {
    let drift = Duration::from_secs(1).saturating_add(passed.checked_div(1_000).unwrap_or_default());
    (by.abs().to_std().is_ok_and(|by| by > drift)).then_some(by)
}

/// One store, as far as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contact {
    pub(super) name: StoreName,
    pub(super) limits: StoreLimits,
    /// What the store's clock shows, as far as its replies tell.
    pub(super) clock: Option<Reading>,
    /// By how much that has been set, which is to be told.
    pub(super) stepped: Option<TimeDelta>,
    pub(super) link: Link,
    /// Turns that failed and are repeated, without their claims, and when each was sent first.
    pub(super) failed: Vec<(Turn, Duration)>,
    pub(super) is_claiming: bool,
    pub(super) alarm: Alarm,
    pub(super) beaten: Beaten,
    /// Jobs that this node has claimed and is settling.
    pub(super) settling: BTreeMap<Uid, Box<Settling>>,
    /// Runs that this node runs, until their end is recorded.
    pub(super) held: BTreeMap<RunId, Box<Held>>,
    /// Which of them have not started, since their executors have no room.
    pub(super) queues: Queues,
    /// When those that run and may not for ever have to stop.
    pub(super) deadlines: BTreeSet<(Duration, RunId)>,
    /// Until when the node's lease holds for certain, without a break since it began.
    pub(super) covered_until: Duration,
    /// Reports that have not been sent.
    pub(super) entries: VecDeque<Entry>,
    pub(super) records_in_flight: usize,
    /// Runs whose end the store has confirmed since the latest claim was sent, which may not know of it, and the fences
    /// under which they ran.
    pub(super) over: BTreeMap<RunId, u64>,
    /// When the node has to give a sign of life, if it holds something.
    pub(super) sign_at: Duration,
    /// When this node takes over what lapsed nodes left, for the first time since the contact began.
    pub(super) adopt_at: Option<Duration>,
    /// Whether there may soon be something of other nodes to take over, for which the contact must not be broken.
    pub(super) is_on_watch: bool,
    pub(super) watch: Watch,
    /// When claims ask for the jobs that this node declines.
    pub(super) survey: Survey,
    /// Jobs that this node has declined, and how often.
    pub(super) declined: BTreeMap<JobId, u32>,
    pub(super) drain: Drain,
    /// Who asked for the store to be removed.
    pub(super) removal: Option<CallId>,
}

/// Whether the store answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Link {
    pub(super) state: LinkState,
    /// Since when the node has been in touch with the store without a break; none if it is not now.
    pub(super) since: Option<Duration>,
    /// When the latest turn was sent that the store has answered: then or later it was there.
    pub(super) reached: Option<Duration>,
    /// When the store answered last, to whatever.
    pub(super) heard: Option<Now>,
    /// Failures in a row; above 0 while up, the link is on trial.
    pub(super) failures: u32,
    /// Since when it has been failing, and the latest error.
    pub(super) trouble: Option<Trouble>,
    pub(super) outstanding: Outstanding,
}

/// What has failed and has not gone through since. Until it has, the store is not well, whatever else it answers: one
/// whose disk is full, or that has become a replica, can still be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outstanding {
    /// How many turns that write; they are repeated.
    pub(super) writes: usize,
    /// Whether the last claim failed. It is not repeated, but the next one has the same to do.
    pub(super) is_claim: bool,
}

/// What is the matter with a store that fails.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) since: DateTime<Utc>,
    pub(super) error: String,
    /// Whether it is that the store is not what it should be.
    pub(super) is_incompatible: bool,
}

/// What the store's clock showed at a moment of the node's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    store: DateTime<Utc>,
    node: Now,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum LinkState {
    Up,
    Down { retry_at: Duration },
}

/// When to claim next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    /// By the store's clock.
    pub(super) at: Option<DateTime<Utc>>,
    /// What was heard while a claim was in flight, whose answer may not know of it.
    pub(super) heard: Option<DateTime<Utc>>,
    /// Whatever `at` says, not before this.
    pub(super) not_before: Duration,
    /// Not before the engine has been told of something else, since planning has taken it for long enough.
    pub(super) waits_its_turn: bool,
    pub(super) pause: Duration,
    /// Whether jobs have been changed, here or elsewhere, since the last claim that led to nothing though something was due.
    pub(super) are_jobs_changed: bool,
}

/// Changes of jobs that came too late and are tried anew. This node's claims give way to them, for a job that fires
/// faster than its store answers would be ahead of each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Beaten {
    /// How many are on their way.
    pub(super) count: u32,
    /// Since when there have been some without a break.
    pub(super) since: Option<Duration>,
}

/// How the store's changes by other nodes are seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Watch {
    pub(super) seen: u64,
    pub(super) is_in_flight: bool,
    /// Not to be asked before this.
    pub(super) ask_at: Duration,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Whether the listeners know of them, and not yet of an end.
    pub(super) is_failure_told: bool,
}

/// A job that has been claimed, until the store has confirmed where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settling {
    pub(super) claimed: ClaimedJob,
    /// What was wrong with the fire time that it leaves behind.
    pub(super) outdated: Option<Outdated>,
}

/// A run that this node runs, or is going to when its executor has room.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) run: RunRef,
    pub(super) fence: u64,
    /// Since when it is this node's.
    pub(super) since: Duration,
    /// When its executor was given it.
    pub(super) started: Duration,
    /// Where it waits for its executor, if it does.
    pub(super) waiting: Option<Place>,
    pub(super) delivery: Delivery,
    pub(super) timeout: Option<Duration>,
    /// When it has to stop.
    pub(super) deadline: Option<Duration>,
    pub(super) retry: Option<Box<Retry>>,
    /// How often it will have failed if it fails now.
    pub(super) failures: u32,
    pub(super) stop: Stop,
    /// Whether the listeners know that its job was removed.
    pub(super) is_removed: bool,
    /// What came of it, until the store has confirmed that.
    pub(super) ended: Option<(Outcome, Duration)>,
}

/// Whether a run has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// Somebody asked for it.
    Asked,
    /// It has taken as long as it may.
    TimedOut,
    /// The node has lost its lease, so that others may have the run.
    Lost,
}

/// Whether the store is being given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// Nothing new is taken; what is held has until then to end.
    Draining {
        until: Option<Duration>,
    },
    /// Everything is being given back, which has until then.
    Releasing {
        until: Duration,
    },
    Done,
}

impl Reading {
    fn by_monotonic(self, now: Now) -> Option<DateTime<Utc>> {
        let passed = TimeDelta::from_std(now.monotonic.saturating_sub(self.node.monotonic)).ok()?;
        self.store.checked_add_signed(passed)
    }

    fn by_wall(self, now: Now) -> Option<DateTime<Utc>> {
        self.store.checked_add_signed(now.utc.signed_duration_since(self.node.utc))
    }
}

impl Link {
    /// Whether the store has said that it is not what it should be, and nothing else since.
    pub(super) fn is_incompatible(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.is_incompatible)
    }

    pub(super) fn note_trouble(&mut self, now: Now, error: &StoreError) {
        let since = self.trouble.take().map_or(now.utc, |trouble| trouble.since);
        let is_incompatible = error.kind() == StoreErrorKind::Incompatible;
        self.trouble = Some(Trouble { since, error: error.to_string(), is_incompatible });
    }
}

impl Contact {
    pub(super) fn new(name: StoreName, limits: StoreLimits) -> Self {
        Self {
            name,
            limits,
            clock: None,
            stepped: None,
            link: Link {
                state: LinkState::Up,
                since: None,
                reached: None,
                heard: None,
                failures: 0,
                trouble: None,
                outstanding: Outstanding::default(),
            },
            failed: Vec::new(),
            is_claiming: false,
            alarm: Alarm {
                at: Some(DateTime::<Utc>::MIN_UTC),
                heard: None,
                not_before: Duration::ZERO,
                waits_its_turn: false,
                pause: FIRST_PAUSE,
                are_jobs_changed: false,
            },
            beaten: Beaten::default(),
            settling: BTreeMap::new(),
            held: BTreeMap::new(),
            queues: Queues::default(),
            deadlines: BTreeSet::new(),
            covered_until: Duration::ZERO,
            entries: VecDeque::new(),
            records_in_flight: 0,
            over: BTreeMap::new(),
            sign_at: Duration::ZERO,
            adopt_at: None,
            is_on_watch: false,
            watch: Watch::default(),
            survey: Survey::default(),
            declined: BTreeMap::new(),
            drain: Drain::No,
            removal: None,
        }
    }

    /// The store's time, as well as the node knows it. Counted monotonically, so that a step of the node's clock does not
    /// show.
    pub(super) fn time(&self, now: Now) -> DateTime<Utc> {
        self.clock.and_then(|reading| reading.by_monotonic(now)).unwrap_or(now.utc)
    }

    /// The latest that the store's time can be, if one of the node's clocks stood still, as it may in a suspended machine.
    pub(super) fn latest_time(&self, now: Now) -> DateTime<Utc> {
        self.time(now).max(self.clock.and_then(|reading| reading.by_wall(now)).unwrap_or(now.utc))
    }

    /// Learns the store's time from the reply to a call: it lies between the time in the reply and that plus how long the
    /// call took.
    pub(super) fn hear_time(&mut self, now: Now, sent: Duration, store_now: DateTime<Utc>) {
        if self.limits.clock == Clock::Caller {
            return;
        }
        let took = TimeDelta::from_std(now.monotonic.saturating_sub(sent)).unwrap_or(TimeDelta::MAX);
        let latest = store_now.checked_add_signed(took).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let known = self.clock.and_then(|reading| reading.by_monotonic(now)).unwrap_or(store_now);
        let store = known.clamp(store_now, latest);
        let passed = self.clock.map_or(Duration::ZERO, |reading| now.monotonic.saturating_sub(reading.node.monotonic));
        self.stepped = self.stepped.or_else(|| step(store.signed_duration_since(known), passed));
        self.clock = Some(Reading { store, node: now });
    }

    /// Hears that a job is due at a time, which may be earlier than what is known.
    pub(super) fn hear_due(&mut self, due: Option<DateTime<Utc>>) {
        let Some(due) = due else {
            return;
        };
        self.alarm.at = Some(self.alarm.at.map_or(due, |at| at.min(due)));
        if self.is_claiming {
            self.alarm.heard = Some(self.alarm.heard.map_or(due, |heard| heard.min(due)));
        }
    }

    /// Hears that something has changed.
    pub(super) fn hear_change(&mut self) {
        self.hear_due(Some(DateTime::<Utc>::MIN_UTC));
    }

    /// Whether calls may be sent: the store answers, or it is time to try again.
    pub(super) fn is_usable(&mut self, now: Now) -> bool {
        match self.link.state {
            LinkState::Up => true,
            LinkState::Down { retry_at } if retry_at <= now.monotonic => {
                self.link.state = LinkState::Up;
                // Before it claims, the node shows that it is alive.
                self.sign_at = now.monotonic;
                true
            }
            LinkState::Down { .. } => false,
        }
    }

    /// Whether a firing is under way.
    pub(super) fn is_firing(&self) -> bool {
        self.is_claiming || !self.settling.is_empty()
    }

    /// Whether the alarm has gone off.
    pub(super) fn is_due(&self, now: Now, lease: Duration) -> bool {
        let is_alarm =
            self.alarm.at.is_some_and(|at| at <= self.latest_time(now)) && self.alarm.not_before <= now.monotonic;
        is_alarm || self.looks_at(now, lease).is_some_and(|at| at <= now.monotonic)
    }

    /// Notes since when changes have been tried anew.
    pub(super) fn note_beaten(&mut self, now: Now) {
        let Beaten { count, since } = self.beaten;
        self.beaten.since = (count > 0).then(|| since.unwrap_or(now.monotonic));
    }

    /// Until when claims give way.
    pub(super) fn gives_way_until(&self) -> Option<Duration> {
        self.beaten.since.map(|since| since.saturating_add(LONGEST_WAY))
    }

    /// When to look at the store whatever is due: to take over, to stay in touch for that, or for jobs that no node can run.
    fn looks_at(&self, now: Now, lease: Duration) -> Option<Duration> {
        self.adopt_at.into_iter().chain(self.touch_at(lease)).chain(self.survey_at(now)).min()
    }

    /// Whether the node has anything in the store that others must leave alone.
    pub(super) fn holds_something(&self) -> bool {
        !self.held.is_empty() || !self.settling.is_empty()
    }

    /// Lets the next claim wait, for longer each time in a row: the last one has led to nothing though something was due.
    pub(super) fn back_off(&mut self, now: Now) {
        self.alarm.not_before = now.monotonic.saturating_add(self.alarm.pause);
        self.alarm.pause = self.alarm.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Whether the node gives signs of life. With several on their way, a store that answers none of them gets no more.
    fn may_sign(&self) -> bool {
        self.holds_something() && self.records_in_flight < MOST_RECORDS
    }

    /// Whether a life sign is due.
    pub(super) fn is_sign_due(&self, now: Now) -> bool {
        self.may_sign() && self.sign_at <= now.monotonic
    }

    /// Whether nothing is under way that an answer could still come to.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_firing()
            && self.records_in_flight == 0
            && self.held.is_empty()
            && self.entries.is_empty()
            && self.failed.is_empty()
    }

    /// `claiming` is the node's lease if the node claims.
    pub(super) fn next_wake(&self, now: Now, claiming: Option<Duration>, is_watching: bool) -> Option<Wake> {
        let until = |at: Duration| at.saturating_sub(now.monotonic);
        let wake = |after, reason| Some(Wake { after, reason });
        // A run has to stop in time whatever its store does.
        let timeout = self.deadlines.first().and_then(|(at, _)| wake(until(*at), WakeReason::Timeout));
        let of_store = match self.link.state {
            LinkState::Down { retry_at } => wake(until(retry_at), WakeReason::Retry),
            LinkState::Up => self.next_wake_of_store(now, claiming, is_watching),
        };
        of_store.into_iter().chain(timeout).min_by_key(|wake| wake.after)
    }

    fn next_wake_of_store(&self, now: Now, claiming: Option<Duration>, is_watching: bool) -> Option<Wake> {
        let until = |at: Duration| at.saturating_sub(now.monotonic);
        let wake = |after, reason| Some(Wake { after, reason });
        let mut wakes = [None; 3];
        if let Some(lease) = claiming
            && !self.is_firing()
            && self.drain == Drain::No
        {
            let alarm = self.alarm.at.map(|at| {
                let after = at.signed_duration_since(self.latest_time(now)).to_std().unwrap_or(Duration::ZERO);
                after.max(until(self.alarm.not_before))
            });
            let after = alarm.into_iter().chain(self.looks_at(now, lease).map(until)).min();
            let way = self.gives_way_until().map_or(Duration::ZERO, until);
            wakes[0] = after.and_then(|after| wake(after.max(way), WakeReason::Due));
        }
        if self.may_sign() {
            wakes[1] = wake(until(self.sign_at), WakeReason::LifeSign);
        }
        if is_watching && self.limits.wakes != Wakes::Never && self.drain == Drain::No && !self.watch.is_in_flight {
            wakes[2] = wake(until(self.watch.ask_at), WakeReason::Poll);
        }
        wakes.into_iter().flatten().min_by_key(|wake| wake.after)
    }
}
