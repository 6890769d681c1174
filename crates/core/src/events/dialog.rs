//! `dialog`: the calls of an endpoint, RFC 4235. What a lamp on a phone shows.
//!
//! Every change of a call raises the revision. A watcher that was told up to one is told what changed since
//! (partial state); the first time, and when something it has not heard of is forgotten, it is told everything.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use call::Now;
use dashmap::DashMap;
use store::Id;
use uuid::Uuid;

use crate::events::document::{Escaped, PROLOGUE};

/// Calls of one endpoint that are kept after their end for watchers who have not heard of it, and for how long.
const MOST_ENDED: usize = 8;
const ENDED_FOR: Duration = Duration::from_secs(60);
/// Calls of one endpoint that a document shows; RFC 4235 sets no limit, a datagram does.
const MOST_SHOWN: usize = 16;

/// Where a call stands for one of its sides (RFC 4235 §3.7.1).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum DialogState {
    /// Called, nothing heard.
    Trying,
    /// It rings.
    Early,
    /// Answered.
    Confirmed,
    /// Over.
    Terminated,
}

impl DialogState {
    const fn token(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }
}

/// One side of a call, as its endpoint sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Side {
    /// The leg.
    pub(crate) leg: Uuid,
    /// Whether the endpoint called; else it is called.
    pub(crate) is_initiator: bool,
    /// Its SIP Call-ID, once known.
    pub(crate) call_id: Option<String>,
    /// The other party: a number or a SIP URI.
    pub(crate) remote: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    side: Side,
    state: DialogState,
    revision: u64,
    ended: Option<Instant>,
}

#[derive(Debug, Default)]
struct Calls {
    revision: u64,
    /// Up to which revision an ended call was forgotten.
    forgotten: u64,
    rows: Vec<Row>,
}

/// The calls of every endpoint that has one.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    endpoints: DashMap<Id, Calls>,
    /// One for all endpoints, so that one which had no calls for a while does not begin anew.
    revision: AtomicU64,
}

/// All rows, or those that changed.
pub(super) type Told = Result<Vec<Row>, Vec<Row>>;

impl Dialogs {
    /// Notes where a call stands; tells whether that is new. It never goes back. What is over is kept for a while where
    /// somebody watches.
    pub(super) fn put(
        &self,
        now: &Now,
        endpoint: Id,
        side: &Side,
        state: DialogState,
        watched: bool,
    ) -> bool {
        let mut calls = self.endpoints.entry(endpoint).or_default();
        let calls = &mut *calls;
        let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let ended = (state == DialogState::Terminated).then_some(now.instant);
        match calls.rows.iter_mut().find(|row| row.side.leg == side.leg) {
            Some(row) if row.state >= state => return false,
            Some(row) => {
                row.state = state;
                row.revision = revision;
                row.ended = ended;
                if side.call_id.is_some() {
                    row.side.call_id.clone_from(&side.call_id);
                }
            }
            None if ended.is_some() => return false,
            None => calls.rows.push(Row {
                side: side.clone(),
                state,
                revision,
                ended,
            }),
        }
        calls.revision = revision;
        let most = if watched { MOST_ENDED } else { 0 };
        calls.forget(|ended, _| ended > most);
        true
    }

    /// What to tell: `Ok` is the full state, `Err` what changed since a revision; and the revision that this is.
    pub(super) fn rows(&self, endpoint: Id, since: Option<u64>) -> (Told, u64) {
        let Some(calls) = self.endpoints.get(&endpoint) else {
            return (Ok(Vec::new()), self.revision.load(Ordering::Relaxed));
        };
        let since = since.filter(|since| *since >= calls.forgotten);
        let rows = calls.rows.iter();
        let told = match since {
            Some(since) => Err(rows.filter(|row| row.revision > since).cloned().collect()),
            // RFC 4235 §4.1.1: what is not in a full document does not exist.
            None => Ok(rows.filter(|row| row.ended.is_none()).cloned().collect()),
        };
        (told, calls.revision)
    }

    /// Whether one of its calls is answered.
    pub(super) fn is_busy(&self, endpoint: Id) -> bool {
        self.endpoints.get(&endpoint).is_some_and(|calls| {
            let mut rows = calls.rows.iter();
            rows.any(|row| row.state == DialogState::Confirmed)
        })
    }

    /// The Call-IDs of its answered calls.
    pub(super) fn call_ids(&self, endpoint: Id) -> Vec<String> {
        let Some(calls) = self.endpoints.get(&endpoint) else {
            return Vec::new();
        };
        let rows = calls.rows.iter();
        let answered = rows.filter(|row| row.state == DialogState::Confirmed);
        answered
            .filter_map(|row| row.side.call_id.clone())
            .collect()
    }

    /// Forgets calls that ended a while ago, and endpoints without any.
    pub(super) fn sweep(&self, now: Instant) {
        self.endpoints.retain(|_, calls| {
            calls.forget(|_, ended| now.saturating_duration_since(ended) >= ENDED_FOR);
            !calls.rows.is_empty()
        });
    }
}

