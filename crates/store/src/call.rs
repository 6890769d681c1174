//! Calls: one row per leg, written before the leg is answered and completed when it is over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::application::HttpMethod;
use crate::callback::{self, CallbackRow};
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::Result;
use crate::page::{self, Comparison, Match, Page, Paged};
use crate::{Flavor, Id};

/// Rows of one statement.
const ROWS: usize = 100;

/// Who started a leg, seen from the customer's application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallDirection {
    /// It came to the application.
    Inbound,
    /// The application made it.
    Outbound,
}

/// What is on record about one leg. Without `ended` the leg is alive, or its process died.
#[derive(Clone, PartialEq, Debug)]
pub struct CallRow {
    /// The leg's id for customers.
    pub uuid: Uuid,
    /// Whose.
    pub account: Id,
    /// The leg that caused this one.
    pub parent: Option<Uuid>,
    /// Its number within the call; 0 is the first.
    pub leg: u16,
    /// How callbacks about it are spelled.
    pub flavor: Flavor,
    /// Who started it.
    pub direction: CallDirection,
    /// The caller, as callbacks show it.
    pub from: String,
    /// The called, as callbacks show it.
    pub to: String,
    /// The endpoint on the other side.
    pub endpoint: Option<Id>,
    /// The application that controls it.
    pub application: Option<Id>,
    /// SIP Call-ID.
    pub call_id: String,
    /// Where its signalling came from.
    pub source_ip: Option<IpAddr>,
    /// When it began.
    pub started: Timestamp,
    /// When it began to ring.
    pub rang: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// Seconds from answer to end.
    pub bill_duration: u64,
    /// The same, rounded up to what is billed.
    pub billed_duration: u64,
    /// `ringing`, `in-progress`, `completed` …
    pub status: String,
    /// The number of the hang-up cause.
    pub cause_code: Option<u16>,
    /// Its name.
    pub cause_name: Option<String>,
    /// Its name in the style of switches (`NORMAL_CLEARING`).
    pub switch_cause: Option<String>,
    /// Who ended it.
    pub source: Option<String>,
    /// The SIP status that refused it.
    pub sip_status: Option<u16>,
    /// Told when it ends.
    pub hangup_url: Option<String>,
    /// How.
    pub hangup_method: HttpMethod,
    /// What else a callback about it needs after a crash.
    pub extra: serde_json::Value,
}

/// Which finished legs a list shows.
#[derive(Clone, Default, Debug)]
pub struct CallFilter {
    /// Whose.
    pub account: Id,
    /// Only those in this direction.
    pub direction: Option<CallDirection>,
    /// Only those whose caller fits.
    pub from: Option<Match>,
    /// Only those whose called fits.
    pub to: Option<Match>,
    /// Only those that this leg caused.
    pub parent: Option<Uuid>,
    /// Only those whose seconds fit all of these.
    pub bill_duration: Vec<(Comparison, i64)>,
    /// Only those that ended at times that fit all of these.
    pub end_time: Vec<(Comparison, Timestamp)>,
    /// Only those that ended so.
    pub cause_code: Option<u16>,
    /// Only those that were ended by this side.
    pub source: Option<String>,
    /// Only those that this endpoint took part in.
    pub endpoint: Option<Id>,
}

impl Store {
    /// Inserts rows or replaces those with the same UUID, and puts callbacks into the outbox, all in one; returns after
    /// COMMIT.
    pub async fn put_calls(
        &self,
        rows: Vec<Arc<CallRow>>,
        callbacks: Vec<CallbackRow>,
    ) -> Result<()> {
        self.put(Put { rows, callbacks }).await
    }

    /// Inserts a row or replaces the one with the same UUID.
    pub async fn upsert_call(&self, row: CallRow) -> Result<()> {
        self.put_calls(vec![Arc::new(row)], Vec::new()).await
    }

