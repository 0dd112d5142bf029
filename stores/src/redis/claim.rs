//! What a claim has taken.

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::{
    JobRow, RawJob,
    store::{Claimed, ClaimedJob, Declined},
};
use serde_json::json;

use super::{
    call::object,
    failure::Misread,
    reply::{Row, fixed, items, number, optional, run, text, time},
};

/// The reply to a claim, of which the broken jobs are not yet quarantined.
pub(super) struct Taken {
    now: DateTime<Utc>,
    jobs: Vec<ClaimedJob>,
    pub(super) broken: Vec<Broken>,
    declined: Vec<Declined>,
    next_due: Option<DateTime<Utc>>,
    is_more: bool,
}

/// A job that cannot be read.
pub(super) struct Broken {
    fence: Option<String>,
    raw: RawJob,
}

pub(super) fn taken(reply: Value) -> Result<Taken, Misread> {
    let [now, jobs, broken, declined, next_due, more] = fixed(reply)?;
    let mut taken = Taken {
        now: time(now)?,
        jobs: Vec::new(),
        broken: Vec::new(),
        declined: items(declined)?.into_iter().map(declined_job).collect::<Result<_, _>>()?,
        next_due: optional(next_due, time)?,
        is_more: number::<i64>(more)? == 1,
    };
    for job in items(jobs)? {
        let [row, open] = fixed(job)?;
        taken.take(&Row::new(row)?, items(open)?);
    }
    for row in items(broken)? {
        let row = Row::new(row)?;
        let raw = match row.decode() {
            (_, Err(raw)) => raw,
            (_, Ok(job)) => raw(job, "a number in it cannot be read".to_owned()),
        };
        taken.broken.push(Broken { fence: row.fence(), raw });
    }
    Ok(taken)
}

impl Taken {
    fn take(&mut self, row: &Row, open: Vec<Value>) {
        let job = match row.decode().1 {
            Ok(job) => claimed_job(job, open),
            Err(raw) => Err(raw),
        };
        match job {
            Ok(job) => self.jobs.push(job),
            Err(raw) => self.broken.push(Broken { fence: row.fence(), raw }),
        }
    }

    /// What the script has to know to quarantine the broken jobs.
    pub(super) fn quarantine_call(&self) -> serde_json::Value {
        let broken = |broken: &Broken| {
            let Broken { fence, raw } = broken;
            object([("uid", json!(raw.uid)), ("fence", json!(fence)), ("reason", json!(raw.reason))])
        };
        self.broken.iter().map(broken).collect()
    }

    pub(super) fn into_claimed(self) -> Claimed {
        Claimed::nothing(self.now, self.next_due)
            .with_jobs(self.jobs)
            .with_quarantined(self.broken.into_iter().map(|broken| broken.raw).collect())
            .with_declined(self.declined)
            .with_more(self.is_more)
    }
}

/// A job with its open runs. One with a run that nobody can read cannot be counted, and is left to a person.
fn claimed_job(job: JobRow, open: Vec<Value>) -> Result<ClaimedJob, RawJob> {
    let mut runs = Vec::with_capacity(open.len());
    for kept in open {
        match run(job.uid, kept) {
            Ok(run) => runs.push(run),
            Err(reason) => return Err(raw(job, reason)),
        }
    }
    Ok(ClaimedJob::new(job, &runs))
}

fn raw(job: JobRow, reason: String) -> RawJob {
    let body = serde_json::to_string(&job.body).unwrap_or_default();
    RawJob { uid: job.uid.to_string(), id: job.id, body, reason }
}

fn declined_job(value: Value) -> Result<Declined, Misread> {
    let [id, task, v] = fixed(value)?;
    let word = |value| Ok(optional(value, text)?.unwrap_or_default());
    // A version that is no number is not a newer one.
    Ok(Declined { id: word(id)?.into(), task: word(task)?.into(), v: number(v).unwrap_or_default() })
}
