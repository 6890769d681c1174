//! Who asks, and how strictly its library reads: vobiz-rest.md §1, §2.2.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use offhook_core::{Account, Core, Id};
use uuid::Uuid;

use crate::http::{PathValues, basic, request_id};
use crate::vobiz::error::Refusal;

/// An authenticated request, and what its path names.
pub(crate) struct Caller {
    pub(crate) core: Arc<Core>,
    pub(crate) account: Arc<Account>,
    pub(crate) api_id: Uuid,
    /// The generated Python library refuses every field that its schema lacks.
    pub(crate) strict: bool,
    path: PathValues,
}

impl FromRequestParts<Arc<Core>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, Refusal> {
        let path = PathValues::read(parts).await;
        let (auth_id, token) = credentials(parts).ok_or_else(Refusal::unauthorized)?;
        let account = core.directory.authenticate_basic(&auth_id, &token).await?;
        // Somebody else's account does not exist for this caller.
        if path.get("auth_id") != account.auth_id {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "Account not found"));
        }
        let strict = parts
            .headers
            .get("x-fern-language")
            .is_some_and(|language| language.as_bytes().eq_ignore_ascii_case(b"python"));
        Ok(Self {
            core: Arc::clone(core),
            account,
            api_id: request_id(),
            strict,
            path,
        })
    }
}

/// The header pair wins: generated libraries send a meaningless bearer token beside it.
fn credentials(parts: &Parts) -> Option<(String, String)> {
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    match (text("x-auth-id"), text("x-auth-token")) {
        (Some(id), Some(token)) => Some((id, token)),
        _ => basic(&parts.headers),
    }
}

impl Caller {
    /// A named part of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name)
    }

    /// A decimal id of the path.
    pub(crate) fn id(&self, name: &str) -> Option<Id> {
        decimal(self.path(name))
    }

    /// The URI of something below the account; without `/api`.
    pub(crate) fn uri(&self, below: &str) -> String {
        format!("/v1/Account/{}/{below}", self.account.auth_id)
    }
}

/// Reads a vendor id: decimal digits and nothing else.
pub(crate) fn decimal(text: &str) -> Option<Id> {
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
