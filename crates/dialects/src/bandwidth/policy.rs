//! Policies of registrations, an extension of ours; docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::PolicyOf;
use offhook_core::directory::Key;
use serde_json::Value;

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::endpoint;
use crate::bandwidth::error::Refusal;
use crate::extension::{Spelling, policy};
use crate::http::Input;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let (of, id) = of(&caller).await?;
    let found = caller.core.directory.policy(&caller.account, &of).await;
    let view = found.map_err(|error| Refusal::of(error, &id))?;
    Ok(Json(Value::Object(policy::object(&view, Spelling::Camel))).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let (of, id) = of(&caller).await?;
    let change = policy::change(&fields, Spelling::Camel, &caller.core.settings.egress)?;
    let directory = &caller.core.directory;
    let changed = directory.update_policy(&caller.account, &of, change).await;
    changed.map_err(|error| Refusal::of(error, &id))?;
    Ok(done())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let (of, id) = of(&caller).await?;
    let directory = &caller.core.directory;
    let gone = directory.delete_policy(&caller.account, &of).await;
    gone.map_err(|error| Refusal::of(error, &id))?;
    Ok(done())
}

/// What the path names: an endpoint of a domain, a domain, or the user; and its id.
async fn of(caller: &Caller) -> Result<(PolicyOf, String), Refusal> {
    if !caller.path("endpoint_id").is_empty() {
        let id = endpoint::find(caller).await?.endpoint.public_id;
        return Ok((PolicyOf::Endpoint(Key::Public(id.clone())), id));
    }
    let domain = caller.path("domain_id").to_owned();
    Ok(match domain.is_empty() {
        true => (PolicyOf::Account, domain),
        false => (PolicyOf::Domain(domain.clone()), domain),
    })
}
