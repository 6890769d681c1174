//! Pages of lists: plivo-rest.md §4, Pagination.

use axum::Json;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::Page;
use serde_json::{Value, json};

use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;

/// The most objects a page holds, and what it holds when nothing is said.
const LIMIT: i64 = 20;

/// Reads `limit` and `offset`; a limit out of range is moved into it.
pub(crate) fn page(input: &Input) -> Result<Page, Refusal> {
    let limit = input
        .fields
        .integer("limit")?
        .unwrap_or(LIMIT)
        .clamp(1, LIMIT);
    let offset = input.fields.integer("offset")?.unwrap_or(0);
    Ok(Page {
        limit: u32::try_from(limit).map_err(|_| Refusal::not_valid("limit"))?,
        offset: u64::try_from(offset).map_err(|_| Refusal::not_valid("offset"))?,
    })
}

/// Makes the answer of a list; `resource` is the last segment of its path.
pub(crate) fn listed(
    caller: &Caller,
    input: &Input,
    resource: &str,
    page: Page,
    total: u64,
    objects: Vec<Value>,
) -> Response {
    let limit = u64::from(page.limit);
    let to = |offset: u64| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("limit", &limit.to_string())
            .append_pair("offset", &offset.to_string());
        let asked = input.parts.uri.query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(asked.as_bytes()) {
            if name != "limit" && name != "offset" {
                query.append_pair(&name, &value);
            }
        }
        format!("{}?{}", caller.uri(&format!("{resource}/")), query.finish())
    };
    let next = page.offset.saturating_add(limit);
    let meta = json!({
        "limit": limit,
        "offset": page.offset,
        "total_count": total,
        "next": (next < total).then(|| to(next)),
        "previous": (page.offset > 0).then(|| to(page.offset.saturating_sub(limit))),
    });
    Json(json!({ "api_id": caller.api_id.to_string(), "meta": meta, "objects": objects }))
        .into_response()
}
