//! WaitingLine to REGISTER that wait until the journal has what they say, in order, for each shard.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sip::digest::NonceId;
use sip::{Flow, Response};
use store::{Binding, Ticket, Undo, Watcher};
use tokio::sync::Notify;

use crate::directory::Subscriber;
use crate::registrar::events::EventKind;
use crate::registrar::location::Location;

/// One answer that waits. Their number is bounded by what the journal takes before it refuses.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Since when.
    pub(crate) since: Instant,
    /// The change that it waits for.
    pub(crate) ticket: Ticket,
    /// How to take that back.
    pub(crate) undo: Undo,
    /// What it means to those who watch, when anybody does.
    pub(crate) told: Option<Box<Told>>,
    /// The proof that made it, to be forgotten when the phone has to try again.
    pub(crate) proof: (NonceId, u32),
    /// Where it goes.
    pub(crate) flow: Flow,
    /// What it is.
    pub(crate) answer: Answer,
}

/// What happened to whose bindings.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: jiff::Timestamp,
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) happened: Vec<(EventKind, Binding)>,
}

/// An answer to a REGISTER.
#[derive(Debug)]
pub enum Answer {
    /// One that the stack has to finish and write.
    Response(Box<Response>),
    /// One that is written.
    Written(Vec<u8>),
}

/// The answers of one shard that wait.
#[derive(Debug)]
pub(crate) struct WaitingLine {
    waiting: Mutex<VecDeque<Waiting>>,
    watcher: Arc<Watcher>,
    ready: Arc<Notify>,
}

impl WaitingLine {
    pub(crate) fn new(location: &Location, shard: u8) -> Self {
        let ready = Arc::new(Notify::new());
        let wake = Arc::clone(&ready);
        WaitingLine {
            waiting: Mutex::default(),
            watcher: location.watch(shard, move || wake.notify_one()),
            ready,
        }
    }

    pub(crate) fn push(&self, waiting: Waiting) {
        self.lock().push_back(waiting);
    }

    /// Since when the first of them has waited.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().front().map(|waiting| waiting.since)
    }

    /// Returns when the journal has told of something since the last time.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes the answers whose outcome is known, in the order of their changes; `committed` says whether the change is on
    /// disk. One that is not was taken back.
    pub(crate) fn take(&self, location: &Location, mut each: impl FnMut(Waiting, bool)) {
        for outcome in self.watcher.take() {
            let known: Vec<Waiting> = {
                let mut waiting = self.lock();
                let count = waiting.partition_point(|one| one.ticket <= outcome.to);
                waiting.drain(..count).collect()
            };
            if !outcome.committed {
                // The last change first, so that each finds what it made.
                for waiting in known.iter().rev() {
                    location.undo(&waiting.undo);
                }
            }
            for waiting in known {
                each(waiting, outcome.committed);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
