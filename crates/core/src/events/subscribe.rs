//! SUBSCRIBE outside of a dialog: who may watch what, and for how long. RFC 6665 §4.2.1.

use call::Now;
use sip::{Flow, Name, Request, Response, Status, Terms};

use crate::events::package::{ALLOW_EVENTS, Package};
use crate::events::subscriptions::Watch;
use crate::events::{Inner, Packages};
use crate::{Decision, Settings};

impl Packages {
    /// Answers a SUBSCRIBE, or makes a subscription of it.
    pub(crate) fn subscribe(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Decision {
        match self.0.admit(now, shard, request, flow) {
            Ok(decision) => decision,
            Err(response) => Decision::Reply(*response),
        }
    }
}

impl Inner {
    fn admit(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Decision, Box<Response>> {
        let refuse = |status, why| Err(self.senders.refusal(shard, request, status, why));
        let package = self.package(shard, request, |_| true)?;
        let sender = self.senders.who(now, shard, request, flow)?;
        // RFC 6665 §8.1.1: the dialog needs to know where NOTIFY goes.
        if !request
            .contacts()
            .is_ok_and(|contacts| contacts.first().is_some())
        {
            return refuse(Status::BAD_REQUEST, "Contact");
        }
        if !accepts(request, package.content_type()) {
            return refuse(Status::NOT_ACCEPTABLE, "");
        }
        let terms = terms(&self.settings, request.expires())
            .ok_or_else(|| self.too_brief(shard, request))?;
        let uri = request.uri_parsed().ok();
        let subject = uri.and_then(|uri| self.senders.own(&sender, &uri));
        // Nobody and somebody else's: the same answer.
        let Some(subject) = subject else {
            return refuse(Status::NOT_FOUND, "");
        };
        let subscription = self.draw();
        let watch = Watch {
            shard,
            package,
            endpoint: subject.endpoint,
            watcher: sender.subscriber.endpoint,
            account: sender.account.id,
            seen: 0,
        };
        if !self.subscriptions.insert(subscription, watch) {
            return refuse(Status::SERVICE_UNAVAILABLE, "Too many subscriptions");
        }
        Ok(Decision::Subscribe {
            subscription,
            terms,
            contact_user: subject.user.as_str().into(),
        })
    }

    /// The package that a request is about; 489 for one that is not served (RFC 6665 §7.3.2).
    pub(super) fn package(
        &self,
        shard: u8,
        request: &Request,
        serves: impl Fn(Package) -> bool,
    ) -> Result<Package, Box<Response>> {
        let event = request.headers.get(&Name::Event);
        let package = event.and_then(Package::of);
        package.filter(|package| serves(*package)).ok_or_else(|| {
            let status = Status::BAD_EVENT;
            let mut response = self.senders.refusal(shard, request, status, "");
            response.headers.push(Name::AllowEvents, ALLOW_EVENTS);
            response
        })
    }

    /// RFC 6665 §4.2.1.1, RFC 3903 §6 step 4.
    pub(super) fn too_brief(&self, shard: u8, request: &Request) -> Box<Response> {
        let status = Status::INTERVAL_TOO_BRIEF;
        let mut response = self.senders.refusal(shard, request, status, "");
        let least = self.settings.min_event_expires.to_string();
        response.headers.push(Name::MinExpires, least);
        response
    }
}

/// What is granted to whoever asks for so many seconds; `None`: too few.
pub(super) fn terms(settings: &Settings, asked: Option<u32>) -> Option<Terms> {
    let usual = settings.max_event_expires;
    let granted = asked.unwrap_or(usual).min(settings.max_event_expires);
    let enough = granted == 0 || granted >= settings.min_event_expires;
    enough.then_some(Terms {
        granted,
        usual,
        least: settings.min_event_expires,
        most: settings.max_event_expires,
    })
}

/// RFC 3261 §20.1; without Accept it is the package's own type (RFC 6665 §3.1.3).
fn accepts(request: &Request, content_type: &str) -> bool {
    let mut values = request.headers.values(&Name::Accept).peekable();
    if values.peek().is_none() {
        return true;
    }
    let wide = content_type.split('/').next().unwrap_or_default();
    values.any(|value| {
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind == "*/*"
            || kind.eq_ignore_ascii_case(content_type)
            || kind
                .strip_suffix("/*")
                .is_some_and(|start| start.eq_ignore_ascii_case(wide))
    })
}
