//! An endpoint's registrations: list, and end all or one of them; an extension of ours, docs/compatibility.md.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::directory::{EndpointView, Key};
use serde_json::Value;

use crate::extension::{Spelling, registration};
use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;
use crate::plivo::page::{listed, page};

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let endpoint = find(&caller).await?.endpoint.id;
    let now = caller.core.now().wall;
    let all = caller
        .core
        .registrar
        .location()
        .live_bindings(endpoint, now);
    let objects = all
        .iter()
        .skip(usize::try_from(page.offset).unwrap_or(usize::MAX))
        .take(usize::try_from(page.limit).unwrap_or(usize::MAX))
        .map(|live| Value::Object(registration::object(live, Spelling::Snake)))
        .collect();
    let resource = format!("Endpoint/{endpoint}/Registration");
    Ok(listed(
        &caller,
        &input,
        &resource,
        page,
        all.len() as u64,
        objects,
    ))
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
    match only.is_some() && gone.is_empty() {
        true => Err(Refusal::not_found()),
        false => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn find(caller: &Caller) -> Result<EndpointView, Refusal> {
    let key = Key::Number(caller.id("endpoint_id")?);
    let directory = &caller.core.directory;
    Ok(directory.endpoint(&caller.account, &key).await?)
}
