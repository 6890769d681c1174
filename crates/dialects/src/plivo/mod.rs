//! Plivo's interface, `/v1/Account/{auth_id}/…`: plivo-rest.md. A missing file is a resource that is not offered.

mod account;
mod application;
mod auth;
mod call;
mod callback;
mod diagnosis;
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
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use offhook_core::{
    AccountFacts, Core, DeliveryProfile, Dialect, DocumentError, MessageFacts, Payload,
    RegistrationEvent, TrunkEvent,
};

use crate::http::{Route, join, normalized};
use crate::voice::parameter::{registration_event, trunk_event};

pub(crate) use error::not_found;

/// All operations, one line each.
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/Account/{auth_id}", account::retrieve),
        Route::new(Method::POST, "/v1/Account/{auth_id}", account::update),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Endpoint",
            endpoint::create,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint",
            endpoint::list,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}",
            endpoint::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}",
            endpoint::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}",
            endpoint::delete,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Application",
            application::create,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Application",
            application::list,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Application/{app_id}",
            application::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Application/{app_id}",
            application::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Application/{app_id}",
            application::delete,
        ),
        Route::new(Method::GET, "/v1/Account/{auth_id}/Limit", limit::retrieve),
        Route::new(Method::POST, "/v1/Account/{auth_id}/Limit", limit::update),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Limit",
            limit::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Limit",
            limit::update,
        ),
        Route::new(Method::GET, "/v1/Account/{auth_id}/Call", call::list),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Call/{call_uuid}",
            call::retrieve,
        ),
        Route::new(Method::POST, "/v1/Account/{auth_id}/Number", number::create),
        Route::new(Method::GET, "/v1/Account/{auth_id}/Number", number::list),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Number/{number}",
            number::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Number/{number}",
            number::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Number/{number}",
            number::delete,
        ),
        Route::new(Method::POST, "/v1/Account/{auth_id}/Trunk", trunk::create),
        Route::new(Method::GET, "/v1/Account/{auth_id}/Trunk", trunk::list),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Trunk/{trunk_id}",
            trunk::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Trunk/{trunk_id}",
            trunk::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Trunk/{trunk_id}",
            trunk::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Policy",
            policy::retrieve,
        ),
        Route::new(Method::POST, "/v1/Account/{auth_id}/Policy", policy::update),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Policy",
            policy::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Policy",
            policy::retrieve,
        ),
        Route::new(
            Method::POST,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Policy",
            policy::update,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Policy",
            policy::delete,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Registration",
            registration::list,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Registration/Event",
            event::stream,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Diagnosis",
            diagnosis::strangers,
        ),
        Route::new(
            Method::GET,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Diagnosis",
            diagnosis::retrieve,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Registration",
            registration::delete,
        ),
        Route::new(
            Method::DELETE,
            "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/Registration/{registration_id}",
            registration::delete,
        ),
    ]
}

/// The interface as a router of its own.
pub fn router(core: Arc<Core>) -> Router {
    normalized(matched(core).fallback(not_found))
}

/// The operations, for paths in canonical form.
pub(crate) fn matched(core: Arc<Core>) -> Router {
    join(routes())
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(core)
}

/// A refusal before an operation had the request.
pub(crate) fn turned_away(status: StatusCode, text: String) -> Response {
    error::Refusal::new(status, text).into_response()
}

/// Plivo's words for the core.
#[derive(Copy, Clone, Debug)]
pub struct Plivo;

impl Dialect for Plivo {
    fn payload(
        &self,
        account: &AccountFacts,
        about: &::call::About,
        occasion: &::call::Occasion,
    ) -> Payload {
        Payload::Form(callback::parameters(account, about, occasion))
    }

    fn registration(&self, account: &AccountFacts, event: &RegistrationEvent) -> Payload {
        Payload::Form(registration_event(account, event))
    }

    fn trunk(&self, account: &AccountFacts, event: &TrunkEvent) -> Payload {
        Payload::Form(trunk_event(account, event))
    }

    fn message(&self, account: &AccountFacts, message: &MessageFacts) -> Payload {
        Payload::Form(crate::voice::message::parameters(account, message))
    }

    fn document(
        &self,
        body: &[u8],
        _content_type: Option<&str>,
        base: &str,
    ) -> Result<::call::Document, DocumentError> {
        xml::document(body, base).map_err(|fault| DocumentError::Xml(fault.to_string()))
    }

    /// plivo-rest.md §14.2, for URLs without options in their fragment.
    fn profile(&self) -> DeliveryProfile {
        DeliveryProfile {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(40),
            retries: 1,
            user_agent: "Offhook",
        }
    }
}

/// How a refusal of the core looks from outside, for the table of all of them.
#[cfg(test)]
pub(crate) fn refusal(error: offhook_core::Error) -> axum::response::Response {
    axum::response::IntoResponse::into_response(error::Refusal::from(error))
}
