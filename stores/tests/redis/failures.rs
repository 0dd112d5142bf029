//! Servers that are away, silent, emptied, newer, or of somebody else.

use std::net::TcpListener;

use scheduler_core::{
    JobStore,
    store::{Hint, JobQuery, StoreErrorKind},
};
use scheduler_stores::RedisStore;
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::test_store::TestStore;

async fn bench(test_store: &TestStore, url: &str) -> Bench {
    let (a, b) = (test_store.options().connect(url).await.unwrap(), test_store.options().connect(url).await.unwrap());
    Bench::new(StoreUnderTest::new(a, b))
}

#[test]
fn a_server_that_is_not_there_says_where_it_was_sought() {
    block_on(async {
        let error = RedisStore::connect("redis://ann:secret@127.0.0.1:1/3").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let message = error.to_string();
        assert!(message.contains("127.0.0.1:1/3") && message.contains("cannot be reached"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let error = block_on(RedisStore::connect(&url)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[test]
fn a_url_that_is_none_says_so_without_its_password() {
    for url in ["", "no url", "http://ann:secret@host", "redis://ann:secret@host:port", "redis://ann:secret@host/first"]
    {
        let error = block_on(RedisStore::connect(url)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{url}");
        let message = error.to_string();
        assert!(message.contains("redis://user") && !message.contains("secret"), "{message}");
    }
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    block_on(async {
        let test_store = TestStore::new();
        let running = test_store.open().await;
        test_store.run::<()>(&["HSET", "@meta", "schema", "7"]);
        let error = test_store.options().connect(&test_store.url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        let message = error.to_string();
        assert!(message.contains("newer schema") && message.contains("7 3"), "{message}");
        // A store that has been open since before stops too.
        let error = running.jobs(&JobQuery { after: None, limit: 1 }).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
    });
}

#[test]
fn keys_of_another_program_are_left_alone() {
    block_on(async {
        let test_store = TestStore::new();
        test_store.run::<()>(&["SET", "@ids", "mine"]);
        let bench = bench(&test_store, &test_store.url).await;
        let error = bench.store().insert(bench.at(), &[bench.job("report", bench.at())]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        assert!(error.to_string().contains("key prefix"), "{error}");
        assert_eq!(test_store.names(), ["ids", "meta"]);
    });
}

#[test]
fn a_server_that_has_forgotten_the_script_is_told_it_again() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store, &test_store.url).await;
        for id in ["one", "two"] {
            test_store.run::<()>(&["SCRIPT", "FLUSH"]);
            bench.due_job(id).await;
        }
        assert_eq!(bench.a().claim().await.jobs.len(), 2);
    });
}

#[test]
fn a_server_that_has_been_emptied_is_used_as_a_new_one() {
    block_on(async {
        let test_store = TestStore::new();
        let bench = bench(&test_store, &test_store.url).await;
        bench.due_job("report").await;
        let started = bench.a().start("report").await;
        for (key, _) in test_store.dump() {
            test_store.run::<()>(&["DEL", &key]);
        }
        let reply = bench.a().record(&[started.entry(scheduler_core::store::RunReport::Release)]).await;
        assert_eq!(reply.outcomes, [scheduler_core::store::RecordOutcome::Gone]);
        assert_eq!(bench.a().claim().await.jobs, []);
        bench.due_job("report").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 1);
        assert_eq!(test_store.run::<String>(&["HGET", "@meta", "schema"]), "3");
    });
}

#[test]
fn a_connection_that_breaks_is_made_anew_and_the_gap_is_told() {
    block_on(async {
        let test_store = TestStore::new();
        let user = test_store.user(&["+@all"]);
        let bench = bench(&test_store, &user.url).await;
        let seen = bench.store().changed(0).await.unwrap().seen;

        test_store.run::<()>(&["CLIENT", "KILL", "USER", &user.name]);

        // The call that meets the break fails, unless it is seen before; the next one does not.
        let _ = bench.store().job(&"report".into()).await;
        assert_eq!(bench.store().job(&"report".into()).await.unwrap(), None);
        let change = bench.store().changed(seen).await.unwrap();
        assert_eq!(change.hint, Some(Hint::Resync));
        let _ = bench.b().store.job(&"report".into()).await;
        bench.b().store.insert(bench.at(), &[bench.job("report", bench.at())]).await.unwrap();
        let change = bench.store().changed(change.seen).await.unwrap();
        assert_eq!(change.hint, Some(Hint::Due(bench.at())));
    });
}

#[test]
fn a_user_without_rights_says_so() {
    block_on(async {
        let test_store = TestStore::new();
        let user = test_store.user(&["+@all", "-evalsha"]);
        let error = test_store.options().connect(&user.url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("this user may not"), "{error}");
        let wrong = user.url.replace(":word@", ":secret@");
        let error = test_store.options().connect(&wrong).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let message = error.to_string();
        assert!(message.contains("name and password") && !message.contains("secret"), "{message}");
    });
}

/// A server of its own, on a socket in a folder that goes with it.
struct Server(std::process::Child, tempfile::TempDir);

impl Server {
    fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "s", "--dir"]).arg(folder.path()).args(settings);
        let server = Self(command.stdout(std::process::Stdio::null()).spawn().unwrap(), folder);
        while std::os::unix::net::UnixStream::connect(server.1.path().join("s")).is_err() {
            std::thread::yield_now();
        }
        server
    }

    async fn warnings(&self) -> Vec<String> {
        let url = format!("redis+unix://{}", self.1.path().join("s").display());
        RedisStore::connect(&url).await.unwrap().warnings()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_server_that_evicts_or_keeps_nothing_is_told_of() {
    block_on(async {
        let evicts = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"];
        let cache = Server::start(&[&evicts[..], &["--save", "", "--appendonly", "no"]].concat());
        let warnings = cache.warnings().await;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("noeviction") && warnings[1].contains("appendonly yes"), "{warnings:?}");

        // As services forbid it. What can be known without is told.
        let managed = Server::start(&[&evicts[..], &["--rename-command", "CONFIG", ""]].concat());
        assert_eq!(managed.warnings().await.len(), 1);
        let sound = Server::start(&["--appendonly", "yes", "--save", ""]);
        assert_eq!(sound.warnings().await, [""; 0]);
    });
}
