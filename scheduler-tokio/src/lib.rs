//! apscheduler on tokio.
