//! Tells customers' servers what happened: an outbox on disk, emptied by one task (hard cases X10, D20).
//!
//! A row goes when it was told or given up. What fails is tried again with back-off; later rows of the same call wait for
//! it, so that a customer hears of a call in order. Calls never wait for any of this.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use store::{Busy, CallbackRow, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::calls::dialect::{Dialects, Payload};
use crate::calls::fetch::{FetchError, Fetcher, says_how_often};
use crate::calls::record::{Facts, call_method, store_method};
use crate::{Clock, Settings};

/// Tries that are under way at the same time: in all, for one account, and at one server of it. A server that hangs holds
/// up what is for itself and nothing else.
const CONCURRENT: usize = 512;
const CONCURRENT_OF_ACCOUNT: usize = 64;
const CONCURRENT_AT_SERVER: usize = 8;
/// Rows that are looked at in one go.
const BATCH: u32 = 64;
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

/// What is being told to whom.
struct UnderWay {
    call: Option<Uuid>,
    receiver: Receiver,
}

/// An account and one of its servers: the beginning of its URLs.
type Receiver = (store::Id, String);

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
        body: body(payload),
        attempts: 0,
        next_at: now,
        created: now,
    }
}

/// How a body is kept in its row.
pub(crate) fn body(payload: Payload) -> serde_json::Value {
    match payload {
        Payload::Form(fields) => fields
            .into_iter()
            .map(|(name, value)| serde_json::json!([name, value]))
            .collect(),
        Payload::Json(json) => json,
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
        let mut under_way: HashMap<i64, UnderWay> = HashMap::new();
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
        under_way: &mut HashMap<i64, UnderWay>,
        blocked: &mut HashMap<Uuid, Timestamp>,
        tries: &mut JoinSet<Tried>,
    ) -> Result<Duration, store::Error> {
        let now = self.0.clock.now().wall;
        blocked.retain(|_, until| *until > now);
        // Each round that starts something may have filled a receiver; then there may be more behind what is for it.
        while tries.len() < CONCURRENT {
            let busy = busy(under_way);
            let due = self.0.store.due_callbacks_beside(now, BATCH, &busy).await?;
            let mut moved = false;
            for row in due {
                moved |= self.start(row, under_way, blocked, tries).await?;
            }
            if !moved {
                break;
            }
        }
        // What is due and did not start waits for something under way, which wakes this task when it is done.
        let next = self.0.store.next_callback(now).await?;
        Ok(next.map_or(IDLE, |next| {
            let until = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            until.min(IDLE)
        }))
    }

    /// Starts one that is due, or puts it off behind an earlier one of its call that failed; tells whether it did either.
    async fn start(
        &self,
        mut row: CallbackRow,
        under_way: &mut HashMap<i64, UnderWay>,
        blocked: &HashMap<Uuid, Timestamp>,
        tries: &mut JoinSet<Tried>,
    ) -> Result<bool, store::Error> {
        if let Some(until) = row.call.and_then(|call| blocked.get(&call)) {
            row.next_at = *until;
            self.0.store.update_callback(row).await?;
            return Ok(true);
        }
        let same_call =
            row.call.is_some() && under_way.values().any(|other| other.call == row.call);
        let receiver = (row.account, server_of(&row.url).to_owned());
        let waits_for = busy(under_way).receivers;
        let is_busy = waits_for
            .iter()
            .any(|(account, start)| *account == row.account && receiver.1.starts_with(start));
        if same_call || is_busy || tries.len() >= CONCURRENT {
            return Ok(false);
        }
        let call = row.call;
        under_way.insert(row.id, UnderWay { call, receiver });
        let this = self.clone();
        tries.spawn(async move {
            let profile = this.0.dialects.of(row.flavor).profile();
            let payload = payload(&row.body);
            let told = this
                .0
                .fetcher
                .deliver(&row.url, call_method(row.method), &payload, profile);
            let outcome = told.await.map(|_| ());
            Tried { row, outcome }
        });
        Ok(true)
    }

    async fn settle(&self, tried: Tried, blocked: &mut HashMap<Uuid, Timestamp>) {
        let Tried { mut row, outcome } = tried;
        row.attempts = row.attempts.saturating_add(1);
        let done = match &outcome {
            Ok(()) => true,
            Err(error)
                if !is_worth_another_try(error)
                    || says_how_often(&row.url)
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

/// What has to wait for what is under way; an empty beginning means all URLs of an account.
fn busy(under_way: &HashMap<i64, UnderWay>) -> Busy {
    let mut accounts: HashMap<store::Id, usize> = HashMap::new();
    let mut servers: HashMap<&Receiver, usize> = HashMap::new();
    for one in under_way.values() {
        *accounts.entry(one.receiver.0).or_default() += 1;
        *servers.entry(&one.receiver).or_default() += 1;
    }
    let full = accounts
        .into_iter()
        .filter(|(_, count)| *count >= CONCURRENT_OF_ACCOUNT)
        .map(|(account, _)| (account, String::new()));
    let at_server = servers
        .into_iter()
        .filter(|(_, count)| *count >= CONCURRENT_AT_SERVER)
        .map(|(receiver, _)| receiver.clone());
    Busy {
        rows: under_way.keys().copied().collect(),
        calls: under_way.values().filter_map(|one| one.call).collect(),
        receivers: full.chain(at_server).collect(),
    }
}

/// The beginning of a URL that names its server: scheme and authority.
fn server_of(url: &str) -> &str {
    let path = url
        .find("://")
        .map(|scheme| scheme + 3)
        .and_then(|host| Some(host + url.get(host..)?.find(['/', '?', '#', '\\'])?));
    path.and_then(|path| url.get(..path)).unwrap_or(url)
}

fn is_worth_another_try(error: &FetchError) -> bool {
    match error {
        FetchError::Connect | FetchError::Timeout => true,
        FetchError::Status(status) => matches!(status, 408 | 429 | 500..=599),
        // The body of an answer is ignored: it was told.
        FetchError::Refused(_) | FetchError::TooLong | FetchError::Broken => false,
    }
}
