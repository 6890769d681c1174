//! The record of a finished leg: plivo-rest.md §9.2. vobiz-rest.md §4 is silent about its shape and shows this one.

use jiff::Timestamp;
use offhook_core::{CallDirection, CallRow};
use serde_json::{Map, Value, json};

use crate::voice::parameter::source_name;

/// Spells a record; `platform` is the vendor's name for who ends calls by itself.
pub(crate) fn object(
    row: &CallRow,
    resource_uri: &str,
    platform: &'static str,
) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("answer_time", json!(row.answered.map(zoned)));
    put("bill_duration", json!(row.bill_duration));
    put("billed_duration", json!(row.billed_duration));
    put(
        "call_direction",
        json!(match row.direction {
            CallDirection::Inbound => "inbound",
            CallDirection::Outbound => "outbound",
        }),
    );
    put("call_duration", json!(row.bill_duration));
    put("call_state", json!(call_state(row)));
    put("call_uuid", json!(row.uuid.to_string()));
    put("cnam_lookup", json!(""));
    put("conference_uuid", Value::Null);
    put("end_time", json!(row.ended.map(zoned)));
    put("from_number", json!(row.from));
    put("hangup_cause_code", json!(row.cause_code.unwrap_or(0)));
    put(
        "hangup_cause_name",
        json!(row.cause_name.as_deref().unwrap_or("Unknown")),
    );
    put(
        "hangup_source",
        json!(
            row.source
                .as_deref()
                .map_or("Unknown", |word| source_name(word, platform))
        ),
    );
    put("initiation_time", json!(zoned(row.started)));
    put(
        "parent_call_uuid",
        json!(row.parent.map(|parent| parent.to_string())),
    );
    put("resource_uri", json!(resource_uri));
    put(
        "source_ip",
        json!(row.source_ip.map(|ip| ip.to_string()).unwrap_or_default()),
    );
    put("stir_attestation", json!(""));
    put("stir_verification", json!("Not Applicable"));
    put("to_number", json!(row.to));
    put("total_amount", json!("0.00000"));
    put("total_rate", json!("0.00000"));
    put("voice_network_group", json!(""));
    object
}

/// `ANSWER` is all that was seen. Undocumented; chosen: words in the same style.
fn call_state(row: &CallRow) -> &'static str {
    match row.status.as_str() {
        _ if row.answered.is_some() => "ANSWER",
        "busy" => "BUSY",
        "no-answer" | "timeout" => "NOANSWER",
        "cancel" => "CANCEL",
        _ => "FAILED",
    }
}

fn zoned(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S+00:00").to_string()
}
