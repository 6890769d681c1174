//! Tells customers' servers what happened: an outbox on disk, emptied by one task (hard cases X10, D20).
//!
//! A row goes when it was told or given up. What fails is tried again with back-off; later rows of the same call wait for
//! it, so that a customer hears of a call in order. Calls never wait for any of this.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use store::{CallbackRow, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::calls::dialect::{Dialects, Payload};
use crate::calls::fetch::{FetchError, Fetcher};
use crate::calls::record::{Facts, call_method, store_method};
use crate::{Clock, Settings};

/// Customers' servers that are told something at the same time.
const CONCURRENT: usize = 32;
/// Rows that are looked at in one go.
const BATCH: u32 = 256;
/// The first pause after a failure; it doubles with each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// How long the task sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_secs(60);

/// The outbox; clones share it.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    store: Store,
    fetcher: Fetcher,
    dialects: Dialects,
    clock: Clock,
    wake: Notify,
}

/// What became of one try.
struct Tried {
    row: CallbackRow,
    outcome: Result<(), FetchError>,
}

/// Makes the row of something to tell.
pub(crate) fn row(facts: &Facts, now: Timestamp, notice: &call::Notice) -> CallbackRow {
    let payload = facts
        .dialect
        .payload(&facts.account, &notice.about, &notice.occasion);
    CallbackRow {
        id: 0,
        account: facts.account_id,
        call: Some(notice.about.call_uuid),
        flavor: facts.flavor,
        url: notice.link.url.clone(),
        method: store_method(notice.link.method),
        body: match payload {
            Payload::Form(fields) => fields
                .into_iter()
                .map(|(name, value)| serde_json::json!([name, value]))
                .collect(),
            Payload::Json(json) => json,
        },
        attempts: 0,
        next_at: now,
        created: now,
    }
}

/// Reads a body back: pairs are a form, anything else is JSON.
fn payload(body: &serde_json::Value) -> Payload {
    let pair = |pair: &serde_json::Value| match pair.as_array()?.as_slice() {
        [name, value] => Some((name.as_str()?.to_owned(), value.as_str()?.to_owned())),
        _ => None,
    };
    let fields: Option<Vec<_>> = body
        .as_array()
        .and_then(|pairs| pairs.iter().map(pair).collect());
    fields.map_or_else(|| Payload::Json(body.clone()), Payload::Form)
}

impl Outbox {
    pub(crate) fn new(
        settings: Arc<Settings>,
        store: Store,
        fetcher: Fetcher,
        dialects: Dialects,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            settings,
            store,
            fetcher,
            dialects,
            clock,
            wake: Notify::new(),
        }))
    }

    /// Says that there are new rows.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Empties the outbox until the token is cancelled; what is under way then is told again after the next start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut under_way: HashMap<i64, Option<Uuid>> = HashMap::new();
        let mut blocked: HashMap<Uuid, Timestamp> = HashMap::new();
        let mut tries: JoinSet<Tried> = JoinSet::new();
        loop {
            let pause = match self
                .start_due(&mut under_way, &mut blocked, &mut tries)
                .await
            {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    FIRST_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.wake.notified() => (),
                () = tokio::time::sleep(pause) => (),
                Some(Ok(tried)) = tries.join_next(), if !tries.is_empty() => {
                    under_way.remove(&tried.row.id);
                    self.settle(tried, &mut blocked).await;
                }
            }
        }
    }

    /// Starts what is due and free to go; returns how long to wait for more.
    async fn start_due(
        &self,
        under_way: &mut HashMap<i64, Option<Uuid>>,
        blocked: &mut HashMap<Uuid, Timestamp>,
        tries: &mut JoinSet<Tried>,
    ) -> Result<Duration, store::Error> {
        let now = self.0.clock.now().wall;
        blocked.retain(|_, until| *until > now);
        if tries.len() >= CONCURRENT {
            return Ok(IDLE);
        }
        for mut row in self.0.store.due_callbacks(now, BATCH).await? {
            if under_way.contains_key(&row.id) {
                continue;
            }
            if let Some(until) = row.call.and_then(|call| blocked.get(&call)) {
                row.next_at = *until;
                self.0.store.update_callback(row).await?;
                continue;
            }
            let same_call = row.call.is_some() && under_way.values().any(|call| *call == row.call);
            if same_call || tries.len() >= CONCURRENT {
                continue;
            }
            under_way.insert(row.id, row.call);
            let this = self.clone();
            tries.spawn(async move {
                let profile = this.0.dialects.of(row.flavor).profile();
                let payload = payload(&row.body);
                let told =
                    this.0
                        .fetcher
                        .deliver(&row.url, call_method(row.method), &payload, profile);
                let outcome = told.await.map(|_| ());
                Tried { row, outcome }
            });
        }
        let next = self.0.store.next_callback().await?;
        let until = next.map_or(IDLE, |next| {
            Duration::try_from(next.duration_since(now)).unwrap_or_default()
        });
        // What is due and did not start waits for something under way, which wakes this task when it is done.
        Ok(if until.is_zero() {
            IDLE
        } else {
            until.min(IDLE)
        })
    }

    async fn settle(&self, tried: Tried, blocked: &mut HashMap<Uuid, Timestamp>) {
        let Tried { mut row, outcome } = tried;
        row.attempts = row.attempts.saturating_add(1);
        let done = match &outcome {
            Ok(()) => true,
            Err(error)
                if !is_worth_another_try(error)
                    || row.attempts >= self.0.settings.callback_attempts =>
            {
                tracing::warn!(callback = row.id, attempts = row.attempts, %error, "a callback is given up");
                true
            }
            Err(error) => {
                tracing::debug!(callback = row.id, attempts = row.attempts, %error, "a callback failed");
                false
            }
        };
        let written = if done {
            self.0.store.delete_callback(row.id).await
        } else {
            let pause = FIRST_PAUSE
                .saturating_mul(1 << (row.attempts - 1).min(10))
                .min(LONGEST_PAUSE);
            let now = self.0.clock.now().wall;
            row.next_at = now.saturating_add(pause).unwrap_or(now);
            if let Some(call) = row.call {
                blocked.insert(call, row.next_at);
            }
            self.0.store.update_callback(row).await
        };
        if let Err(error) = written {
            // The row stays as it was and is told again: receivers are idempotent (plivo-rest.md §14.2).
            tracing::warn!(%error, "the outbox cannot be written");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn is_worth_another_try(error: &FetchError) -> bool {
    match error {
        FetchError::Connect | FetchError::Timeout => true,
        FetchError::Status(status) => matches!(status, 408 | 429 | 500..=599),
        // The body of an answer is ignored: it was told.
        FetchError::Refused(_) | FetchError::TooLong | FetchError::Broken => false,
    }
}
