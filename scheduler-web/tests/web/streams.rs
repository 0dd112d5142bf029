//! The streams that tell pages that something has changed.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use axum::Router;
use http::{Request, StatusCode};
use http_body::Body as _;
use scheduler_core::{JobSpec, trigger::Interval};
use scheduler_runtime::{Scheduler, ShutdownMode};
use scheduler_tokio::TokioRuntime;
use scheduler_web::{Body, Dashboard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{pass, unprotected, with_a_job};

/// A stream as its reader sees it.
struct Stream(Body);

/// What a stream has for its reader at the moment.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Text(String),
    Nothing,
    End,
}

impl Stream {
    async fn open(dashboard: &Dashboard) -> Self {
        let request = Request::get("/?page=changes").header("host", "localhost");
        let answer = dashboard.respond(request.body(String::new()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert!(!answer.headers().contains_key("content-length"));
        let mut stream = Self(answer.into_body());
        assert_eq!(stream.now().await, Told::Text("retry: 5000\n\n".to_owned()));
        stream
    }

    async fn now(&mut self) -> Told {
        poll_fn(|cx| {
            Poll::Ready(match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    let frame = frame.unwrap().into_data().unwrap();
                    Told::Text(String::from_utf8(frame.to_vec()).unwrap())
                }
                Poll::Ready(None) => Told::End,
                Poll::Pending => Told::Nothing,
            })
        })
        .await
    }

    /// What it tells next, when it does.
    async fn next(&mut self) -> Told {
        let frame = poll_fn(|cx| Pin::new(&mut self.0).poll_frame(cx)).await;
        match frame {
            Some(frame) => Told::Text(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()),
            None => Told::End,
        }
    }
}

fn change() -> Told {
    Told::Text("event: change\ndata: {}\n\n".to_owned())
}

async fn add(scheduler: &Scheduler, id: &str) {
    scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id(id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_told_once_of_all_that_has_changed_since_it_was_last_told() {
    let scheduler = with_a_job().await;
    let mut stream = Stream::open(&unprotected(&scheduler)).await;
    assert_eq!(stream.now().await, Told::Nothing);
    for id in ["a", "b", "c"] {
        add(&scheduler, id).await;
    }
    assert_eq!(stream.now().await, change());
    assert_eq!(stream.now().await, Told::Nothing);
    // Of what happens later, too, without being asked.
    let later = scheduler.clone();
    tokio::spawn(async move {
        pass(Duration::from_secs(10)).await;
        later.remove_job("a").await.unwrap();
    });
    assert_eq!(stream.next().await, change());
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_scheduler() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let mut stream = Stream::open(&dashboard).await;
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    while stream.next().await != Told::End {}
    let request = Request::get("/?page=changes").header("host", "localhost").body(String::new()).unwrap();
    let mut late = Stream(dashboard.respond(request).await.into_body());
    assert_eq!(late.now().await, Told::End);
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_streams_and_the_oldest_ends_for_a_further_one() {
    let scheduler = with_a_job().await;
    let dashboard = unprotected(&scheduler);
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Stream::open(&dashboard).await);
    }
    // A place of one whose reader has gone is free.
    drop(streams.remove(10));
    streams.push(Stream::open(&dashboard).await);
    assert_eq!(streams[0].now().await, Told::Nothing);
    streams.push(Stream::open(&dashboard.clone()).await);
    assert_eq!(streams[0].now().await, Told::End);
    add(&scheduler, "a").await;
    for stream in &mut streams[1..] {
        assert_eq!(stream.now().await, change());
    }
}

#[tokio::test]
async fn a_server_that_ends_in_good_order_is_not_held_up_by_streams() {
    let scheduler = Scheduler::builder(TokioRuntime::current()).build().unwrap();
    scheduler.start().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback_service(unprotected(&scheduler));
    let (end, is_to_end) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        is_to_end.await.unwrap();
        scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    };
    let server = tokio::spawn(axum::serve(listener, routes).with_graceful_shutdown(shutdown).into_future());

    let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
    reader.write_all(b"GET /?page=changes HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut told = String::new();
    while !told.contains("retry") {
        let mut bytes = [0; 1_024];
        let length = reader.read(&mut bytes).await.unwrap();
        told += std::str::from_utf8(&bytes[..length]).unwrap();
    }
    end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(60), server).await.unwrap().unwrap().unwrap();
    reader.read_to_string(&mut told).await.unwrap();
    assert!(told.ends_with("\r\n0\r\n\r\n"), "the stream has an end, and did not break off: {told}");
}
