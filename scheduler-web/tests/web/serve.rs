//! `web::serve`, the server of the dashboard for programs without a server, is asked over real TCP connections. The tests run on tokio's
//! paused clock, which jumps to the next timer as soon as all tasks wait, so that no test waits for a time limit on the real clock.

use std::{io, time::Duration};

use scheduler_core::{JobSpec, trigger::Interval};
use scheduler_runtime::{Scheduler, ShutdownMode};
use scheduler_web::{Access, Dashboard, Permissions, Server, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::stage::{unprotected, with_a_job};

async fn served(scheduler: &Scheduler) -> Server {
    serve("127.0.0.1:0", unprotected(scheduler)).await.unwrap()
}

/// A connection on which this was sent.
async fn sent(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn answer(server: &Server, text: &str) -> String {
    rest(sent(server, text).await).await
}

/// A page that is seen: a stream that has begun.
async fn watching(server: &Server) -> TcpStream {
    let mut stream = sent(server, "GET /?page=changes HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut told = String::new();
    while !told.contains("retry") {
        let mut bytes = [0; 1_024];
        let length = stream.read(&mut bytes).await.unwrap();
        told += std::str::from_utf8(&bytes[..length]).unwrap();
    }
    stream
}

const CLOSE: &str = "connection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn pages_and_the_api_are_served_under_names_of_this_machine_alone() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    let page = answer(&server, &format!("GET /?page=jobs HTTP/1.1\r\nhost: localhost\r\n{CLOSE}")).await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert!(page.contains("hourly") && page.trim_end().ends_with("</html>"), "{page}");

    let json = "content-type: application/json\r\ncontent-length: 17\r\n";
    let request =
        format!("POST /api/v1/jobs/hourly/pause HTTP/1.1\r\nhost: 127.0.0.1\r\n{json}{CLOSE}{{\"note\": \"later\"}}");
    assert!(answer(&server, &request).await.starts_with("HTTP/1.1 2"), "the job is paused");
    assert_eq!(scheduler.job("hourly").await.unwrap().unwrap().state.as_str(), "paused");

    let foreign = format!("GET / HTTP/1.1\r\nhost: rebound.example.com\r\n{CLOSE}");
    let refused = answer(&server, &foreign).await;
    assert!(refused.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{refused}");
    assert!(refused.contains("Dashboard::host"), "{refused}");
    let of_no_name = answer(&server, &format!("GET / HTTP/1.0\r\n{CLOSE}")).await;
    assert!(of_no_name.contains("421"), "{of_no_name}");
}

#[tokio::test(start_paused = true)]
async fn the_login_sees_the_address_of_the_client() {
    let scheduler = with_a_job().await;
    let access = Access::by(|request| match request.extensions.get::<std::net::SocketAddr>() {
        Some(client) if client.ip().is_loopback() => Permissions::read(),
        _ => Permissions::none(),
    });
    let server = serve("127.0.0.1:0", Dashboard::new(scheduler.clone(), access)).await.unwrap();
    let page = answer(&server, &format!("GET /?page=jobs HTTP/1.1\r\nhost: jobs.example.com\r\n{CLOSE}")).await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_is_not_waited_for() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    for begun in ["", "GET / HTTP/1.1\r\nhost: loc"] {
        let begin = tokio::time::Instant::now();
        assert_eq!(answer(&server, begun).await, "", "{begun}");
        assert_eq!(begin.elapsed().as_secs(), 10, "{begun}");
    }
    let begin = tokio::time::Instant::now();
    let json = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let late = answer(&server, &format!("POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\n{json}")).await;
    assert!(late.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{late}");
    assert!(late.contains("the body of the request broke off: it was not there after 30 seconds"), "{late}");
    assert!(begin.elapsed().as_secs() < 50, "{:?}", begin.elapsed());
    // A page that is seen sends nothing either, and is told of what happens later.
    let mut page = watching(&server).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    scheduler.add_job(JobSpec::new("report", Interval::hours(1)).id("another")).await.unwrap();
    let mut bytes = [0; 1_024];
    let length = page.read(&mut bytes).await.unwrap();
    assert!(std::str::from_utf8(&bytes[..length]).unwrap().contains("event: change"));
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_connections_and_a_further_one_waits() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    let mut idle = Vec::new();
    for _ in 0..256 {
        idle.push(sent(&server, "").await);
    }
    let mut further = sent(&server, &format!("GET / HTTP/1.1\r\nhost: localhost\r\n{CLOSE}")).await;
    let mut byte = [0];
    timeout(Duration::from_secs(5), further.read(&mut byte)).await.unwrap_err();
    idle.pop();
    timeout(Duration::from_secs(1), further.read(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"H");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_scheduler_though_pages_are_seen() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    let (page, idle) = (watching(&server).await, sent(&server, "").await);
    let begin = tokio::time::Instant::now();
    scheduler.shutdown(ShutdownMode::Wait).await.unwrap();
    server.ended().await;
    server.ended().await;
    assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
    let told = rest(page).await;
    assert!(told.ends_with("0\r\n\r\n"), "the stream has an end, and did not break off: {told}");
    assert_eq!(rest(idle).await, "");
    let refused = TcpStream::connect(server.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn it_ends_before_the_scheduler_if_it_is_shut_down_or_dropped() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    let (address, page) = (server.address(), watching(&server).await);
    server.shutdown().await;
    assert!(rest(page).await.ends_with("0\r\n\r\n"));
    TcpStream::connect(address).await.unwrap_err();

    // Another one at the same address, of the same scheduler.
    let server = serve(address, unprotected(&scheduler)).await.unwrap();
    let page = watching(&server).await;
    drop(server);
    assert!(rest(page).await.ends_with("0\r\n\r\n"));
    assert!(scheduler.is_running().await);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
    let scheduler = with_a_job().await;
    let server = served(&scheduler).await;
    let address = server.address();
    let taken = serve(address, unprotected(&scheduler)).await.unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    let text = taken.to_string();
    assert!(text.starts_with(&format!("the dashboard cannot be served at {address}: ")), "{text}");
    assert!(
        text.ends_with("another program listens there; end that, or give another port, or 0 for one that is free"),
        "{text}"
    );
    for (address, advice) in [
        ("203.0.113.7:0", "no interface of this machine has the address; `127.0.0.1` is always there"),
        ("localhost", "an address has a host and a port, as in `127.0.0.1:8080`"),
    ] {
        let text = serve(address, unprotected(&scheduler)).await.unwrap_err().to_string();
        assert!(text.ends_with(advice), "{text}");
    }
}
