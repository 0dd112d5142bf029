//! The dashboard and the JSON API of apscheduler, as a service that any server mounts.
//!
//! ```
//! use axum::Router;
//! use scheduler_runtime::Scheduler;
//! use scheduler_web::{Access, Dashboard};
//!
//! fn routes(scheduler: &Scheduler) -> Router {
//!     Router::new().nest_service("/admin/jobs", Dashboard::new(scheduler.clone(), Access::read_only()))
//! }
//! # let _ = routes;
//! ```
//!
//! # Who may do what
//!
//! Nothing is open by itself: [`Access`] has no default. It gives the [`Permissions`] of each request, a set of [`Operation`]s. Each
//! operation, from a page or from the API, goes through one place where it is permitted or refused, and pages show only what is permitted.
//! Adding jobs, and changing what they run, is [the right to run code](Kind::Define), and granted by name alone.
//!
//! Each change is logged at level info under the target `apscheduler`, with `operation`, `job` and `by`; one that is refused or fails, at
//! level warn.
//!
//! # The pages
//!
//! *Now*: what runs, waits, is late and has failed in the last 24 hours, and whether the stores are in reach.
//! *Upcoming*: what runs in the coming hours, over all jobs. *Jobs*, by text, state, task and tag. A job: its next fire
//! times in its zone and in UTC, its history, why it did or did not run at a time, and what can be done: run now, pause
//! with a note and an end, reschedule with a preview, change, remove; and what the clocks do to it where they are set.
//! *Runs*, by verdict, state, job, task, node and time. *Put aside*: what cannot be read, with its reason. *Nodes and
//! stores*.
//!
//! They need no script. Where one runs, they keep up to date while they are seen: they read themselves anew when this node tells
//! that something has changed, and every five seconds for what others do. 64 pages at most are told so at once.
//!
//! # The API
//!
//! `api/v1` below the address of the dashboard has the same operations, as JSON. `api/v1/openapi.json` describes it (OpenAPI 3.1), and
//! `api/v1/operations` says which operations the login may use. What is not done is answered by problem details (RFC 9457), whose `kind` is
//! a word for programs. A `PATCH` or a `POST` with a body says `content-type: application/json`.
//!
//! ```text
//! curl $URL/api/v1/jobs?state=paused
//! curl $URL/api/v1/runs?verdict=error&since=2027-01-01T00:00:00Z
//! curl $URL/api/v1/jobs/nightly/explain?at=2027-01-01T02:30:00Z
//! curl -X POST $URL/api/v1/jobs/nightly/run
//! curl $URL/api/v1/jobs/nightly/pause --json '{"note": "until the disk is replaced"}'
//! ```
//!
//! # Requests that are refused to everybody
//!
//! - A change that a page of another site asks for: by `Sec-Fetch-Site`, else by `Origin`, which has to be the `Host`. There are no tokens,
//!   so that any number of nodes may answer.
//! - Without [`Access::by`]: a request for a [name](Dashboard::host) that may be another site's.
//! - An address of more than 8 KiB, more than 250 parameters, a body of more than 256 KiB, a page of more than 200 entries. A forecast
//!   reaches seven days, and searches for 20,000 fire times at most; those of intervals are counted.
//!
//! Everything is escaped where it is written into a page, and the `Content-Security-Policy` allows no script, style or form target but the
//! dashboard's own. How long a client may take to send a request is the server's to limit, as that of `serve` does (feature `serve`).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod answer;
mod api;
mod assets;
mod body;
mod calls;
mod changes;
mod clock_changes;
mod dashboard;
mod guard;
mod operation;
mod operator;
mod pages;
mod params;
mod problem;
#[cfg(feature = "serve")]
mod serve;
mod upcoming;
mod views;

pub use access::{Access, Hidden, Permissions};
pub use body::Body;
pub use dashboard::Dashboard;
pub use operation::{Kind, Operation};
#[cfg(feature = "serve")]
pub use serve::{Server, serve};

/// The programs of the page that the registry shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
