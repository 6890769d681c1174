//! What the calls of one signalling shard share: the thread that they run on, and what they ask of other threads.
//!
//! Media commands and rows are handed over in bulk: one wake-up of the other thread, not one for each call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::calls::rows::Rows;

/// The place of one shard's calls.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Where their tasks run, when its thread has said so.
    runtime: OnceLock<Handle>,
    ready: Notify,
    /// Whether the media plane has to be woken for them.
    wants_media: AtomicBool,
    /// Whether the thread is about to look at that.
    looks: AtomicBool,
    /// Their rows on the way to the store.
    pub(crate) rows: Rows,
}

impl Shard {
    /// Its tasks run here from now on. There is one thread for a shard, so the first one stays.
    pub(crate) fn run_on(&self, runtime: Handle) {
        let _: Result<(), Handle> = self.runtime.set(runtime);
    }

    /// Where its tasks run.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    /// Has the media plane woken by the thread, when all calls that have something to do have had their turn.
    pub(crate) fn want_media(&self) {
        let is_wanted = self.wants_media.swap(true, Ordering::Relaxed);
        if !is_wanted && !self.looks.load(Ordering::Relaxed) {
            self.ready.notify_one();
        }
    }

    /// Says that the thread lets its calls have their turn and looks at what they want then.
    pub(crate) fn will_look(&self) {
        self.looks.store(true, Ordering::Relaxed);
    }

    /// Whether the media plane is to be woken.
    pub(crate) fn look(&self) -> bool {
        self.looks.store(false, Ordering::Relaxed);
        self.wants_media.swap(false, Ordering::Relaxed)
    }

    /// Returns when something is wanted.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }
}
