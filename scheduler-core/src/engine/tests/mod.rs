//! Conversations of the engine, as transcripts: what it is told, and what it then wants done.

mod answers;
mod budget;
mod clock;
mod command;
mod firing;
mod lease;
mod limits;
mod outage;
mod panics;
mod retry;
pub(crate) mod script;
mod shutdown;
mod survey;
mod timeout;
