//! What is answered when what was asked is not done.

use http::StatusCode;
use scheduler_core::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::{body::Unread, operation::Operation};

/// Why something was not done: a status, a word for programs, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// In snake case; that of an [`ErrorKind`], or a word of this crate.
    pub(crate) kind: String,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), detail: detail.into() }
    }

    /// What was sent cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn not_permitted(operation: Operation) -> Self {
        let detail = format!("this login may not `{operation}`; the service that mounts the dashboard says who may");
        Self::new(StatusCode::FORBIDDEN, "not_permitted", detail)
    }

    /// A short title: what the status is called.
    pub(crate) fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Problem")
    }

    /// As RFC 9457 has it, with the word for programs as `kind`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "kind": self.kind,
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound | ErrorKind::UnknownStore => StatusCode::NOT_FOUND,
            ErrorKind::Conflict | ErrorKind::Quarantined | ErrorKind::NewerVersion | ErrorKind::NotRunning => {
                StatusCode::CONFLICT
            }
            ErrorKind::Arguments
            | ErrorKind::Closure
            | ErrorKind::Job
            | ErrorKind::NeverFires
            | ErrorKind::TooLarge
            | ErrorKind::Trigger
            | ErrorKind::UnknownExecutor
            | ErrorKind::UnknownTask => StatusCode::UNPROCESSABLE_ENTITY,
            // A cursor of another search: nothing else of a configuration comes by a request.
            ErrorKind::Config => StatusCode::BAD_REQUEST,
            ErrorKind::Busy | ErrorKind::ReadOnly | ErrorKind::ShutDown | ErrorKind::StoreUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, kind: snake_case(&format!("{:?}", error.kind())), detail: error.to_string() }
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => {
                let detail = format!("a request may have {} bytes", crate::body::REQUEST_LIMIT);
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            }
            Unread::Broken(error) => Self::malformed(format!("the body of the request broke off: {error}")),
        }
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_scheduler_is_a_problem_with_its_kind_and_words() {
        let problem = Problem::from(Error::new(ErrorKind::NeverFires, "job `a`: its trigger never fires"));
        let told = problem.to_json();
        assert_eq!(told["status"], 422);
        assert_eq!(told["kind"], "never_fires");
        assert_eq!(told["title"], "Unprocessable Entity");
        assert_eq!(told["detail"], "job `a`: its trigger never fires");
    }
}
