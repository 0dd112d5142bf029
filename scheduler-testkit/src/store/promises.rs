//! The list of promises, and the macro that makes tests of them.

/// Makes a `#[test]` of each promise of the store port; see [`store`](crate::store).
#[macro_export]
macro_rules! store_conformance {
    ($setup:expr) => {
        $crate::store_conformance!($setup, block_on = $crate::store::block_on);
    };
    ($setup:expr, block_on = $block_on:path) => {
        $crate::store_conformance! { @tests $setup, $block_on;
            insert: an_inserted_job_is_found_as_it_was_given
                the_id_of_a_live_job_is_a_conflict
                an_insert_repeated_adds_nothing
                an_insert_repeated_does_not_undo_what_came_after
                a_batch_is_judged_job_by_job
                a_big_batch_goes_in
                impossible_ids_are_rejected
                hostile_ids_are_kept_apart
                a_body_over_the_limit_is_refused_by_name
                numbers_start_at_zero;
            update: an_update_writes_what_it_carries
                an_update_without_a_definition_leaves_it_alone
                an_update_of_an_older_revision_is_a_conflict
                an_update_from_before_a_claim_is_a_conflict
                an_update_from_before_a_settle_is_a_conflict
                an_update_repeated_is_applied_once
                an_update_voids_a_claim
                a_paused_job_is_claimed_at_the_end_of_its_pause
                an_update_gives_way_to_a_claim
                an_update_does_not_give_way_to_a_claim_that_has_lapsed
                an_update_may_move_the_next_fire_time_back
                an_update_after_an_unseen_end_is_due_now
                updates_after_an_unseen_end_do_not_put_the_job_off
                the_verdicts_of_an_update_are_kept
                an_update_adds_a_run_that_was_asked_for
                a_run_that_was_asked_for_is_due_at_once
                a_run_that_was_asked_for_keeps_its_job_due
                a_request_repeated_adds_one_run
                two_requests_are_two_runs
                an_update_of_no_live_job_is_gone
                a_quarantined_job_is_repaired_by_an_update;
            cancel: a_running_run_is_asked_to_stop
                the_node_of_a_run_that_is_to_stop_hears_of_it
                a_waiting_run_that_is_to_stop_is_shown_at_once
                a_run_that_is_to_stop_keeps_its_job_due
                a_waiting_run_that_is_to_stop_does_not_start
                a_request_to_stop_repeated_does_nothing
                a_run_that_has_ended_is_left_alone
                a_run_that_is_not_there_is_gone
                the_last_run_of_a_job_is_asked_to_stop
                a_run_that_was_to_stop_is_not_retried
                an_orphan_is_still_to_stop
                asking_a_running_run_to_stop_is_in_nobodys_way;
            remove: a_removed_job_is_gone_with_its_runs
                a_removal_is_judged_job_by_job
                a_removed_job_goes_with_its_running_run
                removing_cancels_waiting_runs
                a_removed_job_is_not_retried
                a_retry_in_a_removed_job_is_an_end
                an_id_is_free_after_removal
                a_removed_job_cannot_be_settled
                a_removed_job_that_runs_cannot_be_settled
                all_jobs_can_be_removed;
            listing: jobs_are_listed_in_pages_by_id
                a_page_starts_after_any_id
                removed_jobs_are_not_listed
                runs_are_listed_in_pages_newest_first;
            search: jobs_are_found_by_each_part_of_a_filter
                what_looks_like_a_pattern_is_none
                found_jobs_come_in_pages_by_id
                found_jobs_come_in_pages_by_next_fire_time
                a_page_of_found_jobs_begins_behind_any_place
                a_job_is_found_by_what_it_is_now
                jobs_are_counted_by_state
                a_broken_row_is_found_as_quarantined
                runs_are_found_over_all_jobs
                runs_of_removed_jobs_are_not_found
                nodes_are_shown_with_what_they_run
                nodes_say_what_they_are;
            claim: jobs_are_claimed_in_the_order_of_due_and_uid
                a_claim_shows_the_job
                nothing_is_claimed_before_it_is_due
                a_fast_clock_takes_nothing_early
                a_limit_leaves_jobs_out_and_says_so
                recent_jobs_come_before_a_backlog
                the_next_due_is_the_earliest_that_the_node_could_take
                a_claim_out_of_order_takes_nothing
                own_claims_are_taken_again
                a_claim_keeps_other_nodes_out
                a_lapsed_claim_is_taken_when_adopting
                a_lapsed_claim_that_nobody_took_is_settled
                unknown_tasks_and_newer_versions_are_left_alone
                a_kept_job_is_claimed_when_it_is_due
                a_claim_counts_the_runs_of_all_nodes
                a_claim_shows_the_first_runs_and_counts_all
                an_idle_claim_leaves_no_trace
                jobs_with_a_backlog_take_turns
                each_job_is_claimed_exactly_once;
            adopt: a_run_whose_node_died_is_taken_over
                a_run_that_is_taken_over_comes_before_those_queued_behind_it
                nothing_is_taken_over_without_adopting
                a_delayed_claim_takes_over_nothing_that_lapsed_on_its_way
                a_node_that_shows_life_keeps_its_runs
                a_life_sign_covers_every_run_of_its_node
                a_delayed_life_sign_shortens_no_lease
                the_next_due_covers_the_leases_of_others
                taking_over_is_limited
                a_node_that_was_taken_over_learns_it
                a_node_that_was_partly_taken_over_learns_it
                a_run_taken_over_belongs_to_its_new_node
                each_takeover_is_counted
                an_orphan_is_not_forgotten_by_a_claim_in_flight;
            settle: a_move_writes_the_job_and_its_runs
                a_move_repeated_is_applied_once
                a_move_repeated_after_the_end_starts_nothing
                moves_are_judged_one_by_one
                a_move_of_another_node_is_refused
                a_move_never_moves_the_next_fire_time_back
                a_slot_freed_during_a_claim_is_used_at_once
                a_blocked_job_waits
                a_retry_during_a_claim_is_not_forgotten
                a_move_changes_the_runs_that_it_names
                a_cancellation_reaches_the_node_that_runs
                a_cancellation_of_an_ended_run_is_nothing
                a_run_that_does_not_wait_cannot_be_started
                a_job_that_is_over_without_runs_is_deleted
                a_kept_job_stays
                a_removed_job_does_not_come_back
                times_are_kept_to_the_microsecond
                a_turn_is_the_three_verbs_in_order
                a_turn_repeated_is_applied_once;
            record: an_end_is_written_and_counted
                a_report_repeated_is_done_once
                reports_are_judged_one_by_one
                a_retry_waits_for_its_time
                a_late_retry_does_not_put_the_job_off
                a_released_run_keeps_its_attempt
                a_blocked_job_is_due_when_its_run_ends
                a_job_that_does_not_wait_is_left_alone
                ends_of_one_job_come_together
                errors_are_cut_to_the_limit
                errors_of_attempts_and_the_output_are_kept
                an_output_that_was_too_large_is_noted
                the_history_is_pruned_and_the_totals_stay
                a_history_of_skips_is_pruned;
            ending: a_job_is_there_until_its_last_run_has_ended
                its_id_is_taken_until_its_last_run_has_ended
                it_goes_with_the_last_of_its_runs
                with_another_fire_time_it_goes_on
                a_paused_one_stays
                it_can_be_removed
                a_run_that_is_asked_for_keeps_it
                its_orphan_is_taken_over
                one_of_an_earlier_version_is_hidden_and_goes;
            retention: a_job_that_is_over_stays_known
                the_id_of_a_job_that_is_over_is_free
                it_goes_when_its_retention_has_passed
                what_is_due_does_not_wait_for_it
                a_move_may_be_the_end
                its_last_report_repeated_is_done_once
                what_is_over_stays_as_it_is
                a_changed_retention_counts
                a_removed_job_is_not_retained
                it_outlives_the_process;
            finished: finished_jobs_are_found_if_they_are_asked_for
                a_finished_job_is_shown_as_it_ended
                a_page_of_finished_jobs_begins_behind_any_place
                runs_of_finished_jobs_are_found
                finished_jobs_are_found_until_they_go;
            limits: a_limit_is_kept_and_shown
                no_more_runs_start_than_the_limit_allows
                a_key_without_a_limit_is_not_limited
                other_keys_and_jobs_without_one_are_not_held_up
                many_that_wait_leave_the_claim_to_others
                the_first_that_waits_is_due_first
                a_move_repeated_takes_one_place
                a_move_that_is_not_applied_leaves_its_place
                a_move_that_has_to_wait_is_not_applied_later
                a_run_counts_until_it_is_taken_over
                a_run_given_back_by_a_release_does_not_count
                a_place_is_handed_on_within_a_turn
                a_run_that_is_put_off_leaves_its_place
                a_lower_limit_ends_nothing
                a_higher_limit_is_used_at_once
                without_the_limit_all_that_wait_are_due
                what_runs_or_is_claimed_before_the_limit_counts
                a_run_counts_under_the_key_with_which_it_started
                a_removed_job_leaves_its_turn_to_the_next
                limits_outlive_the_process
                of_many_at_once_no_more_start_than_the_limit_allows;
            release: claims_are_given_up_at_once
                runs_are_given_back_at_once
                a_release_touches_nothing_of_others;
            changed: the_first_call_is_a_resync
                each_node_learns_of_changes
                no_change_is_lost
                what_is_given_back_is_told
                runs_give_no_hints;
            durable: everything_is_there_after_reopening;
            quarantine: a_broken_row_is_quarantined
                a_broken_row_is_listed_as_it_is
                a_broken_row_is_removed_by_id
                broken_rows_do_not_clog_the_claim
                a_newer_row_is_listed_as_it_is;
            hostile: hostile_arguments_are_kept
                a_body_at_the_limit_is_kept_whole
                hostile_task_names_are_kept_apart
                ids_and_tasks_that_look_alike_are_others
                nodes_that_look_alike_are_others
                hostile_messages_are_kept
                broken_rows_of_hostile_ids_are_removed;
            at_once: an_id_added_by_many_belongs_to_one
                of_many_updates_one_is_applied
                ends_are_all_counted
                an_end_and_a_takeover_exclude_each_other
                a_removal_and_a_move_exclude_each_other;
        }
    };
    (@tests $setup:expr, $block_on:path; $($module:ident: $($promise:ident)+;)+) => {
        $($(
            #[test]
            fn $promise() {
                $block_on(async {
                    let bench = $crate::store::Bench::new($setup.await);
                    $crate::store::$module::$promise(&bench).await;
                });
            }
        )+)+
    };
}

