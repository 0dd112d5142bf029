//! Each operation with its arguments, and how it is done.

mod change;
mod group;
mod look;

pub(crate) use self::{change::*, group::*, look::*};
