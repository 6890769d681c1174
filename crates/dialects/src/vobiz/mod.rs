//! Vobiz's interface, `/api/v1/Account/{auth_id}/…`: vobiz-rest.md. A missing file is a resource that is not offered.

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
    AccountFacts, Application, Core, DeliveryProfile, Dialect, DocumentError, MessageFacts,
    Payload, RegistrationEvent, TrunkEvent,
};

use crate::http::{Route, join, normalized};
use crate::voice::parameter::{registration_event, trunk_event};

pub(crate) use error::not_found;

/// All operations, one line each, below both spellings of the first segment (vobiz-rest.md §1).
pub fn routes() -> Vec<Route> {
    let below = |account: &str| {
        let at = |path: &str| format!("/api/v1/{account}/{{auth_id}}/{path}");
        vec![
            Route::new(Method::POST, at("Endpoint"), endpoint::create),
            Route::new(Method::GET, at("Endpoint"), endpoint::list),
            Route::new(
                Method::GET,
                at("Endpoint/{endpoint_id}"),
                endpoint::retrieve,
            ),
            Route::new(Method::POST, at("Endpoint/{endpoint_id}"), endpoint::update),
            Route::new(
                Method::DELETE,
                at("Endpoint/{endpoint_id}"),
                endpoint::delete,
            ),
            Route::new(Method::POST, at("Application"), application::create),
            Route::new(Method::GET, at("Application"), application::list),
            Route::new(
                Method::GET,
                at("Application/{app_id}"),
                application::retrieve,
            ),
            Route::new(
                Method::POST,
                at("Application/{app_id}"),
                application::update,
            ),
            Route::new(
                Method::DELETE,
                at("Application/{app_id}"),
                application::delete,
            ),
            Route::new(Method::GET, at("Limit"), limit::retrieve),
            Route::new(Method::POST, at("Limit"), limit::update),
            Route::new(
                Method::GET,
                at("Endpoint/{endpoint_id}/Limit"),
                limit::retrieve,
            ),
            Route::new(
                Method::POST,
                at("Endpoint/{endpoint_id}/Limit"),
                limit::update,
            ),
            Route::new(Method::GET, at("Call"), call::list),
            Route::new(Method::GET, at("Call/{call_uuid}"), call::retrieve),
            Route::new(Method::GET, at("cdr"), call::records),
            Route::new(Method::GET, at("Registration/Event"), event::stream),
            Route::new(Method::GET, at("Diagnosis"), diagnosis::strangers),
            Route::new(
                Method::GET,
                at("Endpoint/{endpoint_id}/Diagnosis"),
                diagnosis::retrieve,
            ),
            Route::new(Method::POST, at("Number"), number::create),
            Route::new(Method::GET, at("Number"), number::list),
            Route::new(Method::GET, at("Number/{number}"), number::retrieve),
            Route::new(Method::POST, at("Number/{number}"), number::update),
            Route::new(Method::DELETE, at("Number/{number}"), number::delete),
            Route::new(Method::GET, at("numbers"), number::items),
            Route::new(
                Method::POST,
                at("numbers/{number}/application"),
                number::attach,
            ),
            Route::new(
                Method::DELETE,
                at("numbers/{number}/application"),
                number::detach,
            ),
            Route::new(Method::POST, at("Trunk"), trunk::create),
            Route::new(Method::GET, at("Trunk"), trunk::list),
            Route::new(Method::GET, at("Trunk/{trunk_id}"), trunk::retrieve),
            Route::new(Method::POST, at("Trunk/{trunk_id}"), trunk::update),
            Route::new(Method::DELETE, at("Trunk/{trunk_id}"), trunk::delete),
            Route::new(Method::GET, at("Policy"), policy::retrieve),
            Route::new(Method::POST, at("Policy"), policy::update),
            Route::new(Method::DELETE, at("Policy"), policy::delete),
            Route::new(
                Method::GET,
                at("Endpoint/{endpoint_id}/Policy"),
                policy::retrieve,
            ),
            Route::new(
                Method::POST,
                at("Endpoint/{endpoint_id}/Policy"),
                policy::update,
            ),
            Route::new(
                Method::DELETE,
                at("Endpoint/{endpoint_id}/Policy"),
                policy::delete,
            ),
            Route::new(
                Method::GET,
                at("Endpoint/{endpoint_id}/Registration"),
                registration::list,
            ),
            Route::new(
                Method::DELETE,
                at("Endpoint/{endpoint_id}/Registration"),
                registration::delete,
            ),
            Route::new(
                Method::DELETE,
                at("Endpoint/{endpoint_id}/Registration/{registration_id}"),
                registration::delete,
            ),
        ]
    };
    let mut routes = below("Account");
    routes.extend(below("account"));
    routes
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

/// Vobiz's words for the core.
#[derive(Copy, Clone, Debug)]
pub struct Vobiz;

impl Dialect for Vobiz {
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

    fn transfer(&self, application: &Application) -> Option<::call::Link> {
        application::transfer(application)
    }

    /// vobiz-rest.md §8.1: ten seconds a try, one more try.
    fn profile(&self) -> DeliveryProfile {
        DeliveryProfile {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(10),
            retries: 1,
            user_agent: "Vobiz",
        }
    }
}

/// How a refusal of the core looks from outside, for the table of all of them.
#[cfg(test)]
pub(crate) fn refusal(error: offhook_core::Error) -> axum::response::Response {
    axum::response::IntoResponse::into_response(error::Refusal::from(error))
}
