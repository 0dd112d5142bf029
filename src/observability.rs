//! What a scheduler shows of itself: logs and spans, numbers, health, and why a job did or did not run.
//!
//! # Logs and spans
//!
//! Through [`tracing`](https://docs.rs/tracing), under the target `apscheduler`; `RUST_LOG=apscheduler=info` shows what an
//! operator wants to read:
//!
//! | level | what |
//! |---|---|
//! | error | what is lost or broken until an operator acts: failed, timed out and lost runs, quarantined jobs |
//! | warn | what did not go as planned and may pass: failing stores, repeated runs, missed and skipped fire times, declined jobs, clocks that were set |
//! | info | the life of the scheduler, and what explains a gap: recoveries, coalesced and cancelled fire times |
//! | debug | each job and each run |
//! | trace | what the engine is told and wants |
//!
//! Each attempt of a run is a span named `run` of level info, from its start to its end. What its task tells is told inside
//! of it, on whichever executor and thread; only a task in another process has a log of its own. It has no parent: a run is
//! the beginning of a trace. Its fields:
//!
//! | field | |
//! |---|---|
//! | `job`, `run`, `task`, `store`, `executor` | what it is about |
//! | `fire_time` | the fire time, in RFC 3339 |
//! | `attempt` | 1 for the first |
//! | `tags` | the job's tags, as in `billing, tenant:42`, if it has any |
//! | `lateness` | seconds from when it could have started (fire time and jitter, retry, freed slot) to when it did |
//! | `outcome` | at its end: `ok`, `error`, `panicked`, `crashed`, `cancelled` (also by its timeout), `timeout` |
//! | `duration` | at its end: seconds since its start |
//!
//! Where no subscriber wants the span, it costs a comparison.
//!
//! # Numbers
//!
//! With the feature `metrics`, for the recorder that the program has installed with the
//! [`metrics`](https://docs.rs/metrics) crate, such as an exporter to Prometheus. No label grows without bound: there is none
//! for jobs and runs, and closures share the task `closure`.
//!
//! | name | type | labels | what |
//! |---|---|---|---|
//! | `apscheduler_fire_times_due_total` | counter | store | fire times that became due and were settled by this node; a range of unknown number counts as one |
//! | `apscheduler_jobs_claimed_total` | counter | store | jobs that were due and were claimed by this node |
//! | `apscheduler_runs_started_total` | counter | store, executor, task | attempts that were handed to an executor |
//! | `apscheduler_runs_ended_total` | counter | store, task, verdict | fire times that ended, those given up included |
//! | `apscheduler_runs_retried_total` | counter | store, task | attempts that failed and are repeated |
//! | `apscheduler_runs_taken_away_total` | counter | store, task | runs of this node that were left to others, or taken over by them |
//! | `apscheduler_runs_given_back_total` | counter | store, task | runs that the shutdown of this node cut off and gave back |
//! | `apscheduler_runs_taken_over_total` | counter | store, task | runs that this node has taken over from nodes that died |
//! | `apscheduler_runs_overran_total` | counter | store, task | runs that went on 10 s after their timeout, since they do not heed their token |
//! | `apscheduler_loop_held_up_seconds` | histogram | | for how long a listener or an inline task held the loop up, if more than a second |
//! | `apscheduler_runs_running` | gauge | executor | attempts that executors have at the moment |
//! | `apscheduler_runs_waiting` | gauge | store | runs of this node that wait until their executors have room |
//! | `apscheduler_run_lateness_seconds` | histogram | store, executor, task | as the span's `lateness` |
//! | `apscheduler_run_duration_seconds` | histogram | store, task, verdict | how long the last attempt took; verdicts ok, error and timeout |
//! | `apscheduler_store_call_seconds` | histogram | store, verb | how long a store took to answer, well or badly |
//! | `apscheduler_store_failures_total` | counter | store, verb | calls that failed |
//! | `apscheduler_commands_waiting` | gauge | | calls of the application that wait for the loop |
//! | `apscheduler_events_dropped_total` | counter | | events that event streams dropped since their readers were behind |
//!
//! A scheduler that is late shows in `apscheduler_run_lateness_seconds`, one that fails in
//! `apscheduler_runs_ended_total{verdict="error"}`, a store in trouble in `apscheduler_store_failures_total`.
//!
//! # Health
//!
//! [`Scheduler::health`](crate::Scheduler::health) gives a [`Health`](crate::Health) within half a second, also if the loop is
//! stuck. It is JSON when serialised, and says what probes ask for:
//!
//! ```
//! use apscheduler::{Health, Scheduler};
//! use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
//!
//! fn status(is_good: bool) -> StatusCode {
//!     if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
//! }
//!
//! /// For a liveness probe: if this fails several times in a row, a restart is the remedy.
//! async fn livez(State(scheduler): State<Scheduler>) -> (StatusCode, Json<Health>) {
//!     let health = scheduler.health().await;
//!     (status(health.is_live()), Json(health))
//! }
//!
//! /// For a readiness probe: started, and every store in reach.
//! async fn readyz(State(scheduler): State<Scheduler>) -> (StatusCode, Json<Health>) {
//!     let health = scheduler.health().await;
//!     (status(health.is_ready()), Json(health))
//! }
//!
//! fn probes(scheduler: Scheduler) -> Router {
//!     Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(scheduler)
//! }
//! ```
//!
//! # Why a job did or did not run
//!
//! [`Scheduler::explain`](crate::Scheduler::explain) answers what users ask most, from the job and its history, whichever node
//! ran it:
//!
//! ```
//! use apscheduler::{Answer, prelude::*};
//! use chrono::{TimeZone, Utc};
//!
//! # async fn example(scheduler: Scheduler) -> Result<(), Error> {
//! let why = scheduler.explain("nightly", Utc.with_ymd_and_hms(2026, 11, 24, 3, 0, 0).unwrap()).await?;
//! // `nightly` at 2026-11-24 03:00:00 UTC: it was missed, being 4200s late; the misfire grace time is 60s
//! println!("{why}");
//! if let Answer::Missed { late: Some(late), .. } = why.answer {
//!     println!("give it {late:?} at least");
//! }
//! # Ok(())
//! # }
//! ```
