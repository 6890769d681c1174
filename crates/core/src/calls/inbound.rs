//! An INVITE outside of a dialog: whose call it is and what it may do. It decides without waiting; the rest is the call's.
//!
//! An endpoint proves its password (407) and gets its application. A stranger may ring an endpoint that wants to be rung,
//! so many times a minute, and reaches nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use call::{AuthKind, AuthUser, CallNumber, Caller, Cause, EndpointId, LegId, Now, Script, Start};
use sip::{Flow, Name, NameAddr, Replaced, Request, Response, Status, Uri};
use store::{Account, Application, LimitOwner};

use crate::calls::aim::{Aim, Viewpoint};
use crate::calls::limits::Ticket;
use crate::calls::locate::{Asker, is_own_address};
use crate::calls::on_trunk::OnTrunks;
use crate::calls::permission::Permission;
use crate::calls::record::{self, Facts};
use crate::calls::referred::Referrals;
use crate::calls::task::Task;
use crate::calls::watch::Watch;
use crate::calls::{Calls, Inner, caller, script};
use crate::directory::Subscriber;
use crate::registrar::is_refused_user_agent;
use crate::trunks::OnTrunk;
use crate::{Decision, Offence};

/// Seconds after which a refused caller may try again.
const RETRY_AFTER: &str = "5";
/// The one kind of body that an INVITE may bring.
const SDP: &str = "application/sdp";

pub(super) type Refusal = Box<Response>;

/// What an accepted INVITE becomes.
pub(super) struct Admitted {
    pub(super) ticket: Option<Ticket>,
    pub(super) asker: Asker,
    pub(super) facts: Facts,
    pub(super) caller: Caller,
    pub(super) script: Script,
    /// Its place on the trunk that it came over.
    pub(super) on_trunk: Option<OnTrunk>,
}

/// An INVITE that was read.
#[derive(Copy, Clone)]
pub(super) struct Arriving<'a> {
    pub(super) now: &'a Now,
    pub(super) shard: u8,
    pub(super) request: &'a Request,
    pub(super) flow: Flow,
    pub(super) uri: &'a Uri,
    pub(super) from: &'a NameAddr,
    /// The session that it wants to take the place of (RFC 3891).
    pub(super) replaces: Option<Replaced>,
}

impl Arriving<'_> {
    /// What it says of its caller.
    pub(super) fn caller(&self) -> Caller {
        caller::of(self.request, self.flow, self.uri, self.from)
    }
}

impl Calls {
    /// Answers an INVITE, or takes it.
    pub(crate) fn invite(
        &self,
        now: &Now,
        shard: u8,
        request: Request,
        flow: Flow,
        replaces: Option<Replaced>,
    ) -> Decision {
        match self.0.admit(now, shard, &request, flow, replaces) {
            Ok(admitted) => self.take(now, shard, admitted),
            Err(response) => Decision::Reply(*response),
        }
    }

    fn take(&self, now: &Now, shard: u8, admitted: Admitted) -> Decision {
        let number = CallNumber(self.0.next_number.fetch_add(1, Ordering::Relaxed));
        let inbox = self.0.live.open(number, admitted.facts.account_id);
        let mut randomness = self.0.randomness();
        let begun = u64::try_from(now.wall.as_millisecond()).unwrap_or_default();
        let extra = record::extra(&admitted.caller);
        let start = Start {
            number,
            shard,
            // In the order of time (RFC 9562 §5.7): what is written together lies together in the index.
            uuids: Box::new(move || {
                let bytes = rand::Rng::random(&mut randomness);
                uuid::Builder::from_unix_timestamp_millis(begun, &bytes).into_uuid()
            }),
            caller: admitted.caller,
            script: admitted.script,
            transfer: admitted.facts.transfer(),
            allowance: admitted.ticket.as_ref().and_then(|ticket| ticket.allowance),
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
            ticket: admitted.ticket,
            on_trunks: OnTrunks::new(admitted.on_trunk),
            referrals: Referrals::default(),
            watch: Watch::default(),
            is_recorded: false,
        };
        self.0.tasks.spawn_on(task.run(), self.0.runtime_of(shard));
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
        replaces: Option<Replaced>,
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
        let arriving = Arriving {
            now,
            shard,
            request,
            flow,
            uri: &uri,
            from: &from,
            replaces,
        };
        // Who replaces a session is an endpoint.
        if replaces.is_none()
            && let Some(admitted) = self.admit_from_trunk(arriving)?
        {
            return Ok(admitted);
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
            return self.admit_stranger(arriving);
        };
        let who = self
            .authenticator
            .check(now, shard, request, flow, &host_name, &host)?;
        self.admit_endpoint(arriving, who.subscriber)
    }

