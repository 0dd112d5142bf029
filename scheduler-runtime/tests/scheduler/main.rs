//! The scheduler as an application sees it, on the virtual clock: each test reads as a transcript.

mod endings;
mod faults;
mod stage;
mod world;
