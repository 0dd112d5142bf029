//! SQLite files: shared, read-only, damaged, newer.

mod file;
