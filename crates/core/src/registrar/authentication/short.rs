//! The digest check of a plain REGISTER, in place; whatever it does not prove is left to the whole check.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use call::Now;
use sip::Flow;
use sip::digest::{Algorithm, NonceId, Validity};
use sip::stateless::{Ha2, Plain, Proof};

use super::proof::is_proved;
use super::{Authenticator, nonce_source, seconds};
use crate::directory::{Host, Subscriber};
use crate::registrar::replay::{Fingerprint, Use};

impl Authenticator {
    /// The nonce of a challenge with MD5, where that is what anybody is asked for.
    pub(in crate::registrar) fn short_challenge(
        &self,
        now: &Now,
        flow: Flow,
        host: &Host,
    ) -> Option<String> {
        let policy = self.0.directory.challenge_policy(host);
        if policy.algorithm != Algorithm::Md5 || !self.0.capabilities.is_empty() {
            return None;
        }
        let source = nonce_source(policy, flow);
        let salt = self
            .0
            .salt
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(self.0.nonces.mint(seconds(now), source, &host.realm, salt))
    }

    /// Whether a nonce is one that we gave to this source lately; what is proved with it was not looked at.
    pub(crate) fn is_fresh(&self, now: &Now, flow: Flow, nonce: &str, realm: &str) -> bool {
        // Whether nonces are bound to their source is a matter of the domain, which was not looked for.
        let sources = [flow.remote.ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let mut found = sources
            .iter()
            .map(|source| self.0.nonces.check(seconds(now), nonce, *source, realm));
        found.any(|validity| matches!(validity, Validity::Fresh(_)))
    }

    /// Who made this proof with a nonce that is fresh; nothing when that is not plainly so. An unknown user costs the same
    /// digests as a wrong password.
    pub(in crate::registrar) fn short_check(
        &self,
        now: &Now,
        request: &Plain<'_>,
        proof: &Proof<'_>,
        flow: Flow,
        host: &Host,
        ha2: &mut Ha2,
    ) -> Option<(Arc<Subscriber>, NonceId)> {
        let directory = &self.0.directory;
        let policy = directory.challenge_policy(host);
        let realm: &str = &host.realm;
        if policy.algorithm != Algorithm::Md5 || *proof.realm != *realm || proof.uri != request.uri
        {
            return None;
        }
        let subscriber = directory.subscriber_under(host, request.host, proof.username);
        let nobody = &self.0.nobody[0];
        let verify = |ha1: &str| proof.verify(ha1, ha2);
        let proved = is_proved(subscriber.as_deref(), realm, Algorithm::Md5, nobody, verify);
        let source = nonce_source(policy, flow);
        let nonce = self
            .0
            .nonces
            .check(seconds(now), proof.nonce, source, realm);
        match (subscriber, proved, nonce) {
            (Some(subscriber), true, Validity::Fresh(nonce)) => Some((subscriber, nonce)),
            _ => None,
        }
    }

    /// Notes the first use of a count, whose answer will wait for its commit; false when it was used before.
    pub(in crate::registrar) fn note_first(
        &self,
        now: &Now,
        request: &Plain<'_>,
        flow: Flow,
        nonce: NonceId,
        count: u32,
    ) -> bool {
        let fingerprint = Fingerprint {
            source: flow.remote,
            branch: request.branch,
            call_id: request.call_id,
            cseq: request.number,
        };
        let lifetime = self.0.settings.nonce_lifetime.as_secs();
        let replays = &self.0.replays;
        replays.note(seconds(now), lifetime, nonce, count, fingerprint, true) == Use::First
    }
}
