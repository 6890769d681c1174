//! Why phones do not get in, an extension of ours; docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::Key;
use serde_json::{Value, json};

use crate::extension::{Spelling, diagnosis};
use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;

/// What is known of an endpoint.
pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let key = Key::Number(caller.id("endpoint_id")?);
    let core = &caller.core;
    let report = core.diagnosis.of_endpoint(&caller.account, &key).await?;
    let mut object = diagnosis::object(&report, Spelling::Snake);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

/// The attempts of those whom the account does not have.
pub(crate) async fn strangers(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let attempts = caller.core.diagnosis.of_strangers(&caller.account);
    let body = json!({
        "api_id": caller.api_id.to_string(),
        "attempts": diagnosis::attempts(&attempts, Spelling::Snake),
    });
    Ok(Json(body).into_response())
}
