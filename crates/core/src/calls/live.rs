//! Which calls are alive and how to reach their tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use call::{CallNumber, Input};
use dashmap::DashMap;
use store::Id;
use tokio::sync::mpsc;

/// Inputs that may wait for one call. A call that lets more wait is stuck or flooded by its peer: the input is lost, and
/// the call is ended by its task as soon as it looks at its queue again.
const QUEUE: usize = 256;

/// The live calls by number; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Arc<DashMap<CallNumber, Line>>);

#[derive(Debug)]
struct Line {
    account: Id,
    inbox: mpsc::Sender<Input>,
    overrun: Arc<AtomicBool>,
}

/// The end of the line that the call's task holds.
#[derive(Debug)]
pub(crate) struct Inbox {
    inputs: mpsc::Receiver<Input>,
    overrun: Arc<AtomicBool>,
}

impl Inbox {
    /// Waits for the next input.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }

    /// Tells, once, that inputs were lost.
    pub(crate) fn was_overrun(&self) -> bool {
        self.overrun.swap(false, Ordering::Relaxed)
    }
}

impl Live {
    /// Opens the line to a call of an account.
    pub(crate) fn open(&self, call: CallNumber, account: Id) -> Inbox {
        let (inbox, inputs) = mpsc::channel(QUEUE);
        let overrun = Arc::new(AtomicBool::new(false));
        let line = Line {
            account,
            inbox,
            overrun: Arc::clone(&overrun),
        };
        self.0.insert(call, line);
        Inbox { inputs, overrun }
    }

    /// Closes the line to a call that is over; what comes late is dropped.
    pub(crate) fn close(&self, call: CallNumber) {
        self.0.remove(&call);
    }

    /// Tells whose a live call is.
    pub(crate) fn account(&self, call: CallNumber) -> Option<Id> {
        self.0.get(&call).map(|line| line.account)
    }

    /// Tells a call something, without waiting. `false`: it is over.
    pub(crate) fn tell(&self, call: CallNumber, input: Input) -> bool {
        let Some(line) = self.0.get(&call) else {
            return false;
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = line.inbox.try_send(input) {
            line.overrun.store(true, Ordering::Relaxed);
            tracing::warn!(call = call.0, "a call does not keep up and is ended");
        }
        true
    }

    /// Tells all calls to end.
    pub(crate) fn command_all(&self, command: &call::Command) {
        for line in self.0.iter() {
            if line
                .inbox
                .try_send(Input::Command(command.clone()))
                .is_err()
            {
                line.overrun.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Counts the live calls.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
