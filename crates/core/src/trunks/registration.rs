//! When to register with a trunk again, and what its answers mean: RFC 3261 §10.2, RFC 5626 §4.5. Decides, sends nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use sip::{Name, Outcome, Response, Status};

use crate::trunks::state::Registration;

/// The first wait after a failure, which doubles up to the longest: RFC 5626 §4.5.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The same after a refusal that trying again will hardly change: a wrong password tried often gets us locked out.
const FIRST_REFUSED_WAIT: Duration = Duration::from_secs(60);
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(1800);
/// A refresh comes not earlier than this after the one before.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);
/// The longest registration that a trunk may ask for by 423.
const LONGEST_EXPIRES: u32 = 86_400;

/// What comes after an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// We are registered; again after this time.
    Refresh {
        /// After this time.
        after: Duration,
        /// What is known.
        state: Registration,
    },
    /// Again at once: the trunk wants a longer registration (RFC 3261 §10.2.8).
    Longer,
    /// The next place is tried at once; when there is none, `after` this time.
    Elsewhere {
        /// After this time.
        after: Duration,
        /// The status, if there was an answer.
        status: Option<u16>,
    },
    /// Every place would say the same: again after this time.
    Refused {
        /// After this time.
        after: Duration,
        /// What it said.
        status: u16,
    },
}

/// One registration over its life.
#[derive(Debug)]
pub(crate) struct Registering {
    /// Seconds that are asked for.
    pub(crate) expires: u32,
    failures: u32,
}

impl Registering {
    pub(crate) fn new(expires: u32) -> Self {
        Self {
            expires,
            failures: 0,
        }
    }

    /// Reads what became of a REGISTER; `contact_user` is the user part of our Contact.
    pub(crate) fn next(
        &mut self,
        now: Timestamp,
        outcome: &Outcome,
        contact_user: &str,
        rng: &mut impl Rng,
    ) -> Next {
        let Outcome::Answered(response) = outcome else {
            return Next::Elsewhere {
                after: self.back_off(FIRST_WAIT, LONGEST_WAIT, None, rng),
                status: None,
            };
        };
        let status = response.status;
        match status.0 {
            200..=299 => self.registered(now, response, contact_user, rng),
            423 => match min_expires(response) {
                Some(wanted) if wanted > self.expires && wanted <= LONGEST_EXPIRES => {
                    self.expires = wanted;
                    Next::Longer
                }
                _ => self.refused(status, rng),
            },
            408 | 430 | 500..=599 => Next::Elsewhere {
                after: self.back_off(FIRST_WAIT, LONGEST_WAIT, retry_after(response), rng),
                status: Some(status.0),
            },
            _ => self.refused(status, rng),
        }
    }

    fn registered(
        &mut self,
        now: Timestamp,
        response: &Response,
        contact_user: &str,
        rng: &mut impl Rng,
    ) -> Next {
        let given = granted(response, contact_user).unwrap_or(self.expires);
        if given == 0 {
            // RFC 3261 §10.3 point 8 wants our contact in the answer: we are not registered.
            return self.refused(response.status, rng);
        }
        self.failures = 0;
        let part = rng.random_range(0.5..0.9);
        let after = Duration::from_secs(given.into()).mul_f64(part);
        let until = now
            .checked_add(SignedDuration::from_secs(given.into()))
            .unwrap_or(now);
        Next::Refresh {
            after: after.max(SHORTEST_REFRESH),
            state: Registration::Registered { until },
        }
    }

    fn refused(&mut self, status: Status, rng: &mut impl Rng) -> Next {
        Next::Refused {
            after: self.back_off(FIRST_REFUSED_WAIT, LONGEST_REFUSED_WAIT, None, rng),
            status: status.0,
        }
    }

    /// RFC 5626 §4.5: doubled with each failure, and between half of it and all of it.
    fn back_off(
        &mut self,
        first: Duration,
        longest: Duration,
        asked: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Duration {
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(longest).mul_f64(rng.random_range(0.5..1.0));
        wait.max(asked.unwrap_or_default().min(LONGEST_REFUSED_WAIT))
    }
}

/// Seconds for which our contact is registered: its own parameter, or the Expires header (RFC 3261 §10.2.4).
fn granted(response: &Response, contact_user: &str) -> Option<u32> {
    let contacts = response.contacts().ok();
    let ours = contacts.iter().flat_map(|contacts| contacts.as_slice());
    let mut ours = ours.filter(|contact| contact.uri.user.as_deref() == Some(contact_user));
    let parameter = ours.find_map(|contact| contact.params.get("expires")?.trim().parse().ok());
    parameter.or_else(|| number(response, &Name::Expires))
}

fn min_expires(response: &Response) -> Option<u32> {
    number(response, &Name::MinExpires)
}

fn number(response: &Response, name: &Name) -> Option<u32> {
    response.headers.get(name)?.trim().parse().ok()
}

/// RFC 3261 §20.33: seconds, then perhaps a comment or parameters.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.get(&Name::RetryAfter)?;
    let digits = value
        .trim()
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?;
    digits.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use sip::{Method, Request};

