//! apscheduler on async-std.
