//! Every runtime with every store: `<runtime>::<store>::<what it shows>`.
//!
//! These run on the real clock. They wait for what is to happen, with a deadline, and never for a fixed time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scenarios;
mod stage;

use test_support::test_store;

/// A module for each runtime, in it one for each store, in it a test for each scenario.
macro_rules! matrix {
    ($($runtime:ident = $make:expr;)*) => {
        $(
            mod $runtime {
                use std::sync::Arc;

                use apscheduler::Runtime;

                fn runtime() -> Arc<dyn Runtime> {
                    Arc::new($make)
                }

                crate::on_stores! { etcd memory mongodb mysql postgres redis rethinkdb sqlite zookeeper }
            }
        )*
    };
}

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                crate::on_store! { $store:
                    an_interval_job_runs_again_and_again_at_its_fire_times
                    a_cron_job_fires_each_second_it_names
                    a_one_shot_runs_at_once_and_goes
                    jobs_are_added_listed_changed_and_removed
                    a_job_of_the_same_id_is_refused_kept_or_replaced
                    a_blocking_task_does_not_hold_up_the_others
                    a_thread_pool_runs_tasks_of_both_kinds
                    errors_and_panics_are_told_and_kept_in_the_history
                    a_failed_run_is_retried_until_it_succeeds
                    a_run_that_takes_too_long_is_timed_out
                    shutting_down_waits_for_running_runs
                    a_restart_on_the_same_store_catches_up
                    several_nodes_never_run_a_fire_time_twice
                    a_job_added_on_one_node_wakes_another
                    a_node_that_vanishes_is_taken_over_after_its_lease
                    a_job_is_run_now_beside_its_schedule
                    a_running_run_is_cancelled
                    a_run_on_another_node_is_cancelled
                    several_stores_are_used_at_once
                    jobs_move_between_stores
                    a_background_scheduler_runs_jobs
                    a_blocking_scheduler_runs_until_it_is_shut_down
                    a_local_scheduler_runs_tasks_that_are_not_send
                    a_pumped_scheduler_runs_within_the_loop_of_its_host
                }
            }
        )*

        #[test]
        fn each_store_is_tested() {
            crate::test_store::assert_lists(&[$(stringify!($store)),*], |_| true);
        }
    };
}

macro_rules! on_store {
    ($store:ident: $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                crate::scenarios::$scenario(&crate::stage::Stage::new(super::runtime(), stringify!($store)));
            }
        )*
    };
}

use {on_store, on_stores};

matrix! {
    tokio = apscheduler::TokioRuntime::new().unwrap();
    async_std = apscheduler::AsyncStdRuntime;
    smol = apscheduler::SmolRuntime;
    thread = apscheduler::ThreadRuntime::new().unwrap();
}
