//! The conformance suite for stores: a store is supported if and only if it passes.
//!
//! One macro call makes a test of each promise of [`JobStore`](scheduler_core::JobStore):
//!
//! ```
//! use scheduler_stores::MemoryStore;
//! use scheduler_testkit::store::StoreUnderTest;
//!
//! scheduler_testkit::store_conformance!(async {
//!     let store = MemoryStore::new();
//!     StoreUnderTest::new(store.clone(), store)
//! });
//! # fn main() {}
//! ```
//!
//! The expression is awaited anew for each test and has to give an empty store. See [`StoreUnderTest`] for what a store
//! with a clock of its own, or one that outlives the process, adds to it. A second argument runs the tests inside of a
//! runtime: `store_conformance!(setup(), block_on = in_tokio)`, where `in_tokio` takes a future and drives it.
//!
//! `examples/tokio/custom_store.rs` of the repository is a store of a third party that is held to them.
//!
//! The functions of the modules below are the promises; the first line of each says what it holds a store to.
//!
//! # What can go wrong
//!
//! A store shared by several nodes has to stand the following. A store is held to its part by the promises named here;
//! what the engine makes of it is shown over the memory store by the [simulator](crate::sim), whose nodes crash, freeze
//! and lose messages.
//!
//! | what happens | what shows that nothing is lost or doubled |
//! |---|---|
//! | a node dies in the only run of a one-shot; others add the job anew meanwhile | [`ending`], as a whole |
//! | two nodes count the free slots of a job at once | [`a_claim_keeps_other_nodes_out`](claim::a_claim_keeps_other_nodes_out), [`a_claim_counts_the_runs_of_all_nodes`](claim::a_claim_counts_the_runs_of_all_nodes), [`a_move_of_another_node_is_refused`](settle::a_move_of_another_node_is_refused), [`each_job_is_claimed_exactly_once`](claim::each_job_is_claimed_exactly_once) |
//! | a run ends between another node's claim and its settle | [`a_slot_freed_during_a_claim_is_used_at_once`](settle::a_slot_freed_during_a_claim_is_used_at_once), [`a_retry_during_a_claim_is_not_forgotten`](settle::a_retry_during_a_claim_is_not_forgotten) |
//! | a call was applied and its reply lost; an old one is delayed | [`an_insert_repeated_adds_nothing`](insert::an_insert_repeated_adds_nothing), [`an_update_repeated_is_applied_once`](update::an_update_repeated_is_applied_once), [`a_move_repeated_is_applied_once`](settle::a_move_repeated_is_applied_once), [`a_move_repeated_after_the_end_starts_nothing`](settle::a_move_repeated_after_the_end_starts_nothing), [`a_report_repeated_is_done_once`](record::a_report_repeated_is_done_once), [`a_turn_repeated_is_applied_once`](settle::a_turn_repeated_is_applied_once), [`a_claim_out_of_order_takes_nothing`](claim::a_claim_out_of_order_takes_nothing) |
//! | the store is away for longer than a lease | [`nothing_is_taken_over_without_adopting`](adopt::nothing_is_taken_over_without_adopting), [`a_delayed_claim_takes_over_nothing_that_lapsed_on_its_way`](adopt::a_delayed_claim_takes_over_nothing_that_lapsed_on_its_way), [`a_delayed_life_sign_shortens_no_lease`](adopt::a_delayed_life_sign_shortens_no_lease) |
//! | a node has very many long runs | [`a_life_sign_covers_every_run_of_its_node`](adopt::a_life_sign_covers_every_run_of_its_node), [`taking_over_is_limited`](adopt::taking_over_is_limited) |
//! | jobs with a long backlog, or broken rows, are the oldest | [`jobs_with_a_backlog_take_turns`](claim::jobs_with_a_backlog_take_turns), [`broken_rows_do_not_clog_the_claim`](quarantine::broken_rows_do_not_clog_the_claim), [`a_limit_leaves_jobs_out_and_says_so`](claim::a_limit_leaves_jobs_out_and_says_so), [`recent_jobs_come_before_a_backlog`](claim::recent_jobs_come_before_a_backlog) |
//! | a node's clock is fast; a store rounds times | [`a_fast_clock_takes_nothing_early`](claim::a_fast_clock_takes_nothing_early), [`a_run_that_was_asked_for_is_due_at_once`](update::a_run_that_was_asked_for_is_due_at_once), [`times_are_kept_to_the_microsecond`](settle::times_are_kept_to_the_microsecond) |
//! | one row of a batch is bad | [`a_broken_row_is_quarantined`](quarantine::a_broken_row_is_quarantined), [`a_batch_is_judged_job_by_job`](insert::a_batch_is_judged_job_by_job), [`moves_are_judged_one_by_one`](settle::moves_are_judged_one_by_one), [`reports_are_judged_one_by_one`](record::reports_are_judged_one_by_one) |
//! | old and new versions of a service share a store | [`unknown_tasks_and_newer_versions_are_left_alone`](claim::unknown_tasks_and_newer_versions_are_left_alone), [`a_newer_row_is_listed_as_it_is`](quarantine::a_newer_row_is_listed_as_it_is), [`an_inserted_job_is_found_as_it_was_given`](insert::an_inserted_job_is_found_as_it_was_given) |
//! | a year of fire times is given up; an id is used again | [`a_move_writes_the_job_and_its_runs`](settle::a_move_writes_the_job_and_its_runs), [`the_verdicts_of_an_update_are_kept`](update::the_verdicts_of_an_update_are_kept), [`an_id_is_free_after_removal`](remove::an_id_is_free_after_removal) |
//! | a run kills each node that takes it | [`each_takeover_is_counted`](adopt::each_takeover_is_counted), [`a_released_run_keeps_its_attempt`](record::a_released_run_keeps_its_attempt) |
//! | ends are recorded while other calls are under way | [`ends_are_all_counted`](at_once::ends_are_all_counted), [`an_end_and_a_takeover_exclude_each_other`](at_once::an_end_and_a_takeover_exclude_each_other), [`an_update_after_an_unseen_end_is_due_now`](update::an_update_after_an_unseen_end_is_due_now) |
//! | a notification is lost; a run on another node is to stop | [`no_change_is_lost`](changed::no_change_is_lost), [`each_node_learns_of_changes`](changed::each_node_learns_of_changes), [`a_cancellation_reaches_the_node_that_runs`](settle::a_cancellation_reaches_the_node_that_runs), [`a_running_run_is_asked_to_stop`](cancel::a_running_run_is_asked_to_stop), [`the_node_of_a_run_that_is_to_stop_hears_of_it`](cancel::the_node_of_a_run_that_is_to_stop_hears_of_it) |
//! | a run is to stop while it changes hands | [`a_waiting_run_that_is_to_stop_does_not_start`](cancel::a_waiting_run_that_is_to_stop_does_not_start), [`a_run_that_was_to_stop_is_not_retried`](cancel::a_run_that_was_to_stop_is_not_retried), [`an_orphan_is_still_to_stop`](cancel::an_orphan_is_still_to_stop) |
//! | a run is asked for twice, or the job paused before it starts | [`a_request_repeated_adds_one_run`](update::a_request_repeated_adds_one_run), [`two_requests_are_two_runs`](update::two_requests_are_two_runs), [`a_run_that_was_asked_for_keeps_its_job_due`](update::a_run_that_was_asked_for_keeps_its_job_due) |
//! | two nodes change a job at once; a node shuts down; history is pruned | [`of_many_updates_one_is_applied`](at_once::of_many_updates_one_is_applied), [`an_update_of_an_older_revision_is_a_conflict`](update::an_update_of_an_older_revision_is_a_conflict), [`claims_are_given_up_at_once`](release::claims_are_given_up_at_once), [`runs_are_given_back_at_once`](release::runs_are_given_back_at_once), [`what_is_given_back_is_told`](changed::what_is_given_back_is_told), [`the_history_is_pruned_and_the_totals_stay`](record::the_history_is_pruned_and_the_totals_stay) |
//! | jobs of many tenants want the same few places | [`limits`], as a whole |
//! | people and programs write what they like | [`quarantine`] and [`hostile`], as a whole |

#![allow(clippy::unwrap_used, reason = "a broken promise panics, which is how a test fails")]

pub mod adopt;
pub mod at_once;
mod bench;
pub mod cancel;
pub mod changed;
pub mod claim;
pub mod durable;
pub mod ending;
pub mod finished;
pub mod hostile;
pub mod insert;
pub mod limits;
pub mod listing;
mod node;
mod promises;
pub mod quarantine;
pub mod record;
pub mod release;
pub mod remove;
pub mod retention;
mod script;
pub mod search;
pub mod settle;
mod setup;
pub mod update;

pub use futures_lite::future::block_on;

pub use self::{
    bench::{Bench, CannotDamage, LEASE},
    node::{Node, Started, moved, nth_run},
    script::agree,
    setup::{Damage, StoreUnderTest},
};
