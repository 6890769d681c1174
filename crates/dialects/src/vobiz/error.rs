//! Refusals as Vobiz words them: vobiz-rest.md §1.3, the shape of the resource pages.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use offhook_core::Error;
use offhook_core::error::Why;
use serde_json::{Map, Value, json};

use crate::http::{BadField, BodyError, request_id};

/// A status, its text and what goes beside it.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// `None`: no body at all, as documented for updates and deletions of an unknown endpoint.
    text: Option<String>,
    beside: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: Some(text.into()),
            beside: Map::new(),
            retry_after: None,
        }
    }

    /// Puts a member beside the text.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.beside.insert(name.to_owned(), value.into());
        self
    }

    /// Parameters that cannot be taken, with a sentence for each.
    pub(crate) fn invalid(details: Map<String, Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid request parameters").with("details", details)
    }

    /// One parameter that cannot be taken.
    pub(crate) fn invalid_field(name: &str, sentence: &str) -> Self {
        Self::invalid([(name.to_owned(), json!(sentence))].into_iter().collect())
    }

    /// No or wrong credentials.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid credentials")
    }

    /// An unknown endpoint, on update and delete.
    pub(crate) fn gone_without_words() -> Self {
        Self {
            text: None,
            ..Self::new(StatusCode::NOT_FOUND, "")
        }
    }
}

/// The sentence for a value that has no sentence of its own.
pub(crate) const NOT_VALID: &str = "Enter a valid value";
/// The sentence for a value that was not sent.
pub(crate) const REQUIRED: &str = "This field is required";

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { what } => {
                Self::new(StatusCode::NOT_FOUND, format!("{} not found", titled(what)))
            }
            Error::Invalid {
                field,
                why: Why::Missing,
            } => Self::invalid_field(parameter(field), REQUIRED),
            Error::Invalid {
                field: "application",
                ..
            } => Self::invalid_field("application", "Application not found"),
            Error::Invalid {
                field,
                why: Why::NotValid(_),
            } => Self::invalid_field(parameter(field), NOT_VALID),
            Error::Conflict {
                what: "endpoint",
                value,
            } => Self::new(StatusCode::CONFLICT, "username already exists").with("username", value),
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
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
            },
            Error::Internal { id } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal error {id}"),
            ),
        }
    }
}

fn titled(what: &str) -> String {
    let mut letters = what.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

/// The core's name of a field in Vobiz's words.
fn parameter(field: &str) -> &str {
    match field {
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
            BodyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")
            }
            BodyError::Malformed => Self::new(StatusCode::BAD_REQUEST, "malformed JSON"),
        }
    }
}

impl From<BadField> for Refusal {
    fn from(BadField(name): BadField) -> Self {
        Self::invalid_field(&name, NOT_VALID)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Some(text) = self.text else {
            return self.status.into_response();
        };
        let mut body = self.beside;
        body.insert("api_id".to_owned(), json!(request_id().to_string()));
        body.insert("error".to_owned(), json!(text));
        let mut response = (self.status, Json(Value::Object(body))).into_response();
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
    Refusal::new(StatusCode::NOT_FOUND, "not found")
}

/// A path that has other methods.
pub(crate) async fn wrong_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
