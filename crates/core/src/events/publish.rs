//! PUBLISH: what an endpoint says of itself, RFC 3903. Only of itself, and only packages of which it knows more than the
//! platform.
//!
//! A publication is kept as it came, until it is changed, removed or runs out. Of several (two phones of one endpoint) the
//! latest is told: RFC 3903 §1 leaves the composition to us.

use std::time::{Duration, Instant};

use bytes::Bytes;
use call::Now;
use dashmap::DashMap;
use sip::{Flow, Name, Request, Response, Status};
use store::Id;

use crate::Decision;
use crate::events::package::Package;
use crate::events::subscribe::terms;
use crate::events::{Inner, Packages};

/// The largest document, in bytes; a larger one is answered 413.
pub(super) const MOST_BYTES: usize = 4096;
/// Publications of one endpoint in one package at a time.
const MOST_OF_ENDPOINT: usize = 4;

#[derive(Debug)]
struct Publication {
    tag: u64,
    ends: Instant,
    body: Bytes,
}

/// What is published, by package and endpoint; the latest stands last.
#[derive(Debug)]
pub(super) struct Publications {
    places: DashMap<(Package, Id), Vec<Publication>>,
    most: usize,
}

/// What a PUBLISH wants (RFC 3903 §4.1).
struct Wish {
    package: Package,
    endpoint: Id,
    /// The publication that it is about; none makes a new one.
    tag: Option<u64>,
    /// A new document; without it the old one stays.
    body: Option<Bytes>,
    /// 0 removes it.
    seconds: u32,
    /// The tag that it gets.
    next: u64,
}

/// Why a publication is refused.
enum Refused {
    /// There is no such one (any longer).
    Unknown,
    /// There are too many.
    Full,
}

impl Packages {
    /// Answers a PUBLISH.
    pub(crate) fn publish(&self, now: &Now, shard: u8, request: &Request, flow: Flow) -> Decision {
        match self.0.published(now, shard, request, flow) {
            // A copy of it must find this answer and not a tag that is not valid any longer.
            Ok(response) => Decision::Serve(response),
            Err(response) => Decision::Reply(*response),
        }
    }
}

impl Inner {
    /// RFC 3903 §6, in its order.
    fn published(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Response, Box<Response>> {
        let refuse = |status, why| Err(self.senders.refusal(shard, request, status, why));
        let package = self.package(shard, request, Package::is_published)?;
        let sender = self.senders.who(now, shard, request, flow)?;
        let uri = request.uri_parsed().ok();
        match uri.and_then(|uri| self.senders.own(&sender, &uri)) {
            Some(subject) if subject.endpoint == sender.subscriber.endpoint => (),
            Some(_) => return refuse(Status::FORBIDDEN, "Not your address of record"),
            None => return refuse(Status::NOT_FOUND, ""),
        }
        let tag = match request.headers.get(&Name::SipIfMatch) {
            Some(tag) => match read_tag(tag) {
                Some(tag) => Some(tag),
                None => return refuse(Status::CONDITIONAL_REQUEST_FAILED, ""),
            },
            None => None,
        };
        let seconds = terms(&self.settings, request.expires())
            .ok_or_else(|| self.too_brief(shard, request))?
            .granted;
        let body = (!request.body.is_empty()).then(|| Bytes::copy_from_slice(&request.body));
        if let Some(body) = &body {
            let kind = request.headers.get(&Name::ContentType);
            let kind = kind.and_then(|kind| kind.split(';').next());
            let wanted = package.content_type();
            if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted)) {
                let status = Status::UNSUPPORTED_MEDIA_TYPE;
                let mut response = self.senders.refusal(shard, request, status, "");
                response.headers.push(Name::Accept, wanted);
                return Err(response);
            }
            if body.len() > MOST_BYTES {
                return refuse(Status::REQUEST_ENTITY_TOO_LARGE, "");
            }
        }
        // RFC 3903 §4.1: the first one brings a document.
        if tag.is_none() && (body.is_none() || seconds == 0) {
            return refuse(Status::BAD_REQUEST, "Nothing is published");
        }
        let endpoint = sender.subscriber.endpoint;
        let next = self.draw().0;
        let wish = Wish {
            package,
            endpoint,
            tag,
            body,
            seconds,
            next,
        };
        let changed = match self.publications.put(now.instant, wish) {
            Ok(changed) => changed,
            Err(Refused::Unknown) => return refuse(Status::CONDITIONAL_REQUEST_FAILED, ""),
            Err(Refused::Full) => {
                return refuse(Status::SERVICE_UNAVAILABLE, "Too many publications");
            }
        };
        if changed {
            self.tell(package, endpoint);
        }
        let mut response = self
            .senders
            .authenticator
            .respond(shard, request, Status::OK);
        response.headers.push(Name::SipEtag, written_tag(next));
        response.headers.push(Name::Expires, seconds.to_string());
        Ok(response)
    }
}

fn written_tag(tag: u64) -> String {
    format!("p{tag:x}")
}

