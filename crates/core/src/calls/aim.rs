//! What an address means to whoever dials it: an application, an endpoint of ours, a phone number, or somebody elsewhere.

use std::sync::Arc;

use sip::{Scheme, Uri};
use store::Id;

use crate::directory::{Device, Gruus, Subscriber};
use crate::trunks::e164;
use crate::{Directory, Settings};

/// Who is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// An application by its SIP URI, `sip:{id}@{app domain}`; none when the user part is no id.
    Application(Option<Id>),
    /// One of our endpoints.
    Endpoint(Arc<Subscriber>),
    /// A phone number: E.164 digits.
    Number(String),
    /// A host that is none of ours.
    Foreign,
    /// One of our domains, which has no such user.
    Nobody,
    /// Neither a SIP address nor a number.
    Unusable,
}

/// From whose side an address is read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Viewpoint<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) settings: &'a Settings,
    pub(crate) gruus: &'a Gruus,
    /// Whose endpoints a name that many domains share is looked up among first.
    pub(crate) account: Id,
    /// The calling code of the country that numbers are dialled in.
    pub(crate) country: Option<&'a str>,
    /// The domain of the endpoint that dials, when it is one.
    pub(crate) home: Option<&'a str>,
}

impl Viewpoint<'_> {
    /// Reads what a document or a phone wrote: a SIP or tel URI, a number, or the bare name of an endpoint.
    pub(crate) fn read(&self, text: &str) -> Aim {
        let text = text.trim();
        if text.contains(':') {
            return match Uri::parse(&text.into()) {
                Ok(uri) => self.of(&uri),
                Err(_) => Aim::Unusable,
            };
        }
        match self.directory.subscriber_in(self.account, text) {
            Some(subscriber) => Aim::Endpoint(subscriber),
            None => self.number_or_nobody(text),
        }
    }

    /// Reads a URI.
    pub(crate) fn of(&self, uri: &Uri) -> Aim {
        let user = uri.user_decoded().unwrap_or_default();
        match uri.scheme {
            Scheme::Tel => return self.number_or_nobody(&user),
            Scheme::Sip | Scheme::Sips => (),
            Scheme::Other(_) => return Aim::Unusable,
        }
        let host = uri.host_lower();
        if host.eq_ignore_ascii_case(&self.settings.app_domain) {
            return Aim::Application(user.parse().ok());
        }
        match self.directory.host(&host) {
            None => Aim::Foreign,
            Some(_) if let Some(Device::Sealed { endpoint, .. }) = self.gruus.read(uri) => {
                // RFC 5627 §6.1: a GRUU that is no more is nobody's.
                let subscriber = self.directory.subscriber_by_id(endpoint);
                subscriber.map_or(Aim::Nobody, Aim::Endpoint)
            }
            Some(known) => match self.own(&host, known.shared, &user) {
                Some(subscriber) => Aim::Endpoint(subscriber),
                None => self.number_or_nobody(&user),
            },
        }
    }

    /// A number in its international form, or nobody.
    fn number_or_nobody(&self, text: &str) -> Aim {
        e164::normalised(self.country, text).map_or(Aim::Nobody, Aim::Number)
    }

    /// A name that many domains share is looked up in the own account first.
    fn own(&self, host: &str, shared: bool, user: &str) -> Option<Arc<Subscriber>> {
        let inside = if shared || self.home == Some(host) {
            self.directory.subscriber_in(self.account, user)
        } else {
            None
        };
        let exact = || self.directory.subscriber(host, user);
        if shared {
            inside.or_else(exact)
        } else {
            exact().or(inside)
        }
    }
}
