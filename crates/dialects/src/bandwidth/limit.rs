//! Limits of calls: a resource of ours, of the user and of each endpoint.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::Key;
use serde_json::Value;

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::endpoint;
use crate::bandwidth::error::Refusal;
use crate::http::Input;
use crate::limit::{self, Spelling};

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let key = key(&caller).await?;
    let directory = &caller.core.directory;
    let limit = directory.limits(&caller.account, key.as_ref()).await?;
    let object = limit::object(&limit, Spelling::Camel);
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = key(&caller).await?;
    let change = limit::read(&fields, Spelling::Camel)?;
    let directory = &caller.core.directory;
    directory
        .update_limits(&caller.account, key.as_ref(), change)
        .await?;
    Ok(done())
}

/// The endpoint of the path; none means the user itself.
async fn key(caller: &Caller) -> Result<Option<Key>, Refusal> {
    if caller.path("endpoint_id").is_empty() {
        return Ok(None);
    }
    let id = endpoint::find(caller).await?.endpoint.public_id;
    Ok(Some(Key::Public(id)))
}
