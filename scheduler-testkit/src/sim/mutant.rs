//! Deliberate bugs, by which the simulation shows that it would find such ones.

/// A bug that is put between an engine and the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {
    /// None.
    Sound,
    /// A run is started though the answer to its settle came after the lease.
    StartAfterLease,
    /// Each run is started twice.
    StartTwice,
    /// The first attempt of a run is never started.
    StartNever,
    /// Every claim takes over from nodes whose lease has passed, however short the contact.
    AdoptAlways,
    /// A claim that takes over does so however long it was on its way.
    AdoptLate,
    /// Every seventh report is dropped and called done.
    DropRecord,
    /// A settle is confirmed before it is written.
    TellBeforeCommit,
    /// The end of a run counts, also if a node reports it that does not run it.
    IgnoreFence,
    /// Life signs are dropped.
    ForgetLifeSigns,
    /// A claim does not say what is due next.
    ForgetNextDue,
    /// A claim looks five seconds ahead.
    ClaimEarly,
    /// A claim does not see what is running.
    ForgetRunning,
    /// A settle goes one fire time too far.
    SkipFireTime,
    /// A settle's answer that was lost is not asked for again.
    ForgetFailedSettle,
    /// Runs that a dead node left are not seen.
    ForgetOrphans,
    /// A run that fails is repeated for ever.
    RetryForEver,
    /// A run that is to be repeated ends.
    RetryNever,
    /// No run is told to stop.
    NeverCancel,
    /// The limits of executors are not known.
    ForgetSlots,
    /// The end of a run reaches its engine a second late.
    EndsQueue,
    /// What is given back ends as cancelled.
    CancelInstead,
    /// What is started names no limit key.
    ForgetLimitKey,
}

impl Mutant {
    /// Each bug, without [`Sound`](Self::Sound).
    pub const ALL: [Self; 22] = [
        Self::StartAfterLease,
        Self::StartTwice,
        Self::StartNever,
        Self::AdoptAlways,
        Self::AdoptLate,
        Self::DropRecord,
        Self::TellBeforeCommit,
        Self::IgnoreFence,
        Self::ForgetLifeSigns,
        Self::ForgetNextDue,
        Self::ClaimEarly,
        Self::ForgetRunning,
        Self::SkipFireTime,
        Self::ForgetFailedSettle,
        Self::ForgetOrphans,
        Self::RetryForEver,
        Self::RetryNever,
        Self::NeverCancel,
        Self::ForgetSlots,
        Self::EndsQueue,
        Self::CancelInstead,
        Self::ForgetLimitKey,
    ];
}
