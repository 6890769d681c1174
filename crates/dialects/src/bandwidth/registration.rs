//! An endpoint's registrations: list, and end all or one of them; an extension of ours, docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::endpoint::find;
use crate::bandwidth::error::Refusal;
use crate::extension::{Spelling, registration};
use crate::http::Input;

/// All at once: an endpoint has few.
pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let endpoint = find(&caller).await?.endpoint.id;
    let now = caller.core.now().wall;
    let all = caller
        .core
        .registrar
        .location()
        .live_bindings(endpoint, now);
    let objects: Vec<Value> = all
        .iter()
        .map(|live| Value::Object(registration::object(live, Spelling::Camel)))
        .collect();
    Ok(Json(objects).into_response())
}

/// Ends all registrations, or the one that the path names. That is on disk before the answer.
pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let endpoint = find(&caller).await?.endpoint.id;
    let only = Some(caller.path("registration_id")).filter(|id| !id.is_empty());
    let now = caller.core.now().wall;
    let gone = caller
        .core
        .registrar
        .unregister(endpoint, now, only)
        .await?;
    match only {
        Some(id) if gone.is_empty() => Err(Refusal::unknown("registration", id)),
        _ => Ok(done()),
    }
}
