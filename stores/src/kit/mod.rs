//! A kit for job stores: the rules of the verbs, over any database that can load and write jobs.
//!
//! A database implements [`Backend`] and [`Session`], which are access to data and nothing else; [`KitStore`] makes a
//! [`JobStore`](scheduler_core::JobStore) of that. A verb loads jobs, lets the [`rules`] change them, and writes what has
//! changed; where another node was faster with a job, the verb starts anew with that one.
//!
//! ```text
//! turn      → load jobs and node → record, settle → write node, jobs
//!           → take over lapsed nodes → find due jobs → write node, jobs → when to claim next
//! ```
//!
//! A transaction locks the jobs that it loads, and the row of its node last, so that calls of one node about different jobs go on
//! side by side. Without transactions a write of a job has a condition: that the record is as it was read. What a node has claimed
//! or runs is then remembered as it was written last, and changed from there; only a job of which that write fails is loaded
//! ([`Session::version_after`]).
//!
//! What a process does last before it dies, others can go on from:
//!
//! - The row of a node, with its lease, is written before any job that the node holds, so that what it holds is found when it
//!   dies.
//! - A takeover first clears the node's lease, which the dead node and all others see, then moves its runs, then deletes the row.
//! - A run that ends stays in the record of its job until the next write of that, which archives the run first, if the database
//!   cannot write both at once.
//! - A job that is over stays with its runs until its retention has passed, found by `retained_until` alone.
//! - A job is deleted in up to three steps: marked as finished, its history deleted, its record deleted. Any call that finds a
//!   finished job completes the remaining steps.
//!
//! # Writing a store
//!
//! 1. Implement [`Session`] for what can read and write: a transaction, or a reference to the client. A database of tables makes
//!    [`LoadedJob`]s of rows that have [`Columns`](columns::Columns); one of documents keeps a job as a [`Document`].
//! 2. Implement [`Backend`], which begins sessions and hears of changes.
//! 3. Give the store a type of its own with [`forward_job_store!`](scheduler_core::forward_job_store).
//! 4. Hold it to its promises with `scheduler_testkit::store_conformance!`.

mod backend;
mod caller;
mod change;
#[cfg(test)]
mod chaos;
mod claim;
pub mod columns;
mod document;
#[cfg(test)]
mod faulty;
mod job;
mod listing;
mod moves;
mod places;
mod pruning;
mod recent;
mod reports;
pub mod rules;
mod runs;
mod search;
mod store;
mod takeover;
#[cfg(test)]
mod tests;
mod verbs;

pub use self::{
    backend::{Access, Archive, Backend, HoldKind, Inserting, NewJob, Node, Nodes, Session},
    document::{Document, Index, Replace, node_fields, node_of, run_fields, run_of, text},
    job::LoadedJob,
    search::{GroupFinder, JobFinder, JobGroup, JobPlace, RunFinder, RunGroup, RunPlace},
    store::KitStore,
};
