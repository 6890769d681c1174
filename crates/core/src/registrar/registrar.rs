//! REGISTER: RFC 3261 §10.3, step by step. It decides at once and without waiting; what changes a binding is answered
//! after its commit, through [`Signalling`].

use std::sync::Arc;
use std::time::Duration;

use call::Now;
use jiff::Timestamp;
use sip::{Contacts, Flow, FlowId, Name, NameAddr, Request, Response, Status};
use store::{Binding, Completion};

use crate::directory::{Gruus, Subscriber};
use crate::registrar::answer::{Answers, RETRY_AFTER, Refused, refused};
use crate::registrar::authentication::{Authenticated, Authenticator, Pending};
use crate::registrar::location::{Change, Held, Location, transport_of};
use crate::registrar::outbound::{self, Way};
use crate::registrar::policy::{self, Grant, RegistrationPolicy};
use crate::{Decision, Directory, Guard, Offence, Settings, Signalling};

/// The registrar of all shards; it is called on their threads.
#[derive(Debug)]
pub struct Registrar {
    settings: Arc<Settings>,
    directory: Directory,
    location: Location,
    authenticator: Authenticator,
    guard: Guard,
    answers: Answers,
    signalling: Signalling,
}

impl Registrar {
    /// Makes the registrar.
    pub(crate) fn new(
        settings: Arc<Settings>,
        directory: Directory,
        location: Location,
        authenticator: Authenticator,
        guard: Guard,
        gruus: Gruus,
        signalling: Signalling,
    ) -> Self {
        Self {
            answers: Answers::new(Arc::clone(&settings), authenticator.clone(), gruus),
            settings,
            directory,
            location,
            authenticator,
            guard,
            signalling,
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
        let refuse = |refused: Refused| self.answers.refuse(shard, request, &refused);
        let user_agent = request.headers.get(&Name::UserAgent).map(|value| &**value);
        if policy::is_refused_user_agent(&self.settings.refused_user_agents, user_agent) {
            return Err(refuse(refused(Status::FORBIDDEN, "User agent refused")));
        }
        // Step 1: is the domain of the Request-URI ours?
        let Ok(uri) = request.uri_parsed() else {
            return Err(refuse(refused(Status::BAD_REQUEST, "Request-URI")));
        };
        let host_name = uri.host_lower();
        let Some(host) = self.directory.host(&host_name) else {
            self.guard
                .note(now, flow.remote.ip(), Offence::ForeignDomain);
            return Err(refuse(refused(Status::NOT_FOUND, "Domain not served here")));
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
            return Err(refuse(refused(Status::FORBIDDEN, "Endpoint disabled")));
        }
        let policy = self.directory.registration_policy(subscriber);
        if policy.refuses(user_agent) {
            return Err(refuse(refused(Status::FORBIDDEN, "User agent refused")));
        }
        // Step 5: the address of record. Third parties may register nobody (S55).
        if !self.is_own_address(request, subscriber) {
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
        let is_bound =
            who.again.is_some() && bindings.iter().any(|binding| is_from(binding, request));
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
        let outcome = self.location.change(
            endpoint,
            now.wall,
            |held| {
                // The password may have changed, or the endpoint gone, since it was checked: both are known before
                // the bindings are dropped, and that waits for this lock.
                if !self.directory.is_current(&who.subscriber) {
                    return Err(refused(
                        Status::SERVICE_UNAVAILABLE,
                        "Endpoint is being changed",
                    ));
                }
                self.plan(now.wall, request, flow, &who.subscriber, policy, way, held)
            },
            |held| {
                self.authenticator.set_pending(who, true);
                let live = held.iter().map(|held| &held.binding);
                let subscriber = &who.subscriber;
                let response = self
                    .answers
                    .ok(shard, request, now.wall, subscriber, way, live);
                self.reply_after_commit(shard, flow, who, response)
            },
        );
        match outcome {
            Ok(Ok(())) => Ok(Decision::Wait),
            Ok(Err(why)) => Err(self.answers.refuse(shard, request, &why)),
            Err(error) => {
                self.authenticator.set_pending(who, false);
                self.authenticator.forget(who.nonce, who.count);
                tracing::debug!(%error, "a REGISTER found the store busy");
                Err(self.answers.refuse(
                    shard,
                    request,
                    &refused(Status::SERVICE_UNAVAILABLE, "Store busy"),
                ))
            }
        }
    }

    /// Sends the 200 once the bindings are on disk; else 503, and the same request may be tried again.
    fn reply_after_commit(
        &self,
        shard: u8,
        flow: Flow,
        who: &Authenticated,
        mut response: Response,
    ) -> Completion {
        let signalling = self.signalling.clone();
        let authenticator = self.authenticator.clone();
        let (nonce, count) = (who.nonce, who.count);
        Box::new(move |outcome| {
            match outcome {
                Ok(()) => authenticator.committed(nonce, count),
                Err(error) => {
                    tracing::warn!(%error, "a registration was not committed");
                    authenticator.forget(nonce, count);
                    response.status = Status::SERVICE_UNAVAILABLE;
                    response.reason = Status::SERVICE_UNAVAILABLE.reason().into();
                    response.headers.remove(&Name::Contact);
                    response.headers.push(Name::RetryAfter, RETRY_AFTER);
                }
            }
            // A full inbox loses the answer; the phone asks again and gets the same one.
            if signalling
                .send(shard, sip::Command::Reply { flow, response })
                .is_err()
            {
                tracing::debug!(shard, "no room for the answer to a REGISTER");
            }
        })
    }

    /// Steps 6 and 7: what the Contacts do to the live bindings. All of it or nothing.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a fact of the one request that is answered"
    )]
    fn plan(
        &self,
        now: Timestamp,
        request: &Request,
        flow: Flow,
        subscriber: &Subscriber,
        policy: &RegistrationPolicy,
        way: &Way,
        held: &[Held],
    ) -> Result<Change, Refused> {
        let (Some(call_id), Ok(cseq)) = (request.call_id(), request.cseq()) else {
            return Err(refused(Status::BAD_REQUEST, "Call-ID or CSeq"));
        };
        let in_order =
            |binding: &Binding| binding.call_id != **call_id || cseq.number > binding.cseq;
        const OLD: Refused = refused(Status::SERVER_INTERNAL_ERROR, "CSeq is out of order");
        let list = match &way.contacts {
            Contacts::Star if request.expires() != Some(0) => {
                return Err(refused(Status::BAD_REQUEST, "Contact * needs Expires 0"));
            }
            Contacts::Star => {
                return match held.iter().all(|held| in_order(&held.binding)) {
                    true => Ok(Change {
                        remove: held.iter().map(|held| held.binding.key.clone()).collect(),
                        put: Vec::new(),
                    }),
                    false => Err(OLD),
                };
            }
            Contacts::List(list) => list,
        };
        if list.len() > policy.max_bindings {
            return Err(refused(Status::FORBIDDEN, "Too many bindings"));
        }
        if !way.admits(list, request.expires()) {
            return Err(refused(Status::BAD_REQUEST, "One flow at a time"));
        }
        let mut change = Change::default();
        for contact in list {
            let grant = policy::grant(policy, contact, request.expires());
            let known = held
                .iter()
                .map(|held| &held.binding)
                .find(|binding| names(way, contact, binding));
            if !known.is_none_or(in_order) {
                return Err(OLD);
            }
            let seconds = match grant {
                Grant::TooBrief => {
                    return Err(Refused {
                        least: policy.min_expires,
                        ..refused(Status::INTERVAL_TOO_BRIEF, "")
                    });
                }
                Grant::Remove => {
                    change
                        .remove
                        .extend(known.map(|binding| binding.key.clone()));
                    continue;
                }
                Grant::Seconds(seconds) => seconds,
            };
            if !contact.uri.scheme.is_sip() {
                return Err(refused(Status::BAD_REQUEST, "Contact is no SIP URI"));
            }
            if policy::is_our_own(&self.settings, &self.directory, &contact.uri) {
                return Err(refused(Status::FORBIDDEN, "Contact points at this server"));
            }
            let key = known.map_or_else(|| key_of(way, contact), |binding| binding.key.clone());
            // A refresh does not make a login of it; the same phone started anew does (RFC 3261 §10.2: one Call-ID for
            // all registrations of one boot).
            let logged_in = known.filter(|binding| binding.call_id == **call_id);
            // The last of two equal Contacts wins.
            change.put.retain(|binding| binding.key != key);
            change.put.push(Binding {
                endpoint: subscriber.endpoint,
                key,
                contact: contact.uri_text.to_string(),
                call_id: call_id.to_string(),
                cseq: cseq.number,
                expires_at: now
                    .saturating_add(Duration::from_secs(seconds.into()))
                    .unwrap_or(now),
                logged_in: logged_in.map_or(now, |binding| binding.logged_in),
                transport: transport_of(flow),
                local: flow.local,
                remote: flow.remote,
                flow: flow.id.0,
                path: way.path.clone(),
                user_agent: user_agent(request),
                q: contact.q(),
                instance: outbound::instance(contact),
            });
        }
        let stays = |held: &&Held| {
            let key = &held.binding.key;
            !change.remove.contains(key) && !change.put.iter().any(|binding| binding.key == *key)
        };
        if held.iter().filter(stays).count() + change.put.len() > policy.max_bindings {
            return Err(refused(Status::FORBIDDEN, "Too many bindings"));
        }
        Ok(change)
    }

