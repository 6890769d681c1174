//! Refusals as Bandwidth words them: bandwidth-v1.md §1.4.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use offhook_core::Error;
use offhook_core::error::{Barred, Why};
use serde_json::{Value, json};

use crate::extension::Spelling;
use crate::http::{BadField, BodyError};

/// A status with its three words. What the request was is added by [`spell`].
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    category: &'static str,
    code: &'static str,
    message: String,
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        category: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            category,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// A property that cannot be taken.
    pub(crate) fn not_valid(property: &str, why: &str) -> Self {
        let message = format!("The '{property}' property is not valid: {why}");
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "validation-error",
            message,
        )
    }

    /// A property that was not sent.
    pub(crate) fn missing(property: &str) -> Self {
        let message = format!("The '{property}' property is required but was not specified");
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "validation-error",
            message,
        )
    }

    /// No or wrong credentials.
    pub(crate) fn unauthorized() -> Self {
        let message = "The API token or secret is missing or not valid";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication",
            "unauthorized",
            message,
        )
    }

    /// Somebody else's path.
    pub(crate) fn access_denied(user: &str) -> Self {
        let message = format!("The user '{user}' cannot be accessed with these credentials");
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authorization",
            "user-access-denied",
            message,
        )
    }

    /// Nothing of this kind has this id.
    pub(crate) fn unknown(what: &str, id: &str) -> Self {
        let code = match what {
            "domain" => "domain-not-found",
            "endpoint" => "endpoint-not-found",
            "application" => "application-not-found",
            "call" => "call-not-found",
            "registration" => "registration-not-found",
            "account" => "user-not-found",
            "number" => "number-not-found",
            _ => "resource-not-found",
        };
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            code,
            format!("The {what} '{id}' could not be found"),
        )
    }

    /// Translates a refusal of the core about the thing with this id.
    pub(crate) fn of(error: Error, id: &str) -> Self {
        match error {
            Error::NotFound { what } => Self::unknown(what, id),
            error => error.into(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { what } => Self::unknown(what, ""),
            Error::Invalid {
                field,
                why: Why::Missing,
            } => Self::missing(property(field)),
            Error::Invalid {
                field,
                why: Why::NotValid(why),
            } => Self::not_valid(property(field), &why),
            Error::Conflict { what, value } => {
                let code = match what {
                    "domain" => "duplicate-domain",
                    "endpoint" => "duplicate-endpoint",
                    "application" => "duplicate-application",
                    "number" => "duplicate-number",
                    "trunk" => "duplicate-trunk",
                    _ => "conflict",
                };
                Self::new(
                    StatusCode::CONFLICT,
                    "conflict",
                    code,
                    format!("The {what} '{value}' already exists"),
                )
            }
            Error::Unauthorized => Self::unauthorized(),
            Error::Forbidden {
                why: why @ Barred::DomainLimit,
            } => Self::new(
                StatusCode::FORBIDDEN,
                "limit",
                "domain-limit-reached",
                why.to_string(),
            ),
            Error::Forbidden { why } => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "access-denied",
                why.to_string(),
            ),
            Error::TooMany { retry_after } => Self {
                retry_after: Some(crate::http::retry_after(retry_after)),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too-many-requests",
                    "rate-limit-reached",
                    "Too many requests",
                )
            },
            Error::Unavailable { retry_after } => {
                let message = "The service is not available, nothing was changed";
                Self {
                    retry_after: Some(crate::http::retry_after(retry_after)),
                    ..Self::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "unavailable",
                        "service-unavailable",
                        message,
                    )
                }
            }
            Error::Internal { id } => {
                let message = format!("Internal error {id}");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "backend",
                    "internal-error",
                    message,
                )
            }
        }
    }
}

/// The core's name of a field in Bandwidth's words.
fn property(field: &'static str) -> &'static str {
    match field {
        "application" => "applicationId",
        "user" | "trunk_name" => "name",
        "numbers" => "number",
        "password" => "credentials.password",
        field => crate::extension::policy::field(Spelling::Camel, field).unwrap_or(field),
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "bad-request",
                "validation-error",
                "The request body is too large",
            ),
            BodyError::Malformed => Self::new(
                StatusCode::BAD_REQUEST,
                "bad-request",
                "validation-error",
                "The request body is not valid JSON",
            ),
        }
    }
}

impl From<BadField> for Refusal {
    fn from(BadField(name): BadField) -> Self {
        Self::not_valid(&name, "wrong type")
    }
}

impl IntoResponse for Refusal {
    /// Leaves the body to [`spell`], which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the bodies of refusals. The media type has no parameter: one library compares it whole.
pub(crate) async fn spell(request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    asked.spell(next.run(request).await)
}

/// A path that is no operation, spelled.
pub(crate) async fn unknown_path(request: Request) -> Response {
    let message = "The resource could not be found";
    let refusal = Refusal::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "resource-not-found",
        message,
    );
    refused(&request, refusal)
}

/// A refusal before an operation had the request, spelled.
pub(crate) fn turned_away(
    method: &Method,
    path: &str,
    remote: Option<IpAddr>,
    status: StatusCode,
    text: String,
) -> Response {
    let (category, code) = match status.is_server_error() {
        true => ("backend", "internal-error"),
        false => ("bad-request", "validation-error"),
    };
    let asked = Asked::new(method, path, remote);
    asked.spell(Refusal::new(status, category, code, text).into_response())
}

/// A refusal of a request, spelled.
pub(crate) fn refused(request: &Request, refusal: Refusal) -> Response {
    Asked::of(request).spell(refusal.into_response())
}

/// What a refusal repeats of its request.
struct Asked {
    method: String,
    path: String,
    remote: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let remote = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let remote = remote.map(|info| info.0.ip());
        Self::new(request.method(), request.uri().path(), remote)
    }

    fn new(method: &Method, path: &str, remote: Option<IpAddr>) -> Self {
        let path = path.trim_start_matches('/');
        Self {
            method: method.to_string(),
            // Without the version, as in the documented example.
            path: path.strip_prefix("v1/").unwrap_or(path).to_owned(),
            remote: remote.map(|remote| remote.to_string()),
        }
    }

    fn spell(self, mut response: Response) -> Response {
        let Some(refusal) = response.extensions_mut().remove::<Refusal>() else {
            return response;
        };
        let mut details = vec![json!({ "name": "requestMethod", "value": self.method })];
        details.extend(
            self.remote
                .map(|remote| json!({ "name": "remoteAddress", "value": remote })),
        );
        details.push(json!({ "name": "requestPath", "value": self.path }));
        let body: Value = json!({
            "category": refusal.category,
            "code": refusal.code,
            "message": refusal.message,
            "details": details,
        });
        *response.body_mut() = Body::from(body.to_string());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if refusal.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"api\""),
            );
        }
        if let Some(seconds) = refusal.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A path that has other methods.
pub(crate) async fn wrong_method() -> Refusal {
    let message = "The resource does not support this method";
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "bad-request",
        "method-not-allowed",
        message,
    )
}
