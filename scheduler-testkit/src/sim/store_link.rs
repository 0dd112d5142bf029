//! The way to the store and back: messages that are late, lost, or told twice, and a store that is away at times.

use scheduler_core::{
    JobStore, RunId, RunState, Verdict,
    engine::{StoreCall, StoreReply},
    store::{
        Adopt, Clock, Fate, Hold, RecordOutcome, Recorded, RunReport, SettleOutcome, Settled, StoreError,
        StoreErrorKind, Turn, TurnReply, Wakes,
    },
};

use super::{
    Mutant, calls,
    chance::Chance,
    oracle::Oracle,
    parameters::Parameters,
    time::{MS, SECOND, utc},
};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latencies {
    /// How long the call takes to the store; none if it never arrives.
    pub(super) there: Option<i64>,
    /// How long the answer takes; none if it never arrives.
    pub(super) back: Option<i64>,
    /// How long after the first a second copy of the answer arrives.
    pub(super) again: Option<i64>,
}

impl Latencies {
    pub(super) fn draw(chance: &mut Chance, parameters: &Parameters, is_calm: bool) -> Self {
        let latency = parameters.latency.as_micros() as i64;
        let way = |chance: &mut Chance| {
            let usual = chance.between(latency / 2, latency * 2);
            if !is_calm && chance.permille(10) { usual + chance.between(0, 20 * latency + SECOND) } else { usual }
        };
        let (there, back) = (way(chance), way(chance));
        let mut latencies = Self { there: Some(there), back: Some(back), again: None };
        if is_calm || !chance.permille(parameters.troubled_calls) {
            return latencies;
        }
        let timeout = parameters.timeout.as_micros() as i64;
        match chance.between(0, 5) {
            0 => latencies.there = None,
            1 | 2 => latencies.back = None,
            // It is performed long after its caller has given it up.
            3 => (latencies.there, latencies.back) = (Some(timeout + chance.between(0, 20 * SECOND)), None),
            4 => latencies.back = Some(chance.between(0, timeout)),
            _ => latencies.again = Some(chance.between(0, 20 * SECOND)),
        }
        latencies
    }
}

pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

/// Performs a call by the store's clock None if there is nothing to say yet.
pub(super) fn perform(
    store: &dyn JobStore,
    parameters: &Parameters,
    now: i64,
    call: &StoreCall,
) -> Option<Result<StoreReply, StoreError>> {
    match (calls::perform(store, call), call) {
        (None, StoreCall::Changed(seen)) if matches!(parameters.wakes, Wakes::Poll(_)) => {
            Some(Ok(calls::no_change(*seen)))
        }
        (None, StoreCall::Changed(_)) => None,
        (None, call) => Some(Err(unavailable(&format!("the store does not answer at once at {now}: {call:?}")))),
        (reply, _) => reply,
    }
}

/// The call as the store sees it.
pub(super) fn by_the_stores_clock(parameters: &Parameters, now: i64, call: StoreCall) -> StoreCall {
    match parameters.clock {
        Clock::Server => calls::at_time(call, utc(now)),
        Clock::Caller => call,
    }
}

/// The call with the mutant's bug in it.
pub(super) fn mutate_call(mutant: Mutant, oracle: &Oracle, mut call: StoreCall) -> StoreCall {
    let StoreCall::Turn(shared) = &mut call else {
        return call;
    };
    let turn = std::sync::Arc::make_mut(shared);
    match mutant {
        Mutant::AdoptAlways => turn.claim.iter_mut().for_each(|claim| claim.adopt = Adopt::LapsedBy(claim.at)),
        Mutant::AdoptLate => {
            for claim in turn.claim.iter_mut().filter(|claim| claim.adopt != Adopt::Nothing) {
                claim.adopt = Adopt::LapsedBy(claim.at);
            }
        }
        Mutant::ClaimEarly => {
            turn.claim.iter_mut().for_each(|claim| claim.at += chrono::TimeDelta::microseconds(5 * SECOND));
        }
        Mutant::IgnoreFence => {
            if let Some(record) = &mut turn.record {
                let current = |run: RunId| oracle.runner(run);
                if let Some((owner, fence)) = record.entries.first().and_then(|entry| current(entry.run)) {
                    record.entries.truncate(1);
                    (record.owner, record.entries[0].fence) = (owner, fence);
                }
            }
        }
        Mutant::RetryForEver | Mutant::RetryNever | Mutant::CancelInstead => {
            for entry in turn.record.iter_mut().flat_map(|record| &mut record.entries) {
                mutate_report(mutant, &mut entry.report);
            }
        }
        Mutant::SkipFireTime => {
            for to in turn.settle.iter_mut().flat_map(|settle| &mut settle.moves) {
                to.next_fire_time = to.next_fire_time.map(|next| next + chrono::TimeDelta::microseconds(MS));
            }
        }
        Mutant::ForgetLimitKey => {
            turn.settle.iter_mut().flat_map(|settle| &mut settle.moves).for_each(|to| to.limit_key = None);
        }
        _ => {}
    }
    call
}

