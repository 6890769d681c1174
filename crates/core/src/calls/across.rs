//! What calls say to each other: RFC 3891. Only calls of one account join (hard case S75).

use call::{CallNumber, Input, Word};
use sip::{SessionId, Status};
use store::Id;

use crate::calls::Inner;

impl Inner {
    /// Tells another call what a call of an account says, or gives the answer of one that is over or somebody else's.
    pub(super) fn across(
        &self,
        (account, number): (Id, CallNumber),
        to: SessionId,
        from: SessionId,
        word: Word,
    ) -> Option<Input> {
        let (call, leg) = call::leg_of(to);
        let foreign = self.live.account(call) != Some(account);
        let answer = match &word {
            Word::Join { replaced } => Some(Word::Declined {
                replaced: *replaced,
                status: Status::CALL_DOES_NOT_EXIST,
            }),
            Word::Gone | Word::Declined { .. } => None,
            _ => Some(Word::Gone),
        };
        let told = Input::Across {
            to: leg,
            from,
            word,
        };
        if !foreign && self.live.tell(call, told) {
            return None;
        }
        let (asked_by, leg) = call::leg_of(from);
        let answer = answer.map(|word| Input::Across {
            to: leg,
            from: to,
            word,
        })?;
        if asked_by != number {
            // It was passed on for a third call.
            self.live.tell(asked_by, answer);
            return None;
        }
        Some(answer)
    }
}
