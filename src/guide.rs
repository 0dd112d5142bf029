//! The guide: this crate as a book. Every program in it is compiled with the crate's tests, and run if it ends by
//! itself and needs no server.
//!
//! | chapter | answers |
//! |---|---|
//! | [`getting_started`] | How do I run a first job, on which runtime, from which kind of program? |
//! | [`triggers`] | When do jobs run: at a time, every so often, by cron? In which zone, and when its clocks change? |
//! | [`misfires`] | What if the program was down, a run takes too long, or fails? |
//! | [`stores`] | Where are jobs kept, what survives what? |
//! | [`clusters`] | What if several processes share the jobs, and one of them dies? |
//! | [`tasks`] | How are functions called, with which arguments, on which threads? |
//! | [`state`] | How does a task get at a pool of connections, and add the job that follows? |
//! | [`searching`] | How do I find jobs and runs among many, and change a group of jobs in one call? |
//! | [`results`] | What became of a run? How do I wait for its result, and for how long is it known? |
//! | [`events`] | How do I learn what happened, and why? |
//! | [`dashboard`] | How do people look at the jobs, and steer them? And other programs, over HTTP? |
//! | [`configuration`] | How do I set a scheduler up? |
//! | [`testing`] | How do I test a month of schedules in milliseconds? |
//! | [`coming_from_apscheduler`] | I know APScheduler. What is it called here, and what is different? |
//! | [`coming_from_tokio_cron_scheduler`] | The same for tokio-cron-scheduler, with notes for users of apalis, Quartz and db-scheduler. |
//!
//! # Five words
//!
//! A **job** names a **task** (a function, registered under a name), its arguments, a **trigger** and options. The trigger
//! gives **fire times**. A **run** executes the job for one fire time. Each fire time ends in exactly one **verdict**: ok,
//! error, timeout, lost, cancelled, coalesced, missed or skipped.

pub mod getting_started {
    #![doc = include_str!("guide/getting_started.md")]
}

pub mod triggers {
    #![doc = include_str!("guide/triggers.md")]
}

pub mod misfires {
    #![doc = include_str!("guide/misfires.md")]
}

pub mod stores {
    #![doc = include_str!("guide/stores.md")]
}

pub mod clusters {
    #![doc = include_str!("guide/clusters.md")]
}

pub mod tasks {
    #![doc = include_str!("guide/tasks.md")]
}

pub mod state {
    #![doc = include_str!("guide/state.md")]
}

pub mod searching {
    #![doc = include_str!("guide/searching.md")]
}

pub mod results {
    #![doc = include_str!("guide/results.md")]
}

pub mod events {
    #![doc = include_str!("guide/events.md")]
}

pub mod dashboard {
    #![doc = include_str!("guide/dashboard.md")]
}

pub mod configuration {
    #![doc = include_str!("guide/configuration.md")]
}

pub mod testing {
    #![doc = include_str!("guide/testing.md")]
}

pub mod coming_from_apscheduler {
    #![doc = include_str!("guide/coming_from_apscheduler.md")]
}

pub mod coming_from_tokio_cron_scheduler {
    #![doc = include_str!("guide/coming_from_tokio_cron_scheduler.md")]
}
