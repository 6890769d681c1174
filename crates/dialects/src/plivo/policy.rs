//! Policies of registrations, an extension of ours; docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::PolicyOf;
use offhook_core::directory::Key;
use serde_json::{Value, json};

use crate::extension::{Spelling, policy};
use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let directory = &caller.core.directory;
    let view = directory.policy(&caller.account, &of(&caller)?).await?;
    let mut object = policy::object(&view, Spelling::Snake);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let of = of(&caller)?;
    let change = policy::change(&fields, Spelling::Snake, &caller.core.settings.egress)?;
    let directory = &caller.core.directory;
    directory
        .update_policy(&caller.account, &of, change)
        .await?;
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed" });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let directory = &caller.core.directory;
    directory
        .delete_policy(&caller.account, &of(&caller)?)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The endpoint of the path, or the account when it names none.
fn of(caller: &Caller) -> Result<PolicyOf, Refusal> {
    match caller.path("endpoint_id") {
        "" => Ok(PolicyOf::Account),
        _ => Ok(PolicyOf::Endpoint(Key::Number(caller.id("endpoint_id")?))),
    }
}
