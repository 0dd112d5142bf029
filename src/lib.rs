//! A job scheduler that a service embeds.