    /// Removes the bindings of a stream connection that is gone.
    pub fn flow_closed(&self, flow: FlowId) {
        self.location.flow_closed(flow);
    }

    /// Gives the table of bindings.
    pub fn location(&self) -> &Location {
        &self.location
    }
}

/// Tells whether this REGISTER made the binding.
fn is_from(binding: &Binding, request: &Request) -> bool {
    let same_call = request
        .call_id()
        .is_some_and(|call_id| **call_id == binding.call_id);
    same_call && request.cseq().is_ok_and(|cseq| cseq.number == binding.cseq)
}

/// Tells whether a Contact is about this binding: the same instance and registration (RFC 5626 §6), else an equivalent
/// URI (RFC 3261 §10.3 step 7, §19.1.4).
fn names(way: &Way, contact: &NameAddr, binding: &Binding) -> bool {
    if let Some(key) = way.key(contact) {
        return key == binding.key;
    }
    if contact.uri_text == *binding.contact {
        return true;
    }
    sip::Uri::parse(&binding.contact.as_str().into()).is_ok_and(|uri| uri.same_as(&contact.uri))
}

fn key_of(way: &Way, contact: &NameAddr) -> String {
    way.key(contact)
        .unwrap_or_else(|| contact.uri_text.to_string())
}

/// At most 250 characters of User-Agent are kept.
fn user_agent(request: &Request) -> String {
    let value = request
        .headers
        .get(&Name::UserAgent)
        .map_or("", |value| value);
    value.chars().take(250).collect()
}
