//! What the service answers when it does not do what it was asked.

use apscheduler::{Error, ErrorKind};
use axum::{
    Json,
    extract::rejection::JsonRejection,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// What the service answers when it does not do what it was asked: `{"error": ".."}`.
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Arguments
            | ErrorKind::Job
            | ErrorKind::NeverFires
            | ErrorKind::TooLarge
            | ErrorKind::Trigger
            | ErrorKind::UnknownTask => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Busy | ErrorKind::ShutDown | ErrorKind::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

pub(crate) fn unprocessable(error: &impl ToString) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}
