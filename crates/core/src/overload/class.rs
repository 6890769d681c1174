//! Whether a request is of a kind that an overloaded shard refuses.

use call::Now;
use sip::stateless::Glance;
use sip::{Flow, NameAddr};

use super::Class;
use crate::Registrar;

/// Tells whether a request is refused where these kinds are, and looks no further than that needs; `is_known` says that
/// somebody registered from its source a moment ago.
pub(crate) fn is_refused(
    registrar: &Registrar,
    now: &Now,
    flow: Flow,
    glance: &Glance<'_>,
    is_known: bool,
    refuses: impl Fn(Class) -> bool,
) -> bool {
    let source = flow.remote.ip();
    if glance.goes_on() || registrar.guard.is_trunks(source) {
        return false;
    }
    let is_bound = || {
        let from = NameAddr::parse(&glance.from.into());
        let claimed = from.ok().and_then(|from| registrar.claimed(&from));
        claimed.is_some_and(|who| registrar.is_bound_from(now, who.endpoint, source))
    };
    // What a silenced source brings is no proof.
    let is_proved = || {
        let proof = (glance.proof_param("nonce"), glance.proof_param("realm"));
        let (Some(nonce), Some(realm)) = proof else {
            return false;
        };
        registrar.authenticator.is_fresh(now, flow, nonce, realm)
            && !registrar.guard.is_silenced(now, source)
    };
    if glance.method != "REGISTER" {
        return match is_proved() {
            true => refuses(Class::Proved) && !is_bound(),
            false => refuses(Class::Stranger) && !is_bound(),
        };
    }
    if refuses(Class::Proved) {
        return true;
    }
    // The cheap questions first: most of what an overloaded registrar sees is of this kind.
    let may_pass = !refuses(Class::Unproved);
    if may_pass && (!refuses(Class::Stranger) || is_known || is_bound()) {
        return false;
    }
    !is_proved()
}
