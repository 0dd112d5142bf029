//! Fire times worked out another way, replayed cases, and values drawn from bytes.

pub mod drawn;
pub mod reference;
pub mod replay;
