//! An INVITE outside of a dialog: whose call it is and what it may do. It decides without waiting; the rest is the call's.
//!
//! An endpoint proves its password (407) and gets its application. A stranger may ring an endpoint that wants to be rung,
//! so many times a minute, and reaches nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use call::{
    AuthKind, AuthUser, CallNumber, Caller, Dial, Document, EndpointId, LegId, Link, Now, Script,
    Start, Target, TargetKind, Verb,
};
use sip::{Flow, Name, NameAddr, Request, Response, Status, Uri};
use store::{Account, Application, ApplicationKind, HttpMethod};

use crate::calls::locate::{Asker, digits, is_own_address};
use crate::calls::record::{self, Facts, call_method};
use crate::calls::task::Task;
use crate::calls::watch::Watch;
use crate::calls::{Calls, Inner};
use crate::directory::Subscriber;
use crate::registrar::is_refused_user_agent;
use crate::{Decision, Offence, Settings};

/// Headers that go along with a call, to the customer and to other legs; all other extensions stop here (S73).
const CUSTOM_HEADERS: [&str; 2] = ["X-PH-", "X-VH-"];
/// Seconds after which a refused caller may try again.
const RETRY_AFTER: &str = "5";
/// The one kind of body that an INVITE may bring.
const SDP: &str = "application/sdp";

type Refusal = Box<Response>;

/// What an accepted INVITE becomes.
struct Admitted {
    asker: Asker,
    facts: Facts,
    caller: Caller,
    script: Script,
}

impl Calls {
    /// Answers an INVITE, or takes it.
    pub(crate) fn invite(&self, now: &Now, shard: u8, request: Request, flow: Flow) -> Decision {
        match self.0.admit(now, shard, &request, flow) {
            Ok(admitted) => self.take(now, shard, admitted),
            Err(response) => Decision::Reply(*response),
        }
    }

    fn take(&self, now: &Now, shard: u8, admitted: Admitted) -> Decision {
        let number = CallNumber(self.0.next_number.fetch_add(1, Ordering::Relaxed));
        let inbox = self.0.live.open(number);
        let mut randomness = self.0.randomness();
        let extra = record::extra(&admitted.caller);
        let start = Start {
            number,
            shard,
            uuids: Box::new(move || {
                let bytes = rand::Rng::random(&mut randomness);
                uuid::Builder::from_random_bytes(bytes).into_uuid()
            }),
            caller: admitted.caller,
            script: admitted.script,
        };
        let task = Task {
            calls: Arc::clone(&self.0),
            call: call::Call::new(*now, start),
            number,
            shard,
            inbox,
            facts: admitted.facts,
            extra,
            asker: admitted.asker,
            watch: Watch::default(),
        };
        self.0.tasks.spawn_on(task.run(), &self.0.runtime);
        Decision::Accept(call::session(shard, number, LegId::A))
    }
}

