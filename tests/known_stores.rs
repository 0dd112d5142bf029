//! What `STORES` says of each store is how it behaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use apscheduler::{
    store::Wakes,
    stores::{STORES, StoreNews},
};

use test_support::test_store::{self, TestStore};

macro_rules! on_stores {
    ($($store:ident)*) => {
        $(
            mod $store {
                #[test]
                fn it_behaves_as_the_table_of_stores_says() {
                    crate::it_behaves_as_the_table_of_stores_says(stringify!($store));
                }
            }
        )*

        #[test]
        fn each_store_is_tested() {
            test_store::assert_lists(&[$(stringify!($store)),*], |_| true);
        }
    };
}

on_stores! { etcd memory mongodb mysql postgres redis rethinkdb sqlite zookeeper }

fn it_behaves_as_the_table_of_stores_says(name: &str) {
    let known = test_store::known(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let limits = runtime.block_on(TestStore::new(name).open()).limits();

    let told = "what the store says of itself, and its line in `STORES`";
    assert_eq!((limits.clock, limits.durability), (known.clock, known.durability), "{told}");
    let news = match limits.wakes {
        Wakes::Push => Some(StoreNews::Push),
        Wakes::Poll(_) => Some(StoreNews::Poll),
        Wakes::Never => None,
    };
    assert_eq!(news, Some(known.news), "{told}");
}

#[test]
fn no_scheme_names_two_stores() {
    let mut schemes: Vec<&str> = STORES.iter().flat_map(|store| store.schemes).copied().collect();
    schemes.sort_unstable();
    let all = schemes.len();
    schemes.dedup();
    assert_eq!(schemes.len(), all);
    assert!(
        STORES.iter().all(|store| store.schemes.first() == Some(&store.name)),
        "the usual scheme is the store's name"
    );
}
