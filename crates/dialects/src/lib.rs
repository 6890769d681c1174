//! The faces: Plivo, Vobiz and Bandwidth v1. They translate at the edge and decide nothing that the core decides.
//!
//! Each folder has the same file list; a missing file is a resource that is not offered. A dialect reads its vendor's
//! requests and documents, calls the core, and spells answers, refusals and callbacks as its vendor does. What all three
//! need and what has no shape of its own is in `http.rs` (paths, bodies, URLs) and `xml.rs` (limits, attributes); the
//! documents, words and records that Plivo and Vobiz share are in `voice/`; what is ours and no vendor's in `extension/`.

pub mod bandwidth;
mod extension;
mod http;
pub mod plivo;
pub mod vobiz;
mod voice;
mod xml;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use offhook_core::{Core, Dialect, Flavor};

pub use crate::http::Route;

/// All faces on one router. It answers every path, so it belongs behind the other routes of a listener.
pub fn router(core: Arc<Core>) -> Router {
    let routes = plivo::matched(Arc::clone(&core))
        .merge(vobiz::matched(Arc::clone(&core)))
        .merge(bandwidth::spelled(core))
        .fallback(elsewhere);
    crate::http::normalized(routes)
}

/// A path that is no operation, in the words of the face that it looks like.
async fn elsewhere(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v1/users") {
        return bandwidth::unknown_path(request).await;
    }
    match path.starts_with("/api/") {
        true => vobiz::not_found().await.into_response(),
        false => plivo::not_found().await.into_response(),
    }
}

/// Why a request was turned away before an operation had it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body broke off, or is framed wrongly.
    Broken,
    /// The body did not come in time.
    Slow,
    /// The server failed; its log says why.
    Failed,
}

/// Answers such a request in the words of the face that its path looks like; every answer has the members that the
/// vendors' libraries read without asking.
pub fn turned_away(
    method: &Method,
    path: &str,
    remote: Option<IpAddr>,
    trouble: Trouble,
) -> Response {
    let (status, text) = match trouble {
        Trouble::TooLarge(most) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {most} bytes"),
        ),
        Trouble::Broken => (StatusCode::BAD_REQUEST, "the body broke off".to_owned()),
        Trouble::Slow => (
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly".to_owned(),
        ),
        Trouble::Failed => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "an internal error; the server's log has it".to_owned(),
        ),
    };
    let path = path.trim_start_matches('/');
    if path.starts_with("v1/users") {
        bandwidth::turned_away(method, path, remote, status, text)
    } else if path.starts_with("api/") {
        vobiz::turned_away(status, text)
    } else {
        plivo::turned_away(status, text)
    }
}

/// What a caller is called: the display name, else the user that it proved to be.
fn caller_name(about: &call::About) -> &str {
    match &about.auth {
        Some(auth) if about.caller_name.is_empty() => &auth.user,
        _ => &about.caller_name,
    }
}

/// The dialect of a flavour, for the core.
pub fn dialect(flavor: Flavor) -> Arc<dyn Dialect> {
    match flavor {
        Flavor::Plivo => Arc::new(plivo::Plivo),
        Flavor::Vobiz => Arc::new(vobiz::Vobiz),
        Flavor::Bandwidth => Arc::new(bandwidth::Bandwidth),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::Duration;

    use axum::body::to_bytes;
    use offhook_core::{Barred, Error, Why};
    use uuid::Uuid;

    use super::*;

    /// Every reason of the core, so that the compiler asks for a new one here too.
    fn reasons() -> Vec<Error> {
        let wait = Duration::from_millis(1500);
        let all = vec![
            Error::NotFound { what: "account" },
            Error::NotFound { what: "domain" },
            Error::NotFound {
                what: "application",
            },
            Error::NotFound { what: "endpoint" },
            Error::NotFound { what: "call" },
            Error::NotFound { what: "trunk" },
            Error::NotFound { what: "number" },
            Error::Invalid {
                field: "trunk_name",
                why: Why::Missing,
            },
            Error::Conflict {
                what: "number",
                value: "15550100".into(),
            },
            Error::Forbidden {
                why: Barred::TrunkLimit,
            },
            Error::Invalid {
                field: "application",
                why: Why::NotValid("unknown".into()),
            },
            Error::Invalid {
                field: "user",
                why: Why::Missing,
            },
            Error::Invalid {
                field: "label",
                why: Why::NotValid("too long".into()),
            },
            Error::Conflict {
                what: "endpoint",
                value: "desk".into(),
            },
            Error::Conflict {
                what: "domain",
                value: "acme".into(),
            },
            Error::Unauthorized,
            Error::Forbidden {
                why: Barred::DomainLimit,
            },
            Error::Forbidden {
                why: Barred::AccountDisabled,
            },
            Error::TooMany { retry_after: wait },
            Error::Unavailable { retry_after: wait },
            Error::Internal { id: Uuid::nil() },
        ];
        for error in &all {
            match error {
                Error::NotFound { .. }
                | Error::Invalid { .. }
                | Error::Conflict { .. }
                | Error::Unauthorized => {}
                Error::Forbidden {
                    why: Barred::DomainLimit | Barred::TrunkLimit | Barred::AccountDisabled,
                } => {}
                Error::TooMany { .. } | Error::Unavailable { .. } | Error::Internal { .. } => {}
            }
        }
        all
    }

    #[tokio::test]
    async fn a_request_that_is_turned_away_is_answered_in_the_words_of_its_face() {
        let words = async |path: &str, trouble: Trouble| {
            let remote = Some(IpAddr::from([192, 0, 2, 17]));
            let response = turned_away(&Method::POST, path, remote, trouble);
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let mut body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            if let Some(id) = body.get_mut("api_id") {
                *id = "…".into();
            }
            let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
            format!("{} {kind} {body}", parts.status.as_u16())
        };
        assert_eq!(
            words("/v1/Account/MA1/Endpoint/", Trouble::TooLarge(9)).await,
            r#"413 application/json {"api_id":"…","error":"a body has at most 9 bytes"}"#
        );
        assert_eq!(
            words("/api/v1/Account/MA1/Endpoint/", Trouble::Slow).await,
            r#"408 application/json {"api_id":"…","error":"the body came too slowly"}"#
        );
        assert_eq!(
            words("/v1/users/u-1/domains", Trouble::Broken).await,
            concat!(
                r#"400 application/json {"category":"bad-request","code":"validation-error","#,
                r#""details":[{"name":"requestMethod","value":"POST"},"#,
                r#"{"name":"remoteAddress","value":"192.0.2.17"},"#,
                r#"{"name":"requestPath","value":"users/u-1/domains"}],"message":"the body broke off"}"#
            )
        );
    }

    #[tokio::test]
    async fn every_reason_has_its_words_in_every_dialect() {
        let mut table = String::new();
        for error in reasons() {
            writeln!(table, "{error:?}").unwrap();
            let faces = [
                ("plivo", plivo::refusal(error.clone())),
                ("vobiz", vobiz::refusal(error.clone())),
                ("bandwidth", bandwidth::refusal(error)),
            ];
            for (name, response) in faces {
                let (parts, body) = response.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let mut body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                if let Some(id) = body.get_mut("api_id") {
                    *id = "…".into();
                }
                if let Some(body) = body.as_object_mut() {
                    body.remove("details")
                        .filter(|details| details.is_object())
                        .map(|kept| body.insert("details".into(), kept));
                }
                let retry = parts
                    .headers
                    .get("retry-after")
                    .map_or(String::new(), |value| format!(" (retry after {value:?})"));
                writeln!(table, "  {name:9} {}{retry} {body}", parts.status.as_u16()).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
