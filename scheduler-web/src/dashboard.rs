//! The dashboard as a service: from a request to an answer.

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as HttpBody;
use scheduler_core::TaskName;
use scheduler_runtime::Scheduler;
use tower_service::Service;

#[cfg(feature = "serve")]
use crate::changes::Streams;
use crate::{
    access::{Access, Hidden},
    answer::Answer,
    api, assets,
    body::{self, Body},
    guard,
    operator::{Desk, Operator},
    pages,
    problem::Problem,
};

/// The pages and the API of a scheduler, as a service that any server mounts.
///
/// It is a [`tower_service::Service`] of requests, and its answers are the same under any runtime. Pages have relative links only, so that
/// it works below any path, behind proxies that take the path off and those that do not. `api/v1` below its address is the
/// [API](crate#the-api).
///
/// ```
/// use axum::Router;
/// use scheduler_runtime::Scheduler;
/// use scheduler_web::{Access, Dashboard, Hidden};
///
/// fn routes(scheduler: &Scheduler) -> Router {
///     let dashboard = Dashboard::new(scheduler.clone(), Access::read_only())
///         .host("jobs.internal")
///         .hide(|task| match task {
///             Some(task) if *task != "send_invoice" => Hidden::Nothing,
///             _ => Hidden::Arguments,
///         });
///     Router::new().nest_service("/admin/jobs", dashboard)
/// }
/// # let _ = routes;
/// ```
///
/// A dashboard holds a handle of its scheduler, which does not hold up a shutdown of the scheduler. After that, it says that the scheduler
/// has shut down. A page that is seen holds a connection, on which it is told that something has changed; these streams end with the
/// scheduler. A server that waits for its connections to end should have the scheduler shut down before or meanwhile:
///
/// ```
/// use axum::Router;
/// use scheduler_runtime::{Scheduler, ShutdownMode};
///
/// # async fn serve(listener: tokio::net::TcpListener, routes: Router, scheduler: Scheduler, end: impl Future<Output = ()> + Send + 'static) {
/// let end = async move {
///     end.await;
///     let _ = scheduler.shutdown(ShutdownMode::Wait).await;
/// };
/// axum::serve(listener, routes).with_graceful_shutdown(end).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Dashboard {
    desk: Desk,
    access: Access,
    prefix: Arc<str>,
    hosts: Vec<String>,
    title: Arc<str>,
}

impl Dashboard {
    /// The dashboard of a scheduler, for those whom `access` lets in.
    pub fn new(scheduler: Scheduler, access: Access) -> Self {
        let (prefix, title) = (Arc::from(""), Arc::from("Scheduler"));
        Self { desk: Desk::new(scheduler), access, prefix, hosts: Vec::new(), title }
    }

    /// What the pages are called, as the service's own name. Defaults to `Scheduler`.
    #[must_use]
    pub fn title(mut self, title: impl AsRef<str>) -> Self {
        self.title = title.as_ref().into();
        self
    }

    /// The path below which the service sees its requests, as `/admin/jobs`, if the server does not take that off. `nest_service` of axum
    /// does.
    #[must_use]
    pub fn under(mut self, prefix: impl AsRef<str>) -> Self {
        let prefix = prefix.as_ref().trim_matches('/');
        self.prefix = if prefix.is_empty() { Arc::from("") } else { format!("/{prefix}").into() };
        self
    }

    /// A name by which a dashboard without login is reached, besides the IP addresses and `localhost`: that of its host, or of the proxy in
    /// front of it. Without [`Access::by`], requests for other names are refused, since the owner of such a name could make a page of
    /// theirs reach the dashboard through somebody's browser (DNS rebinding).
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Hides arguments, errors, or both, for each task as this function says: on pages and in the API. It is asked with none for rows that
    /// cannot be read, since their task is not known.
    #[must_use]
    pub fn hide(mut self, hidden: impl Fn(Option<&TaskName>) -> Hidden + Send + Sync + 'static) -> Self {
        self.desk.hide = Arc::new(hidden);
        self
    }

    /// Answers a request. [`Service::call`] does the same.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let answer = self.answer(&parts, body).await;
        finished(answer, &parts.method)
    }

    /// The scheduler that it shows.
    #[cfg(feature = "serve")]
    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.desk.scheduler
    }

    /// The same with streams of its own, which can be ended without those of its clones.
    #[cfg(feature = "serve")]
    pub(crate) fn with_own_streams(mut self) -> (Self, Streams) {
        self.desk.streams = Streams::default();
        let streams = self.desk.streams.clone();
        (self, streams)
    }

    /// Whether everybody who reaches it may do more than look.
    #[cfg(feature = "serve")]
    pub(crate) fn is_steered_by_everybody(&self) -> bool {
        self.access.is_steered_by_everybody()
    }

    async fn answer<B>(&self, request: &Parts, body: B) -> Answer
    where
        B: HttpBody,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Some(path) = request.uri.path().strip_prefix(&*self.prefix).filter(|rest| is_whole(rest)) else {
            return Answer::problem(&Problem::not_found("the dashboard is not at this path"));
        };
        if let Err(problem) = self.admit(request) {
            return Answer::problem(&problem);
        }
        let query = request.uri.query().unwrap_or_default();
        if let Some(answer) = assets::answer(path, query, &request.method) {
            return answer;
        }
        let operator = Operator::new(&self.desk, self.access.permissions(request));
        let read = async { if request.method.is_safe() { Ok(Vec::new()) } else { body::read(body).await } };
        match (api::path(path), read.await) {
            (Some(path), Ok(body)) => api::answer(&operator, path, request, &body).await,
            (None, Ok(body)) => pages::answer(&operator, &self.title, path, request, &body).await,
            (_, Err(unread)) => Answer::problem(&unread.into()),
        }
    }

    /// Checks what does not depend on the permissions of the sender: the length, the host and the origin of a request.
    fn admit(&self, request: &Parts) -> Result<(), Problem> {
        guard::check_length(request)?;
        if self.access.is_open() {
            guard::check_host(request, &self.hosts)?;
        }
        guard::check_site(request)
    }
}

/// Whether a prefix has ended with a part of the path.
fn is_whole(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// Each answer says what browsers may do with it.
const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // `no-referrer` would make forms send `Origin: null`.
    (header::REFERRER_POLICY, "same-origin"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                       connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn finished(answer: Answer, method: &Method) -> Response<Body> {
    let mut response = answer.into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    if response.status() != StatusCode::NO_CONTENT
        && let Some(length) = response.body().len()
    {
        let length = HeaderValue::from(length);
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    if *method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

impl<B> Service<Request<B>> for Dashboard
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let dashboard = self.clone();
        Box::pin(async move { Ok(dashboard.respond(request).await) })
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("desk", &self.desk)
            .field("access", &self.access)
            .field("prefix", &self.prefix)
            .field("hosts", &self.hosts)
            .field("title", &self.title)
            .finish()
    }
}
