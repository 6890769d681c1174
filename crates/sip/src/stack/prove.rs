//! Proving a password to somebody who asks for it: RFC 3261 §22.2, §22.3. Only what was given for this one request is told.

use std::fmt;

use crate::digest::{self, Answerer, Challenge};
use crate::stack::wire::Wire;
use crate::{Name, Request, Response, Status, Text};

/// How often one request answers a challenge: the first, and once more when only the nonce was too old.
pub(crate) const MOST_PROOFS: u8 = 2;

/// A name and password with which we prove ourselves to somebody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: Text,
    /// The password.
    pub password: Text,
}

/// Leaves out what must not get into a log.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Wire {
    /// Puts the answer to a challenge into a request, with the next CSeq number (RFC 3261 §8.1.3.5). `false`: it cannot be
    /// answered, or was answered before.
    pub(crate) fn prove(
        &mut self,
        login: &Login,
        request: &mut Request,
        response: &Response,
    ) -> bool {
        let (theirs, ours) = match response.status {
            Status::UNAUTHORIZED => (Name::WwwAuthenticate, Name::Authorization),
            Status::PROXY_AUTHENTICATION_REQUIRED => {
                (Name::ProxyAuthenticate, Name::ProxyAuthorization)
            }
            _ => return false,
        };
        let cnonce = self.draw().to_string();
        let who = Answerer {
            username: &login.username,
            password: &login.password,
            cnonce: &cnonce,
            count: 1,
        };
        let challenges = response.headers.all(&theirs);
        let proof = challenges
            .filter_map(|value| Challenge::parse(value).ok().flatten())
            // Whoever does not take a proof for a fresh nonce does not know the password by it.
            .filter(|challenge| challenge.stale || request.headers.get(&ours).is_none())
            .find_map(|challenge| digest::answer(&challenge, who, &request.method, &request.uri));
        let Some(proof) = proof else {
            return false;
        };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let number = number.wrapping_add(1) & 0x7fff_ffff;
        request.headers.set(ours, proof);
        let cseq = format!("{number} {}", request.method);
        request.headers.set(Name::CSeq, cseq);
        true
    }
}
