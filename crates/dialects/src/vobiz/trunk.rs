//! Trunks: an extension of ours, see docs/compatibility.md.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::Trunk;
use serde_json::{Map, Value, json};

use crate::extension::trunk as extension;
use crate::http::Input;
use crate::vobiz::auth::Caller;
use crate::vobiz::error::Refusal;
use crate::vobiz::page::{listed, page};

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let fields = extension::change(&fields)?;
    let trunk = caller
        .core
        .directory
        .create_trunk(&caller.account, fields)
        .await?;
    let body = json!({
        "api_id": caller.api_id.to_string(),
        "message": "created",
        "trunk_id": trunk.public_id,
        "resource_uri": uri(&caller, &trunk),
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let found = caller.core.directory.trunks(&caller.account, page).await?;
    let objects = found
        .items
        .iter()
        .map(|trunk| Value::Object(object(&caller, trunk)))
        .collect();
    Ok(listed(&caller, &input, "Trunk", page, found.total, objects))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let trunk = caller
        .core
        .directory
        .trunk(&caller.account, caller.path("trunk_id"))?;
    let mut object = object(&caller, &trunk);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let change = extension::change(&fields)?;
    caller
        .core
        .directory
        .update_trunk(&caller.account, caller.path("trunk_id"), change)
        .await?;
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed" });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    caller
        .core
        .directory
        .delete_trunk(&caller.account, caller.path("trunk_id"))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn object(caller: &Caller, trunk: &Trunk) -> Map<String, Value> {
    let mut object = extension::object(&caller.core, trunk);
    object.insert("resource_uri".to_owned(), json!(uri(caller, trunk)));
    object
}

fn uri(caller: &Caller, trunk: &Trunk) -> String {
    caller.uri(&format!("Trunk/{}/", trunk.public_id))
}
