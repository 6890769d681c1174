//! REGISTER: RFC 3261 §10.3, step by step. It decides at once and without waiting; what changes a binding is answered
//! after its commit ([`Registrar::answers`]).

use std::sync::Arc;

use call::Now;
use jiff::Timestamp;
use sip::stateless::refusal_of;
use sip::{Contacts, Flow, FlowId, Name, NameAddr, Request, Response, Status};
use smallvec::SmallVec;
use store::{Change, Packed, View};

use crate::directory::Subscriber;
use crate::registrar::answers::{Answer, Answers, Waiting};
use crate::registrar::authentication::{Authenticated, Authenticator, Pending};
use crate::registrar::location::{Location, transport_of};
use crate::registrar::policy::{self, Grant, RegistrationPolicy};
use crate::{Decision, Directory, Settings};

/// Seconds after which a client may try again what found the store busy.
const RETRY_AFTER: &str = "2";

/// The registrar of all shards; it is called on their threads.
#[derive(Debug)]
pub struct Registrar {
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Directory,
    pub(super) location: Location,
    pub(super) authenticator: Authenticator,
    /// Of each shard.
    answers: Vec<Answers>,
}

/// Why the bindings stay as they are.
#[derive(Debug)]
struct Refused {
    status: Status,
    why: &'static str,
    /// With 423, the shortest registration in seconds.
    least: u32,
}

const fn refused(status: Status, why: &'static str) -> Refused {
    Refused {
        status,
        why,
        least: 0,
    }
}

