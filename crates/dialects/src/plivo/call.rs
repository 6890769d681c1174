//! Records of finished calls: plivo-rest.md §9.2. Live calls are not offered.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use offhook_core::CallRow;
use offhook_core::directory::CallFilter;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::http::{Fields, Input};
use crate::plivo::auth::Caller;
use crate::plivo::callback::PLATFORM;
use crate::plivo::error::Refusal;
use crate::plivo::page::{listed, page};
use crate::voice::parameter::source_word;
use crate::voice::record;

const DAY: i64 = 24 * 3600;

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    only_finished(&input.fields)?;
    let uuid = Uuid::try_parse(caller.path("call_uuid")).map_err(|_| Refusal::not_found())?;
    let row = caller.core.directory.call(&caller.account, uuid).await?;
    let mut object = object(&caller, &row);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    only_finished(&input.fields)?;
    let page = page(&input)?;
    let filter = filter(&input.fields, caller.core.now().wall)?;
    let found = caller
        .core
        .directory
        .calls(&caller.account, &filter, page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|row| Value::Object(object(&caller, row)))
        .collect();
    Ok(listed(&caller, &input, "Call", page, found.total, objects))
}

/// Calls that ring, talk or wait are another resource behind the same path.
fn only_finished(fields: &Fields) -> Result<(), Refusal> {
    match fields.text("status")?.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(Refusal::not_valid("status")),
    }
}

fn filter(fields: &Fields, now: Timestamp) -> Result<CallFilter, Refusal> {
    let given = |name: &'static str| -> Result<Option<String>, Refusal> {
        Ok(fields.text(name)?.filter(|text| !text.is_empty()))
    };
    let mut filter = CallFilter {
        direction: given("call_direction")?,
        from_prefix: given("from_number")?.map(number),
        to_prefix: given("to_number")?.map(number),
        source: given("hangup_source")?,
        ..CallFilter::default()
    };
    if filter
        .direction
        .as_deref()
        .is_some_and(|direction| !["inbound", "outbound"].contains(&direction))
    {
        return Err(Refusal::not_valid("call_direction"));
    }
    if let Some(source) = &mut filter.source {
        *source = source_word(source, PLATFORM)
            .ok_or_else(|| Refusal::not_valid("hangup_source"))?
            .to_owned();
    }
    if let Some(parent) = given("parent_call_uuid")? {
        filter.parent =
            Some(Uuid::try_parse(&parent).map_err(|_| Refusal::not_valid("parent_call_uuid"))?);
    }
    if let Some(code) = fields.integer("hangup_cause_code")? {
        filter.cause_code =
            Some(u16::try_from(code).map_err(|_| Refusal::not_valid("hangup_cause_code"))?);
    }
    durations(fields, &mut filter)?;
    times(fields, now, &mut filter)?;
    Ok(filter)
}

/// `+` is tolerated before a number.
fn number(text: String) -> String {
    text.strip_prefix('+').map(str::to_owned).unwrap_or(text)
}

fn durations(fields: &Fields, filter: &mut CallFilter) -> Result<(), Refusal> {
    let at = |name: &'static str| -> Result<Option<u64>, Refusal> {
        fields
            .integer(name)?
            .map(|seconds| u64::try_from(seconds).map_err(|_| Refusal::not_valid(name)))
            .transpose()
    };
    let exactly = at("bill_duration")?;
    let least = [
        exactly,
        at("bill_duration__gte")?,
        at("bill_duration__gt")?.map(|seconds| seconds.saturating_add(1)),
    ];
    filter.duration_min = least.into_iter().flatten().max();
    let below = at("bill_duration__lt")?;
    let most = [
        exactly,
        at("bill_duration__lte")?,
        below.map(|seconds| seconds.saturating_sub(1)),
    ];
    filter.duration_max = most.into_iter().flatten().min();
    if below == Some(0) {
        // Nothing is shorter than nothing.
        filter.duration_min = Some(u64::from(u32::MAX));
    }
    Ok(())
}

/// Without a filter the last seven days, with one side thirty days from it.
fn times(fields: &Fields, now: Timestamp, filter: &mut CallFilter) -> Result<(), Refusal> {
    let at = |name: &'static str| -> Result<Option<Timestamp>, Refusal> {
        let text = fields.text(name)?.filter(|text| !text.is_empty());
        text.map(|text| time(&text).ok_or_else(|| Refusal::not_valid(name)))
            .transpose()
    };
    // From inclusive, to exclusive, in the microseconds that records have.
    let next = |time: Timestamp| {
        time.saturating_add(SignedDuration::from_micros(1))
            .unwrap_or(time)
    };
    let exactly = at("end_time")?;
    let from = [exactly, at("end_time__gte")?, at("end_time__gt")?.map(next)]
        .into_iter()
        .flatten()
        .max();
    let to = [
        exactly.map(next),
        at("end_time__lt")?,
        at("end_time__lte")?.map(next),
    ]
    .into_iter()
    .flatten()
    .min();
    let days = |time: Timestamp, days: i64| {
        time.saturating_add(SignedDuration::from_secs(days * DAY))
            .unwrap_or(time)
    };
    (filter.ended_from, filter.ended_to) = match (from, to) {
        (None, None) => (Some(days(now, -7)), None),
        (Some(from), None) => (Some(from), Some(days(from, 30))),
        (None, Some(to)) => (Some(days(to, -30)), Some(to)),
        both => both,
    };
    Ok(())
}

/// `YYYY-MM-DD HH:MM[:ss[.uuuuuu]]`, UTC.
fn time(text: &str) -> Option<Timestamp> {
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let civil = formats
        .into_iter()
        .find_map(|format| DateTime::strptime(format, text.trim()).ok())?;
    civil
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

fn object(caller: &Caller, row: &CallRow) -> Map<String, Value> {
    record::object(row, &caller.uri(&format!("Call/{}/", row.uuid)), PLATFORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_precision() {
        let micros = |text: &str| time(text).map(|time| time.as_microsecond());
        assert_eq!(micros("1970-01-01 00:01"), Some(60_000_000));
        assert_eq!(micros("1970-01-01 00:01:02"), Some(62_000_000));
        assert_eq!(micros("1970-01-01 00:01:02.5"), Some(62_500_000));
        for bad in ["", "1970-01-01", "yesterday", "1970-13-01 00:00"] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }
}
