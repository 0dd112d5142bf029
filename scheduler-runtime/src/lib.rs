//! The one driver loop of apscheduler, over any runtime.
