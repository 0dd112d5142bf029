//! Processes that are killed, stopped and started again on one store: `<store>::<what it shows>`.
//!
//! The children are this test binary itself, which runs the test `child` with a [`Part`](child::Part) in its environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod log;
mod scenarios;
mod stage;

use test_support::test_store;

/// What a child does when it is asked to; nothing in a run of the tests.
#[test]
#[ignore = "it is what the other tests run in processes of their own"]
fn child() {
    child::run();
}

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                crate::on_store! { $store:
                    after_crashes_of_one_node_all_is_accounted_for
                    after_crashes_of_two_nodes_all_is_accounted_for
                    after_crashes_of_four_nodes_all_is_accounted_for
                    two_processes_never_run_a_fire_time_twice
                    a_process_that_is_asked_to_end_gives_its_runs_to_another_at_once
                    a_process_that_was_stopped_past_its_lease_cannot_record_what_was_taken_over
                    no_more_runs_than_the_limit_are_running_whichever_process_is_killed
                    the_place_of_a_process_that_is_killed_is_free_after_its_lease
                }
            }
        )*

        #[test]
        fn each_store_is_tested() {
            crate::test_store::assert_lists(&[$(stringify!($store)),*], |store| {
                use apscheduler::stores::StorePlace::{File, Server};
                matches!(store.place, File | Server)
            });
        }
    };
}

macro_rules! on_store {
    ($store:ident: $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                crate::scenarios::$scenario(&crate::stage::Stage::new(stringify!($store)));
            }
        )*
    };
}

use on_store;

on_stores! { etcd mongodb mysql postgres redis sqlite zookeeper }

/// The stand-in for its server takes seconds where others take a tenth of one.
mod rethinkdb {
    crate::on_store! { rethinkdb:
        after_crashes_of_two_nodes_all_is_accounted_for
        two_processes_never_run_a_fire_time_twice
        a_process_that_was_stopped_past_its_lease_cannot_record_what_was_taken_over
        the_place_of_a_process_that_is_killed_is_free_after_its_lease
    }
}
