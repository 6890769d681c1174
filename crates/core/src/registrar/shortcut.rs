//! The short way of plain REGISTER and OPTIONS over UDP: read in place, answered into the buffer that is sent. What is not
//! plain, not proved or not simply a refresh or a first binding goes the whole way, as if it had not been looked at.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use call::Now;
use sip::digest::Algorithm;
use sip::stateless::{Answer as Write, Asked, Glance, Ha2, Plain, PlainContact, Proof};
use sip::{Flow, FlowId, Transport};
use store::{Change, Packed, View};

use crate::directory::Host;
use crate::guard::network;
use crate::overload::{Admission, Course, Gate, Load, Refusal, is_refused};
use crate::registrar::Registrar;
use crate::registrar::answer::date;
use crate::registrar::policy;
use crate::registrar::registrar::happenings;
use crate::registrar::waiting::{Answer, Told, Waiting};
use crate::uas;

/// What came of a datagram.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Short {
    /// Its answer is written.
    Answered,
    /// Its answer comes after the commit ([`Registrar::answers`]).
    Waits,
    /// Its refusal is written: the shard has too much to do.
    Refused,
    /// It is refused without a word.
    Dropped,
    /// Nothing: it goes the whole way.
    Not,
}

/// The short way of one shard.
#[derive(Debug)]
pub struct Shortcut {
    registrar: Arc<Registrar>,
    shard: u8,
    /// Value of Server.
    product: String,
    options: Vec<(&'static str, String)>,
    ha2: Ha2,
    admission: Admission,
    /// The date as SIP spells it, and its second.
    date: (i64, String),
}

impl Shortcut {
    /// Makes the short way of a shard whose answers say this product; the seed is for what it leaves to chance.
    pub fn new(registrar: Arc<Registrar>, shard: u8, product: &str, now: &Now, seed: u64) -> Self {
        Self {
            registrar,
            shard,
            product: product.to_owned(),
            options: uas::options_headers(),
            ha2: Ha2::default(),
            admission: Admission::new(now.instant, seed),
            date: (i64::MIN, String::new()),
        }
    }

    /// Looks at how full the shard's queues are, once a turn.
    pub fn look(&mut self, now: &Now, load: Load) {
        let load = Load {
            commit: self.registrar.oldest_wait(self.shard, now),
            ..load
        };
        let shard = self.shard;
        match self.admission.look(now.instant, load) {
            Some(Course::Began(sign)) => {
                tracing::warn!(
                    shard,
                    reason = sign.name(),
                    "overloaded: requests are refused, strangers' first"
                );
            }
            Some(Course::Lasts(lasted, refused, dropped)) => {
                let seconds = lasted.as_secs();
                tracing::warn!(shard, seconds, refused, dropped, "overloaded still");
            }
            Some(Course::Ended(lasted, refused, dropped)) => {
                let seconds = lasted.as_secs();
                tracing::info!(shard, seconds, refused, dropped, "overloaded no longer");
            }
            None => {}
        }
    }

    /// When it wants to look again, even if nothing happens.
    pub fn next_look(&self) -> Option<Duration> {
        self.admission.next_look()
    }

    /// What the kernel is to do with datagrams before they are read; it changes in [`Shortcut::look`] only.
    pub fn gate(&self) -> Gate {
        self.admission.gate()
    }

