//! One subscription: RFC 6665 §4.2 (the notifier), RFC 3261 §12 (its dialog).
//!
//! At most one NOTIFY is under way. What changes meanwhile is noted, and told by the next one.

use std::time::{Duration, Instant};

use crate::dialog::Dialog;
use crate::stack::wire::{Due, Wire};
use crate::stack::{Event, Output};
use crate::subscription::{
    Farewell, News, SubscriptionEnd, SubscriptionEvent, SubscriptionId, Terms,
};
use crate::transaction::key::Token;
use crate::transaction::layer::{TransactionId, User};
use crate::transaction::timer::TimerId;
use crate::{Flow, Method, Name, Request, Response, Status, Text};

/// How often in a row a NOTIFY may fail for the time being before the subscription ends.
const MOST_FAILURES: u8 = 3;
/// The pause after a NOTIFY that failed for the time being, unless its answer says another.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that an answer may ask for.
const LONGEST_PAUSE: u32 = 60;

/// What a subscription waits for with a timer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Alarm {
    /// The end of what was granted.
    Expire,
    /// The next try of a NOTIFY that failed.
    Retry,
}

/// Whether a subscription goes on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Stays,
    Gone(SubscriptionEnd),
}

/// Where the next NOTIFY stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing is under way.
    Idle,
    /// The layer above is asked what to tell.
    Wanted,
    /// A NOTIFY waits for its answer.
    Sent(TransactionId),
    /// The last one failed for the time being.
    Resting(TimerId),
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) token: Token,
    pub(crate) flow: Flow,
    dialog: Dialog,
    /// Value of the Event header, with its `id` parameter.
    event: Text,
    contact_user: Text,
    terms: Terms,
    ends: Instant,
    expiry: Option<TimerId>,
    stage: Stage,
    number: u32,
    failures: u8,
    /// Something changed since the last NOTIFY.
    changed: bool,
    /// The next one tells everything.
    full: bool,
    /// The next one is the last.
    leaving: Option<Farewell>,
}

impl Subscription {
    /// Takes a SUBSCRIBE: answers it, and wants the first NOTIFY (RFC 6665 §4.2.1.2). `None`: no dialog can be made.
    pub(crate) fn begin(
        now: Instant,
        wire: &mut Wire,
        id: SubscriptionId,
        request: &Request,
        flow: Flow,
        terms: Terms,
        contact_user: Text,
    ) -> Option<Self> {
        let token = wire.draw();
        let mut dialog = Dialog::of_incoming(request, &token.to_string())?;
        // It is held for hours; the buffer that the SUBSCRIBE came in must not be held with it.
        dialog.detach();
        let event = request.headers.get(&Name::Event)?;
        let mut subscription = Self {
            id,
            token,
            flow,
            dialog,
            event: Text::from(&**event),
            contact_user,
            terms,
            ends: now,
            expiry: None,
            stage: Stage::Idle,
            number: 0,
            failures: 0,
            changed: true,
            full: true,
            leaving: None,
        };
        subscription.grant(now, wire, request, flow, terms.granted);
        subscription.proceed(wire);
        Some(subscription)
    }

