//! Who asks: plivo-rest.md §2.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use offhook_core::{Account, Core, Id};
use uuid::Uuid;

use crate::http::{PathValues, basic, request_id};
use crate::plivo::error::Refusal;

/// An authenticated request, and what its path names.
pub(crate) struct Caller {
    pub(crate) core: Arc<Core>,
    pub(crate) account: Arc<Account>,
    pub(crate) api_id: Uuid,
    path: PathValues,
}

impl FromRequestParts<Arc<Core>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, Refusal> {
        let path = PathValues::read(parts).await;
        let (auth_id, token) = basic(&parts.headers).ok_or_else(Refusal::unauthorized)?;
        let account = core.directory.authenticate_basic(&auth_id, &token).await?;
        // Somebody else's account looks like wrong credentials.
        if path.get("auth_id") != account.auth_id {
            return Err(Refusal::unauthorized());
        }
        Ok(Self {
            core: Arc::clone(core),
            account,
            api_id: request_id(),
            path,
        })
    }
}

impl Caller {
    /// A named part of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name)
    }

    /// A decimal id of the path; what is none names nothing.
    pub(crate) fn id(&self, name: &str) -> Result<Id, Refusal> {
        decimal(self.path(name)).ok_or_else(Refusal::not_found)
    }

    /// The URI of something below the account.
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
