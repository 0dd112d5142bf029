//! What tasks and executors promise, as transcripts.

mod inline;
mod promises;
mod runs;
mod spawn;
mod tasks;
mod thread_pool;
