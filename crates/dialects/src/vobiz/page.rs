//! Pages of lists: vobiz-rest.md §1.2.

use axum::Json;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::Page;
use serde_json::{Value, json};

use crate::http::Input;
use crate::vobiz::auth::Caller;
use crate::vobiz::error::Refusal;

const DEFAULT: u32 = 20;
const MOST: u32 = 100;

/// Reads `limit` and `offset`, or `page` and `size` as `vobiz-python` sends them, from 1.
pub(crate) fn page(input: &Input) -> Result<Page, Refusal> {
    let limit = match number(input, "limit")? {
        Some(limit) => Some(limit),
        None => number(input, "size")?,
    };
    let limit = limit.unwrap_or(DEFAULT.into()).clamp(1, MOST.into());
    let offset = match (number(input, "offset")?, number(input, "page")?) {
        (Some(offset), _) => offset,
        (None, Some(page)) => page.saturating_sub(1).saturating_mul(limit),
        (None, None) => 0,
    };
    Ok(Page {
        limit: u32::try_from(limit).unwrap_or(MOST),
        offset,
    })
}

/// Reads a number that is not negative.
pub(crate) fn number(input: &Input, name: &'static str) -> Result<Option<u64>, Refusal> {
    let bad = |_| Refusal::invalid_field(name, "A valid integer is required");
    let sent = input.fields.integer(name).map_err(|_| bad(()))?;
    sent.map(u64::try_from).transpose().map_err(|_| bad(()))
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
            if !["limit", "offset", "page", "size"].contains(&name.as_ref()) {
                query.append_pair(&name, &value);
            }
        }
        format!("{}?{}", caller.uri(&format!("{resource}/")), query.finish())
    };
    let next = page.offset.saturating_add(limit);
    let next = match (next < total, caller.strict) {
        (true, _) => json!(to(next)),
        // The generated Python library wants a string on the last page too.
        (false, true) => json!(""),
        (false, false) => Value::Null,
    };
    let meta = json!({
        "limit": limit,
        "offset": page.offset,
        "total_count": total,
        "next": next,
        "previous": (page.offset > 0).then(|| to(page.offset.saturating_sub(limit))),
    });
    Json(json!({ "api_id": caller.api_id.to_string(), "meta": meta, "objects": objects }))
        .into_response()
}
