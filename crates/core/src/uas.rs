//! Requests outside of a dialog: RFC 3261 §8.2, in its order; then the registrar or the calls decide.

use std::sync::Arc;

use call::Now;
use sip::{
    Flow, Method, Name, Replaced, Request, RequestId, Response, Scheme, SessionId, Status,
    SubscriptionId, Terms, Transport,
};

use crate::diagnosis::Cause;
use crate::directory::Known;
use crate::events::ALLOW_EVENTS;
use crate::registrar::{Authenticator, Events};
use crate::{
    Calls, Directory, Guard, Messages, Offence, Packages, Registrar, Settings, Signalling,
};

/// Methods that are served, in or outside of a dialog.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, REGISTER, OPTIONS, INFO, UPDATE, PRACK, \
     MESSAGE, REFER, NOTIFY, SUBSCRIBE, PUBLISH";
/// Extensions that a client may require (RFC 3262, RFC 4028, RFC 3891, RFC 4488, RFC 3327, RFC 5626, RFC 5627).
const SUPPORTED: &[&str] = &[
    "100rel",
    "timer",
    "replaces",
    "norefersub",
    "path",
    "outbound",
    "gruu",
];

/// What a signalling shard does with a request.
#[derive(Debug)]
pub enum Decision {
    /// Sends this answer, statelessly.
    Reply(Response),
    /// Does nothing: the answer is on its way, or there is none.
    Silence,
    /// Does nothing: the answer comes through [`crate::Signalling`] after a commit.
    Wait,
    /// Keeps the request under this number until its answer comes ([`sip::Command::Hold`]).
    Hold(RequestId),
    /// Sends this answer through a transaction, which repeats it ([`sip::Command::Serve`]).
    Serve(Response),
    /// Makes a subscription of the SUBSCRIBE ([`sip::Command::Subscribe`]).
    Subscribe {
        /// Its number.
        subscription: SubscriptionId,
        /// How long it may last.
        terms: Terms,
        /// User part of our Contact.
        contact_user: sip::Text,
    },
    /// Makes a session of the INVITE under this number ([`sip::Command::Accept`]).
    Accept(SessionId),
}

/// The user agent server that is asked about each request outside of a dialog, on the thread of its shard.
#[derive(Clone, Debug)]
pub struct Uas {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) calls: Calls,
    pub(crate) packages: Packages,
    pub(crate) messages: Messages,
    pub(crate) authenticator: Authenticator,
    pub(crate) guard: Guard,
    pub(crate) events: Events,
    pub(crate) signalling: Signalling,
}

impl Uas {
    /// Decides about a request; `replaces` is the session that its Replaces means. It never waits.
    pub fn request(
        &self,
        now: &Now,
        shard: u8,
        request: Request,
        flow: Flow,
        replaces: Option<Replaced>,
    ) -> Decision {
        if self.is_unheard(now, &request, flow) {
            return Decision::Silence;
        }
        if let Some(refusal) = self.inspect(shard, &request, flow) {
            return Decision::Reply(refusal);
        }
        if self.directory.is_loading()
            && let Some(decision) = self.not_known_yet(shard, &request, flow)
        {
            return decision;
        }
        match request.method {
            Method::Register => self.registrar.register(now, shard, &request, flow),
            Method::Invite => self.calls.invite(now, shard, request, flow, replaces),
            Method::Options => Decision::Reply(self.options(shard, &request)),
            Method::Message => self.message(now, shard, &request, flow),
            Method::Subscribe => self.packages.subscribe(now, shard, &request, flow),
            Method::Publish => self.packages.publish(now, shard, &request, flow),
            Method::Ack => Decision::Silence,
            // RFC 3261 §12.2.2, §9.2: about a dialog or transaction that does not exist.
            Method::Bye
            | Method::Cancel
            | Method::Info
            | Method::Update
            | Method::Prack
            | Method::Notify => {
                Decision::Reply(self.respond(shard, &request, Status::CALL_DOES_NOT_EXIST))
            }
            _ => Decision::Reply(self.not_allowed(shard, &request)),
        }
    }

    /// Whether the request comes from a source that gets no answers: a scanner, or one that did too much. The phones that
    /// are registered from there are heard all the same: one attacker must not cut off a whole office.
    fn is_unheard(&self, now: &Now, request: &Request, flow: Flow) -> bool {
        let source = flow.remote.ip();
        let brings_proof = [Name::Authorization, Name::ProxyAuthorization]
            .iter()
            .any(|name| request.headers.get(name).is_some());
        let scans = !brings_proof
            && request
                .headers
                .get(&Name::UserAgent)
                .is_some_and(|user_agent| self.guard.is_scanner(user_agent));
        if scans {
            self.guard.note(now, source, Offence::Scanner);
        }
        if !self.guard.is_silenced(now, source) {
            return false;
        }
        let from = request.from().ok();
        let Some(claimed) = from.and_then(|from| self.registrar.claimed(&from)) else {
            return true;
        };
        if self.registrar.is_bound_from(now, claimed.endpoint, source) {
            return false;
        }
        if self.guard.asked_for(now, source, claimed.endpoint) {
            let (user, cause) = (Some(claimed.user.as_str()), Cause::SourceBlocked);
            self.events.refused(now.wall, request, flow, user, cause);
        }
        true
    }