#[cfg(test)]
mod tests {
    /// A promise that the macro leaves out would never be tested.
    #[test]
    fn the_macro_lists_every_promise() {
        let list = include_str!("promises.rs");
        let modules = [
            ("insert", include_str!("insert.rs")),
            ("update", include_str!("update.rs")),
            ("cancel", include_str!("cancel.rs")),
            ("remove", include_str!("remove.rs")),
            ("listing", include_str!("listing.rs")),
            ("search", include_str!("search.rs")),
            ("claim", include_str!("claim.rs")),
            ("adopt", include_str!("adopt.rs")),
            ("settle", include_str!("settle.rs")),
            ("record", include_str!("record.rs")),
            ("ending", include_str!("ending.rs")),
            ("retention", include_str!("retention.rs")),
            ("finished", include_str!("finished.rs")),
            ("limits", include_str!("limits.rs")),
            ("release", include_str!("release.rs")),
            ("changed", include_str!("changed.rs")),
            ("durable", include_str!("durable.rs")),
            ("quarantine", include_str!("quarantine.rs")),
            ("hostile", include_str!("hostile.rs")),
            ("at_once", include_str!("at_once.rs")),
        ];
        for (module, source) in modules {
            for line in source.lines() {
                let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
                let promise = rest.split('(').next().unwrap();
                let is_listed = list.split_whitespace().any(|word| word.trim_end_matches(';') == promise);
                assert!(is_listed, "{module}::{promise}");
            }
        }
    }
}
