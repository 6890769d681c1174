//! What the store keeps of a leg, in its words.

use std::sync::Arc;

use call::{
    AuthKind, CallStatus, Cdr, Direction, HangupSource, HttpMethod, LegId, LegRecord, Link,
};
use serde_json::json;
use store::{CallDirection, CallRow};

use crate::calls::dialect::{AccountFacts, Dialect};

/// Whose call it is and how its customer is spoken to.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) account: AccountFacts,
    pub(crate) account_id: store::Id,
    pub(crate) application: Option<store::Id>,
    pub(crate) flavor: store::Flavor,
    pub(crate) dialect: Arc<dyn Dialect>,
}

impl Facts {
    /// The URL of the application that is asked what becomes of a call that is transferred.
    pub(crate) fn transfer(&self) -> Option<Link> {
        self.dialect.transfer(self.account.application.as_ref()?)
    }
}

/// What a callback about the caller's leg needs after a crash, beside its row.
pub(crate) fn extra(caller: &call::Caller) -> serde_json::Value {
    json!({
        "caller_name": caller.name,
        "to_header": caller.to_header,
        "headers": caller.headers,
        "auth_user": caller.auth.as_ref().map(|auth| &auth.user),
        "auth_by_address": caller.auth.as_ref().is_some_and(|auth| auth.kind == AuthKind::Address),
    })
}

/// Writes the row of a live leg. Only the caller's leg keeps `extra`.
pub(crate) fn live_row(facts: &Facts, extra: &serde_json::Value, leg: &LegRecord) -> CallRow {
    row(facts, extra_of(extra, leg), leg)
}

fn row(facts: &Facts, extra: serde_json::Value, leg: &LegRecord) -> CallRow {
    CallRow {
        uuid: leg.uuid,
        account: facts.account_id,
        parent: leg.parent,
        leg: leg.leg.0,
        flavor: facts.flavor,
        direction: match leg.direction {
            Direction::Inbound => CallDirection::Inbound,
            Direction::Outbound => CallDirection::Outbound,
        },
        from: leg.from.clone(),
        to: leg.to.clone(),
        endpoint: leg
            .endpoint
            .and_then(|endpoint| i64::try_from(endpoint.0).ok()),
        application: facts.application,
        call_id: leg.call_id.clone().unwrap_or_default(),
        source_ip: leg.source_ip,
        started: leg.started,
        rang: leg.rang,
        answered: leg.answered,
        ended: None,
        bill_duration: 0,
        billed_duration: 0,
        status: status_word(match leg.answered {
            Some(_) => CallStatus::InProgress,
            None => CallStatus::Ringing,
        })
        .into(),
        cause_code: None,
        cause_name: None,
        switch_cause: None,
        source: None,
        sip_status: None,
        hangup_url: leg.hangup.as_ref().map(|link| link.url.clone()),
        hangup_method: leg
            .hangup
            .as_ref()
            .map_or_else(Default::default, |link| store_method(link.method)),
        extra,
    }
}

/// Writes the row of a leg that is over.
pub(crate) fn final_row(facts: &Facts, extra: &serde_json::Value, cdr: &Cdr) -> CallRow {
    CallRow {
        ended: Some(cdr.ended),
        bill_duration: cdr.duration.as_secs(),
        billed_duration: cdr.billed_seconds,
        status: status_word(cdr.status).into(),
        cause_code: Some(cdr.cause.code()),
        cause_name: Some(cdr.cause.name().into()),
        switch_cause: Some(cdr.cause.switch_name().into()),
        source: Some(source_word(cdr.source).into()),
        sip_status: cdr.sip_status,
        ..row(
            facts,
            with_media(extra_of(extra, &cdr.leg), cdr.media.as_ref()),
            &cdr.leg,
        )
    }
}

fn extra_of(extra: &serde_json::Value, leg: &LegRecord) -> serde_json::Value {
    match leg.leg {
        LegId::A => extra.clone(),
        _ => json!({}),
    }
}

/// Adds what the plane counted: the explainer tells from it whether audio went both ways.
fn with_media(mut extra: serde_json::Value, media: Option<&media::Stats>) -> serde_json::Value {
    if let (Some(extra), Some(media)) = (extra.as_object_mut(), media) {
        let counted = json!({
            "received": media.received,
            "sent": media.sent,
            "lost": media.lost,
            "strangers": media.strangers,
            "dropped": media.dropped,
        });
        extra.insert("media".to_owned(), counted);
    }
    extra
}

/// Spells a method as the store does.
pub(crate) fn store_method(method: HttpMethod) -> store::HttpMethod {
    match method {
        HttpMethod::Get => store::HttpMethod::Get,
        HttpMethod::Post => store::HttpMethod::Post,
    }
}

/// Reads a method of the store.
pub(crate) fn call_method(method: store::HttpMethod) -> HttpMethod {
    match method {
        store::HttpMethod::Get => HttpMethod::Get,
        store::HttpMethod::Post => HttpMethod::Post,
    }
}

/// Spells a state of a leg as its row does.
pub(crate) fn status_word(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy => "busy",
        CallStatus::Failed => "failed",
        CallStatus::Timeout => "timeout",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Cancel => "cancel",
    }
}

/// Spells who ended a leg as its row does.
pub(crate) fn source_word(source: HangupSource) -> &'static str {
    match source {
        HangupSource::Caller => "caller",
        HangupSource::Callee => "callee",
        HangupSource::Platform => "platform",
        HangupSource::ApiRequest => "api-request",
        HangupSource::AnswerXml => "answer-xml",
        HangupSource::Carrier => "carrier",
        HangupSource::Error => "error",
        HangupSource::Unknown => "unknown",
    }
}
