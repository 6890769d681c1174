//! Calls that the end of an earlier process cut off: their rows are closed, and their customers are told.

use std::sync::Arc;
use std::time::Duration;

use call::{
    About, AuthKind, AuthUser, Cause, Cdr, Direction, HangupSource, LegId, LegRecord, Link, Notice,
    Occasion,
};
use jiff::Timestamp;
use store::{CallDirection, CallRow};

use crate::Error;
use crate::calls::{Calls, callback, record};

impl Calls {
    /// Closes the rows of legs that an earlier process left alive and puts word of it into the outbox, in one commit.
    pub(crate) async fn close_orphans(&self) -> Result<usize, Error> {
        let now = self.0.clock.now().wall;
        let live = self.0.store.calls_live().await?;
        let (mut rows, mut callbacks) = (Vec::new(), Vec::new());
        for row in &live {
            let cdr = cdr(row, now);
            rows.push(Arc::new(closed(row, &cdr)));
            let account = self.0.directory.account(row.account);
            let (Some(link), Some(account), LegId::A) =
                (cdr.leg.hangup.clone(), account, cdr.leg.leg)
            else {
                continue;
            };
            let application = row
                .application
                .and_then(|application| self.0.directory.application(application));
            let facts = self.0.facts(&account, application, row.flavor);
            let notice = Notice {
                link,
                about: about(row, &cdr),
                occasion: Occasion::Hangup(Box::new(cdr)),
            };
            callbacks.push(callback::row(&facts, now, &notice));
        }
        if !rows.is_empty() {
            tracing::warn!(legs = rows.len(), "legs of an earlier process are closed");
            self.0.store.put_calls(rows, callbacks).await?;
        }
        Ok(live.len())
    }
}

/// When the process died is not known: nothing is billed.
fn cdr(row: &CallRow, now: Timestamp) -> Cdr {
    let cause = Cause::InternalError;
    Cdr {
        leg: LegRecord {
            uuid: row.uuid,
            parent: row.parent,
            leg: LegId(row.leg),
            direction: direction(row.direction),
            from: row.from.clone(),
            to: row.to.clone(),
            endpoint: row
                .endpoint
                .and_then(|endpoint| u64::try_from(endpoint).ok())
                .map(call::EndpointId),
            started: row.started,
            rang: row.rang,
            answered: row.answered,
            hangup: row.hangup_url.clone().map(|url| Link {
                url,
                method: record::call_method(row.hangup_method),
            }),
            source_ip: row.source_ip,
            call_id: Some(row.call_id.clone()),
        },
        ended: now.max(row.started),
        duration: Duration::ZERO,
        billed_seconds: 0,
        cause,
        source: HangupSource::Error,
        status: cause.final_status(row.answered.is_some()),
        sip_status: None,
        media: None,
    }
}

fn closed(row: &CallRow, cdr: &Cdr) -> CallRow {
    CallRow {
        ended: Some(cdr.ended),
        status: record::status_word(cdr.status).into(),
        cause_code: Some(cdr.cause.code()),
        cause_name: Some(cdr.cause.name().into()),
        switch_cause: Some(cdr.cause.switch_name().into()),
        source: Some(record::source_word(cdr.source).into()),
        ..row.clone()
    }
}

fn about(row: &CallRow, cdr: &Cdr) -> About {
    let text = |name: &str| {
        row.extra
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let headers = row.extra.get("headers").cloned().unwrap_or_default();
    let by_address = row
        .extra
        .get("auth_by_address")
        .and_then(|value| value.as_bool());
    About {
        call_uuid: row.uuid,
        a_leg: row.uuid,
        from: row.from.clone(),
        to: row.to.clone(),
        direction: direction(row.direction),
        status: cdr.status,
        caller_name: text("caller_name").unwrap_or_default(),
        session_start: row.started,
        to_header: text("to_header").unwrap_or_default(),
        headers: serde_json::from_value(headers).unwrap_or_default(),
        auth: text("auth_user").map(|user| AuthUser {
            user,
            kind: if by_address == Some(true) {
                AuthKind::Address
            } else {
                AuthKind::Credentials
            },
        }),
        source_ip: row
            .source_ip
            .unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
    }
}

fn direction(direction: CallDirection) -> Direction {
    match direction {
        CallDirection::Inbound => Direction::Inbound,
        CallDirection::Outbound => Direction::Outbound,
    }
}
