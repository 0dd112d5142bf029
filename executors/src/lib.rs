//! The executors of apscheduler: spawn, thread pool, inline.