    fn admit_endpoint(
        &self,
        arriving: Arriving<'_>,
        subscriber: Arc<Subscriber>,
    ) -> Result<Admitted, Refusal> {
        let Arriving {
            now,
            shard,
            request,
            flow,
            uri,
            replaces,
            ..
        } = arriving;
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
        if let Some(replaced) = replaces {
            return self.admit_replacing(arriving, subscriber, account, replaced);
        }
        let aim = Viewpoint {
            directory: &self.directory,
            settings: &self.settings,
            gruus: &self.locator.gruus,
            account: account.id,
            country: self.locator.country(&account),
            home: Some(&subscriber.domain),
        }
        .of(uri);
        let offer = request.sdp();
        let missing = Permission::missing_for_call(&subscriber, &aim, offer.as_deref());
        let own = match subscriber.application {
            Some(application) => self.directory.application(application),
            None => self.directory.default_application(account.id),
        };
        let (account, application) = match &aim {
            // vobiz-rest.md §2.8: the permission is looked at before the application.
            _ if missing.is_some() => (account, own),
            Aim::Application(id) => {
                let Some((owner, application)) = self.called_application(*id, Some(account.id))
                else {
                    return refuse(Status::NOT_FOUND, "No such application");
                };
                (owner, Some(application))
            }
            _ if own.is_none() => {
                return refuse(Status::NOT_FOUND, "No application for this endpoint");
            }
            _ => (account, own),
        };
        let caller = self.named(&subscriber, arriving.caller());
        let refused_by = missing
            .map(|permission| (permission.cause(), permission.status()))
            .or_else(|| self.prefix_barred(&subscriber, &aim));
        let endpoint = Some(subscriber.endpoint);
        let counted = match refused_by {
            Some(refused) => Err(refused),
            None => self.counted(now, subscriber.account, endpoint),
        };
        let (script, ticket) = match (counted, &application) {
            (Err((cause, status)), application) => {
                (script::refused(cause, status, application.as_deref()), None)
            }
            (Ok(_), Some(application)) if !application.enabled => {
                return refuse(Status::FORBIDDEN, "Application disabled");
            }
            (Ok(ticket), Some(application)) => {
                (script::of(&self.settings, application, uri), Some(ticket))
            }
            (Ok(_), None) => return refuse(Status::NOT_FOUND, ""),
        };
        Ok(Admitted {
            on_trunk: None,
            facts: self.facts(&account, application, subscriber.flavor),
            asker: Asker {
                account,
                caller: Some(subscriber),
                source: flow,
                shown: String::new(),
            },
            script,
            caller,
            ticket,
        })
    }

    /// Counts a call against the limits of its owners, or says how it is refused.
    pub(super) fn counted(
        &self,
        now: &Now,
        account: store::Id,
        endpoint: Option<store::Id>,
    ) -> Result<Ticket, (Cause, Status)> {
        let refused = |cause| match cause {
            // There may be room again in a moment; the day's minutes are gone.
            Cause::MinutesLimit => (cause, Status::FORBIDDEN),
            _ => (cause, Status::SERVICE_UNAVAILABLE),
        };
        self.limits.admit(now, account, endpoint).map_err(refused)
    }

