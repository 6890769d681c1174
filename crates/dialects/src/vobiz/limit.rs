//! Limits of calls: a resource of ours, of the account and of each endpoint.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::Key;
use serde_json::{Value, json};

use crate::http::Input;
use crate::limit::{self, Spelling};
use crate::vobiz::auth::Caller;
use crate::vobiz::error::Refusal;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let key = endpoint(&caller)?;
    let directory = &caller.core.directory;
    let limit = directory.limits(&caller.account, key.as_ref()).await?;
    let mut object = limit::object(&limit, Spelling::Snake);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = endpoint(&caller)?;
    let change = limit::read(&fields, Spelling::Snake)?;
    let directory = &caller.core.directory;
    directory
        .update_limits(&caller.account, key.as_ref(), change)
        .await?;
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed" });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The endpoint of the path; none means the account itself.
fn endpoint(caller: &Caller) -> Result<Option<Key>, Refusal> {
    match caller.path("endpoint_id") {
        "" => Ok(None),
        _ => caller
            .id("endpoint_id")
            .map(|id| Some(Key::Number(id)))
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Endpoint not found")),
    }
}
