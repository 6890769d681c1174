//! MESSAGE between endpoints: RFC 3428. Who may write to whom is decided here, without waiting; `delivery` brings a
//! message to its reader's phones; `rate` bounds what one endpoint may write. Nothing is stored: a message for somebody
//! who cannot be reached is refused, and the application of its reader hears of it.

mod delivery;
mod rate;

use std::sync::Arc;

use bytes::Bytes;
use call::Now;
use rand::Rng as _;
use sip::{Flow, Header, Name, Request, Response, Status, Text};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::directory::Subscriber;
use crate::messages::delivery::Delivery;
use crate::messages::rate::Rate;
use crate::requests::table;
use crate::sender::{Sender, Senders, address_of};
use crate::{Calls, Clock, Decision, Location, Requests, Settings, Signalling};

/// Messages that are under way at the same time; more are answered 503.
const MOST_UNDER_WAY: usize = 1000;
/// Headers that go along with a message (S73: nothing else does).
const CUSTOM_HEADERS: [&str; 2] = ["X-PH-", "X-VH-"];
const MOST_CUSTOM_HEADERS: usize = 20;

/// What a customer's server is told of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageFacts {
    /// Names the message for ever.
    pub uuid: Uuid,
    /// The writer's address: a SIP URI.
    pub from: String,
    /// The reader's address: a SIP URI.
    pub to: String,
    /// What was written, as text.
    pub text: String,
    /// The media type of what was written.
    pub content_type: String,
    /// Whether a phone took it; else nobody could be reached, or no phone wanted it.
    pub delivered: bool,
    /// When it came.
    pub time: jiff::Timestamp,
}

/// The messages of this process; clones share what is under way.
#[derive(Clone, Debug)]
pub struct Messages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    senders: Senders,
    location: Location,
    requests: Requests,
    signalling: Signalling,
    calls: Calls,
    clock: Clock,
    rate: Rate,
    under_way: Arc<Semaphore>,
    tasks: TaskTracker,
    runtime: Handle,
}

/// What messages are made of.
pub(crate) struct Parts {
    pub(crate) senders: Senders,
    pub(crate) location: Location,
    pub(crate) requests: Requests,
    pub(crate) signalling: Signalling,
    pub(crate) calls: Calls,
    pub(crate) clock: Clock,
}

impl Messages {
    /// Makes it; deliveries run where this is called.
    pub(crate) fn new(parts: Parts) -> Self {
        let settings = Arc::clone(&parts.senders.settings);
        Self(Arc::new(Inner {
            rate: Rate::new(settings.messages_per_minute),
            settings,
            senders: parts.senders,
            location: parts.location,
            requests: parts.requests,
            signalling: parts.signalling,
            calls: parts.calls,
            clock: parts.clock,
            under_way: Arc::new(Semaphore::new(MOST_UNDER_WAY)),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        }))
    }

    /// Answers a MESSAGE, or takes it.
    pub(crate) fn message(&self, now: &Now, shard: u8, request: &Request, flow: Flow) -> Decision {
        match self.admit(now, shard, request, flow) {
            Ok(decision) => decision,
            Err(response) => Decision::Reply(*response),
        }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn stop(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn admit(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Decision, Box<Response>> {
        let inner = &self.0;
        let refuse = |status, why| Err(inner.senders.refusal(shard, request, status, why));
        let sender = inner.senders.who(now, shard, request, flow)?;
        if !sender.subscriber.permissions.message {
            return refuse(Status::FORBIDDEN, "Messages Not Allowed (allow_message)");
        }
        if request.body.len() > inner.settings.max_message_bytes {
            return refuse(Status::REQUEST_ENTITY_TOO_LARGE, "");
        }
        let reader = match inner.reader(&sender, request) {
            Ok(reader) => reader,
            Err((status, why)) => return refuse(status, why),
        };
        if !inner.rate.admit(now.instant, sender.subscriber.endpoint) {
            return refuse(Status::SERVICE_UNAVAILABLE, "Too many messages");
        }
        let Ok(place) = Arc::clone(&inner.under_way).try_acquire_owned() else {
            return refuse(Status::SERVICE_UNAVAILABLE, "Too many messages");
        };
        let id = inner.requests.draw(table::HELD);
        let delivery = Delivery {
            id,
            shard,
            source: flow,
            answer: inner
                .senders
                .authenticator
                .respond(shard, request, Status::OK),
            from: sender.address(),
            writer: sender.subscriber.endpoint,
            to: address_of(&reader),
            content_type: content_type(request),
            headers: custom_headers(request),
            // The delivery outlives the buffer that the request came in.
            body: Bytes::copy_from_slice(&request.body),
            uuid: uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid(),
            reader,
        };
        let this = self.clone();
        inner.tasks.spawn_on(
            async move {
                this.0.deliver(delivery).await;
                drop(place);
            },
            &inner.runtime,
        );
        Ok(Decision::Hold(id))
    }
}

impl Inner {
    /// Who is to read it, if the writer may write to them (vobiz-rest.md §2.8).
    fn reader(
        &self,
        sender: &Sender,
        request: &Request,
    ) -> Result<Arc<Subscriber>, (Status, &'static str)> {
        const NOBODY: (Status, &str) = (Status::NOT_FOUND, "");
        let permissions = sender.subscriber.permissions;
        let uri = request.uri_parsed().map_err(|_| NOBODY)?;
        if self.senders.directory.host(&uri.host_lower()).is_none() {
            return Err((Status::FORBIDDEN, "Messages go to endpoints only"));
        }
        let reader = self.senders.named(sender, &uri).ok_or(NOBODY)?;
        if reader.account == sender.account.id {
            if !permissions.same_domain {
                return Err((
                    Status::FORBIDDEN,
                    "Own Domain Not Allowed (allow_same_domain)",
                ));
            }
        } else {
            // To whoever may not be written to by others, an account's endpoints do not exist.
            let account = self.senders.directory.account(reader.account);
            let admits = account.is_some_and(|account| account.allow_external_callers);
            if !(permissions.other_domains && admits) {
                return Err(NOBODY);
            }
        }
        if !reader.enabled {
            return Err((Status::TEMPORARILY_UNAVAILABLE, ""));
        }
        if !reader.permissions.message {
            return Err((Status::FORBIDDEN, "Messages Not Allowed (allow_message)"));
        }
        Ok(reader)
    }
}

fn content_type(request: &Request) -> Text {
    let value = request.headers.get(&Name::ContentType);
    value.map_or_else(
        || Text::from_static("text/plain"),
        |value| Text::from(&**value),
    )
}

fn custom_headers(request: &Request) -> Vec<Header> {
    let is_custom = |name: &str| {
        CUSTOM_HEADERS.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    };
    let headers = request.headers.iter();
    headers
        .filter(|header| is_custom(header.name.as_str()))
        .take(MOST_CUSTOM_HEADERS)
        .cloned()
        .collect()
}