impl Registrar {
    /// Makes the registrar of so many shards.
    pub(crate) fn new(
        settings: Arc<Settings>,
        directory: Directory,
        location: Location,
        authenticator: Authenticator,
        shards: usize,
    ) -> Self {
        let shards = u8::try_from(shards).unwrap_or(u8::MAX);
        Self {
            answers: (0..shards)
                .map(|shard| Answers::new(&location, shard))
                .collect(),
            settings,
            directory,
            location,
            authenticator,
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
        let refuse = |refused: Refused| self.refuse(shard, request, &refused);
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
        let contacts = request.contacts();
        let contacts = contacts.map_err(|_| refuse(refused(Status::BAD_REQUEST, "Contact")))?;
        let bindings = self.location.bindings(subscriber.endpoint, now.wall);
        let asks = matches!(&contacts, Contacts::List(list) if list.is_empty());
        // A retransmission of what is bound already changes nothing; of what was refused, it is refused again.
        let is_bound = who.again.is_some()
            && bindings
                .iter()
                .any(|binding| is_from(&binding.view(), request));
        if asks || is_bound {
            return Ok(Decision::Reply(self.ok(
                shard,
                request,
                now.wall,
                bindings.iter().map(store::Binding::view),
            )));
        }
        self.bind(now, shard, request, flow, &who, &policy, &contacts)
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
        contacts: &Contacts,
    ) -> Result<Decision, Box<Response>> {
        let endpoint = who.subscriber.endpoint;
        let outcome = self.location.change(
            endpoint,
            now.wall,
            shard,
            |held| {
                // The password may have changed, or the endpoint gone, since it was checked: both are known before
                // the bindings are dropped, and that waits for this lock.
                if !self.directory.is_current(&who.subscriber) {
                    return Err(refused(
                        Status::SERVICE_UNAVAILABLE,
                        "Endpoint is being changed",
                    ));
                }
                self.plan(now.wall, request, flow, policy, contacts, held)
            },
            |held| self.ok(shard, request, now.wall, held.iter().map(Packed::view)),
        );
        match outcome {
            Ok(Ok((ticket, undo, response))) => {
                self.authenticator.set_pending(who, true);
                self.wait(
                    shard,
                    Waiting {
                        ticket,
                        undo,
                        proof: (who.nonce, who.count),
                        flow,
                        answer: Answer::Response(Box::new(response)),
                    },
                );
                Ok(Decision::Wait)
            }
            Ok(Err(why)) => Err(self.refuse(shard, request, &why)),
            Err(error) => {
                self.authenticator.forget(who.nonce, who.count);
                tracing::debug!(%error, "a REGISTER found the store busy");
                Err(self.refuse(
                    shard,
                    request,
                    &refused(Status::SERVICE_UNAVAILABLE, "Store busy"),
                ))
            }
        }
    }

    /// Hands the changes of a turn to the journal; their answers come out of [`Registrar::answers`] after the commit.
    pub fn flush(&self) {
        self.location.flush();
    }

    /// Returns when the journal has told of changes of this shard since the last time.
    pub async fn committed(&self, shard: u8) {
        match self.answers.get(usize::from(shard)) {
            Some(answers) => answers.ready().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the answers whose bindings are on disk; instead of one whose are not, 503, and the same request may be tried
    /// again. Call it on the shard's thread.
    pub fn answers(&self, shard: u8, mut each: impl FnMut(Flow, Answer)) {
        let Some(answers) = self.answers.get(usize::from(shard)) else {
            return;
        };
        answers.take(&self.location, |waiting, committed| {
            let (nonce, count) = waiting.proof;
            if committed {
                self.authenticator.committed(nonce, count);
                each(waiting.flow, waiting.answer);
            } else {
                self.authenticator.forget(nonce, count);
                each(waiting.flow, not_kept(waiting.answer));
            }
        });
    }

    /// Keeps an answer until its change is on disk.
    pub(super) fn wait(&self, shard: u8, waiting: Waiting) {
        if let Some(answers) = self.answers.get(usize::from(shard)) {
            answers.push(waiting);
        }
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
        policy: &RegistrationPolicy,
        contacts: &Contacts,
        held: &[Packed],
    ) -> Result<Change, Refused> {
        let held: SmallVec<[View<'_>; 2]> = held.iter().map(Packed::view).collect();
        let (Some(call_id), Ok(cseq)) = (request.call_id(), request.cseq()) else {
            return Err(refused(Status::BAD_REQUEST, "Call-ID or CSeq"));
        };
        let in_order =
            |binding: &View<'_>| *binding.call_id != **call_id || cseq.number > binding.cseq;
        const OLD: Refused = refused(Status::SERVER_INTERNAL_ERROR, "CSeq is out of order");
        let list = match contacts {
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
            return Err(refused(Status::FORBIDDEN, "Too many bindings"));
        }
        let mut change = Change::default();
        let micros = now.as_microsecond();
        for contact in list {
            let grant = policy::grant(policy, contact, request.expires());
            let place = held.iter().position(|binding| names(contact, binding));
            let known = place.and_then(|place| held.get(place));
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
                    change.remove.extend(place);
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
            let outbound_key = outbound_key(contact);
            let key = match (known, &outbound_key) {
                (Some(known), _) => known.key,
                (None, Some(key)) => key,
                (None, None) => &contact.uri_text,
            };
            // A refresh does not make a login of it; the same phone started anew does (RFC 3261 §10.2: one Call-ID for
            // all registrations of one boot).
            let logged_in = known.filter(|binding| *binding.call_id == **call_id);
            let instance = contact.params.get("+sip.instance");
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
                path: None,
                user_agent: user_agent(request),
                q: contact.q(),
                instance: instance.as_deref(),
                reg_id: registration_id(contact),
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
            return Err(refused(Status::FORBIDDEN, "Too many bindings"));
        }
        Ok(change)
    }

    /// Step 8: all live bindings with what is left of their time, and the date.
    fn ok<'a>(
        &self,
        shard: u8,
        request: &Request,
        now: Timestamp,
        bindings: impl Iterator<Item = View<'a>>,
    ) -> Response {
        let mut response = self.authenticator.respond(shard, request, Status::OK);
        for binding in bindings {
            let left = ((binding.expires_at - now.as_microsecond()) / 1_000_000).max(0);
            let mut value = format!("<{}>;expires={left}", binding.contact);
            if binding.q != 1000 {
                value.push_str(&format!(";q={}.{:03}", binding.q / 1000, binding.q % 1000));
            }
            if let Some(instance) = binding.instance {
                value.push_str(&format!(";+sip.instance=\"{instance}\""));
            }
            response.headers.push(Name::Contact, value);
        }
        response.headers.push(Name::Date, date(now));
        response
    }

    fn refuse(&self, shard: u8, request: &Request, refused: &Refused) -> Box<Response> {
        let mut response = self.authenticator.respond(shard, request, refused.status);
        match refused.status {
            Status::INTERVAL_TOO_BRIEF => {
                response
                    .headers
                    .push(Name::MinExpires, refused.least.to_string());
            }
            Status::SERVICE_UNAVAILABLE => response.headers.push(Name::RetryAfter, RETRY_AFTER),
            _ => response.reason = refused.why.into(),
        }
        Box::new(response)
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

/// Tells whether this REGISTER made the binding.
fn is_from(binding: &View<'_>, request: &Request) -> bool {
    let same_call = request
        .call_id()
        .is_some_and(|call_id| **call_id == *binding.call_id);
    same_call && request.cseq().is_ok_and(|cseq| cseq.number == binding.cseq)
}

/// Tells whether a Contact is about this binding: the same instance and registration (RFC 5626 §6), else an equivalent
/// URI (RFC 3261 §10.3 step 7, §19.1.4).
fn names(contact: &NameAddr, binding: &View<'_>) -> bool {
    if let Some(key) = outbound_key(contact) {
        return key == binding.key;
    }
    if *contact.uri_text == *binding.contact {
        return true;
    }
    sip::Uri::parse(&binding.contact.into()).is_ok_and(|uri| uri.same_as(&contact.uri))
}

fn outbound_key(contact: &NameAddr) -> Option<String> {
    let instance = contact.params.get("+sip.instance")?;
    Some(format!("{instance}#{}", registration_id(contact)?))
}

fn registration_id(contact: &NameAddr) -> Option<u32> {
    contact.params.get("reg-id")?.parse().ok()
}

/// At most 250 octets of User-Agent are kept.
fn user_agent(request: &Request) -> &str {
    let value = request.headers.get(&Name::UserAgent);
    value.map_or("", |value| &value[..value.floor_char_boundary(250)])
}

/// Spells a time as SIP does (RFC 3261 §20.17).
pub(super) fn date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
