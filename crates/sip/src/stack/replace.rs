//! Which session an INVITE takes the place of: RFC 3891 §3.

use std::time::Instant;

use bytes::Bytes;

use crate::invite::Standing;
use crate::stack::{Output, Replaced, Stack};
use crate::transaction::key::{ServerKey, Token};
use crate::{Flow, Method, Name, Replaces, Request, Status};

/// INVITEs handed to other shards whose CANCEL would still find its way; the oldest are forgotten.
const MAX_HANDED_OFF: usize = 256;

/// Why there is nothing to replace here.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Unreplaceable {
    /// The dialog is held by another shard.
    Elsewhere(u8),
    /// The INVITE is answered with this.
    Refused(Status),
}

/// An INVITE that was given to another shard: its CANCEL says nothing of the dialog and follows it by this.
#[derive(Debug)]
pub(super) struct HandedOff {
    at: Instant,
    key: ServerKey,
    shard: u8,
}

impl Stack {
    /// Finds what the Replaces of an INVITE means. `Ok(None)`: there is no such header.
    pub(super) fn replaced(&self, request: &Request) -> Result<Option<Replaced>, Unreplaceable> {
        if request.method != Method::Invite {
            return Ok(None);
        }
        let mut values = request.headers.all(&Name::Replaces);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let refused = |status| Err(Unreplaceable::Refused(status));
        // RFC 3891 §3: more than one, or one beside Join, is an error.
        if values.next().is_some() || request.headers.get(&Name::Join).is_some() {
            return refused(Status::BAD_REQUEST);
        }
        let Ok(replaces) = Replaces::parse(value) else {
            return refused(Status::BAD_REQUEST);
        };
        if let Some(shard) = replaces.shard()
            && shard != self.wire.config.shard
        {
            return Err(Unreplaceable::Elsewhere(shard));
        }
        match self.standing(&replaces) {
            Some((_, Standing::Confirmed)) if replaces.early_only => refused(Status::BUSY_HERE),
            Some((replaced, Standing::Early | Standing::Confirmed)) => Ok(Some(replaced)),
            Some((_, Standing::Over)) => refused(Status::DECLINE),
            // RFC 3891 §3: an early dialog that the other side began cannot be replaced.
            Some((_, Standing::Ringing)) | None => refused(Status::CALL_DOES_NOT_EXIST),
        }
    }

    /// Finds the session that a REFER means, if it is not over. One that still rings for whoever began it is a session of
    /// the transferor, which gives it away: RFC 3891 §3 forbids that to INVITEs only.
    pub(super) fn find(&self, replaces: &Replaces) -> Option<Replaced> {
        let (replaced, standing) = self.standing(replaces)?;
        (standing != Standing::Over).then_some(replaced)
    }

    fn standing(&self, replaces: &Replaces) -> Option<(Replaced, Standing)> {
        let session = self.by_token.get(&Token::from_tag(&replaces.to_tag)?)?;
        let found = self.sessions.get(session)?;
        // RFC 3891 §3: a peer of RFC 2543 has no tag, which is written as 0.
        let is_with = found.has_dialog(&replaces.call_id, &replaces.from_tag)
            || replaces.from_tag == "0" && found.has_dialog(&replaces.call_id, "");
        let standing = found.standing();
        let replaced = Replaced {
            session: *session,
            early: standing != Standing::Confirmed,
        };
        is_with.then_some((replaced, standing))
    }

    /// Gives an INVITE to the shard that holds the dialog it would replace.
    pub(super) fn hand_off_invite(
        &mut self,
        now: Instant,
        shard: u8,
        flow: Flow,
        bytes: Bytes,
        request: &Request,
    ) {
        if let Some(key) = ServerKey::of(request) {
            if self.handed_off.len() >= MAX_HANDED_OFF {
                self.handed_off.pop_front();
            }
            let at = now;
            self.handed_off.push_back(HandedOff { at, key, shard });
        }
        self.wire
            .outputs
            .push_back(Output::Handoff { shard, flow, bytes });
    }

    /// Tells which shard was given the INVITE that this CANCEL means.
    pub(super) fn shard_of_invite(&mut self, now: Instant, cancel: &Request) -> Option<u8> {
        let patience = self.wire.patience();
        let is_old = |gone: &HandedOff| now.saturating_duration_since(gone.at) > patience;
        while self.handed_off.front().is_some_and(is_old) {
            self.handed_off.pop_front();
        }
        if self.handed_off.is_empty() {
            return None;
        }
        let key = ServerKey::of_cancelled(cancel)?;
        self.handed_off
            .iter()
            .find(|gone| gone.key == key)
            .map(|gone| gone.shard)
    }
}
