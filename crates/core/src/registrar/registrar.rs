//! REGISTER: RFC 3261 §10.3, step by step. It decides at once and without waiting; what changes a binding is answered
//! after its commit ([`Registrar::answers`]).

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use call::Now;
use jiff::Timestamp;
use sip::stateless::refusal_of;
use sip::{Contacts, Flow, FlowId, Name, NameAddr, Request, Response, Status};
use smallvec::SmallVec;
use store::{Binding, Change, Id, Packed, View};

use crate::diagnosis::Cause;
use crate::directory::{Gruus, Subscriber};
use crate::registrar::answer::{Answers, RETRY_AFTER, Refused, refused, refused_for};
use crate::registrar::authentication::{Authenticated, Authenticator, Pending};
use crate::registrar::events::{EventKind, Events};
use crate::registrar::location::{Location, transport_of};
use crate::registrar::outbound::{self, Way};
use crate::registrar::policy::{self, Grant, RegistrationPolicy};
use crate::registrar::waiting::{Answer, Told, Waiting, WaitingLine};
use crate::{Decision, Directory, Guard, Offence, Settings};

/// The registrar of all shards; it is called on their threads.
#[derive(Debug)]
pub struct Registrar {
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Directory,
    pub(super) location: Location,
    pub(crate) authenticator: Authenticator,
    pub(crate) guard: Guard,
    pub(super) events: Events,
    answers: Answers,
    /// Of each shard: the answers that wait for their commit.
    lines: Vec<WaitingLine>,
}

