//! A scheduler in memory under a virtual clock, its dashboard, and requests to it without any server.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use scheduler_core::{
    JobSpec, RunContext,
    trigger::{CustomTrigger, Interval},
};
use scheduler_runtime::Scheduler;
use scheduler_tokio::TokioRuntime;
use scheduler_web::{Access, Body, Dashboard};
use serde_json::Value;

/// When each story begins: a Monday.
pub(crate) fn begin() -> DateTime<Utc> {
    "2026-11-30T08:00:00Z".parse().unwrap()
}

/// A scheduler that is started, with tasks that end well, fail, and take an hour.
pub(crate) async fn scheduler() -> Scheduler {
    let scheduler = Scheduler::builder(TokioRuntime::paused_at(begin()))
        .task("report", |_: Value| async {})
        .task("fail", |message: String| async move { Err::<(), _>(message) })
        .task("wait", |_: RunContext| tokio::time::sleep(Duration::from_secs(3_600)))
        .trigger("tides", Tides)
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    scheduler
}

/// A trigger that fails when it is asked a second time.
struct Tides;

impl CustomTrigger for Tides {
    fn next(
        &self,
        args: &Value,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, String> {
        match previous {
            None => Ok(Some(now)),
            Some(_) => Err(args.as_str().unwrap_or("the table of tides has ended").to_owned()),
        }
    }
}

/// As [`scheduler`], with a job `hourly` of the task `report`.
pub(crate) async fn with_a_job() -> Scheduler {
    let scheduler = scheduler().await;
    scheduler
        .add_job(JobSpec::new("report", Interval::hours(1)).id("hourly").args("ann").tag("billing"))
        .await
        .unwrap();
    scheduler
}

/// Lets so much time pass, and all that happens in it.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The dashboard of everybody who may steer.
pub(crate) fn unprotected(scheduler: &Scheduler) -> Dashboard {
    Dashboard::new(scheduler.clone(), Access::unprotected())
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A body of a request, in one piece whose length need not be told.
pub(crate) struct Sent(Option<Bytes>, bool);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.0, self.1) {
            (Some(bytes), true) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// A request that is put together.
pub(crate) struct Asked(http::request::Builder, Sent);

pub(crate) fn ask(method: Method, uri: &str) -> Asked {
    Asked(Request::builder().method(method).uri(uri).header(header::HOST, "localhost"), Sent(None, true))
}

pub(crate) fn get(uri: &str) -> Asked {
    ask(Method::GET, uri)
}

pub(crate) fn post(uri: &str) -> Asked {
    ask(Method::POST, uri)
}

impl Asked {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let mut request = self.0;
        let headers = request.headers_mut().unwrap();
        headers.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        Self(request, self.1)
    }

    pub(crate) fn extension<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        Self(self.0.extension(value), self.1)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The fields of a form.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(text)
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self(self.0, Sent(Some(body.into()), true))
    }

    /// A body whose length is not told before.
    pub(crate) fn chunked(self, body: impl Into<Bytes>) -> Self {
        Self(self.0, Sent(Some(body.into()), false))
    }

    pub(crate) async fn of(self, dashboard: &Dashboard) -> Told {
        read(dashboard.respond(self.0.body(self.1).unwrap()).await).await
    }
}

async fn read(response: Response<Body>) -> Told {
    let (parts, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        whole.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    Told { status: parts.status, headers: parts.headers, text: String::from_utf8(whole).unwrap() }
}
