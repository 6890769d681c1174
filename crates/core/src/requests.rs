//! Requests of ours outside of a dialog: who waits for which answer.
//!
//! The top eight bits of a [`RequestId`] name the table that the answer is for, so that none has to be searched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use sip::{Command, Outcome, Question, RequestId};
use tokio::sync::oneshot;

use crate::Signalling;

/// The tables that answers are for: bits 56..64 of a [`RequestId`]. A new one gets the next number and an arm in
/// [`crate::Core::answered`].
pub mod table {
    /// [`super::Requests`]: a task waits for the answer.
    pub const AWAITED: u8 = 1;
    /// A request of somebody else that is held until it is answered; it never comes as an answer.
    pub const HELD: u8 = 2;
}

/// Answers that tasks wait for at the same time, over all shards; more are not asked.
const MOST: usize = 50_000;

/// Makes the number of a request of a table; `number` has 56 bits.
pub fn request_id(table: u8, number: u64) -> RequestId {
    RequestId(u64::from(table) << 56 | number & 0x00ff_ffff_ffff_ffff)
}

/// Tells which table a number belongs to.
pub fn table_of(id: RequestId) -> u8 {
    (id.0 >> 56) as u8
}

/// Asks for tasks that wait; clones share the table.
#[derive(Clone, Debug)]
pub struct Requests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signalling: Signalling,
    waiting: DashMap<RequestId, oneshot::Sender<Outcome>>,
    next: AtomicU64,
}

impl Requests {
    /// Makes an empty table.
    pub(crate) fn new(signalling: Signalling) -> Self {
        Self(Arc::new(Inner {
            signalling,
            waiting: DashMap::new(),
            next: AtomicU64::new(1),
        }))
    }

    /// Draws a number of a table that no other request of this process has.
    pub fn draw(&self, table: u8) -> RequestId {
        request_id(table, self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request through a shard and waits for what becomes of it, at most 64*T1 for each try (RFC 3261
    /// §17.1.2.2). A shard that takes no commands counts as one without room.
    pub async fn ask(&self, shard: u8, question: Question) -> Outcome {
        if self.0.waiting.len() >= MOST {
            return Outcome::NoRoom;
        }
        let id = self.draw(table::AWAITED);
        let (tell, told) = oneshot::channel();
        self.0.waiting.insert(id, tell);
        let sent = self.0.signalling.send(shard, Command::Ask { id, question });
        if sent.is_err() {
            self.0.waiting.remove(&id);
            return Outcome::NoRoom;
        }
        // The stack answers each request once; only its end can drop one.
        told.await.unwrap_or(Outcome::FlowLost)
    }

    /// Hands an answer to whoever waits for it.
    pub(crate) fn answered(&self, id: RequestId, outcome: Outcome) {
        if let Some((_, waiting)) = self.0.waiting.remove(&id) {
            // Nobody waits any longer: the answer is of no use to anybody.
            let _ = waiting.send(outcome);
        }
    }
}
