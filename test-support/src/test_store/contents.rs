//! What a store says of the jobs and runs in it when the tests look through it.

use std::{collections::BTreeMap, time::Duration};

use apscheduler::{Job, Run, RunState, Scheduler, TokioRuntime, Totals};
use chrono::TimeDelta;

use super::TestStore;

/// Jobs with their whole history, read through the library.
#[derive(Debug)]
pub struct Contents {
    /// Ordered by id.
    pub jobs: Vec<(Job, Vec<Run>)>,
}

impl Contents {
    /// Reads all that is there; every row can be read.
    pub fn read(test_store: &TestStore) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = test_store.open().await;
            let reader = Scheduler::builder(TokioRuntime::current()).store("default", store).build().unwrap();
            assert_eq!(reader.unreadable_jobs().await.unwrap(), []);
            let mut jobs = Vec::new();
            for job in reader.jobs().await.unwrap() {
                let mut runs = job.runs(usize::MAX).await.unwrap();
                runs.reverse();
                jobs.push((job, runs));
            }
            jobs.sort_by(|(one, _), (two, _)| one.id.cmp(&two.id));
            Self { jobs }
        })
    }

    /// The ids of the jobs, in their order.
    pub fn ids(&self) -> Vec<&str> {
        self.jobs.iter().map(|(job, _)| job.id.as_str()).collect()
    }

    /// A job and its runs by their numbers.
    pub fn of(&self, id: &str) -> (&Job, BTreeMap<u64, &Run>) {
        let found = self.jobs.iter().find(|(job, _)| job.id == *id);
        let (job, runs) = found.unwrap_or_else(|| panic!("job {id} is gone; there are {:?}", self.ids()));
        (job, runs.iter().map(|run| (run.id.seq, run)).collect())
    }

    /// Each fire time of a job of this period has one verdict: its rows tile the time line, from the first one to the one
    /// before the next, and its totals add up. Nothing runs any more.
    pub fn assert_tiles(&self, id: &str, period: Duration) {
        let (job, runs) = self.of(id);
        let mut expected = runs.values().next().map(|run| run.first.unwrap_or(run.fire_time));
        let mut totals = Totals::default();
        for run in runs.values() {
            assert_eq!(run.first.or(Some(run.fire_time)), expected, "job {id}: {run:?}");
            assert_ne!(run.state, RunState::Running, "job {id}: {run:?}");
            totals.add_run(run);
            expected = Some(run.fire_time + TimeDelta::from_std(period).unwrap());
        }
        assert_eq!(runs.keys().next(), Some(&1), "job {id}");
        assert_eq!(job.next_fire_time, expected, "job {id}");
        assert_eq!(job.totals, totals, "job {id}");
    }
}
