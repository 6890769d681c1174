//! Bandwidth's first interface, `/v1/users/{userId}/…`: bandwidth-v1.md. A missing file is a resource that is not offered.

mod application;
mod auth;
mod callback;
mod diagnosis;
mod domain;
mod endpoint;
mod error;
mod event;
mod limit;
mod number;
mod page;
mod policy;
mod registration;
mod trunk;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Method;
use offhook_core::{
    AccountFacts, Core, DeliveryProfile, Dialect, DocumentError, MessageFacts, Payload,
    RegistrationEvent, TrunkEvent,
};

use crate::http::{Route, join, normalized};

pub(crate) use error::{turned_away, unknown_path};

/// All operations, one line each.
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/users/{user_id}/domains", domain::create),
        Route::new(Method::GET, "/v1/users/{user_id}/domains", domain::list),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}",
            domain::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}",
            domain::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}",
            domain::delete,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints",
            endpoint::create,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints",
            endpoint::list,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}",
            endpoint::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}",
            endpoint::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}",
            endpoint::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/limits",
            limit::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/limits",
            limit::update,
        ),
        Route::new(Method::GET, "/v1/users/{user_id}/limits", limit::retrieve),
        Route::new(Method::POST, "/v1/users/{user_id}/limits", limit::update),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/applications",
            application::create,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/applications",
            application::list,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/applications/{application_id}",
            application::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/applications/{application_id}",
            application::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/applications/{application_id}",
            application::delete,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/phoneNumbers",
            number::create,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/phoneNumbers",
            number::list,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/phoneNumbers/{number_id}",
            number::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/phoneNumbers/{number_id}",
            number::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/phoneNumbers/{number_id}",
            number::delete,
        ),
        Route::new(Method::POST, "/v1/users/{user_id}/trunks", trunk::create),
        Route::new(Method::GET, "/v1/users/{user_id}/trunks", trunk::list),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/trunks/{trunk_id}",
            trunk::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/trunks/{trunk_id}",
            trunk::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/trunks/{trunk_id}",
            trunk::delete,
        ),
        Route::new(Method::GET, "/v1/users/{user_id}/policy", policy::retrieve),
        Route::new(Method::POST, "/v1/users/{user_id}/policy", policy::update),
        Route::new(Method::DELETE, "/v1/users/{user_id}/policy", policy::delete),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/policy",
            policy::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}/policy",
            policy::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}/policy",
            policy::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/policy",
            policy::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/policy",
            policy::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/policy",
            policy::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/registrations",
            registration::list,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/registrations/events",
            event::stream,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/diagnosis",
            diagnosis::strangers,
        ),
        Route::new(
            Method::GET,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/diagnosis",
            diagnosis::retrieve,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/registrations",
            registration::delete,
        ),
        Route::new(
            Method::DELETE,
            "/v1/users/{user_id}/domains/{domain_id}/endpoints/{endpoint_id}/registrations/{registration_id}",
            registration::delete,
        ),
    ]
}

/// The interface as a router of its own.
pub fn router(core: Arc<Core>) -> Router {
    normalized(spelled(core).fallback(unknown_path))
}

/// The operations, for paths in canonical form; the bodies of refusals are written around them.
pub(crate) fn spelled(core: Arc<Core>) -> Router {
    let routes = join(routes())
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(core);
    routes.layer(axum::middleware::from_fn(error::spell))
}

/// Bandwidth's words for the core.
#[derive(Copy, Clone, Debug)]
pub struct Bandwidth;

impl Dialect for Bandwidth {
    fn payload(
        &self,
        account: &AccountFacts,
        about: &::call::About,
        occasion: &::call::Occasion,
    ) -> Payload {
        Payload::Json(callback::event(account, about, occasion))
    }

    fn registration(&self, account: &AccountFacts, event: &RegistrationEvent) -> Payload {
        Payload::Json(callback::registration(account, event))
    }

    fn trunk(&self, account: &AccountFacts, event: &TrunkEvent) -> Payload {
        Payload::Json(callback::trunk(account, event))
    }

    fn message(&self, account: &AccountFacts, message: &MessageFacts) -> Payload {
        Payload::Json(callback::message(account, message))
    }

    fn document(
        &self,
        body: &[u8],
        _content_type: Option<&str>,
        base: &str,
    ) -> Result<::call::Document, DocumentError> {
        xml::document(body, base).map_err(|fault| DocumentError::Xml(fault.to_string()))
    }

    /// bandwidth-v1.md §7.1: ten seconds, then the fallback URL.
    fn profile(&self) -> DeliveryProfile {
        DeliveryProfile {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(10),
            retries: 0,
            user_agent: "BandwidthAPI/v1 (Offhook)",
        }
    }
}

/// How a refusal of the core looks from outside, for the table of all of them.
#[cfg(test)]
pub(crate) fn refusal(error: offhook_core::Error) -> axum::response::Response {
    error::refused(&axum::extract::Request::default(), error.into())
}
