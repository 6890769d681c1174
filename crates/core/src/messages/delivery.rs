//! Brings a message to every phone of its reader: RFC 3428 §4, §8. The first phone that takes it answers for all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sip::{
    Command, Destination, Flow, Header, Method, Name, Outcome, Question, RequestId, Response,
    Status, Text, Transport,
};
use store::{HttpMethod, Id};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Requests;
use crate::calls::devices;
use crate::directory::Subscriber;
use crate::messages::{Inner, MessageFacts};

/// How long the writer waits for the first phone. Its own transaction ends after 64*T1, and an answer that late helps
/// nobody (RFC 4320 §1.2).
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest MESSAGE that is sent in a datagram, in bytes (RFC 3428 §8).
const MOST_IN_DATAGRAM: usize = 1300;
/// What the stack adds to a request: Via, tags, Call-ID, CSeq, Max-Forwards, User-Agent, Content-Length.
const ADDED: usize = 420;

/// A message on its way.
pub(super) struct Delivery {
    /// The request that is held.
    pub(super) id: RequestId,
    pub(super) shard: u8,
    /// Where it came from.
    pub(super) source: Flow,
    /// Its answer but for the status.
    pub(super) answer: Response,
    pub(super) from: String,
    pub(super) writer: Id,
    pub(super) to: String,
    pub(super) reader: Arc<Subscriber>,
    pub(super) content_type: Text,
    pub(super) headers: Vec<Header>,
    pub(super) body: Bytes,
    pub(super) uuid: Uuid,
}

impl Inner {
    /// Delivers a message, answers it, and tells the reader's application.
    pub(super) async fn deliver(self: Arc<Self>, delivery: Delivery) {
        let mut asked = JoinSet::new();
        let mut too_large = false;
        for mut questions in self.questions(&delivery) {
            let before = questions.len();
            questions.retain(|question| {
                question.to.flow.transport != Transport::Udp || size(question) <= MOST_IN_DATAGRAM
            });
            too_large |= questions.len() < before;
            if !questions.is_empty() {
                let (requests, shard) = (self.requests.clone(), delivery.shard);
                asked.spawn(ask(requests, shard, questions));
            }
        }
        let mut status = if asked.is_empty() && too_large {
            Status::MESSAGE_TOO_LARGE
        } else {
            Status::TEMPORARILY_UNAVAILABLE
        };
        let first = async {
            while let Some(outcome) = asked.join_next().await {
                let Ok(Outcome::Answered(response)) = outcome else {
                    continue;
                };
                if response.status.is_success() {
                    return true;
                }
                status = refusal(status, response.status);
            }
            false
        };
        let delivered = tokio::time::timeout(PATIENCE, first).await.unwrap_or(false);
        if delivered {
            status = Status::OK;
        }
        let mut response = delivery.answer.clone();
        (response.status, response.reason) = (status, status.reason().into());
        let id = delivery.id;
        let respond = Command::Respond { id, response };
        if self
            .signalling
            .deliver(delivery.shard, respond)
            .await
            .is_err()
        {
            tracing::warn!("no signalling shard for the answer to a message");
        }
        self.tell(&delivery, delivered).await;
        // The other phones have their own time.
        while asked.join_next().await.is_some() {}
    }

    /// For each device of the reader the requests that lead to it, the best first; none for the phone that wrote it.
    fn questions(&self, delivery: &Delivery) -> Vec<Vec<Question>> {
        let now = self.clock.now().wall;
        let reach = self.location.reach(delivery.reader.endpoint, now);
        let writes_to_itself = delivery.reader.endpoint == delivery.writer;
        let leads = |flow: &Flow| !(writes_to_itself && flow.remote == delivery.source.remote);
        let devices = devices(&self.settings, reach, leads).into_iter();
        devices
            .map(|device| {
                let ways = std::iter::once(device.first).chain(device.others);
                ways.map(|way| question(delivery, way)).collect()
            })
            .collect()
    }

    /// Tells the application of the reader, delivered or not.
    async fn tell(&self, delivery: &Delivery, delivered: bool) {
        let reader = &delivery.reader;
        let directory = &self.senders.directory;
        let application = match reader.application {
            Some(application) => directory.application(application),
            None => directory.default_application(reader.account),
        };
        let account = directory.account(reader.account);
        let (Some(application), Some(account)) = (application, account) else {
            return;
        };
        let url = application.message_url.clone().unwrap_or_default();
        if url.is_empty() || !application.enabled {
            return;
        }
        let facts = MessageFacts {
            uuid: delivery.uuid,
            from: delivery.from.clone(),
            to: delivery.to.clone(),
            text: String::from_utf8_lossy(&delivery.body).into_owned(),
            content_type: delivery.content_type.to_string(),
            delivered,
            time: self.clock.now().wall,
        };
        let method: HttpMethod = application.message_method;
        self.calls
            .tell_of_message(&account, application, reader.flavor, &url, method, &facts)
            .await;
    }
}

/// Asks a device over one way after the other, until it answers.
async fn ask(requests: Requests, shard: u8, questions: Vec<Question>) -> Outcome {
    let mut outcome = Outcome::NoRoom;
    for question in questions {
        outcome = requests.ask(shard, question).await;
        if matches!(outcome, Outcome::Answered(_)) {
            break;
        }
    }
    outcome
}

fn question(delivery: &Delivery, to: Destination) -> Question {
    let mut headers = delivery.headers.clone();
    if !delivery.body.is_empty() {
        let value = delivery.content_type.clone();
        headers.push(Header::new(Name::ContentType, value));
    }
    Question {
        method: Method::Message,
        to,
        // S69: whatever From said, the writer is who proved the password.
        from: format!("<{}>", delivery.from).into(),
        to_value: format!("<{}>", delivery.to).into(),
        series: None,
        contact_user: None,
        headers,
        body: delivery.body.clone(),
        login: None,
    }
}

/// About how many bytes a request will have.
fn size(question: &Question) -> usize {
    let headers = question.headers.iter();
    let headers = headers.map(|header| header.name.as_str().len() + header.value.len() + 4);
    ADDED
        + question.to.uri.len()
        + question.from.len()
        + question.to_value.len()
        + headers.sum::<usize>()
        + question.body.len()
}

/// Which of two refusals the writer hears: what a phone says of the message itself, and otherwise that nobody can be
/// reached. What a phone says of a challenge or a redirection is nothing to the writer.
fn refusal(before: Status, status: Status) -> Status {
    match status.0 {
        403 | 413 | 415 | 486 | 488 | 513 | 600 | 603 => status,
        _ => before,
    }
}
