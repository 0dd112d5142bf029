//! Connections that are lost.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use scheduler_core::{
    JobStore,
    store::{Clock, StoreErrorKind},
};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

use crate::{
    server,
    sql_servers::database::{Database, wait},
};

/// The line goes dead in the middle: no answer, no end. The call gives up, and the next one takes another connection.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about real time")]
fn a_line_that_goes_dead_is_given_up() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let line = Line::to_server();
        let store = database.options().connect(&line.url()).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), database.open().await));
        bench.due_job("before").await;

        line.go_dead();
        let began = Instant::now();
        let error = store.insert(bench.at(), &[bench.job("lost", bench.at())]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("not answered in time"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

        line.come_back();
        bench.due_job("after").await;
        assert_eq!(bench.b().claim().await.jobs.len(), 2);
    });
}

/// A line to the server that can go dead.
struct Line {
    address: SocketAddr,
    is_dead: Arc<AtomicBool>,
}

impl Line {
    fn to_server() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self { address: listener.local_addr().unwrap(), is_dead: Arc::default() };
        let is_dead = line.is_dead.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(server_address()).unwrap();
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (from, to) in [(near, far), back] {
                    let is_dead = is_dead.clone();
                    thread::spawn(move || pass_on(from, to, &is_dead));
                }
            }
        });
        line
    }

    fn url(&self) -> String {
        server::url("postgres").replace(&server_address(), &self.address.to_string())
    }

    fn go_dead(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    fn come_back(&self) {
        self.is_dead.store(false, Ordering::SeqCst);
    }
}

/// Passes bytes on. What comes while the line is dead is lost, and with it the connection.
fn pass_on(mut from: TcpStream, mut to: TcpStream, is_dead: &AtomicBool) {
    let mut bytes = [0; 4_096];
    let mut is_whole = true;
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        is_whole &= !is_dead.load(Ordering::SeqCst);
        if is_whole && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
}

/// The `host:port` of the server's URL.
fn server_address() -> String {
    let url = server::url("postgres");
    url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned()
}

/// The server closes every connection of the store, as at a restart: the next call opens others, and hints go on.
#[test]
fn a_store_connects_anew_by_itself() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let name = database.prefix().to_owned();
        let options = server::url("postgres").parse::<sqlx::postgres::PgConnectOptions>().unwrap();
        let store = database.options().connect_with(options.application_name(&name)).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), database.open().await));
        let mut seen = store.changed(0).await.unwrap().seen;
        let of_store = format!("FROM pg_stat_activity WHERE application_name = '{name}'");
        for n in 0..3 {
            // One for calls, one that listens.
            while database.number(&format!("SELECT count(*) {of_store}")).await < 2 {}
            database.number(&format!("SELECT count(pg_terminate_backend(pid)) {of_store}")).await;
            bench.due_job(&format!("job-{n}")).await;
            // The lost connection is told as a failure until there is another one, which begins with a resync.
            let mut change = store.changed(seen).await;
            for _ in 0..500 {
                if change.is_ok() {
                    break;
                }
                wait(Duration::from_millis(10)).await;
                change = store.changed(seen).await;
            }
            seen = change.unwrap().seen;
        }
        assert_eq!(bench.a().claim().await.jobs.len(), 3);
    });
}
