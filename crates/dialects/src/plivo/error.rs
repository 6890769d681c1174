//! Refusals as Plivo words them: plivo-rest.md §4.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use offhook_core::Error;
use offhook_core::error::Why;
use serde_json::json;

use crate::http::{BadField, BodyError, request_id};

/// A status and its text.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            retry_after: None,
        }
    }

    /// A required parameter that was not sent.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("{parameter} parameter is missing"),
        )
    }

    /// A parameter whose value cannot be taken.
    pub(crate) fn not_valid(parameter: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("{parameter} parameter is not valid"),
        )
    }

    /// No or wrong credentials, or somebody else's account.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication failed")
    }

    /// Nothing is there.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::not_found(),
            Error::Invalid {
                field,
                why: Why::Missing,
            } => Self::missing(parameter(field)),
            Error::Invalid {
                field,
                why: Why::NotValid(_),
            } => Self::not_valid(parameter(field)),
            Error::Conflict { what, .. } => {
                Self::new(StatusCode::CONFLICT, format!("{what} already exists"))
            }
            Error::Unauthorized => Self::unauthorized(),
            Error::Forbidden { why } => Self::new(StatusCode::FORBIDDEN, why.to_string()),
            Error::TooMany { retry_after } => Self {
                retry_after: Some(crate::http::retry_after(retry_after)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests")
            },
            Error::Unavailable { retry_after } => Self {
                retry_after: Some(crate::http::retry_after(retry_after)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the service is not available, nothing was changed",
                )
            },
            Error::Internal { id } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal error {id}"),
            ),
        }
    }
}

/// The core's name of a field in Plivo's words.
fn parameter(field: &str) -> &str {
    match field {
        "application" => "app_id",
        "label" => "alias",
        "user" => "username",
        "name" => "app_name",
        "trunk_name" => "name",
        field => field,
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is too large",
            ),
            BodyError::Malformed => Self::new(
                StatusCode::BAD_REQUEST,
                "the request body is not valid JSON",
            ),
        }
    }
}

impl From<BadField> for Refusal {
    fn from(BadField(name): BadField) -> Self {
        Self::not_valid(&name)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "api_id": request_id().to_string(), "error": self.text }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"api\""),
            );
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A path that is no operation.
pub(crate) async fn not_found() -> Refusal {
    Refusal::not_found()
}

/// A path that has other methods.
pub(crate) async fn wrong_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
