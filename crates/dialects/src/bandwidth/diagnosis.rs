//! Why phones do not get in, an extension of ours; docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::Key;
use serde_json::Value;

use crate::bandwidth::auth::Caller;
use crate::bandwidth::endpoint::find;
use crate::bandwidth::error::Refusal;
use crate::extension::{Spelling, diagnosis};
use crate::http::Input;

/// What is known of an endpoint.
pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = find(&caller).await?.endpoint.public_id;
    let (core, key) = (&caller.core, Key::Public(id.clone()));
    let report = core.diagnosis.of_endpoint(&caller.account, &key).await;
    let report = report.map_err(|error| Refusal::of(error, &id))?;
    let object = diagnosis::object(&report, Spelling::Camel);
    Ok(Json(Value::Object(object)).into_response())
}

/// The attempts of those whom the user does not have.
pub(crate) async fn strangers(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let attempts = caller.core.diagnosis.of_strangers(&caller.account);
    Ok(Json(diagnosis::attempts(&attempts, Spelling::Camel)).into_response())
}
