//! Messages and calls: those inside a call, which `allow_message` of both sides governs, and the outbox of what customers'
//! servers are told of the others.

use std::sync::Arc;
use std::time::Duration;

use call::{Input, LegId};
use sip::{Header, InDialog, Method, Name, SessionEvent, Status};
use store::{Account, Application, CallbackRow, Flavor, HttpMethod};

use crate::MessageFacts;
use crate::calls::task::Task;
use crate::calls::{Calls, callback};

/// How often a row is tried to be written while the store is busy, with [`PAUSE`] between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

impl Task {
    /// Refuses a MESSAGE inside the call of an endpoint that may write none.
    pub(super) fn refuses(&self, input: &Input) -> Option<sip::Command> {
        let Input::Leg {
            leg,
            event:
                SessionEvent::Requested {
                    id,
                    wants: InDialog::Message,
                    ..
                },
        } = input
        else {
            return None;
        };
        if self.may_message(*leg) {
            return None;
        }
        // RFC 3261 §20.43: 399, a text for people.
        let domain = &self.calls.settings.domain;
        let warning = format!("399 {domain} \"Messages Not Allowed (allow_message)\"");
        Some(sip::Command::RespondInDialog {
            session: call::session(self.shard, self.number, *leg),
            request: *id,
            status: Status::FORBIDDEN,
            sdp: None,
            headers: vec![Header::new(Name::Warning, warning)],
        })
    }

    /// The answer to a MESSAGE for an endpoint that may get none.
    pub(super) fn undeliverable(&self, command: &sip::Command) -> Option<Input> {
        let sip::Command::RequestInDialog {
            session,
            request,
            method: Method::Message,
            ..
        } = command
        else {
            return None;
        };
        let (_, leg) = call::leg_of(*session);
        let refused = SessionEvent::Responded {
            id: *request,
            status: Status::FORBIDDEN,
            response: None,
        };
        (!self.may_message(leg)).then_some(Input::Leg {
            leg,
            event: refused,
        })
    }

    fn may_message(&self, leg: LegId) -> bool {
        let endpoint = self.watch.endpoint(leg);
        let endpoint = endpoint.and_then(|id| self.calls.directory.subscriber_by_id(id));
        endpoint.is_none_or(|endpoint| endpoint.permissions.message)
    }
}

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
