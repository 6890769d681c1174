//! What a REGISTER is answered with: RFC 3261 §10.3 step 8, and what outbound, Path, Service-Route and GRUU add to it.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sip::{Name, Request, Response, Status, Text};
use store::Binding;

use crate::Settings;
use crate::directory::{Gruus, Subscriber};
use crate::registrar::Authenticator;
use crate::registrar::outbound::{Way, reg_id};

/// Seconds after which a client may try again what found the store busy.
pub(crate) const RETRY_AFTER: &str = "2";

/// Why the bindings stay as they are.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: Status,
    pub(crate) why: &'static str,
    /// With 423, the shortest registration in seconds.
    pub(crate) least: u32,
}

pub(crate) const fn refused(status: Status, why: &'static str) -> Refused {
    Refused {
        status,
        why,
        least: 0,
    }
}

/// Makes the answers.
#[derive(Debug)]
pub(crate) struct Answers {
    settings: Arc<Settings>,
    authenticator: Authenticator,
    gruus: Gruus,
}

/// Tells whether a request lists an extension as supported.
pub(crate) fn supports(request: &Request, extension: &str) -> bool {
    request.headers.lists(&Name::Supported, extension)
}

impl Answers {
    pub(crate) fn new(settings: Arc<Settings>, authenticator: Authenticator, gruus: Gruus) -> Self {
        Self {
            settings,
            authenticator,
            gruus,
        }
    }

    /// All live bindings with what is left of their time, and the date.
    pub(crate) fn ok<'a>(
        &self,
        shard: u8,
        request: &Request,
        now: Timestamp,
        subscriber: &Subscriber,
        way: &Way,
        bindings: impl Iterator<Item = &'a Binding>,
    ) -> Response {
        let mut response = self.authenticator.respond(shard, request, Status::OK);
        let headers = &mut response.headers;
        let wants_gruu = supports(request, "gruu");
        for binding in bindings {
            let mut value = contact(now, binding);
            if wants_gruu {
                self.add_gruus(&mut value, subscriber, binding);
            }
            headers.push(Name::Contact, value);
        }
        // RFC 5626 §6: it says that the binding is one of outbound; only to who knows the word (RFC 3261 §8.2.4).
        if way.outbound {
            headers.push(Name::Require, "outbound");
            if let Some(seconds) = way.flow_timer {
                headers.push(Name::FlowTimer, seconds.to_string());
            }
        }
        // RFC 3327 §5.3: the client sees the way that its calls will take, when it can read it.
        if let Some(path) = &way.path
            && supports(request, "path")
        {
            headers.push(Name::Path, path.as_str());
        }
        // RFC 3608 §6.3.
        for hop in &self.settings.service_route {
            headers.push(Name::ServiceRoute, hop.as_str());
        }
        headers.push(Name::Date, date(now));
        response
    }

    /// RFC 5627 §5.3: both GRUUs of each device, when they can be had.
    fn add_gruus(&self, value: &mut String, subscriber: &Subscriber, binding: &Binding) {
        let Some(instance) = &binding.instance else {
            return;
        };
        let gruus = [
            ("pub-gruu", Gruus::public(subscriber, instance)),
            ("temp-gruu", self.gruus.temporary(subscriber, binding)),
        ];
        for (name, gruu) in gruus {
            if let Some(gruu) = gruu {
                value.push_str(&format!(";{name}=\"{gruu}\""));
            }
        }
    }

    /// A refusal, with the headers that go with its status.
    pub(crate) fn refuse(&self, shard: u8, request: &Request, refused: &Refused) -> Box<Response> {
        let mut response = self.authenticator.respond(shard, request, refused.status);
        match refused.status {
            Status::INTERVAL_TOO_BRIEF => {
                let least = refused.least.to_string();
                response.headers.push(Name::MinExpires, least);
            }
            Status::SERVICE_UNAVAILABLE => response.headers.push(Name::RetryAfter, RETRY_AFTER),
            // RFC 3327 §5.3: a Path that its client does not know of.
            Status::BAD_EXTENSION => response.headers.push(Name::Unsupported, "path"),
            Status::FIRST_HOP_LACKS_OUTBOUND => (),
            _ => response.reason = Text::from_static(refused.why),
        }
        Box::new(response)
    }
}

/// A binding as a Contact value.
fn contact(now: Timestamp, binding: &Binding) -> String {
    let left = binding.expires_at.duration_since(now).as_secs().max(0);
    let mut value = format!("<{}>;expires={left}", binding.contact);
    if binding.q != 1000 {
        // A String takes all that is written.
        let _: std::fmt::Result = write!(value, ";q={}.{:03}", binding.q / 1000, binding.q % 1000);
    }
    if let Some(instance) = &binding.instance {
        value.push_str(&format!(";+sip.instance=\"{instance}\""));
    }
    if let Some(reg_id) = reg_id(binding) {
        value.push_str(&format!(";reg-id={reg_id}"));
    }
    value
}

/// Spells a time as SIP does (RFC 3261 §20.17).
pub(crate) fn date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
