//! Stores by their URLs.

use scheduler_config::{SchedulerConfig, StoreConfig, connect_store};
use scheduler_core::store::StoreErrorKind;
use scheduler_thread::ThreadRuntime;

use crate::wait;

fn block_on<T>(call: impl Future<Output = T>) -> T {
    wait(&ThreadRuntime::new().expect("threads start"), call)
}

#[test]
fn memory_is_a_store() {
    for url in ["memory:", "memory://"] {
        assert!(format!("{:?}", block_on(connect_store(url)).unwrap()).contains("MemoryStore"));
    }
}

#[test]
fn a_store_that_is_not_compiled_in_names_its_feature() {
    let stores = [
        ("sqlite", cfg!(feature = "sqlite")),
        ("postgres", cfg!(feature = "postgres")),
        ("mysql", cfg!(feature = "mysql")),
        ("redis", cfg!(feature = "redis")),
        ("mongodb", cfg!(feature = "mongodb")),
        ("zookeeper", cfg!(feature = "zookeeper")),
        ("etcd", cfg!(feature = "etcd")),
        ("rethinkdb", cfg!(feature = "rethinkdb")),
    ];
    for (feature, _) in stores.into_iter().filter(|(_, is_there)| !is_there) {
        let error = block_on(connect_store(&format!("{feature}://u:secret@db/app"))).unwrap_err();
        let message = format!(
            "store url `{feature}://u:***@db/app`: this program is built without the {feature} store; switch on the feature `{feature}`"
        );
        assert_eq!((error.kind(), error.to_string()), (StoreErrorKind::Incompatible, message));
    }
}

/// What the drivers say of URLs that they cannot read, or of servers that are not there.
#[test]
fn no_error_has_a_password_in_it() {
    let urls = [
        "postgres://u:se:cret@127.0.0.1:1/app",
        "postgres://u:secret@[::1/app",
        "postgres://u:secret@127.0.0.1:port/app",
        "postgres://u:sec#ret@127.0.0.1:1/app",
        "postgres://127.0.0.1:1/app?user=u&password=secret&sslmode=perhaps",
        "mysql://u:secret@127.0.0.1:1/app",
        "mysql://u:secret@[::1/app",
        "mysql://u:secret@127.0.0.1:port/app",
        "redis://u:secret@127.0.0.1:1",
        "redis://u:secret@[::1",
        "redis://u:secret@127.0.0.1:port",
        "redis://u:secret@127.0.0.1:1/zero",
        "redis+unix:///nowhere?pass=secret",
        "mongodb://u:se@cret@127.0.0.1:1/app",
        "mongodb://u:sec/ret@127.0.0.1:1/app",
        "mongodb://u:secret@127.0.0.1:port/app",
        "mongodb://u:sec%ret@127.0.0.1:1/app?x=y",
        "mongodb://u:secret@127.0.0.1:1/app?serverSelectionTimeoutMS=1",
        "zookeeper://u:secret@127.0.0.1:port",
        "etcd://u:secret@127.0.0.1:port",
        "rethinkdb://u:secret@127.0.0.1:port",
    ];
    for url in urls {
        let error = block_on(connect_store(url)).unwrap_err();
        let told = format!("{error} {error:?}");
        for secret in ["secret", "se:cret", "se@cret", "sec#ret", "sec/ret", "sec%ret"] {
            assert!(!told.contains(secret), "{url}: {told}");
        }
    }
}

#[test]
fn an_option_of_another_store_is_refused_before_anything_is_connected_to() {
    let mut store = StoreConfig::new("postgres://u:secret@nowhere.invalid/app".parse().unwrap());
    store.synchronous = Some(scheduler_stores::Synchronous::Full);
    let error = block_on(store.connect()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`synchronous`: the postgres store does not have it, only prefix, schema, create_tables, payload_limit, max_connections",
    );
}

#[test]
fn an_option_that_is_zero_is_refused() {
    for (url, option) in
        [("sqlite://x", "poll = '0s'"), ("mysql://x/y", "max_connections = 0"), ("etcd://x", "timeout = '0s'")]
    {
        let toml = format!("[stores]\ndefault = {{ url = '{url}', {option} }}");
        let error = SchedulerConfig::from_toml(&toml).unwrap_err().to_string();
        assert!(
            error.ends_with(" is zero or less than a millisecond; give more, or leave it out for the store's own"),
            "{error}"
        );
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn a_file_is_opened_with_the_options_that_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let mut store = StoreConfig::new(url.parse().unwrap());
    store.prefix = Some("billing_".to_owned());
    store.poll = Some(None);
    store.payload_limit = Some(1_000);
    store.synchronous = Some(scheduler_stores::Synchronous::Normal);
    let store = block_on(store.connect()).unwrap();
    assert_eq!(store.limits().payload, 1_000);
    assert!(folder.path().join("jobs.db").exists());

    let mut wrong = StoreConfig::new(url.parse().unwrap());
    wrong.prefix = Some("9_".to_owned());
    let message = block_on(wrong.connect()).unwrap_err().to_string();
    assert!(message.contains("table prefix \"9_\""), "{message}");
}