    /// The leg with this UUID, finished or not.
    pub async fn call(&self, account: Id, uuid: Uuid) -> Result<Option<CallRow>> {
        let row = sqlx::query("SELECT * FROM call WHERE uuid = $1 AND account = $2")
            .bind(uuid.to_string())
            .bind(account)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The finished legs that the filter lets through, last ended first.
    pub async fn calls(&self, filter: &CallFilter, page: Page) -> Result<Paged<CallRow>> {
        let mut query = QueryBuilder::new("SELECT *");
        filter.push(&mut query);
        query.push(" ORDER BY ended DESC, seq DESC");
        page::paged(&mut query, page);
        let rows = query.build().fetch_all(self.read()).await?;
        let mut count = QueryBuilder::new("SELECT count(*)");
        filter.push(&mut count);
        let total: i64 = count.build_query_scalar().fetch_one(self.read()).await?;
        Ok(Paged {
            items: rows.iter().map(read).collect::<Result<_>>()?,
            total: total.unsigned_abs(),
        })
    }

    /// All legs that are not finished: at start, those that a crash cut off.
    pub async fn calls_live(&self) -> Result<Vec<CallRow>> {
        let rows = sqlx::query("SELECT * FROM call WHERE ended IS NULL ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        rows.iter().map(read).collect()
    }
}

impl CallFilter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push(" FROM call WHERE ended IS NOT NULL AND account = ")
            .push_bind(self.account);
        if let Some(direction) = self.direction {
            query.push(" AND direction = ").push_bind(direction.word());
        }
        if let Some(from) = &self.from {
            page::and_match(query, "from_number", from);
        }
        if let Some(to) = &self.to {
            page::and_match(query, "to_number", to);
        }
        if let Some(parent) = self.parent {
            query.push(" AND parent = ").push_bind(parent.to_string());
        }
        for (how, seconds) in &self.bill_duration {
            page::and_compare(query, "bill_duration", *how, *seconds);
        }
        for (how, time) in &self.end_time {
            page::and_compare(query, "ended", *how, time.as_microsecond());
        }
        if let Some(code) = self.cause_code {
            query.push(" AND cause_code = ").push_bind(code);
        }
        if let Some(source) = &self.source {
            query.push(" AND source = ").push_bind(source.clone());
        }
        if let Some(endpoint) = self.endpoint {
            query.push(" AND endpoint = ").push_bind(endpoint);
        }
    }
}

/// Rows of calls and what is to be told with them.
#[derive(Default)]
pub(crate) struct Put {
    pub(crate) rows: Vec<Arc<CallRow>>,
    pub(crate) callbacks: Vec<CallbackRow>,
}

/// The calls of a batch: of a leg that was put several times, the last row.
#[derive(Default)]
pub(crate) struct Gathered {
    rows: BTreeMap<Uuid, Arc<CallRow>>,
    /// The legs in the order in which they came, which is the order of lists.
    order: Vec<Uuid>,
    callbacks: Vec<CallbackRow>,
}

impl Gathered {
    /// Adds rows; later ones win.
    pub fn take(&mut self, put: Put) {
        for row in put.rows {
            let uuid = row.uuid;
            if self.rows.insert(uuid, row).is_none() {
                self.order.push(uuid);
            }
        }
        self.callbacks.extend(put.callbacks);
    }

    /// Writes them in as few statements as possible.
    pub async fn write(self, connection: &mut SqliteConnection) -> Result<()> {
        for legs in self.order.chunks(ROWS) {
            upsert(
                legs.iter()
                    .filter_map(|uuid| self.rows.get(uuid).map(Arc::as_ref)),
            )
            .build()
            .execute(&mut *connection)
            .await?;
        }
        for row in &self.callbacks {
            callback::insert(connection, row).await?;
        }
        Ok(())
    }
}