    /// A request inside the dialog.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        request: &Request,
        flow: Flow,
    ) -> Fate {
        let same_event = request.headers.get(&Name::Event) == Some(&self.event);
        let status = match &request.method {
            Method::Subscribe if self.leaving.is_some() || !same_event => {
                Some(Status::CALL_DOES_NOT_EXIST)
            }
            Method::Subscribe => None,
            _ => Some(Status::METHOD_NOT_ALLOWED),
        };
        if let Some(status) = status {
            wire.reject(flow, request, status, "");
            return Fate::Stays;
        }
        // RFC 3261 §12.2.2.
        if !request.cseq().is_ok_and(|cseq| self.dialog.takes(&cseq)) {
            let response = request.respond(Status::SERVER_INTERNAL_ERROR);
            wire.serve(now, request, flow, response);
            return Fate::Stays;
        }
        let asked = request.expires().unwrap_or(self.terms.usual);
        if asked > 0 && asked < self.terms.least {
            let mut response = request.respond(Status::INTERVAL_TOO_BRIEF);
            let least = self.terms.least.to_string();
            response.headers.push(Name::MinExpires, least);
            wire.serve(now, request, flow, response);
            return Fate::Stays;
        }
        self.flow = flow;
        self.dialog.refresh(request.contacts().ok());
        self.dialog.detach();
        self.grant(now, wire, request, flow, asked.min(self.terms.most));
        // RFC 6665 §4.2.1.2: each SUBSCRIBE that is accepted brings a NOTIFY with the whole state.
        (self.changed, self.full) = (true, true);
        self.proceed(wire);
        Fate::Stays
    }

    /// Answers a SUBSCRIBE, and sets the time from it.
    fn grant(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        request: &Request,
        flow: Flow,
        seconds: u32,
    ) {
        let mut response = request.respond(Status::OK);
        if request.to().is_ok_and(|to| to.tag().is_none()) {
            crate::stack::wire::tag_to(&mut response, &self.token.to_string());
        }
        let contact = wire.contact(&flow, &self.contact_user);
        response.headers.push(Name::Contact, contact);
        response.headers.push(Name::Expires, seconds.to_string());
        wire.serve(now, request, flow, response);
        if let Some(timer) = self.expiry.take() {
            wire.wheel.cancel(timer);
        }
        let lasts = Duration::from_secs(seconds.into());
        self.ends = now + lasts;
        if seconds == 0 {
            self.leaving = Some(Farewell::Timeout);
        } else {
            let due = Due::Subscription(self.id, Alarm::Expire);
            self.expiry = Some(wire.arm(now, lasts, due));
        }
    }

    /// Something changed.
    pub(crate) fn changed(&mut self, wire: &mut Wire) {
        self.changed = true;
        self.proceed(wire);
    }

    /// Asks for the next NOTIFY when there is something to tell and nothing under way.
    fn proceed(&mut self, wire: &mut Wire) {
        if self.stage != Stage::Idle || !(self.changed || self.leaving.is_some()) {
            return;
        }
        self.stage = Stage::Wanted;
        let event = SubscriptionEvent::Wanted {
            number: self.number,
            full: self.full,
            last: self.leaving.is_some(),
        };
        tell(wire, self.id, event);
    }

    /// Sends what was wanted.
    pub(crate) fn notify(&mut self, now: Instant, wire: &mut Wire, news: News) -> Fate {
        if self.stage != Stage::Wanted {
            return Fate::Stays;
        }
        if let Some(farewell) = self.leaving {
            self.send(now, wire, Some(news), Some(farewell), None);
            return Fate::Gone(SubscriptionEnd::Over);
        }
        if wire.is_full() {
            self.rest(now, wire, PAUSE);
            return Fate::Stays;
        }
        (self.changed, self.full) = (false, false);
        let user = Some(User::Subscription(self.id));
        let transaction = self.send(now, wire, Some(news), None, user);
        self.stage = Stage::Sent(transaction);
        Fate::Stays
    }

    /// Ends it from our side, without any state in its last NOTIFY.
    pub(crate) fn end(&mut self, now: Instant, wire: &mut Wire, farewell: Farewell) -> Fate {
        self.send(now, wire, None, Some(farewell), None);
        Fate::Gone(SubscriptionEnd::Over)
    }

    /// RFC 6665 §4.2.2.
    fn send(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        news: Option<News>,
        farewell: Option<Farewell>,
        user: Option<User>,
    ) -> TransactionId {
        self.number = self.number.wrapping_add(1);
        let mut request = self.dialog.request(Method::Notify);
        let contact = wire.contact(&self.flow, &self.contact_user);
        let headers = &mut request.headers;
        headers.push(Name::Contact, contact);
        headers.push(Name::Event, self.event.clone());
        let state = match farewell {
            Some(farewell) => format!("terminated;reason={}", farewell.token()),
            None => {
                let left = self.ends.saturating_duration_since(now).as_secs();
                format!("active;expires={left}")
            }
        };
        headers.push(Name::SubscriptionState, state);
        if let Some(news) = news.filter(|news| !news.body.is_empty()) {
            headers.push(Name::ContentType, news.content_type);
            request.body = news.body;
        }
        wire.call(now, self.flow, request, user, true)
    }

    /// A NOTIFY was answered.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        response: &Response,
    ) -> Fate {
        if self.stage != Stage::Sent(transaction) || response.status.is_provisional() {
            return Fate::Stays;
        }
        if response.status.is_success() {
            self.failures = 0;
            self.stage = Stage::Idle;
            self.proceed(wire);
            return Fate::Stays;
        }
        let after = response.headers.get(&Name::RetryAfter).and_then(|value| {
            let digits = value.split(|letter: char| !letter.is_ascii_digit()).next();
            digits?.parse::<u32>().ok()
        });
        // RFC 6665 §4.2.2 and RFC 5057 §5.1: what says nothing of the subscription itself is tried again.
        let passes = matches!(response.status.0, 408 | 413 | 491 | 500 | 503 | 504);
        if !passes || self.failures >= MOST_FAILURES {
            return Fate::Gone(SubscriptionEnd::Refused);
        }
        self.failures += 1;
        let pause = after.map_or(PAUSE, |seconds| {
            Duration::from_secs(seconds.clamp(1, LONGEST_PAUSE).into())
        });
        self.rest(now, wire, pause);
        Fate::Stays
    }

    fn rest(&mut self, now: Instant, wire: &mut Wire, pause: Duration) {
        (self.changed, self.full) = (true, true);
        let due = Due::Subscription(self.id, Alarm::Retry);
        self.stage = Stage::Resting(wire.arm(now, pause, due));
    }

    pub(crate) fn due(&mut self, wire: &mut Wire, alarm: Alarm) {
        match alarm {
            Alarm::Expire => {
                self.expiry = None;
                self.leaving = Some(Farewell::Timeout);
                self.full = true;
            }
            Alarm::Retry => self.stage = Stage::Idle,
        }
        self.proceed(wire);
    }

    /// Stops the timers of a subscription that is gone.
    pub(crate) fn disarm(&mut self, wire: &mut Wire) {
        let resting = match self.stage {
            Stage::Resting(timer) => Some(timer),
            Stage::Idle | Stage::Wanted | Stage::Sent(_) => None,
        };
        for timer in self.expiry.take().into_iter().chain(resting) {
            wire.wheel.cancel(timer);
        }
        self.stage = Stage::Idle;
    }

    /// Tells whether a request of the other side belongs here.
    pub(crate) fn is_with(&self, request: &Request) -> bool {
        let tag = request.from().ok().and_then(|from| from.tag());
        request
            .call_id()
            .is_some_and(|id| self.dialog.is_with(id, &tag.unwrap_or_default()))
    }
}

/// Tells the layer above.
pub(crate) fn tell(wire: &mut Wire, id: SubscriptionId, event: SubscriptionEvent) {
    let event = Event::Subscription { id, event };
    wire.outputs.push_back(Output::Event(event));
}
