//! The account: plivo-rest.md §5.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    Ok(Json(json!({
        "api_id": caller.api_id.to_string(),
        "account_type": "standard",
        "address": "",
        "auth_id": caller.account.auth_id,
        "auto_recharge": false,
        "billing_mode": "prepaid",
        // Nothing is charged here; clients read a decimal string.
        "cash_credits": "0.00000",
        "city": "",
        "name": caller.account.name,
        "resource_uri": format!("/v1/Account/{}/", caller.account.auth_id),
        "state": "",
        "timezone": "UTC",
    }))
    .into_response())
}

/// Only the name is kept; the address of the account's owner is nothing that telephony needs.
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    if let Some(name) = input.fields.text("name")? {
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(Refusal::not_valid("name"));
        }
        caller
            .core
            .directory
            .update_account_name(&caller.account, name)
            .await?;
    }
    let body = Json(json!({ "api_id": caller.api_id.to_string(), "message": "changed" }));
    Ok((StatusCode::ACCEPTED, body).into_response())
}
