//! Trunks: an extension of ours, see docs/compatibility.md; the interface itself has none (bandwidth-v1.md §6.3).

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::Trunk;
use serde_json::{Value, json};

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::error::Refusal;
use crate::bandwidth::page::Asked;
use crate::extension::trunk as extension;
use crate::http::Input;

/// The largest page of this list.
const PAGE: u64 = 100;

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let fields = extension::change(&fields)?;
    let trunk = caller
        .core
        .directory
        .create_trunk(&caller.account, fields)
        .await?;
    Ok(caller.created(&format!("trunks/{}", trunk.public_id)))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = Asked::read(&input, PAGE)?;
    let found = caller
        .core
        .directory
        .trunks(&caller.account, page.rows())
        .await?;
    let items = found
        .items
        .iter()
        .map(|trunk| object(&caller, trunk))
        .collect();
    Ok(page.listed(&caller, "trunks", found.total, items))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("trunk_id");
    let trunk = caller.core.directory.trunk(&caller.account, id);
    let trunk = trunk.map_err(|error| Refusal::of(error, id))?;
    Ok(Json(object(&caller, &trunk)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let change = extension::change(&fields)?;
    let id = caller.path("trunk_id");
    let changed = caller
        .core
        .directory
        .update_trunk(&caller.account, id, change)
        .await;
    changed.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("trunk_id");
    let gone = caller
        .core
        .directory
        .delete_trunk(&caller.account, id)
        .await;
    gone.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

fn object(caller: &Caller, trunk: &Trunk) -> Value {
    let mut object = extension::object(&caller.core, trunk);
    object.insert("id".to_owned(), json!(trunk.public_id));
    Value::Object(object)
}
