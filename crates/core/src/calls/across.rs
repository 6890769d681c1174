//! What calls say to each other: RFC 3891. Only calls of one account join (hard case S75).

use call::{Input, Word};
use sip::{SessionId, Status};
use store::Id;

use crate::calls::Inner;

impl Inner {
    /// Tells another call what a call of an account says, or gives the answer of one that is over or somebody else's.
    pub(super) fn across(
        &self,
        account: Id,
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
        answer.map(|word| Input::Across {
            to: call::leg_of(from).1,
            from: to,
            word,
        })
    }
}