fn upsert<'c>(rows: impl Iterator<Item = &'c CallRow>) -> QueryBuilder<Sqlite> {
    let seconds = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let micros = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
    let mut query = QueryBuilder::new(
        // OR FAIL: the transaction is given up anyway, so that no statement has to be undone by itself.
        "INSERT OR FAIL INTO call (uuid, account, parent, leg, flavor, direction, from_number, to_number, endpoint, application, call_id, \
         source_ip, started, rang, answered, ended, bill_duration, billed_duration, status, cause_code, cause_name, switch_cause, \
         source, sip_status, hangup_url, hangup_method, extra) ",
    );
    query.push_values(rows, |mut row, call| {
        row.push_bind(call.uuid.to_string())
            .push_bind(call.account)
            .push_bind(call.parent.map(|parent| parent.to_string()))
            .push_bind(call.leg)
            .push_bind(call.flavor.word())
            .push_bind(call.direction.word())
            .push_bind(call.from.clone())
            .push_bind(call.to.clone())
            .push_bind(call.endpoint)
            .push_bind(call.application)
            .push_bind(call.call_id.clone())
            .push_bind(call.source_ip.map(|ip| ip.to_string()))
            .push_bind(call.started.as_microsecond())
            .push_bind(micros(call.rang))
            .push_bind(micros(call.answered))
            .push_bind(micros(call.ended))
            .push_bind(seconds(call.bill_duration))
            .push_bind(seconds(call.billed_duration))
            .push_bind(call.status.clone())
            .push_bind(call.cause_code)
            .push_bind(call.cause_name.clone())
            .push_bind(call.switch_cause.clone())
            .push_bind(call.source.clone())
            .push_bind(call.sip_status)
            .push_bind(call.hangup_url.clone())
            .push_bind(call.hangup_method.word())
            .push_bind(call.extra.to_string());
    });
    query.push(
        " ON CONFLICT (uuid) DO UPDATE SET from_number = excluded.from_number, to_number = excluded.to_number, \
         endpoint = excluded.endpoint, application = excluded.application, call_id = excluded.call_id, rang = excluded.rang, \
         answered = excluded.answered, ended = excluded.ended, bill_duration = excluded.bill_duration, \
         billed_duration = excluded.billed_duration, status = excluded.status, cause_code = excluded.cause_code, \
         cause_name = excluded.cause_name, switch_cause = excluded.switch_cause, source = excluded.source, \
         sip_status = excluded.sip_status, hangup_url = excluded.hangup_url, hangup_method = excluded.hangup_method, \
         extra = excluded.extra",
    );
    query
}

fn read(row: &SqliteRow) -> Result<CallRow> {
    Ok(CallRow {
        uuid: column::parsed(row, "uuid")?,
        account: row.try_get("account")?,
        parent: column::optional_parsed(row, "parent")?,
        leg: column::number(row, "leg")?,
        flavor: Flavor::read(row, "flavor")?,
        direction: CallDirection::read(row, "direction")?,
        from: row.try_get("from_number")?,
        to: row.try_get("to_number")?,
        endpoint: row.try_get("endpoint")?,
        application: row.try_get("application")?,
        call_id: row.try_get("call_id")?,
        source_ip: column::optional_parsed(row, "source_ip")?,
        started: column::time(row, "started")?,
        rang: column::optional_time(row, "rang")?,
        answered: column::optional_time(row, "answered")?,
        ended: column::optional_time(row, "ended")?,
        bill_duration: column::number(row, "bill_duration")?,
        billed_duration: column::number(row, "billed_duration")?,
        status: row.try_get("status")?,
        cause_code: column::optional_number(row, "cause_code")?,
        cause_name: row.try_get("cause_name")?,
        switch_cause: row.try_get("switch_cause")?,
        source: row.try_get("source")?,
        sip_status: column::optional_number(row, "sip_status")?,
        hangup_url: row.try_get("hangup_url")?,
        hangup_method: HttpMethod::read(row, "hangup_method")?,
        extra: column::json(row, "extra")?,
    })
}
