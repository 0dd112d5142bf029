//! Executors that run work in other processes.
//!
//! [`ProcessPool`] runs tasks in workers, which are this program once more; [`serve`] makes it one. [`Commands`] runs
//! programs, which jobs describe as a [`CommandLine`].

mod command_line;
mod commands;
mod group;
mod output;
#[cfg(unix)]
mod pool;
mod program;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod wire;
#[cfg(unix)]
mod worker;

pub use command_line::CommandLine;
pub use commands::Commands;
#[cfg(unix)]
pub use pool::ProcessPool;
#[cfg(unix)]
pub use serve::{Worker, serve, serve_with};
