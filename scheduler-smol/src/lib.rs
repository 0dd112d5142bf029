//! apscheduler on smol.