impl Registrar {
    /// Makes the registrar of so many shards.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part that it is made of"
    )]
    pub(crate) fn new(
        settings: Arc<Settings>,
        directory: Directory,
        location: Location,
        authenticator: Authenticator,
        guard: Guard,
        gruus: Gruus,
        events: Events,
        shards: usize,
    ) -> Self {
        let shards = u8::try_from(shards).unwrap_or(u8::MAX);
        Self {
            lines: (0..shards)
                .map(|shard| WaitingLine::new(&location, shard))
                .collect(),
            answers: Answers::new(Arc::clone(&settings), authenticator.clone(), gruus),
            settings,
            directory,
            location,
            authenticator,
            guard,
            events,
        }
    }

    /// Answers a REGISTER.
    pub fn register(&self, now: &Now, shard: u8, request: &Request, flow: Flow) -> Decision {
        match self.decide(now, shard, request, flow) {
            Ok(decision) => decision,
            Err(response) => Decision::Reply(*response),
        }
    }

    fn decide(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Decision, Box<Response>> {
        let refuse = |refused: Refused| self.refuse(now, shard, request, flow, &refused);
        let user_agent = request.headers.get(&Name::UserAgent).map(|value| &**value);
        if policy::is_refused_user_agent(&self.settings.refused_user_agents, user_agent) {
            return Err(refuse(refused_for(
                Cause::RefusedUserAgent,
                Status::FORBIDDEN,
                "User agent refused",
            )));
        }
        // Step 1: is the domain of the Request-URI ours?
        let Ok(uri) = request.uri_parsed() else {
            return Err(refuse(refused(Status::BAD_REQUEST, "Request-URI")));
        };
        let host_name = uri.host_lower();
        let Some(host) = self.directory.host(&host_name) else {
            self.guard
                .note(now, flow.remote.ip(), Offence::ForeignDomain);
            return Err(refuse(refused_for(
                Cause::WrongDomain,
                Status::NOT_FOUND,
                "Domain not served here",
            )));
        };
        // Steps 3 and 4: who is it, and whose bindings may it change?
        let who = self
            .authenticator
            .check(now, shard, request, flow, &host_name, &host)?;
        if who.again == Some(Pending(true)) {
            return Ok(Decision::Silence);
        }
        let subscriber = &who.subscriber;
        if !subscriber.enabled {
            return Err(refuse(refused_for(
                Cause::Disabled,
                Status::FORBIDDEN,
                "Endpoint disabled",
            )));
        }
        let policy = self.directory.registration_policy(subscriber);
        if policy.refuses(user_agent) {
            return Err(refuse(refused_for(
                Cause::RefusedUserAgent,
                Status::FORBIDDEN,
                "User agent refused",
            )));
        }
        // Step 5: the address of record. Third parties may register nobody (S55).
        if !self.is_own_address(request, subscriber) {
            // It is the one who proved a password that went wrong, not the one whose address was asked for.
            let (user, cause) = (Some(subscriber.user.as_str()), Cause::NotOwnAddress);
            self.events.refused(now.wall, request, flow, user, cause);
            return Err(refuse(refused(
                Status::FORBIDDEN,
                "Not your address of record",
            )));
        }
        // Steps 6 and 7.
        let way = Way::of(&self.settings, request, flow).map_err(refuse)?;
        let bindings = self.location.bindings(subscriber.endpoint, now.wall);
        let asks = matches!(&way.contacts, Contacts::List(list) if list.is_empty());
        // A retransmission of what is bound already changes nothing; of what was refused, it is refused again.
        let is_bound = who.again.is_some()
            && bindings
                .iter()
                .any(|binding| is_from(&binding.view(), request));
        if asks || is_bound {
            return Ok(Decision::Reply(self.answers.ok(
                shard,
                request,
                now.wall,
                subscriber,
                &way,
                bindings.iter(),
            )));
        }
        self.bind(now, shard, request, flow, &who, &policy, &way)
    }

    fn is_own_address(&self, request: &Request, subscriber: &Subscriber) -> bool {
        let names_it = |address: Result<NameAddr, _>| {
            address.is_ok_and(|address: NameAddr| {
                let user = address.uri.user_decoded().unwrap_or_default();
                let found = self.directory.subscriber(&address.uri.host_lower(), &user);
                found.is_some_and(|found| found.endpoint == subscriber.endpoint)
            })
        };
        names_it(request.to()) && names_it(request.from())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a fact of the one request that is answered"
    )]
    fn bind(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        who: &Authenticated,
        policy: &RegistrationPolicy,
        way: &Way,
    ) -> Result<Decision, Box<Response>> {
        let endpoint = who.subscriber.endpoint;
        let is_heard = self.events.are_heard(&who.subscriber);
        if is_heard {
            self.location.tell_lapsed(endpoint, now.wall);
        }
        let happened = RefCell::new(Vec::new());
        let outcome = self.location.change(
            endpoint,
            now.wall,
            shard,
            |held| {
                // The password may have changed, or the endpoint gone, since it was checked: both are known before
                // the bindings are dropped, and that waits for this lock.
                if !who.subscriber.is_current() {
                    return Err(refused(
                        Status::SERVICE_UNAVAILABLE,
                        "Endpoint is being changed",
                    ));
                }
                let change = self.plan(now.wall, request, flow, policy, way, held)?;
                if is_heard {
                    happened.replace(happenings(endpoint, &change, held));
                }
                Ok(change)
            },
            |held| {
                let bindings: Vec<Binding> = held
                    .iter()
                    .map(|packed| packed.view().binding(endpoint))
                    .collect();
                let (live, subscriber) = (bindings.iter(), &who.subscriber);
                self.answers
                    .ok(shard, request, now.wall, subscriber, way, live)
            },
        );
        match outcome {
            Ok(Ok((ticket, undo, response))) => {
                self.authenticator.set_pending(who, true);
                self.wait(
                    shard,
                    Waiting {
                        since: now.instant,
                        ticket,
                        undo,
                        told: is_heard.then(|| {
                            Box::new(Told {
                                at: now.wall,
                                subscriber: Arc::clone(&who.subscriber),
                                happened: happened.take(),
                            })
                        }),
                        proof: (who.nonce, who.count),
                        flow,
                        answer: Answer::Response(Box::new(response)),
                    },
                );
                Ok(Decision::Wait)
            }
            Ok(Err(why)) => Err(self.refuse(now, shard, request, flow, &why)),
            Err(error) => {
                self.authenticator.forget(who.nonce, who.count);
                tracing::debug!(%error, "a REGISTER found the store busy");
                let why = refused_for(Cause::StoreBusy, Status::SERVICE_UNAVAILABLE, "Store busy");
                Err(self.refuse(now, shard, request, flow, &why))
            }
        }
    }

    /// Hands the changes of a turn to the journal; their answers come out of [`Registrar::answers`] after the commit.
    pub fn flush(&self) {
        self.location.flush();
    }

    /// Returns when the journal has told of changes of this shard since the last time.
    pub async fn committed(&self, shard: u8) {
        match self.lines.get(usize::from(shard)) {
            Some(line) => line.ready().await,
            None => std::future::pending().await,
        }
    }

    /// How long the oldest answer of a shard has waited for its commit.
    pub(crate) fn oldest_wait(&self, shard: u8, now: &Now) -> Duration {
        let oldest = self
            .lines
            .get(usize::from(shard))
            .and_then(WaitingLine::oldest);
        oldest.map_or(Duration::ZERO, |oldest| {
            now.instant.saturating_duration_since(oldest)
        })
    }

    /// The endpoint that an address names.
    pub(crate) fn claimed(&self, address: &NameAddr) -> Option<Arc<Subscriber>> {
        let user = address.uri.user_decoded().unwrap_or_default();
        self.directory.subscriber(&address.uri.host_lower(), &user)
    }

    /// Whether an endpoint has a binding that was made from a source.
    pub(crate) fn is_bound_from(&self, now: &Now, endpoint: Id, source: IpAddr) -> bool {
        let bindings = self.location.bindings(endpoint, now.wall);
        let mut sources = bindings
            .iter()
            .map(|binding| binding.remote.ip().to_canonical());
        sources.any(|known| known == source.to_canonical())
    }

    /// Gives the answers whose bindings are on disk; instead of one whose are not, 503, and the same request may be tried
    /// again. Call it on the shard's thread.
    pub fn answers(&self, shard: u8, mut each: impl FnMut(Flow, Answer)) {
        let Some(line) = self.lines.get(usize::from(shard)) else {
            return;
        };
        line.take(&self.location, |waiting, committed| {
            let (nonce, count) = waiting.proof;
            if committed {
                self.authenticator.committed(nonce, count);
                if let Some(told) = waiting.told {
                    for (kind, binding) in told.happened {
                        self.events.bound(kind, told.at, &told.subscriber, binding);
                    }
                }
                each(waiting.flow, waiting.answer);
            } else {
                self.authenticator.forget(nonce, count);
                each(waiting.flow, not_kept(waiting.answer));
            }
        });
    }

    /// Keeps an answer until its change is on disk.
    pub(super) fn wait(&self, shard: u8, waiting: Waiting) {
        if let Some(line) = self.lines.get(usize::from(shard)) {
            line.push(waiting);
        }
    }

    /// Steps 6 and 7: what the Contacts do to the live bindings. All of it or nothing.
    fn plan(
        &self,
        now: Timestamp,
        request: &Request,
        flow: Flow,
        policy: &RegistrationPolicy,
        way: &Way,
        held: &[Packed],
    ) -> Result<Change, Refused> {
        let held: SmallVec<[View<'_>; 2]> = held.iter().map(Packed::view).collect();
        let (Some(call_id), Ok(cseq)) = (request.call_id(), request.cseq()) else {
            return Err(refused(Status::BAD_REQUEST, "Call-ID or CSeq"));
        };
        let in_order =
            |binding: &View<'_>| *binding.call_id != **call_id || cseq.number > binding.cseq;
        const OLD: Refused = refused_for(
            Cause::OutOfOrder,
            Status::SERVER_INTERNAL_ERROR,
            "CSeq is out of order",
        );
        const FULL: Refused = refused_for(
            Cause::TooManyBindings,
            Status::FORBIDDEN,
            "Too many bindings",
        );
        let list = match &way.contacts {
            Contacts::Star if request.expires() != Some(0) => {
                return Err(refused(Status::BAD_REQUEST, "Contact * needs Expires 0"));
            }
            Contacts::Star => {
                return match held.iter().all(in_order) {
                    true => Ok(Change {
                        remove: (0..held.len()).collect(),
                        ..Change::default()
                    }),
                    false => Err(OLD),
                };
            }
            Contacts::List(list) => list,
        };
        if list.len() > policy.max_bindings {
            return Err(FULL);
        }
        if !way.admits(list, request.expires()) {
            return Err(refused(Status::BAD_REQUEST, "One flow at a time"));
        }
        let mut change = Change::default();
        let micros = now.as_microsecond();
        for contact in list {
            let grant = policy::grant(policy, contact, request.expires());
            let place = held.iter().position(|binding| names(way, contact, binding));
            let known = place.and_then(|place| held.get(place));
            if !known.is_none_or(in_order) {
                return Err(OLD);
            }
            let seconds = match grant {
                Grant::TooBrief => {
                    return Err(Refused {
                        least: policy.min_expires,
                        ..refused_for(Cause::ExpiresTooShort, Status::INTERVAL_TOO_BRIEF, "")
                    });
                }
                Grant::Remove => {
                    change.remove.extend(place);
                    continue;
                }
                Grant::Seconds(seconds) => seconds,
            };
            if !contact.uri.scheme.is_sip() {
                return Err(refused_for(
                    Cause::BadContact,
                    Status::BAD_REQUEST,
                    "Contact is no SIP URI",
                ));
            }
            if policy::is_our_own(&self.settings, &self.directory, &contact.uri) {
                return Err(refused_for(
                    Cause::ContactPointsHere,
                    Status::FORBIDDEN,
                    "Contact points at this server",
                ));
            }
            let outbound_key = way.key(contact);
            let key = match (known, &outbound_key) {
                (Some(known), _) => known.key,
                (None, Some(key)) => key,
                (None, None) => &contact.uri_text,
            };
            // A refresh does not make a login of it; the same phone started anew does (RFC 3261 §10.2: one Call-ID for
            // all registrations of one boot).
            let logged_in = known.filter(|binding| *binding.call_id == **call_id);
            let instance = outbound::instance(contact);
            let reg_id = outbound_key.as_ref().and(contact.params.get("reg-id"));
            let new = View {
                key,
                contact: &contact.uri_text,
                call_id,
                cseq: cseq.number,
                expires_at: micros.saturating_add(i64::from(seconds) * 1_000_000),
                logged_in: logged_in.map_or(micros, |binding| binding.logged_in),
                transport: transport_of(flow),
                local: flow.local,
                remote: flow.remote,
                flow: flow.id.0,
                path: way.path.as_deref(),
                user_agent: user_agent(request),
                q: contact.q(),
                instance: instance.as_deref(),
                reg_id: reg_id.and_then(|reg_id| reg_id.parse().ok()),
            };
            // The last of two equal Contacts wins.
            change
                .put
                .retain(|(_, binding)| binding.view().key != new.key);
            change.put.push((place, Packed::new(&new, true)));
        }
        let replaced = |place: &usize| {
            change.remove.contains(place) || change.put.iter().any(|(put, _)| *put == Some(*place))
        };
        let stay = (0..held.len()).filter(|place| !replaced(place)).count();
        if stay + change.put.len() > policy.max_bindings {
            return Err(FULL);
        }
        Ok(change)
    }

    /// Answers a refusal, and keeps why.
    fn refuse(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        refused: &Refused,
    ) -> Box<Response> {
        if let Some(cause) = refused.cause {
            self.events.refused(now.wall, request, flow, None, cause);
        }
        self.answers.refuse(shard, request, refused)
    }

    /// Removes the bindings of a stream connection that is gone.
    pub fn flow_closed(&self, flow: FlowId) {
        self.location.flow_closed(flow);
    }

    /// Tells of a binding that the operator ended.
    pub(super) fn ended(&self, binding: &Binding) {
        let told = || binding.clone();
        self.events
            .gone(EventKind::Unregistered, binding.endpoint, told);
    }

    /// Gives the table of bindings.
    pub fn location(&self) -> &Location {
        &self.location
    }
}

