//! apscheduler on plain OS threads.
