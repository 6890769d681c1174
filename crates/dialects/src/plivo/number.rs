//! Numbers: plivo-rest.md §8. Nothing is rented here: numbers that a carrier sends are added and attached.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::{Id, NewNumbers, Number, NumberChange, NumberFilter};
use serde_json::{Map, Value, json};

use crate::extension::trunk::optional;
use crate::http::{Fields, Input};
use crate::plivo::auth::{Caller, decimal};
use crate::plivo::error::Refusal;
use crate::plivo::page::{listed, page};

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let required = |name: &'static str| -> Result<String, Refusal> {
        fields
            .text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::missing(name))
    };
    let new = NewNumbers {
        numbers: numbers(&fields)?,
        carrier: Some(required("carrier")?),
        region: Some(required("region")?),
        application: application(&fields)?,
        alias: fields.text("alias")?,
        kind: fields.text("number_type")?.filter(|kind| !kind.is_empty()),
    };
    caller
        .core
        .directory
        .create_numbers(&caller.account, new)
        .await?;
    Ok(changed(&caller))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let one = |name: &'static str| -> Result<Option<String>, Refusal> {
        Ok(input.fields.text(name)?.filter(|text| !text.is_empty()))
    };
    let kind = match one("number_type")? {
        Some(kind) => Some(kind),
        None => one("type")?,
    };
    let filter = NumberFilter {
        number_starts: one("number_startswith")?
            .map(|text| text.trim_start_matches('+').to_owned()),
        alias: one("alias")?,
        kind: kind.filter(|kind| kind != "any"),
        application: None,
    };
    let found = caller
        .core
        .directory
        .numbers(&caller.account, &filter, page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|number| Value::Object(object(&caller, number)))
        .collect();
    Ok(listed(
        &caller,
        &input,
        "Number",
        page,
        found.total,
        objects,
    ))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let number = caller
        .core
        .directory
        .number(&caller.account, caller.path("number"))?;
    let mut object = object(&caller, &number);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

/// Without `app_id` the application stays as it is (plivo-rest.md §8).
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let change = NumberChange {
        application: application(&fields)?,
        alias: optional(&fields, "alias")?,
    };
    caller
        .core
        .directory
        .update_number(&caller.account, caller.path("number"), change)
        .await?;
    Ok(changed(&caller))
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    caller
        .core
        .directory
        .delete_number(&caller.account, caller.path("number"))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn changed(caller: &Caller) -> Response {
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed" });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

/// A text with commas, or a list.
fn numbers(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let name = "numbers";
    match fields.raw_of(&[name]) {
        None | Some(Value::Null) => Err(Refusal::missing(name)),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                _ => Err(Refusal::not_valid(name)),
            })
            .collect(),
        Some(_) => {
            let text = fields.text(name)?.unwrap_or_default();
            Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect())
        }
    }
}

/// An id, or a resource URI; empty and `null` detach.
fn application(fields: &Fields) -> Result<Option<Option<Id>>, Refusal> {
    let text = match fields.raw_of(&["app_id", "application"]) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Refusal::not_valid("app_id")),
    };
    match text.trim_end_matches('/').rsplit('/').next() {
        None | Some("") => Ok(Some(None)),
        Some(id) => decimal(id)
            .map(|id| Some(Some(id)))
            .ok_or_else(|| Refusal::not_valid("app_id")),
    }
}

fn object(caller: &Caller, number: &Number) -> Map<String, Value> {
    let application = number
        .application
        .map(|id| caller.uri(&format!("Application/{id}/")));
    let object = json!({
        "active": true,
        "added_on": number.created.strftime("%Y-%m-%d").to_string(),
        "alias": number.alias,
        "application": application,
        "carrier": number.carrier.as_deref().unwrap_or_default(),
        "city": null,
        "cnam_lookup": "disabled",
        "country": null,
        "mms_enabled": false,
        "mms_rate": null,
        // Nothing is charged here; clients read decimal strings.
        "monthly_rental_rate": "0.00000",
        "number": number.number,
        "number_type": number.kind,
        "region": number.region,
        "renewal_date": null,
        "resource_uri": caller.uri(&format!("Number/{}/", number.number)),
        "sms_enabled": false,
        "sms_rate": "0.00000",
        "sub_account": null,
        "voice_enabled": true,
        "voice_rate": "0.00000",
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
