//! Each operation with its arguments, and how it is done.

mod change;
mod look;

pub(crate) use self::{change::*, look::*};
