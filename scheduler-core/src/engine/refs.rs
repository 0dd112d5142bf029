//! Jobs and runs as events name them.

use crate::{JobRef, JobRow, Run, RunRef, StoreName};

pub(super) fn job_ref(store: &StoreName, job: &JobRow) -> JobRef {
    JobRef { store: store.clone(), id: job.id.clone(), uid: job.uid, tags: job.body.tags.clone() }
}

pub(super) fn run_ref(store: &StoreName, job: &JobRow, run: &Run, attempt: u32) -> RunRef {
    RunRef {
        job: job_ref(store, job),
        run: run.id,
        task: job.body.task.clone(),
        fire_time: run.fire_time,
        first: run.first,
        count: run.count,
        attempt,
    }
}
