//! The job stores of apscheduler, one feature each.
