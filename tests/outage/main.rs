//! Servers that are killed, hang and come back under running schedulers: `<store>::<what it shows>`.
//!
//! Each test has a server of its own, whose data survive a kill. What `cargo xtask services install` installs has to be
//! there.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scenarios;
mod server;
mod stage;

use test_support::test_store;

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                crate::on_store! { $store:
                    a_server_that_is_killed_and_comes_back_loses_nothing
                    an_outage_longer_than_the_lease_takes_nobodys_runs
                    a_server_that_is_away_at_the_start_is_waited_for
                    a_server_that_hangs_is_noticed_and_doubles_nothing
                }
            }
        )*

        #[test]
        fn each_store_is_tested() {
            crate::test_store::assert_lists(&[$(stringify!($store)),*], |store| {
                store.place == apscheduler::stores::StorePlace::Server
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

on_stores! { etcd mongodb mysql postgres redis zookeeper }
