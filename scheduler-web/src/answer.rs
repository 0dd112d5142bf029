//! What is answered, before the headers that all answers have.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

use crate::{body::Body, changes::Changes, problem::Problem};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Body::empty() }
    }

    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self { status, headers: vec![(header::CONTENT_TYPE, content_type)], body: Body::from(body.into()) }
    }

    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::new(status, "application/json", json),
            Err(error) => {
                let detail = format!("the answer has no form in JSON: {error}");
                Self::problem(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", detail))
            }
        }
    }

    /// A stream of changes.
    pub(crate) fn changes(changes: Changes) -> Self {
        let content_type = HeaderValue::from_static("text/event-stream");
        let answer = Self { status: StatusCode::OK, headers: Vec::new(), body: Body::from(changes) };
        // nginx keeps what is short otherwise.
        let at_once = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        answer.with(header::CONTENT_TYPE, content_type).with(at_once.0, at_once.1)
    }

    pub(crate) fn problem(problem: &Problem) -> Self {
        Self::new(problem.status, "application/problem+json", problem.to_json().to_string())
    }

    /// Goes on at another address after a change, by reading it.
    pub(crate) fn see_other(link: &str) -> Self {
        match HeaderValue::from_str(link) {
            Ok(link) => Self::empty(StatusCode::SEE_OTHER).with(header::LOCATION, link),
            Err(_) => Self::problem(&Problem::not_found("there is no such page")),
        }
    }

    /// What a path can be asked for, to who asks for that or for something else.
    pub(crate) fn allowed(method: &Method, allowed: &[Method]) -> Self {
        let names = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let answer = match *method == Method::OPTIONS {
            true => Self::empty(StatusCode::NO_CONTENT),
            false => {
                let detail = format!("this path has {names}");
                Self::problem(&Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail))
            }
        };
        let names = HeaderValue::from_str(&names).unwrap_or(HeaderValue::from_static("GET, HEAD, OPTIONS"));
        answer.with(header::ALLOW, names)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}
