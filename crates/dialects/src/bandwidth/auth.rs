//! Who asks: bandwidth-v1.md §1.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use offhook_core::{Account, Core};

use crate::bandwidth::error::Refusal;
use crate::http::{PathValues, basic, origin};

/// An authenticated request, and what its path names.
pub(crate) struct Caller {
    pub(crate) core: Arc<Core>,
    pub(crate) account: Arc<Account>,
    /// Scheme and authority under which the client reached us.
    pub(crate) origin: String,
    /// Two libraries cannot follow a relative `Location` (bandwidth-v1.md §1.1).
    absolute_location: bool,
    path: PathValues,
}

impl FromRequestParts<Arc<Core>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, Refusal> {
        let path = PathValues::read(parts).await;
        let (token, secret) = basic(&parts.headers).ok_or_else(Refusal::unauthorized)?;
        let account = core
            .directory
            .authenticate_bandwidth(&token, &secret)
            .await?;
        if path.get("user_id") != account.bandwidth_user {
            return Err(Refusal::access_denied(path.get("user_id")));
        }
        let agent = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let absolute_location =
            agent.starts_with("csharp-bandwidth") || agent.starts_with("Apache-HttpClient");
        let origin = origin(parts, &core.settings.public_url);
        Ok(Self {
            core: Arc::clone(core),
            account,
            origin,
            absolute_location,
            path,
        })
    }
}

impl Caller {
    /// A named part of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name)
    }

    /// The path of something below the user.
    pub(crate) fn below(&self, rest: &str) -> String {
        format!("/v1/users/{}/{rest}", self.account.bandwidth_user)
    }

    /// The answer to a create: `Location`, no body and no media type.
    pub(crate) fn created(&self, rest: &str) -> Response {
        let path = self.below(rest);
        let location = if self.absolute_location {
            format!("{}{path}", self.origin)
        } else {
            path
        };
        match HeaderValue::try_from(location) {
            Ok(location) => (StatusCode::CREATED, [(header::LOCATION, location)]).into_response(),
            Err(_) => StatusCode::CREATED.into_response(),
        }
    }
}

/// The answer to an update or a deletion. One library takes only 200, 201 and 202, another decodes every body that is
/// labelled JSON, so there is neither.
pub(crate) fn done() -> Response {
    StatusCode::OK.into_response()
}