    fn prefix_barred(&self, caller: &Subscriber, aim: &Aim) -> Option<(Cause, Status)> {
        let Aim::Number(number) = aim else {
            return None;
        };
        let owner = LimitOwner::Endpoint(caller.endpoint);
        let barred = !self.limits.may_dial(owner, number);
        barred.then_some((Cause::PrefixLimit, Status::FORBIDDEN))
    }

    /// S69: whatever From says, the caller is who proved the password.
    pub(super) fn named(&self, subscriber: &Subscriber, said: Caller) -> Caller {
        Caller {
            from: format!("sip:{}@{}", subscriber.user, subscriber.domain),
            number_or_user: subscriber.user.clone(),
            auth: Some(AuthUser {
                user: subscriber.user.clone(),
                kind: AuthKind::Credentials,
            }),
            endpoint: u64::try_from(subscriber.endpoint).ok().map(EndpointId),
            domain: subscriber.domain.clone(),
            ..said
        }
    }

    /// The application behind a SIP URI and its account; from outside of the account only when it is public.
    fn called_application(
        &self,
        id: Option<store::Id>,
        from: Option<store::Id>,
    ) -> Option<(Arc<Account>, Arc<Application>)> {
        let application = self.directory.application(id?)?;
        let inside = from == Some(application.account);
        let account = self
            .directory
            .account(application.account)
            .filter(|account| account.enabled)?;
        (inside || application.public_uri && application.enabled).then_some((account, application))
    }

    fn admit_stranger(&self, arriving: Arriving<'_>) -> Result<Admitted, Refusal> {
        let Arriving {
            now,
            shard,
            request,
            flow,
            uri,
            from,
            replaces,
        } = arriving;
        let refuse = |status, why: &'static str| Err(self.refusal(shard, request, status, why));
        if replaces.is_some() {
            return refuse(Status::FORBIDDEN, "Not an endpoint");
        }
        let host = uri.host_lower();
        let calls_application = host.eq_ignore_ascii_case(&self.settings.app_domain);
        if !calls_application && self.directory.host(&host).is_none() {
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
        // RFC 3325 §5: the word of a peer that the operator trusts about who calls; nobody else's.
        let trusted = self.locator.is_trusted(flow.remote.ip());
        let asserted = trusted.then(|| caller::asserted(request)).flatten();
        let from = asserted.as_ref().unwrap_or(from);
        let caller = Caller {
            domain: caller::home_of_stranger(from),
            ..caller::of(request, flow, uri, from)
        };
        if calls_application {
            // One that is not public is not told from one that does not exist.
            let id = uri.user_decoded().and_then(|user| user.parse().ok());
            let Some((account, application)) = self.called_application(id, None) else {
                return nobody();
            };
            let flavor = application.flavor;
            let (script, ticket) = match self.counted(now, account.id, None) {
                Ok(ticket) => (script::of(&self.settings, &application, uri), Some(ticket)),
                Err((cause, status)) => (script::refused(cause, status, Some(&application)), None),
            };
            return Ok(Admitted {
                on_trunk: None,
                script,
                ticket,
                facts: self.facts(&account, Some(application), flavor),
                asker: Asker {
                    account,
                    caller: None,
                    source: flow,
                    shown: String::new(),
                },
                caller,
            });
        }
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
            ..caller
        };
        let (script, ticket) = match self.counted(now, account.id, None) {
            Ok(ticket) => {
                // A GRUU goes on as it is: it is the device that is called (RFC 5627 §6.1).
                let target = match uri.param("gr") {
                    Some(_) => uri.to_string(),
                    None => target,
                };
                let document = script::direct_dial(&self.settings, target);
                let hangup = None;
                (Script::Document { document, hangup }, Some(ticket))
            }
            Err((cause, status)) => (script::refused(cause, status, None), None),
        };
        Ok(Admitted {
            on_trunk: None,
            facts: self.facts(&account, None, subscriber.flavor),
            script,
            ticket,
            asker: Asker {
                account,
                caller: None,
                source: flow,
                shown: String::new(),
            },
            caller,
        })
    }

    pub(super) fn refusal(
        &self,
        shard: u8,
        request: &Request,
        status: Status,
        why: &'static str,
    ) -> Refusal {
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
