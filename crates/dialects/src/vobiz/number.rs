//! Numbers: vobiz-rest.md §3 (binding to applications) and §7. `Number` is an extension of ours in the form of the other
//! resources; `numbers` are the vendor's own routes.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::directory::Page;
use offhook_core::{Id, NewNumbers, Number, NumberChange, NumberFilter};
use serde_json::{Value, json};

use crate::extension::trunk::optional;
use crate::http::{Fields, Input};
use crate::vobiz::auth::{Caller, decimal};
use crate::vobiz::error::{NOT_VALID, REQUIRED, Refusal};
use crate::vobiz::page::{listed, number as whole, page};

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let number = fields
        .text_of(&["number", "numbers"])?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::invalid_field("number", REQUIRED))?;
    let new = NewNumbers {
        numbers: number
            .split(',')
            .map(|part| part.trim().to_owned())
            .collect(),
        application: application(&fields)?,
        alias: fields.text("alias")?,
        carrier: fields.text("carrier")?,
        region: fields.text("region")?,
        kind: fields.text("number_type")?.filter(|kind| !kind.is_empty()),
    };
    let made = caller
        .core
        .directory
        .create_numbers(&caller.account, new)
        .await?;
    let numbers: Vec<String> = made.iter().map(|number| plus(number)).collect();
    let body = json!({
        "api_id": caller.api_id.to_string(),
        "message": "created",
        "numbers": numbers,
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let (total, objects) = found(&caller, page).await?;
    Ok(listed(&caller, &input, "Number", page, total, objects))
}

/// vobiz-rest.md §1.2: the numbers' own envelope.
pub(crate) async fn items(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = whole(&input, "page")?.unwrap_or(1).max(1);
    let per_page = whole(&input, "per_page")?.unwrap_or(25).clamp(1, 100);
    let rows = Page {
        limit: u32::try_from(per_page).unwrap_or(100),
        offset: page.saturating_sub(1).saturating_mul(per_page),
    };
    let (total, items) = found(&caller, rows).await?;
    let body = json!({ "items": items, "page": page, "per_page": per_page, "total": total });
    Ok(Json(body).into_response())
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let number = caller
        .core
        .directory
        .number(&caller.account, caller.path("number"))?;
    Ok(Json(object(&caller, &number)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let change = NumberChange {
        application: application(&fields)?,
        alias: optional(&fields, "alias")?,
    };
    let number = changed(&caller, change).await?;
    Ok(Json(object(&caller, &number)).into_response())
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

/// vobiz-rest.md §3: overwrites an existing binding.
pub(crate) async fn attach(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let application = application(&fields)?.flatten();
    let Some(application) = application else {
        return Err(Refusal::invalid_field("application_id", REQUIRED));
    };
    let change = NumberChange {
        application: Some(Some(application)),
        alias: None,
    };
    let number = changed(&caller, change).await?;
    Ok(Json(told(&caller, &number, "Number attached to application")).into_response())
}

pub(crate) async fn detach(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let before = caller
        .core
        .directory
        .number(&caller.account, caller.path("number"))?;
    let change = NumberChange {
        application: Some(None),
        alias: None,
    };
    changed(&caller, change).await?;
    Ok(Json(told(&caller, &before, "Number detached from application")).into_response())
}

async fn found(caller: &Caller, page: Page) -> Result<(u64, Vec<Value>), Refusal> {
    let found = caller
        .core
        .directory
        .numbers(&caller.account, &NumberFilter::default(), page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|number| object(caller, number))
        .collect();
    Ok((found.total, objects))
}

async fn changed(caller: &Caller, change: NumberChange) -> Result<std::sync::Arc<Number>, Refusal> {
    let name = caller.path("number");
    Ok(caller
        .core
        .directory
        .update_number(&caller.account, name, change)
        .await?)
}

/// An id as text or number; empty and `null` detach.
fn application(fields: &Fields) -> Result<Option<Option<Id>>, Refusal> {
    let text = match fields.raw_of(&["application_id", "application", "app_id"]) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(Value::String(text)) if text.is_empty() => return Ok(Some(None)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Refusal::invalid_field("application_id", NOT_VALID)),
    };
    decimal(&text)
        .map(|id| Some(Some(id)))
        .ok_or_else(|| Refusal::invalid_field("application_id", NOT_VALID))
}

fn told(caller: &Caller, number: &Number, message: &str) -> Value {
    let application = number
        .application
        .and_then(|id| caller.core.directory.application(id))
        .map(|application| Value::Object(crate::vobiz::application::object(caller, &application)));
    json!({ "message": message, "number": plus(number), "application": application })
}

fn object(caller: &Caller, number: &Number) -> Value {
    json!({
        "id": number.public_id,
        "e164": plus(number),
        "number": plus(number),
        "alias": number.alias,
        "application_id": number.application.map(|id| id.to_string()),
        "carrier": number.carrier,
        "region": number.region,
        "number_type": number.kind,
        "status": "active",
        "created_at": number.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "updated_at": number.updated.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "resource_uri": caller.uri(&format!("Number/{}/", number.number)),
    })
}

fn plus(number: &Number) -> String {
    format!("+{}", number.number)
}
