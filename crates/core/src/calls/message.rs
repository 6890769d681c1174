//! What messages need of the calls: the outbox of what customers' servers are told.

use std::sync::Arc;
use std::time::Duration;

use store::{Account, Application, CallbackRow, Flavor, HttpMethod};

use crate::MessageFacts;
use crate::calls::{Calls, callback};

/// How often a row is tried to be written while the store is busy, with [`PAUSE`] between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

impl Calls {
    /// Puts what a customer's server is to be told of a message into the outbox.
    pub(crate) async fn tell_of_message(
        &self,
        account: &Account,
        application: Arc<Application>,
        flavor: Flavor,
        url: &str,
        method: HttpMethod,
        message: &MessageFacts,
    ) {
        let facts = self.0.facts(account, Some(application), flavor);
        let payload = facts.dialect.message(&facts.account, message);
        let now = self.0.clock.now().wall;
        let row = CallbackRow {
            id: 0,
            account: facts.account_id,
            call: None,
            flavor: facts.flavor,
            url: url.to_owned(),
            method,
            body: callback::body(payload),
            attempts: 0,
            next_at: now,
            created: now,
        };
        for _ in 0..TRIES {
            match self.0.store.insert_callback(row.clone()).await {
                Ok(_) => {
                    self.0.outbox.wake();
                    return;
                }
                Err(error) => tracing::warn!(%error, "the callback of a message is not written"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::error!(message = %message.uuid, "the callback of a message is lost");
    }
}
