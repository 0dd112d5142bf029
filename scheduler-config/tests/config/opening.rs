//! Stores that a builder is given by their URLs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::TcpListener, time::Duration};

use scheduler_config::BuilderByUrl;
use scheduler_core::{ErrorKind, JobSpec, trigger::Interval};
use scheduler_runtime::{Scheduler, ShutdownMode};
use scheduler_thread::ThreadRuntime;

#[test]
fn a_url_that_names_no_store_is_an_error_of_building_without_its_password() {
    let runtime = ThreadRuntime::new().expect("threads start");
    for url in ["oracle://app:secret@db/app", "postgres+psycopg2://app:secret@db/app", "jobs.db"] {
        let error = Scheduler::builder(runtime.clone()).store_url("archive", url).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        assert!(message.starts_with("store `archive`: store url `"), "{message}");
        assert!(!format!("{message} {error:?}").contains("secret"), "{error:?}");
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        thread,
    };

    use super::{Duration, ErrorKind, Interval, JobSpec, Scheduler, ShutdownMode, TcpListener, ThreadRuntime};
    use scheduler_config::BuilderByUrl;
    use test_support::server;

    fn hourly() -> JobSpec {
        JobSpec::new("report", Interval::hours(1)).id("hourly")
    }

    #[test]
    fn a_server_that_is_not_there_is_named_with_its_url_and_without_the_password() {
        let runtime = ThreadRuntime::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let scheduler = Scheduler::builder(runtime)
            .store_url("default", &format!("postgres://app:secret@{free}/app"))
            .background()
            .unwrap();
        let error = scheduler.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
        let message = error.to_string();
        assert!(message.starts_with(&format!("store `default`: postgres://app:***@{free}/app: ")), "{message}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }

    /// The database's address takes a first connection and ends it, and leads to the server from then on.
    #[test]
    fn a_server_that_comes_up_while_the_scheduler_starts_is_waited_for() {
        let url = server::url("postgres");
        let (login, rest) = url.trim_start_matches("postgres://").split_once('@').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let (listener, address) = (TcpListener::bind("127.0.0.1:0").unwrap(), address.to_owned());
        let own = format!("postgres://{login}@{}/{database}", listener.local_addr().unwrap());
        thread::spawn(move || {
            drop(listener.accept().unwrap());
            for client in listener.incoming() {
                relay(client.unwrap(), &address);
            }
        });

        let scheduler = Scheduler::builder(ThreadRuntime::new().unwrap())
            .store_url("default", &own)
            .wait_for_stores(Duration::from_secs(60))
            .task("report", || async {})
            .background()
            .unwrap();
        scheduler.start().unwrap();
        // An earlier run that was cut off may have left it in the server's tables.
        if let Err(error) = scheduler.remove_job("hourly") {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
        scheduler.add_job(hourly()).unwrap();
        assert!(scheduler.job("hourly").unwrap().is_some());
        scheduler.remove_job("hourly").unwrap();
        scheduler.shutdown(ShutdownMode::Wait).unwrap();
    }

    fn relay(client: TcpStream, address: &str) {
        let server = TcpStream::connect(address).unwrap();
        for (mut from, mut to) in
            [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server.try_clone().unwrap(), client)]
        {
            thread::spawn(move || {
                let mut bytes = [0; 8_192];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    if to.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                // The other end has gone, or the connection.
                drop(to.shutdown(std::net::Shutdown::Both));
            });
        }
    }
}