fn mutate_report(mutant: Mutant, report: &mut RunReport) {
    *report = match (mutant, std::mem::replace(report, RunReport::Release)) {
        (Mutant::RetryForEver, RunReport::End { verdict: Verdict::Error, error, .. }) => {
            RunReport::Retry { due: utc(0), error }
        }
        (Mutant::RetryNever, RunReport::Retry { error, .. }) => {
            RunReport::End { verdict: Verdict::Error, error, duration: std::time::Duration::ZERO, output: None }
        }
        (Mutant::CancelInstead, RunReport::Release) => RunReport::End {
            verdict: Verdict::Cancelled,
            error: None,
            duration: std::time::Duration::ZERO,
            output: None,
        },
        (_, report) => report,
    }
}

/// What a mutant answers in the store's stead; none if the store is to be asked.
pub(super) fn answer_instead(mutant: Mutant, number: u64, now: i64, call: &StoreCall) -> Option<StoreReply> {
    let StoreCall::Turn(turn) = call else {
        return None;
    };
    let is_record = turn.record.is_some() && turn.settle.is_none() && turn.claim.is_none();
    let is_life_sign = is_record && turn.record.as_ref().is_some_and(|record| record.entries.is_empty());
    let is_settle = turn.settle.is_some() && turn.record.is_none() && turn.claim.is_none();
    let is_instead = match mutant {
        Mutant::DropRecord => is_record && !is_life_sign && number.is_multiple_of(7),
        Mutant::ForgetLifeSigns => is_life_sign,
        Mutant::TellBeforeCommit => is_settle && number.is_multiple_of(7),
        _ => false,
    };
    is_instead.then(|| StoreReply::Turn(Box::new(as_done(turn, now))))
}

/// The answer with the mutant's bug in it.
pub(super) fn mutate_reply(mutant: Mutant, reply: &mut StoreReply) {
    let StoreReply::Turn(reply) = reply else {
        return;
    };
    let Some(claimed) = &mut reply.claim else {
        return;
    };
    match mutant {
        Mutant::ForgetNextDue => claimed.next_due = None,
        Mutant::ForgetRunning => {
            for job in &mut claimed.jobs {
                (job.running_count, job.running) = (0, Vec::new());
            }
        }
        Mutant::ForgetOrphans => {
            for job in &mut claimed.jobs {
                let is_orphan = RunState::Waiting(scheduler_core::Wait::Orphan);
                job.waiting.retain(|run| run.state != is_orphan);
                job.waiting_count = job.waiting.len();
            }
        }
        _ => {}
    }
}

/// An answer by which everything was done.
fn as_done(turn: &Turn, now: i64) -> TurnReply {
    let now = utc(now);
    TurnReply {
        record: turn.record.as_ref().map(|record| {
            let outcomes = vec![RecordOutcome::Done; record.entries.len()];
            Recorded::new(now, outcomes, Hold::Kept)
        }),
        settle: turn.settle.as_ref().map(|settle| {
            let applied = SettleOutcome::Applied { job: Fate::Stays };
            Settled::new(now, vec![applied; settle.moves.len()], None)
        }),
        claim: None,
    }
}