fn read_tag(tag: &str) -> Option<u64> {
    u64::from_str_radix(tag.trim().strip_prefix('p')?, 16).ok()
}

impl Publications {
    /// Keeps so many in all.
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: DashMap::new(),
            most,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.iter().map(|place| place.len()).sum()
    }

    /// Does what a PUBLISH wants; tells whether there is something new to tell.
    fn put(&self, now: Instant, wish: Wish) -> Result<bool, Refused> {
        let key = (wish.package, wish.endpoint);
        let ends = now + Duration::from_secs(wish.seconds.into());
        let Some(tag) = wish.tag else {
            // As many places as publications at most: a place without one is not kept.
            if self.places.len() >= self.most && !self.places.contains_key(&key) {
                return Err(Refused::Full);
            }
            let mut place = self.places.entry(key).or_default();
            place.retain(|other| other.ends > now);
            if place.len() >= MOST_OF_ENDPOINT {
                // A phone that lost its tag publishes anew; the oldest is the one that nobody refreshes.
                place.remove(0);
            }
            place.push(Publication {
                tag: wish.next,
                ends,
                body: wish.body.unwrap_or_default(),
            });
            return Ok(true);
        };
        let mut place = self.places.get_mut(&key).ok_or(Refused::Unknown)?;
        let found = place
            .iter()
            .position(|other| other.tag == tag && other.ends > now);
        let found = found.ok_or(Refused::Unknown)?;
        if wish.seconds == 0 {
            place.remove(found);
            let is_empty = place.is_empty();
            drop(place);
            if is_empty {
                self.places.remove_if(&key, |_, place| place.is_empty());
            }
            return Ok(true);
        }
        if let Some(publication) = place.get_mut(found) {
            (publication.tag, publication.ends) = (wish.next, ends);
        }
        let Some(body) = wish.body else {
            return Ok(false);
        };
        let mut publication = place.remove(found);
        publication.body = body;
        place.push(publication);
        Ok(true)
    }

    /// The document to tell, if one is published.
    pub(super) fn latest(&self, now: Instant, package: Package, endpoint: Id) -> Option<Bytes> {
        let place = self.places.get(&(package, endpoint))?;
        let valid = place.iter().rev().find(|one| one.ends > now)?;
        Some(valid.body.clone())
    }

    /// Forgets what has run out; tells of whom.
    pub(super) fn sweep(&self, now: Instant) -> Vec<(Package, Id)> {
        let mut changed = Vec::new();
        self.places.retain(|key, place| {
            let before = place.len();
            place.retain(|one| one.ends > now);
            if place.len() != before {
                changed.push(*key);
            }
            !place.is_empty()
        });
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn wish(endpoint: Id, tag: Option<u64>, body: Option<&'static str>, next: u64) -> Wish {
        Wish {
            package: Package::Presence,
            endpoint,
            tag,
            body: body.map(|body| Bytes::from_static(body.as_bytes())),
            seconds: 60,
            next,
        }
    }

    #[test]
    fn a_tag_is_good_once_and_the_latest_document_is_told() {
        let (table, now) = (Publications::new(1), start());
        let put = |wish| table.put(now, wish).ok();
        let latest = || table.latest(now, Package::Presence, 1);
        assert_eq!(put(wish(1, None, Some("one"), 1)), Some(true));
        assert_eq!(put(wish(1, None, Some("two"), 2)), Some(true));
        assert_eq!(latest().as_deref(), Some(&b"two"[..]));
        // RFC 3903 §4.3: a refresh changes nothing but the time, also of which is the latest.
        assert_eq!(put(wish(1, Some(1), None, 3)), Some(false));
        assert_eq!(latest().as_deref(), Some(&b"two"[..]));
        assert_eq!(put(wish(1, Some(1), None, 4)), None);
        assert_eq!(put(wish(1, Some(3), Some("three"), 5)), Some(true));
        assert_eq!(latest().as_deref(), Some(&b"three"[..]));
        assert_eq!(put(wish(2, None, Some("no room"), 6)), None);
        let end = |tag| Wish {
            seconds: 0,
            ..wish(1, Some(tag), None, 9)
        };
        assert_eq!((put(end(5)), put(end(2))), (Some(true), Some(true)));
        assert_eq!((latest(), table.places.len()), (None, 0));
    }

    #[test]
    fn a_publication_ends_by_itself_and_one_endpoint_has_few() {
        let (table, now) = (Publications::new(9), start());
        for next in 0..10 {
            assert!(table.put(now, wish(1, None, Some("one"), next)).is_ok());
        }
        assert_eq!(table.len(), MOST_OF_ENDPOINT);
        let later = now + Duration::from_secs(60);
        assert_eq!(table.latest(later, Package::Presence, 1), None);
        assert!(table.put(later, wish(1, Some(9), None, 11)).is_err());
        assert_eq!(table.sweep(later), [(Package::Presence, 1)]);
        assert_eq!(table.len(), 0);
    }
}
