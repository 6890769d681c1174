//! Whether and where a 3xx of a called side is followed: RFC 3261 §8.1.3.4, hard case S74.
//!
//! A phone that redirects spends its account's money and reputation. So by default a redirect leads only to what the
//! account has itself: another binding of the same endpoint, or an endpoint of the same account. Anything else is followed
//! only where the operator allows all, and then like a dialled address: with the caller's permissions and the account's limits.

use call::{LocateFailure, Located, Place, Redirected};
use jiff::Timestamp;
use sip::Uri;
use store::Id;

use crate::calls::aim::Aim;
use crate::calls::locate::{Asker, Locator};
use crate::calls::permission::Permission;
use crate::settings::Redirects;

impl Locator {
    /// Finds the contacts of a redirect that may be followed, in the order of their q.
    pub(crate) async fn redirected(
        &self,
        now: Timestamp,
        asker: &Asker,
        redirected: &Redirected,
    ) -> Result<Located, LocateFailure> {
        if self.settings.redirects == Redirects::Never {
            return Err(LocateFailure::NotFollowed);
        }
        let mut found: Option<Located> = None;
        let (mut rank, mut last) = (0, None);
        for (contact, q) in &redirected.contacts {
            let Some(located) = self.followed(now, asker, redirected, contact).await else {
                continue;
            };
            if last.is_some_and(|last| last != *q) {
                rank += 1;
            }
            last = Some(*q);
            let places = located.destinations.iter().cloned();
            let places = places.map(|place| Place { rank, ..place });
            match &mut found {
                Some(found) => found.destinations.extend(places),
                None => {
                    found = Some(Located {
                        destinations: places.collect(),
                        ..located
                    });
                }
            }
        }
        found.ok_or(LocateFailure::NotFollowed)
    }

    async fn followed(
        &self,
        now: Timestamp,
        asker: &Asker,
        redirected: &Redirected,
        contact: &str,
    ) -> Option<Located> {
        let by = redirected.by.and_then(|by| Id::try_from(by.0).ok());
        let by = by.and_then(|by| self.directory.subscriber_by_id(by));
        if let (Some(by), Ok(uri)) = (&by, Uri::parse(&contact.into()))
            && let Some(place) = self.binding_of(now, asker, by, &uri)
        {
            return Some(Located {
                destinations: vec![place],
                endpoint: redirected.by,
                shows_as: format!("sip:{}@{}", by.user, by.domain),
            });
        }
        let aim = self.view(asker).read(contact);
        let located = match &aim {
            Aim::Endpoint(subscriber)
                if subscriber.account == asker.account.id
                    || by.is_some_and(|by| by.account == subscriber.account) =>
            {
                self.endpoint(now, asker, subscriber, None)
            }
            _ if self.settings.redirects != Redirects::All => return None,
            _ => {
                let caller = asker.caller.as_ref().filter(|_| redirected.direct);
                if caller.is_some_and(|caller| {
                    Permission::missing_for_call(caller, &aim, None).is_some()
                }) {
                    return None;
                }
                self.aimed(now, asker, &aim, contact, !redirected.direct)
                    .await
            }
        };
        located
            .inspect_err(|why| tracing::debug!(?why, "a redirect leads nowhere"))
            .ok()
    }
}