/// The 503 in the place of an answer whose bindings could not be written.
fn not_kept(answer: Answer) -> Answer {
    const STATUS: Status = Status::SERVICE_UNAVAILABLE;
    match answer {
        Answer::Response(mut response) => {
            response.status = STATUS;
            response.reason = STATUS.reason().into();
            response.headers.remove(&Name::Contact);
            response.headers.push(Name::RetryAfter, RETRY_AFTER);
            Answer::Response(response)
        }
        Answer::Written(bytes) => {
            let status = format!("{} {}", STATUS.0, STATUS.reason());
            Answer::Written(refusal_of(&bytes, &status, RETRY_AFTER))
        }
    }
}

/// What a change means to those who watch: who logged in, came back or logged out.
pub(super) fn happenings(
    endpoint: Id,
    change: &Change,
    held: &[Packed],
) -> Vec<(EventKind, Binding)> {
    let gone = change.remove.iter().filter_map(|place| held.get(*place));
    let gone = gone.map(|packed| (EventKind::Unregistered, packed.view().binding(endpoint)));
    let put = change.put.iter().map(|(place, packed)| {
        let known = place.and_then(|place| held.get(place));
        // RFC 3261 §10.2: a phone keeps one Call-ID for all registrations of one boot.
        let is_refresh = known.is_some_and(|known| known.view().call_id == packed.view().call_id);
        let kind = match is_refresh {
            true => EventKind::Refreshed,
            false => EventKind::Registered,
        };
        (kind, packed.view().binding(endpoint))
    });
    gone.chain(put).collect()
}

/// Tells whether this REGISTER made the binding.
fn is_from(binding: &View<'_>, request: &Request) -> bool {
    let same_call = request
        .call_id()
        .is_some_and(|call_id| **call_id == *binding.call_id);
    same_call && request.cseq().is_ok_and(|cseq| cseq.number == binding.cseq)
}

/// Tells whether a Contact is about this binding: the same instance and registration (RFC 5626 §6), else an equivalent
/// URI (RFC 3261 §10.3 step 7, §19.1.4).
fn names(way: &Way, contact: &NameAddr, binding: &View<'_>) -> bool {
    if let Some(key) = way.key(contact) {
        return key == binding.key;
    }
    if *contact.uri_text == *binding.contact {
        return true;
    }
    sip::Uri::parse(&binding.contact.into()).is_ok_and(|uri| uri.same_as(&contact.uri))
}

/// At most 250 octets of User-Agent are kept.
fn user_agent(request: &Request) -> &str {
    let value = request.headers.get(&Name::UserAgent);
    value.map_or("", |value| &value[..value.floor_char_boundary(250)])
}
