//! A server of the dashboard, for programs that have none.

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt, io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use scheduler_core::EventMask;
use scheduler_runtime::EventStream;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    runtime::Handle,
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;

use crate::Dashboard;

/// How many connections there are at once; a further one is accepted when one of them has ended. Each page that is seen holds one, and 64
/// at most do so for long.
const CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request, and how long a connection may be without one.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take for the body of a request.
const BODY: Duration = Duration::from_secs(30);
/// How long a client may take no byte of an answer.
const STALL: Duration = Duration::from_secs(30);
/// How much of a request is held in memory while it is read.
const BUFFER: usize = 64 * 1024;
/// How long requests that are being answered may take when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long nothing is accepted after that has failed for want of memory or of files.
const RECOVERY: Duration = Duration::from_secs(1);

/// Serves a dashboard at an address, by HTTP/1.1 and in the background: for programs that have no server to mount it on.
///
/// It ends with the scheduler, when the [`Server`] is dropped, or by [`Server::shutdown`]. [`Access::by`](crate::Access::by) finds the
/// address of the client in the extensions of a request, as a [`SocketAddr`].
///
/// A client has 10 seconds to send the head of a request, and 30 for the body; there are 256 connections at most. The server has no
/// encryption: for who is not on this machine, put a proxy with TLS and a login in front of it.
///
/// ```
/// use scheduler_runtime::{Scheduler, ShutdownMode};
/// use scheduler_tokio::TokioRuntime;
/// use scheduler_web::{Access, Dashboard};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(TokioRuntime::current()).build()?;
/// scheduler.start().await?;
/// let dashboard = Dashboard::new(scheduler.clone(), Access::unprotected());
/// let server = scheduler_web::serve("127.0.0.1:0", dashboard).await?;
/// println!("the dashboard is at http://{}", server.address());
///
/// // When the program is to end, the dashboard ends with the scheduler.
/// scheduler.shutdown(ShutdownMode::Wait).await?;
/// server.ended().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The address cannot be listened at, as when another program does; or there is no tokio runtime. The kind is that of the system.
///
/// # Panics
///
/// If the tokio runtime has been built without I/O or timers; `enable_all` of its builder gives both.
#[cfg_attr(docsrs, doc(cfg(feature = "serve")))]
pub async fn serve(address: impl ToSocketAddrs + fmt::Display, dashboard: Dashboard) -> io::Result<Server> {
    let Ok(runtime) = Handle::try_current() else {
        let why = "the dashboard is served by tokio, and there is no tokio runtime here; await this in one, or mount \
                   the dashboard on the server that the program has";
        return Err(io::Error::other(why));
    };
    let named = address.to_string();
    let cannot_listen = |error| explained(&named, &error);
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    if dashboard.is_steered_by_everybody() && !address.ip().is_loopback() {
        tracing::warn!(
            target: "apscheduler",
            %address,
            "the dashboard is served without a login, and not on the loopback alone: everybody who reaches it may steer the jobs"
        );
    }
    let (stop, is_stopped) = oneshot::channel();
    let (running, ended) = watch::channel(());
    runtime.spawn(async move {
        run(listener, dashboard, is_stopped).await;
        drop(running);
    });
    Ok(Server { address, _stop: stop, ended })
}

/// What is wrong with an address, and what to do.
fn explained(address: &str, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; end that, or give another port, or 0 for one that is free"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address; `127.0.0.1` is always there",
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 takes rights that this program does not have; give a higher one"
        }
        _ => "an address has a host and a port, as in `127.0.0.1:8080`",
    };
    io::Error::new(error.kind(), format!("the dashboard cannot be served at {address}: {error}; {advice}"))
}

/// A server that [`serve`] has started. It ends when this value is dropped.
///
/// ```
/// use scheduler_web::{Dashboard, Server};
///
/// # async fn example(dashboard: Dashboard) -> std::io::Result<()> {
/// let server: Server = scheduler_web::serve("127.0.0.1:8080", dashboard).await?;
/// assert_eq!(server.address().port(), 8080);
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "serve")))]
#[must_use = "the server ends when this is dropped"]
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The server is to end when this is dropped.
    _stop: oneshot::Sender<Infallible>,
    ended: watch::Receiver<()>,
}

impl Server {
    /// Where it listens: with the port that the system has chosen if that was to be 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has ended, because the scheduler has.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // Nothing is sent: it is closed.
        while ended.changed().await.is_ok() {}
    }

    /// Ends it in good order: it listens no more, and requests that are being answered have five seconds. Pages that are seen are told
    /// nothing more, and so do not hold it up. The scheduler goes on.
    pub async fn shutdown(self) {
        let Self { _stop: stop, mut ended, .. } = self;
        drop(stop);
        while ended.changed().await.is_ok() {}
    }
}

/// Accepts connections until the scheduler or the server is to end, and then waits for those that are there.
async fn run(listener: TcpListener, dashboard: Dashboard, is_stopped: oneshot::Receiver<Infallible>) {
    let (dashboard, streams) = dashboard.with_own_streams();
    let events = dashboard.scheduler().events(EventMask::NONE);
    let mut end = pin!(async {
        tokio::select! {
            _ = is_stopped => {}
            () = scheduler_ended(events) => {}
        }
    });
    let (serving, is_serving) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let has_room = connections.len() < CONNECTIONS;
        tokio::select! {
            () = &mut end => break,
            _ = connections.join_next(), if !has_room => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, client)) => {
                    connections.spawn(connection(stream, client, dashboard.clone(), is_serving.clone()));
                }
                Err(error) => recover(&error).await,
            },
        }
    }
    drop(listener);
    streams.end();
    drop(serving);
    // What takes longer is dropped.
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Waits until the scheduler has ended. No event comes before.
async fn scheduler_ended(mut events: EventStream) {
    while events.next().await.is_some() {}
}

/// Waits if the system has not had what a connection takes. A client that has gone is no reason to.
async fn recover(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(target: "apscheduler", %error, "the dashboard cannot accept a connection; it tries again in a second");
        sleep(RECOVERY).await;
    }
}

/// Answers the requests of a connection until it ends or the server does.
async fn connection(stream: TcpStream, client: SocketAddr, dashboard: Dashboard, mut is_serving: watch::Receiver<()>) {
    // Answers are short, and written whole.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL));
    let service = service_fn(|mut request: Request<Incoming>| {
        let dashboard = dashboard.clone();
        async move {
            request.extensions_mut().insert(client);
            Ok::<_, Infallible>(dashboard.respond(request.map(Timed::new)).await)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = is_serving.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(target: "apscheduler", %client, %error, "a connection to the dashboard broke off");
    }
}

/// The body of a request, which has to be there in time.
struct Timed {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Incoming) -> Self {
        Self { body, deadline: Box::pin(sleep(BODY)) }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(format!("it was not there after {} seconds", BODY.as_secs()).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