    /// Refuses a message of any kind, if the shard has too much to do for it; costs two comparisons when it has not.
    pub fn shed(
        &mut self,
        now: &Now,
        flow: Flow,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Short> {
        if !self.admission.refuses_any() {
            return None;
        }
        let glance = Glance::of(message)?;
        if glance.method == "REGISTER" && glance.proof.is_some() {
            self.admission.saw_proof(now.instant, message.len());
        }
        let registrar = &self.registrar;
        let source = flow.remote.ip();
        let users = || registrar.guard.users_behind(source);
        let weight = self.admission.weigh(now.instant, network(source), users);
        let admission = &self.admission;
        let is_known = admission.is_known(now.instant, network(source));
        let refuses = |class| admission.refuses(class, weight);
        if !is_refused(registrar, now, flow, &glance, is_known, refuses) {
            return None;
        }
        if registrar.guard.is_silenced(now, source) {
            self.admission.drop();
            return Some(Short::Dropped);
        }
        let Refusal::Answer(seconds) = self.admission.refuse(now.instant) else {
            return Some(Short::Dropped);
        };
        let (via, call_id) = glance.names();
        let tag = registrar.authenticator.tag(self.shard, via, call_id);
        match glance.refuse(out, flow.remote, &tag, seconds, &self.product) {
            true => Some(Short::Refused),
            false => Some(Short::Dropped),
        }
    }

    /// Takes a datagram when it is plain or refused; writes to `out` only what [`Short::Answered`] and [`Short::Refused`]
    /// stand for.
    pub fn take(&mut self, now: &Now, flow: Flow, datagram: &[u8], out: &mut Vec<u8>) -> Short {
        if flow.transport != Transport::Udp || flow.id != FlowId::NONE {
            return Short::Not;
        }
        if let Some(refused) = self.shed(now, flow, datagram, out) {
            return refused;
        }
        let Some(request) = Plain::scan(datagram) else {
            return Short::Not;
        };
        let guard = &self.registrar.guard;
        let scans = request
            .user_agent
            .is_some_and(|agent| guard.is_scanner(agent));
        if scans || guard.is_silenced(now, flow.remote.ip()) {
            return Short::Not;
        }
        match request.asked {
            Asked::Options => self.options(&request, flow, out),
            Asked::Register => self
                .register(now, &request, flow, out)
                .unwrap_or(Short::Not),
        }
    }

    /// RFC 3261 §11.2; a Request-URI without a user is nobody's keepalive.
    fn options(&self, request: &Plain<'_>, flow: Flow, out: &mut Vec<u8>) -> Short {
        let tag = self.tag(request);
        let mut answer = Write::begin(out, "200 OK", request, flow.remote, &tag);
        for (name, value) in &self.options {
            answer.header(name, &[value]);
        }
        answer.end(&self.product);
        Short::Answered
    }

    /// The steps of RFC 3261 §10.3 where each of them goes well; none: the whole way.
    fn register(
        &mut self,
        now: &Now,
        request: &Plain<'_>,
        flow: Flow,
        out: &mut Vec<u8>,
    ) -> Option<Short> {
        let registrar = Arc::clone(&self.registrar);
        let settings = &registrar.settings;
        let refused = &settings.refused_user_agents;
        if policy::is_refused_user_agent(refused, request.user_agent)
            || !settings.service_route.is_empty()
        {
            return None;
        }
        let host = registrar.directory.host(request.host)?;
        let Some(authorization) = request.authorization else {
            return self.challenge(now, request, flow, &host, out);
        };
        let proof = Proof::read(authorization)?;
        let authenticator = &registrar.authenticator;
        let (subscriber, nonce) =
            authenticator.short_check(now, request, &proof, flow, &host, &mut self.ha2)?;
        let policy = registrar.directory.registration_policy(&subscriber);
        if !subscriber.enabled
            || policy.algorithm != Algorithm::Md5
            || policy.refuses(request.user_agent)
            || request.from_uri != request.to_uri
            || !is_address(request.to_uri, proof.username, request.host)
        {
            return None;
        }
        let contact = request.contact?;
        let seconds = contact.expires.or(request.expires);
        let seconds = seconds.unwrap_or(policy.default_expires);
        if seconds == 0 || seconds < policy.min_expires {
            return None;
        }
        let seconds = seconds.min(policy.max_expires);
        self.refresh_date(now);
        let count = proof.count;
        if !authenticator.note_first(now, request, flow, nonce, count) {
            return None;
        }
        let is_heard = registrar.events.are_heard(&subscriber);
        if is_heard {
            registrar
                .location
                .tell_lapsed(subscriber.endpoint, now.wall);
        }
        let happened = RefCell::new(Vec::new());
        let micros = now.wall.as_microsecond();
        let decide = |held: &[Packed]| -> Result<Change, ()> {
            let known = match held {
                [] if self.leads_elsewhere(&contact) => None,
                [known] => Some(known.view()),
                _ => return Err(()),
            };
            let same_call = known.is_some_and(|known| known.call_id == request.call_id);
            let fits = known.is_none_or(|known| {
                known.contact == contact.uri
                    && known.key == known.contact
                    && known.instance.is_none()
                    && known.reg_id.is_none()
                    && known.path.is_none()
                    && !(same_call && request.number <= known.cseq)
            });
            if !fits || !subscriber.is_current() {
                return Err(());
            }
            let agent = request.user_agent.unwrap_or_default();
            let new = View {
                key: contact.uri,
                contact: contact.uri,
                call_id: request.call_id,
                cseq: request.number,
                expires_at: micros.saturating_add(i64::from(seconds) * 1_000_000),
                logged_in: known
                    .filter(|_| same_call)
                    .map_or(micros, |known| known.logged_in),
                transport: store::Transport::Udp,
                local: flow.local,
                remote: flow.remote,
                flow: FlowId::NONE.0,
                path: None,
                user_agent: &agent[..agent.floor_char_boundary(250)],
                q: 1000,
                instance: None,
                reg_id: None,
            };
            let mut change = Change::default();
            change.put.push((known.map(|_| 0), Packed::new(&new, true)));
            if is_heard {
                happened.replace(happenings(subscriber.endpoint, &change, held));
            }
            Ok(change)
        };
        let changed =
            registrar
                .location
                .change(subscriber.endpoint, now.wall, self.shard, decide, |_| ());
        let Ok(Ok((ticket, undo, ()))) = changed else {
            // It is as if it had not been looked at.
            authenticator.forget(nonce, count);
            return None;
        };
        let source = flow.remote.ip();
        registrar.guard.proved(now, source, subscriber.endpoint);
        if self.admission.refuses_any() {
            self.admission.registers(now.instant, network(source));
        }
        registrar.events.fresh(subscriber.endpoint);
        let mut written = Vec::with_capacity(768);
        let tag = self.tag(request);
        let mut answer = Write::begin(&mut written, "200 OK", request, flow.remote, &tag);
        answer.contact(contact.uri, u64::from(seconds));
        answer.header("Date", &[&self.date.1]);
        answer.end(&self.product);
        registrar.wait(
            self.shard,
            Waiting {
                since: now.instant,
                ticket,
                undo,
                told: is_heard.then(|| {
                    Box::new(Told {
                        at: now.wall,
                        subscriber: Arc::clone(&subscriber),
                        happened: happened.take(),
                    })
                }),
                proof: (nonce, count),
                flow,
                answer: Answer::Written(written),
            },
        );
        Some(Short::Waits)
    }

    /// 401 (RFC 3261 §22.1).
    fn challenge(
        &self,
        now: &Now,
        request: &Plain<'_>,
        flow: Flow,
        host: &Host,
        out: &mut Vec<u8>,
    ) -> Option<Short> {
        if host.realm.contains(['"', '\\']) {
            return None;
        }
        let authenticator = &self.registrar.authenticator;
        let nonce = authenticator.short_challenge(now, flow, host)?;
        self.registrar.guard.challenged(now, flow.remote.ip());
        let tag = self.tag(request);
        let mut answer = Write::begin(out, "401 Unauthorized", request, flow.remote, &tag);
        let value = [
            "Digest realm=\"",
            &host.realm,
            "\", nonce=\"",
            &nonce,
            "\", algorithm=MD5, qop=\"auth\"",
        ];
        answer.header("WWW-Authenticate", &value);
        answer.end(&self.product);
        Some(Short::Answered)
    }

    fn tag(&self, request: &Plain<'_>) -> String {
        let authenticator = &self.registrar.authenticator;
        authenticator.tag(self.shard, request.branch, request.call_id)
    }

    fn refresh_date(&mut self, now: &Now) {
        let second = now.wall.as_second();
        if self.date.0 != second {
            self.date = (second, date(now.wall));
        }
    }

    /// Whether a new Contact plainly does not lead to the platform itself (S72).
    fn leads_elsewhere(&self, contact: &PlainContact<'_>) -> bool {
        let Some(rest) = contact.uri.strip_prefix("sip:") else {
            return false;
        };
        let address = rest.split_once('@').map_or(rest, |(_, address)| address);
        let address = address.split(';').next().unwrap_or_default();
        let (host, port) = match address.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (address, Some(5060)),
        };
        let (Ok(ip), Some(port)) = (host.parse::<IpAddr>(), port) else {
            return false;
        };
        let own = &self.registrar.settings.own_addresses;
        own.iter()
            .all(|own| own.port() != port || own.ip().to_canonical() != ip)
    }
}

/// Whether a URI is `sip:user@host`.
fn is_address(uri: &str, user: &str, host: &str) -> bool {
    let parts = uri
        .strip_prefix("sip:")
        .and_then(|rest| rest.split_once('@'));
    parts == Some((user, host))
}