impl Calls {
    /// Forgets ended calls, oldest first; `is_enough` is asked with how many there are and when the oldest ended.
    fn forget(&mut self, is_enough: impl Fn(usize, Instant) -> bool) {
        loop {
            let ended = self.rows.iter().filter(|row| row.ended.is_some()).count();
            let oldest = self
                .rows
                .iter()
                .enumerate()
                .filter_map(|(at, row)| Some((row.revision, row.ended?, at)))
                .min_by_key(|(revision, ..)| *revision);
            let Some((revision, since, at)) = oldest else {
                return;
            };
            if !is_enough(ended, since) {
                return;
            }
            self.forgotten = self.forgotten.max(revision);
            self.rows.remove(at);
        }
    }
}

/// Writes the document of an endpoint (RFC 4235 §4).
pub(super) fn document(address: &str, version: u32, told: Result<&Vec<Row>, &[Row]>) -> Bytes {
    let (state, rows) = match told {
        Ok(rows) => ("full", rows.as_slice()),
        Err(rows) => ("partial", rows),
    };
    let entity = Escaped(address);
    let mut text = String::from(PROLOGUE);
    let _ = write!(
        text,
        "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"{state}\" \
         entity=\"{entity}\">\r\n"
    );
    for row in rows.iter().take(MOST_SHOWN) {
        dialog(&mut text, &entity, row);
    }
    text.push_str("</dialog-info>\r\n");
    Bytes::from(text)
}

fn dialog(text: &mut String, entity: &Escaped<'_>, row: &Row) {
    let side = &row.side;
    let _ = write!(text, "<dialog id=\"{}\"", side.leg);
    if let Some(call_id) = &side.call_id {
        let _ = write!(text, " call-id=\"{}\"", Escaped(call_id));
    }
    let direction = if side.is_initiator {
        "initiator"
    } else {
        "recipient"
    };
    let remote = match side.remote.contains(':') {
        true => side.remote.clone(),
        false => format!("tel:{}", side.remote),
    };
    let (remote, state) = (Escaped(&remote), row.state.token());
    let _ = write!(
        text,
        " direction=\"{direction}\"><state>{state}</state>\
         <local><identity>{entity}</identity><target uri=\"{entity}\"/></local>\
         <remote><identity>{remote}</identity><target uri=\"{remote}\"/></remote></dialog>\r\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn now() -> Now {
        Now {
            instant: Instant::now(),
            wall: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn side(leg: u128) -> Side {
        Side {
            leg: Uuid::from_u128(leg),
            is_initiator: false,
            call_id: None,
            remote: "sip:alice@example.com".into(),
        }
    }

    fn states(told: &Told) -> (&'static str, Vec<&'static str>) {
        let (kind, rows) = match told {
            Ok(rows) => ("full", rows),
            Err(rows) => ("partial", rows),
        };
        (kind, rows.iter().map(|row| row.state.token()).collect())
    }

    #[test]
    fn a_watcher_is_told_what_changed_and_everything_when_something_is_forgotten() {
        use DialogState::*;
        let (dialogs, now) = (Dialogs::default(), now());
        let put = |leg, state, watched| dialogs.put(&now, 1, &side(leg), state, watched);
        assert!(put(1, Trying, true) && put(2, Trying, true));
        let (told, seen) = dialogs.rows(1, None);
        assert_eq!(states(&told), ("full", vec!["trying", "trying"]));
        assert!(put(1, Early, true));
        // States do not go back.
        assert!(!put(1, Trying, true) && !put(1, Early, true));
        let (told, seen) = dialogs.rows(1, Some(seen));
        assert_eq!(states(&told), ("partial", vec!["early"]));
        assert!(put(2, Terminated, true));
        let (told, seen) = dialogs.rows(1, Some(seen));
        assert_eq!(states(&told), ("partial", vec!["terminated"]));
        // RFC 4235 §4.1.1: the full state has no calls that are over.
        assert_eq!(states(&dialogs.rows(1, None).0), ("full", vec!["early"]));
        assert!(put(1, Confirmed, true));
        assert!(dialogs.is_busy(1));
        // More calls end than are kept: whoever has not heard of them is told everything.
        for leg in 10..20 {
            assert!(put(leg, Trying, true) && put(leg, Terminated, true));
        }
        let (told, seen) = dialogs.rows(1, Some(seen));
        assert_eq!(states(&told), ("full", vec!["confirmed"]));
        assert!(put(1, Terminated, false));
        let (told, _) = dialogs.rows(1, Some(seen));
        assert_eq!(states(&told), ("full", vec![]));
    }

    #[test]
    fn a_call_that_is_over_costs_nothing_after_a_while() {
        let (dialogs, now) = (Dialogs::default(), now());
        dialogs.put(&now, 1, &side(1), DialogState::Early, true);
        dialogs.put(&now, 1, &side(1), DialogState::Terminated, true);
        dialogs.sweep(now.instant + Duration::from_secs(59));
        assert_eq!(dialogs.endpoints.len(), 1);
        dialogs.sweep(now.instant + Duration::from_secs(60));
        assert_eq!(dialogs.endpoints.len(), 0);
        // The end of a call of which nothing is known is no news.
        assert!(!dialogs.put(&now, 1, &side(2), DialogState::Terminated, true));
    }
}
