//! A call to a phone number: over which trunks, in which order, and which number they are shown.

use std::net::IpAddr;

use call::{LocateFailure, Located, OverTrunk, Place, Shown};
use sip::{Effort, Text};
use store::{Account, Id, Trunk};

use crate::calls::locate::{Asker, Locator};
use crate::trunks::reach::TrunkPlace;
use crate::trunks::route::{self, Way};
use crate::trunks::{e164, keep};

/// Places of one call, over all trunks; more are not tried.
const MOST: usize = 16;

impl Locator {
    /// The calling code of the country that people of an account dial in.
    pub(crate) fn country<'a>(&'a self, account: &'a Account) -> Option<&'a str> {
        let own = account.country_code.as_deref();
        own.or(self.settings.country_code.as_deref())
    }

    /// Finds the places that a number may be reached over.
    pub(crate) async fn over_trunks(
        &self,
        asker: &Asker,
        number: &str,
    ) -> Result<Located, LocateFailure> {
        let now = self.clock.now().instant;
        let (account, wanted) = (&asker.account, asker.shown.as_str());
        let trunks = self.directory.enabled_trunks_of(account.id);
        let mut ways = route::ways(&trunks, number, &mut rand::rng());
        let had_ways = !ways.is_empty();
        // One that is down is asked only when all are.
        if ways.iter().any(|way| !self.is_down(way)) {
            ways.retain(|way| !self.is_down(way));
        }
        ways.retain(|way| !self.is_full(way));
        if had_ways && ways.is_empty() {
            return Err(LocateFailure::TrunksFull);
        }
        let mut places = Vec::new();
        for way in &ways {
            for place in self.trunks.reach.places(now, &way.trunk).await {
                let shown = self.shown(account, &way.trunk, wanted, &place);
                let over = OverTrunk {
                    trunk: u64::try_from(way.trunk.id).ok(),
                    shown: Some(shown),
                    effort: Effort {
                        login: keep::login(&way.trunk),
                        patience: Some(self.settings.trunk_patience),
                    },
                };
                places.push(self.over(&place, &way.number, over, way.trunk.trusted));
            }
        }
        // The operator set these: they may be in a private network, and show what they are given.
        let given = [&account.trunk, &self.settings.default_trunk];
        let given = given.into_iter().flatten().next();
        let has_given = given.is_some();
        if let Some(uri) = given {
            let hosts = [with_scheme(uri)];
            for place in self
                .trunks
                .reach
                .of_hosts(now, &hosts, None, |_| true)
                .await
            {
                let over = OverTrunk {
                    trunk: None,
                    shown: None,
                    effort: Effort {
                        login: None,
                        patience: Some(self.settings.trunk_patience),
                    },
                };
                let trusted = self.is_trusted(place.flow.remote.ip());
                places.push(self.over(&place, number, over, trusted));
            }
        }
        if places.is_empty() {
            return Err(match had_ways || has_given {
                true => LocateFailure::TrunkUnreachable,
                false => LocateFailure::NoTrunk,
            });
        }
        places.truncate(MOST);
        for (place, rank) in places.iter_mut().zip(0..) {
            place.rank = rank;
        }
        Ok(Located {
            destinations: places,
            endpoint: None,
            shows_as: number.to_owned(),
        })
    }

    fn is_down(&self, way: &Way) -> bool {
        self.trunks.states.is_down(way.trunk.id)
    }

    fn is_full(&self, way: &Way) -> bool {
        let most = way.trunk.max_calls;
        most > 0 && self.trunks.states.of(way.trunk.id).calls >= most
    }

    fn over(&self, place: &TrunkPlace, number: &str, over: OverTrunk, trusted: bool) -> Place {
        let destination = place.destination(Some(number));
        let near: IpAddr = place.flow.remote.ip();
        // Without the parameters, which are about the way and not about who is called.
        let host = place.host.split(';').next().unwrap_or_default();
        Place {
            to_value: format!("<sip:{number}@{host}>").into(),
            destination,
            others: Vec::new(),
            near,
            contact_user: Text::from(number),
            rank: 0,
            trusted,
            over: Some(Box::new(over)),
        }
    }

    /// Who is shown to a trunk: a number that the account has or the trunk allows, else the trunk's own, else nobody.
    fn shown(&self, account: &Account, trunk: &Trunk, wanted: &str, place: &TrunkPlace) -> Shown {
        let wanted = e164::normalised(self.country(account), wanted);
        let wanted = wanted.filter(|digits| self.may_show(account.id, trunk, digits));
        let number = wanted.or_else(|| trunk.default_caller_id.clone());
        let domain = trunk.from_domain.as_deref().unwrap_or(&place.domain);
        Shown {
            user: number.map(|number| route::shown(trunk, &number)),
            domain: domain.to_owned(),
        }
    }

    fn may_show(&self, account: Id, trunk: &Trunk, digits: &str) -> bool {
        let known = self.directory.known_number(digits);
        known.is_some_and(|number| number.account == account)
            || trunk
                .shown_prefixes
                .iter()
                .any(|prefix| digits.starts_with(prefix.as_str()))
    }
}

fn with_scheme(uri: &str) -> String {
    match uri.starts_with("sip:") || uri.starts_with("sips:") {
        true => uri.to_owned(),
        false => format!("sip:{uri}"),
    }
}