    /// While endpoints are read: a request about one that is not read yet comes again when it is, or is told to.
    fn not_known_yet(&self, shard: u8, request: &Request, flow: Flow) -> Option<Decision> {
        let proof = match request.method {
            Method::Register => request.headers.get(&Name::Authorization)?,
            Method::Ack | Method::Options => return None,
            _ => request
                .headers
                .get(&Name::ProxyAuthorization)
                .unwrap_or(&request.uri),
        };
        let uri = request.uri_parsed().ok()?;
        let host = uri.host_lower();
        let credentials = sip::digest::Credentials::parse(proof).ok().flatten();
        let mut names: Vec<(String, String)> = Vec::new();
        names.extend(credentials.map(|known| (host.to_string(), known.username.to_string())));
        for address in [request.from(), request.to()].into_iter().flatten() {
            let user = address.uri.user_decoded().unwrap_or_default();
            names.push((address.uri.host_lower().to_string(), user.to_string()));
        }
        names.push((
            host.to_string(),
            uri.user_decoded().unwrap_or_default().to_string(),
        ));
        let mut wanted = Vec::new();
        for (host, user) in names {
            match self.directory.knows(&host, &user) {
                Known::Yes => (),
                Known::NotYet(domain) => wanted.push((domain, user)),
                Known::Later => return Some(self.later(shard, request)),
            }
        }
        if wanted.is_empty() {
            return None;
        }
        let (signalling, bytes) = (self.signalling.clone(), request.write());
        let again = move || {
            // A full inbox loses it; the phone sends it again.
            if signalling.again(shard, flow, bytes).is_err() {
                tracing::debug!(shard, "no room for a request that waited for its endpoint");
            }
        };
        match self.directory.fetch(wanted, again) {
            true => Some(Decision::Silence),
            false => Some(self.later(shard, request)),
        }
    }

    fn later(&self, shard: u8, request: &Request) -> Decision {
        let mut response = self.respond(shard, request, Status::SERVICE_UNAVAILABLE);
        response.headers.push(Name::RetryAfter, "5");
        Decision::Reply(response)
    }

    /// RFC 3261 §8.2.1 to §8.2.2.3: method, scheme, required extensions; all before authentication (S32, S33).
    fn inspect(&self, shard: u8, request: &Request, flow: Flow) -> Option<Response> {
        if request.method.is_unknown() {
            return Some(self.not_allowed(shard, request));
        }
        if request.method == Method::Ack {
            return None;
        }
        let scheme = match request.uri_parsed() {
            Ok(uri) => uri.scheme,
            Err(_) => return Some(self.respond(shard, request, Status::BAD_REQUEST)),
        };
        let served = match scheme {
            Scheme::Sip => true,
            // RFC 3261 §19.1: sips asks for TLS on every hop. Where a proxy before us ends it, the rest may be a plain
            // stream; datagrams are never under it.
            Scheme::Sips => flow.transport != Transport::Udp,
            Scheme::Tel => request.method == Method::Invite,
            Scheme::Other(_) => false,
        };
        if !served {
            return Some(self.respond(shard, request, Status::UNSUPPORTED_URI_SCHEME));
        }
        let required = request.headers.values(&Name::Require);
        let required = required.chain(request.headers.values(&Name::ProxyRequire));
        let unknown: Vec<sip::Text> = required.filter(|tag| !is_supported(tag)).collect();
        if unknown.is_empty() || request.method == Method::Cancel {
            return None;
        }
        let mut response = self.respond(shard, request, Status::BAD_EXTENSION);
        for tag in unknown {
            response.headers.push(Name::Unsupported, tag);
        }
        Some(response)
    }

    /// RFC 3261 §11.2. The administrator's address on an alias domain has an exception: a browser library asks it every
    /// five seconds and needs 404 for an answer (browser-sdk.md §3).
    fn options(&self, shard: u8, request: &Request) -> Response {
        if self.is_for_administrator(request) {
            return self.respond(shard, request, Status::NOT_FOUND);
        }
        let mut response = self.respond(shard, request, Status::OK);
        for (name, value) in options_headers() {
            response.headers.push(Name::new(&name.into()), value);
        }
        response
    }

    /// Browsers ask the administrator for their own address (browser-sdk.md §3); all others write to each other.
    fn message(&self, now: &Now, shard: u8, request: &Request, flow: Flow) -> Decision {
        if !self.is_for_administrator(request) || request.body.trim_ascii() != b"ipAddress" {
            return self.messages.message(now, shard, request, flow);
        }
        let mut response = self.respond(shard, request, Status::OK);
        response.headers.push(Name::ContentType, "text/plain");
        response.body = flow.remote.ip().to_canonical().to_string().into();
        Decision::Reply(response)
    }

    fn is_for_administrator(&self, request: &Request) -> bool {
        request.uri_parsed().is_ok_and(|uri| {
            uri.user.as_deref() == Some(self.settings.admin_user.as_str())
                && self
                    .directory
                    .host(&uri.host_lower())
                    .is_some_and(|host| host.shared)
        })
    }

    fn not_allowed(&self, shard: u8, request: &Request) -> Response {
        let mut response = self.respond(shard, request, Status::METHOD_NOT_ALLOWED);
        response.headers.push(Name::Allow, ALLOW);
        response
    }

    fn respond(&self, shard: u8, request: &Request, status: Status) -> Response {
        self.authenticator.respond(shard, request, status)
    }
}

/// What we can do, as the answer to OPTIONS says it (RFC 3261 §11.2).
pub(crate) fn options_headers() -> Vec<(&'static str, String)> {
    vec![
        ("Allow", ALLOW.to_owned()),
        ("Accept", "application/sdp".to_owned()),
        ("Supported", SUPPORTED.join(", ")),
        ("Allow-Events", ALLOW_EVENTS.to_owned()),
    ]
}

fn is_supported(tag: &str) -> bool {
    SUPPORTED
        .iter()
        .any(|known| known.eq_ignore_ascii_case(tag))
}