impl Inner {
    fn admit(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Admitted, Refusal> {
        let refuse = |status, why: &'static str| Err(self.refusal(shard, request, status, why));
        if self.draining.load(Ordering::Relaxed) {
            return refuse(Status::SERVICE_UNAVAILABLE, "Shutting down");
        }
        if self.live.len() >= self.settings.max_calls {
            return refuse(Status::SERVICE_UNAVAILABLE, "Too many calls");
        }
        // Our own leg came back to us (S71, S72).
        if is_own_address(&self.settings, flow.remote) {
            return refuse(Status::LOOP_DETECTED, "");
        }
        let user_agent = request.headers.get(&Name::UserAgent).map(|value| &**value);
        if is_refused_user_agent(&self.settings.refused_user_agents, user_agent) {
            return refuse(Status::FORBIDDEN, "User agent refused");
        }
        let (Ok(uri), Ok(from)) = (request.uri_parsed(), request.from()) else {
            return refuse(Status::BAD_REQUEST, "");
        };
        // S24: what no name may hold never gets near a record.
        let is_clean = |uri: &Uri| {
            uri.user_decoded()
                .is_none_or(|user| !user.chars().any(char::is_control))
        };
        if !is_clean(&uri) || !is_clean(&from.uri) {
            return refuse(Status::BAD_REQUEST, "Control character in a user part");
        }
        if !is_description(request) {
            return refuse(Status::UNSUPPORTED_MEDIA_TYPE, "");
        }
        let from_host = from.uri.host_lower();
        let brings_proof = request.headers.get(&Name::ProxyAuthorization).is_some();
        // Who says to be one of us must prove it; who proves it need not say so.
        let claimed = match self.directory.host(&from_host) {
            Some(host) => Some((from_host, host)),
            None if brings_proof => {
                let host = uri.host_lower();
                self.directory.host(&host).map(|found| (host, found))
            }
            None => None,
        };
        let Some((host_name, host)) = claimed else {
            return self.admit_stranger(now, shard, request, flow, &uri, &from);
        };
        let who = self
            .authenticator
            .check(now, shard, request, flow, &host_name, &host)?;
        self.admit_endpoint(shard, request, flow, &uri, &from, who.subscriber)
    }

    fn admit_endpoint(
        &self,
        shard: u8,
        request: &Request,
        flow: Flow,
        uri: &Uri,
        from: &NameAddr,
        subscriber: Arc<Subscriber>,
    ) -> Result<Admitted, Refusal> {
        let refuse = |status, why: &'static str| Err(self.refusal(shard, request, status, why));
        let account = self
            .directory
            .account(subscriber.account)
            .filter(|account| account.enabled);
        let Some(account) = account.filter(|_| subscriber.enabled) else {
            return refuse(Status::FORBIDDEN, "Endpoint disabled");
        };
        let user_agent = request.headers.get(&Name::UserAgent).map(|value| &**value);
        let policy = self.directory.registration_policy(&subscriber);
        if policy.refuses(user_agent) {
            return refuse(Status::FORBIDDEN, "User agent refused");
        }
        if !subscriber.permissions.voice {
            return refuse(Status::FORBIDDEN, "Calls not allowed");
        }
        let application = match subscriber.application {
            Some(application) => self.directory.application(application),
            None => self.directory.default_application(account.id),
        };
        let Some(application) = application else {
            return refuse(Status::NOT_FOUND, "No application for this endpoint");
        };
        if !application.enabled {
            return refuse(Status::FORBIDDEN, "Application disabled");
        }
        let address = format!("sip:{}@{}", subscriber.user, subscriber.domain);
        let facts = self.facts(&account, Some(Arc::clone(&application)), subscriber.flavor);
        // S69: whatever From says, the caller is who proved the password.
        let caller = Caller {
            from: address,
            number_or_user: subscriber.user.clone(),
            auth: Some(AuthUser {
                user: subscriber.user.clone(),
                kind: AuthKind::Credentials,
            }),
            endpoint: u64::try_from(subscriber.endpoint).ok().map(EndpointId),
            domain: subscriber.domain.clone(),
            ..caller(request, flow, uri, from)
        };
        Ok(Admitted {
            script: script(&self.settings, &application, uri),
            asker: Asker {
                account,
                caller: Some(subscriber),
                source: flow,
            },
            facts,
            caller,
        })
    }

    fn admit_stranger(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        uri: &Uri,
        from: &NameAddr,
    ) -> Result<Admitted, Refusal> {
        let refuse = |status, why: &'static str| Err(self.refusal(shard, request, status, why));
        let host = uri.host_lower();
        if self.directory.host(&host).is_none() {
            self.guard
                .note(now, flow.remote.ip(), Offence::ForeignDomain);
            return refuse(Status::FORBIDDEN, "No relay");
        }
        if !self.strangers.admit(now.instant, flow.remote.ip()) {
            return refuse(
                Status::SERVICE_UNAVAILABLE,
                "Too many calls from this address",
            );
        }
        // Who does not exist and who is not to be called from outside are the same to a stranger.
        let nobody = || {
            self.guard
                .note(now, flow.remote.ip(), Offence::NobodyCalled);
            refuse(Status::NOT_FOUND, "")
        };
        let Some(subscriber) = self
            .locator
            .owner(uri)
            .filter(|subscriber| subscriber.enabled)
        else {
            return nobody();
        };
        let account = self.directory.account(subscriber.account);
        let account: Option<Arc<Account>> =
            account.filter(|account| account.enabled && account.allow_external_callers);
        let Some(account) = account.filter(|_| subscriber.permissions.voice) else {
            return nobody();
        };
        let target = format!("sip:{}@{}", subscriber.user, subscriber.domain);
        let caller = Caller {
            to: target.clone(),
            domain: home_of_stranger(from),
            ..caller(request, flow, uri, from)
        };
        Ok(Admitted {
            facts: self.facts(&account, None, subscriber.flavor),
            script: Script::Document {
                // A GRUU goes on as it is: it is the device that is called (RFC 5627 §6.1).
                document: match uri.param("gr") {
                    Some(_) => direct_dial(&self.settings, uri.to_string()),
                    None => direct_dial(&self.settings, target),
                },
                hangup: None,
            },
            asker: Asker {
                account,
                caller: None,
                source: flow,
            },
            caller,
        })
    }

    fn refusal(&self, shard: u8, request: &Request, status: Status, why: &'static str) -> Refusal {
        let mut response = self.authenticator.respond(shard, request, status);
        if !why.is_empty() {
            // RFC 3261 §20.43: 399, a text for people.
            let warning = format!("399 {} \"{why}\"", self.settings.domain);
            response.headers.push(Name::Warning, warning);
        }
        match status {
            Status::SERVICE_UNAVAILABLE => response.headers.push(Name::RetryAfter, RETRY_AFTER),
            Status::UNSUPPORTED_MEDIA_TYPE => response.headers.push(Name::Accept, SDP),
            _ => {}
        }
        Box::new(response)
    }
}

/// RFC 3261 §8.2.3: a body is a description that we can read, or there is none. Nothing else may pass for a call without
/// an offer.
fn is_description(request: &Request) -> bool {
    request.body.is_empty() || request.sdp().is_some()
}

/// What the INVITE itself says of the caller.
fn caller(request: &Request, flow: Flow, uri: &Uri, from: &NameAddr) -> Caller {
    let user = from.uri.user_decoded().unwrap_or_default().into_owned();
    let offer = request.sdp().map(|sdp| Bytes::copy_from_slice(&sdp));
    Caller {
        from: match digits(&user) {
            Some(number) => number,
            None => format!("sip:{user}@{}", from.uri.host_lower()),
        },
        to: dialled(uri),
        name: display_name(from),
        number_or_user: user,
        source: flow,
        to_header: request
            .headers
            .get(&Name::To)
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: custom_headers(request),
        auth: None,
        endpoint: None,
        offer,
        domain: String::new(),
        call_id: request.call_id().map(ToString::to_string),
    }
}

/// The domain in which a stranger's name is shown: never one of ours, whose names only we give (S69).
fn home_of_stranger(from: &NameAddr) -> String {
    let home = from.uri.host_lower();
    // A tel URI has none. RFC 3323 §4.1.1.3.
    let named = from.uri.scheme.is_sip() && !home.is_empty();
    if named {
        home.into_owned()
    } else {
        "anonymous.invalid".to_owned()
    }
}

/// What was dialled, as customers see it: digits, or a SIP URI (plivo-rest.md §14.4).
fn dialled(uri: &Uri) -> String {
    let user = uri.user_decoded().unwrap_or_default();
    match digits(&user) {
        Some(number) => number,
        None if user.is_empty() => format!("sip:{}", uri.host_lower()),
        None => format!("sip:{user}@{}", uri.host_lower()),
    }
}

fn display_name(from: &NameAddr) -> String {
    let name = from.display_unquoted().unwrap_or_default();
    name.chars()
        .filter(|letter| !letter.is_control())
        .take(100)
        .collect()
}

fn custom_headers(request: &Request) -> Vec<(String, String)> {
    let is_custom = |name: &str| {
        CUSTOM_HEADERS.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    };
    let headers = request
        .headers
        .iter()
        .filter(|header| is_custom(header.name.as_str()));
    headers
        .map(|header| (header.name.as_str().to_owned(), header.value.to_string()))
        .take(50)
        .collect()
}

fn script(settings: &Settings, application: &Application, uri: &Uri) -> Script {
    let link = |url: &Option<String>, method: HttpMethod| {
        let url = url.as_ref().filter(|url| !url.is_empty())?;
        Some(Link {
            url: url.clone(),
            method: call_method(method),
        })
    };
    let hangup = link(&application.hangup_url, application.hangup_method);
    match application.kind {
        ApplicationKind::DirectDial => Script::Document {
            document: direct_dial(settings, uri.to_string()),
            hangup,
        },
        ApplicationKind::Xml => {
            let answer = link(&application.answer_url, application.answer_method);
            Script::Application {
                // Without a URL of its own the end is told to the answer URL (plivo-rest.md §7).
                hangup: hangup.or_else(|| answer.clone()),
                fallback: link(&application.fallback_url, application.fallback_method),
                answer,
            }
        }
    }
}

/// The built-in application that dials what the caller dialled.
fn direct_dial(settings: &Settings, target: String) -> Document {
    let target = Target {
        kind: TargetKind::Any(target),
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    };
    Document {
        verbs: vec![Verb::Dial(Dial {
            targets: vec![target],
            timeout: settings.ring_timeout,
            time_limit: settings.time_limit,
            caller_id: None,
            caller_name: None,
            action: None,
            redirect: false,
            callback: None,
            sip_headers: Vec::new(),
            early_media: true,
            direct: true,
        })],
    }
}
