//! The scheduler as an application sees it, on the virtual clock: each test reads as a transcript.

mod background;
mod behaviour;
mod closures;
mod endings;
mod faults;
mod jobs;
mod listeners;
mod local;
mod stage;
mod triggers;
mod world;
