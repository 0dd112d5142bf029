//! Connections that are lost.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use scheduler_core::{
    JobStore,
    store::{Clock, Hint, StoreErrorKind},
};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use sqlx::mysql::MySqlConnectOptions;

use crate::{
    server,
    sql_servers::database::{Database, connection, run},
};

/// The server closes every connection of the store, as at a restart: the next call opens others.
#[test]
fn a_store_connects_anew_by_itself() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let name = format!("{}own", database.prefix());
        database.run(&format!("CREATE DATABASE {name}")).await;
        let options = server::url("mysql").parse::<MySqlConnectOptions>().unwrap().database(&name);
        let store = database.options().connect_with(options).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
        for n in 0..3 {
            let mut seen = store.changed(0).await.unwrap().seen;
            assert!(kill_connections(&name).await > 0);
            seen = store.changed(seen).await.unwrap().seen;
            kill_connections(&name).await;
            bench.due_job(&format!("job-{n}")).await;
            assert_eq!(store.changed(seen).await.unwrap().hint, Some(Hint::Resync));
        }
        assert_eq!(bench.a().claim().await.jobs.len(), 3);
        database.run(&format!("DROP DATABASE {name}")).await;
    });
}

/// Closes the connections to a database of its own, and says how many there were.
async fn kill_connections(database: &str) -> usize {
    let mut connection = connection().await;
    let ids = sqlx::query_scalar("SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = ?");
    let ids: Vec<i64> = ids.bind(database).fetch_all(&mut connection).await.unwrap();
    for id in &ids {
        run(&mut connection, &format!("KILL {id}")).await;
    }
    ids.len()
}

/// The network loses all that is sent: a call is given up, and the next one after the repair goes through.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about real time")]
fn a_server_that_falls_silent_is_given_up_and_found_again() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let url = server::url("mysql");
        let (head, tail) = url.split_once('@').unwrap();
        let (host, path) = tail.split_once('/').unwrap();
        let line = Line::to(host);
        let store = database.options().connect(&format!("{head}@{}/{path}", line.address)).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
        bench.due_job("before").await;

        line.set(Signal::Lost);
        let began = Instant::now();
        let error = store.insert(bench.at(), &[bench.job("meanwhile", bench.at())]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("has not answered in time"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());

        line.set(Signal::Clear);
        bench.due_job("after").await;
        assert_eq!(bench.a().claim().await.jobs.len(), 2);
    });
}

/// A line to a server on which the signal can be lost.
struct Line {
    address: SocketAddr,
    state: Arc<(Mutex<Signal>, Condvar)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Clear,
    Lost,
}

impl Line {
    fn to(server: &str) -> Self {
        let (server, listener) = (server.to_owned(), TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let address = listener.local_addr().expect("it is bound");
        let state: Arc<(Mutex<Signal>, Condvar)> = Arc::new((Mutex::new(Signal::Clear), Condvar::new()));
        let shared = state.clone();
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let Ok(callee) = TcpStream::connect(&server) else { return };
                for (from, to) in [(&caller, &callee), (&callee, &caller)] {
                    let ends = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
                    let shared = shared.clone();
                    thread::spawn(move || forward(ends.0, ends.1, &shared));
                }
            }
        });
        Self { address, state }
    }

    fn set(&self, signal: Signal) {
        *self.state.0.lock().expect("nothing panics while it holds the signal") = signal;
        self.state.1.notify_all();
    }
}

/// Passes on what comes, as soon as the signal is clear, until one end closes.
fn forward(mut from: TcpStream, mut to: TcpStream, (signal, changed): &(Mutex<Signal>, Condvar)) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let guard = signal.lock().expect("nothing panics while it holds the signal");
        drop(changed.wait_while(guard, |signal| *signal == Signal::Lost));
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other end may be closed already.
    let _ = to.shutdown(Shutdown::Both);
}
