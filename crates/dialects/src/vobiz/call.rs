//! Records of finished calls. vobiz-rest.md §4 documents live calls, which are not offered; where it is silent about the
//! records they have the shape of plivo-rest.md §9.2. The `cdr` list has the envelope of vobiz-rest.md §1.2.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::CallRow;
use offhook_core::directory::{CallFilter, Page};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::http::{Fields, Input};
use crate::vobiz::auth::Caller;
use crate::vobiz::callback::PLATFORM;
use crate::vobiz::error::{NOT_VALID, Refusal};
use crate::vobiz::page::{listed, number, page};
use crate::voice::record;

const PER_PAGE: u64 = 20;
const MOST_PER_PAGE: u64 = 100;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    only_finished(&input.fields)?;
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "Call not found")
            .with("call_uuid", caller.path("call_uuid"))
    };
    let uuid = Uuid::try_parse(caller.path("call_uuid")).map_err(|_| unknown())?;
    let row = match caller.core.directory.call(&caller.account, uuid).await {
        Err(offhook_core::Error::NotFound { .. }) => return Err(unknown()),
        other => other?,
    };
    let mut object = object(&caller, &row);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    only_finished(&input.fields)?;
    let page = page(&input)?;
    let found = caller
        .core
        .directory
        .calls(&caller.account, &filter(&input.fields)?, page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|row| Value::Object(object(&caller, row)))
        .collect();
    Ok(listed(&caller, &input, "Call", page, found.total, objects))
}

pub(crate) async fn records(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = number(&input, "page")?.unwrap_or(1).max(1);
    let per_page = number(&input, "per_page")?
        .unwrap_or(PER_PAGE)
        .clamp(1, MOST_PER_PAGE);
    let rows = Page {
        limit: u32::try_from(per_page).unwrap_or(u32::MAX),
        offset: (page - 1).saturating_mul(per_page),
    };
    let found = caller
        .core
        .directory
        .calls(&caller.account, &filter(&input.fields)?, rows)
        .await?;
    let data: Vec<Value> = found
        .items
        .iter()
        .map(|row| Value::Object(object(&caller, row)))
        .collect();
    let pages = found.total.div_ceil(per_page);
    let billed: u64 = found.items.iter().map(|row| row.billed_duration).sum();
    let body = json!({
        "account_id": caller.account.auth_id,
        "count": data.len(),
        "data": data,
        "pagination": {
            "page": page,
            "per_page": per_page,
            "total": found.total,
            "pages": pages,
            "has_next": page < pages,
            "has_prev": page > 1,
        },
        "success": true,
        "summary": { "total_calls": found.total, "billed_duration": billed },
    });
    Ok(Json(body).into_response())
}

/// Calls that ring, talk or wait are another resource behind the same path.
fn only_finished(fields: &Fields) -> Result<(), Refusal> {
    match fields.text("status")?.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(Refusal::invalid_field(
            "status",
            "Live and queued calls are not offered",
        )),
    }
}

fn filter(fields: &Fields) -> Result<CallFilter, Refusal> {
    let given = |name: &'static str| -> Result<Option<String>, Refusal> {
        Ok(fields.text(name)?.filter(|text| !text.is_empty()))
    };
    let filter = CallFilter {
        direction: given("call_direction")?,
        from_prefix: given("from_number")?,
        to_prefix: given("to_number")?,
        ..CallFilter::default()
    };
    match filter.direction.as_deref() {
        None | Some("inbound" | "outbound") => Ok(filter),
        Some(_) => Err(Refusal::invalid_field("call_direction", NOT_VALID)),
    }
}

fn object(caller: &Caller, row: &CallRow) -> Map<String, Value> {
    record::object(row, &caller.uri(&format!("Call/{}/", row.uuid)), PLATFORM)
}