    use super::*;

    const USER: &str = "tr-1";

    fn answer(status: u16, headers: &[(Name, &str)]) -> Outcome {
        let request = Request::new(Method::Register, "sip:gw.example.net");
        let mut response = request.respond(Status(status));
        for (name, value) in headers {
            response.headers.push(name.clone(), *value);
        }
        Outcome::Answered(response)
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[test]
    fn a_refresh_comes_in_the_second_half_and_counts_from_our_own_contact() {
        let now = Timestamp::UNIX_EPOCH;
        let mut rng = rng();
        for (headers, given) in [
            (
                vec![(Name::Contact, "<sip:tr-1@192.0.2.1>;expires=600")],
                600,
            ),
            (
                vec![(
                    Name::Contact,
                    "<sip:other@192.0.2.1>;expires=30, <sip:tr-1@192.0.2.1>;expires=600",
                )],
                600,
            ),
            (vec![(Name::Expires, "120")], 120),
            (vec![], 3600),
        ] {
            for _ in 0..100 {
                let mut registering = Registering::new(3600);
                let next = registering.next(now, &answer(200, &headers), USER, &mut rng);
                let Next::Refresh { after, state } = next else {
                    panic!("{next:?}");
                };
                let part = after.as_secs_f64() / f64::from(given);
                assert!((0.5..0.9).contains(&part), "{part}");
                let until = Timestamp::from_second(i64::from(given)).expect("a time");
                assert_eq!(state, Registration::Registered { until });
            }
        }
    }

    #[test]
    fn an_answer_that_takes_our_contact_away_is_no_registration() {
        let mut registering = Registering::new(3600);
        let gone = answer(200, &[(Name::Contact, "<sip:tr-1@192.0.2.1>;expires=0")]);
        let next = registering.next(Timestamp::UNIX_EPOCH, &gone, USER, &mut rng());
        assert!(matches!(next, Next::Refused { status: 200, .. }));
    }

    #[test]
    fn too_brief_is_mended_once_and_within_bounds() {
        let mut registering = Registering::new(60);
        let mut rng = rng();
        let mut ask = |text: &str| {
            let brief = answer(423, &[(Name::MinExpires, text)]);
            registering.next(Timestamp::UNIX_EPOCH, &brief, USER, &mut rng)
        };
        assert_eq!(ask("1800"), Next::Longer);
        for text in ["1800", "60", "90000", "soon"] {
            assert!(
                matches!(ask(text), Next::Refused { status: 423, .. }),
                "{text}"
            );
        }
        assert_eq!(registering.expires, 1800);
    }

    #[test]
    fn waits_grow_with_failures_up_to_a_bound_and_never_two_alike() {
        let mut rng = rng();
        let mut waits = |outcome: &Outcome| {
            let mut registering = Registering::new(3600);
            let waits: Vec<Duration> = (0..20)
                .map(
                    |_| match registering.next(Timestamp::UNIX_EPOCH, outcome, USER, &mut rng) {
                        Next::Elsewhere { after, .. } | Next::Refused { after, .. } => after,
                        other => panic!("{other:?}"),
                    },
                )
                .collect();
            waits
        };
        let silent = waits(&Outcome::Timeout);
        assert!(silent[0] >= FIRST_WAIT / 2 && silent[0] < FIRST_WAIT);
        assert!(silent[19] >= LONGEST_WAIT / 2 && silent[19] < LONGEST_WAIT);
        let forbidden = waits(&answer(403, &[]));
        assert!(forbidden[0] >= FIRST_REFUSED_WAIT / 2);
        assert!(forbidden.iter().all(|wait| *wait < LONGEST_REFUSED_WAIT));
        assert_ne!(forbidden[18], forbidden[19]);
        let asked = waits(&answer(503, &[(Name::RetryAfter, "120 (maintenance)")]));
        assert!(asked[0] == Duration::from_secs(120));
        let hostile = waits(&answer(503, &[(Name::RetryAfter, "999999")]));
        assert_eq!(hostile[0], LONGEST_REFUSED_WAIT);
    }

    #[test]
    fn a_success_begins_the_waits_anew() {
        let mut registering = Registering::new(3600);
        let mut rng = rng();
        let mut next =
            |outcome: &Outcome| registering.next(Timestamp::UNIX_EPOCH, outcome, USER, &mut rng);
        for _ in 0..10 {
            next(&Outcome::Timeout);
        }
        next(&answer(200, &[]));
        let again = next(&Outcome::FlowLost);
        assert!(matches!(again, Next::Elsewhere { after, status: None } if after < FIRST_WAIT));
    }
}
