//! Any row of a job from anywhere, with its runs, at any time: what is asked of it, planned, explained, settled and recorded
//! never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduler_core::Verdict;
use test_support::triggers::drawn;


fuzz_target!(|bytes: &[u8]| {
    let mut draw = drawn::Draw(bytes);
    let (now, at) = (draw.time(), draw.time());
    let Some(claimed) = draw.claimed() else { return };
    drawn::ask(&claimed.job.body.trigger, now, at);
    drawn::decide(&claimed, now, at, Verdict::Coalesced);
    let _ = drawn::drive(claimed, &mut draw);
});
