//! Writes blocks to the store and forgets old scores.

use std::time::Duration;

use store::{Block, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Guard;
use crate::Clock;

const SWEEP: Duration = Duration::from_secs(30);

impl Guard {
    /// Runs until it is stopped.
    pub(crate) async fn keep(
        self,
        mut blocks: mpsc::Receiver<Block>,
        store: Store,
        clock: Clock,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let block = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {
                    self.0.table.sweep(clock.now().instant);
                    continue;
                }
                block = blocks.recv() => block,
            };
            let Some(block) = block else { return };
            if let Err(error) = store.put_block(block, clock.now().wall).await {
                tracing::warn!(%error, "a block is not kept over a restart");
            }
        }
    }
}
