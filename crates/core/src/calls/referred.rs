//! Where a transfer leads: RFC 3515. The target is called as if whoever transfers dialled it, with its permissions and
//! limits, and never a way that it has not got itself (hard case S75).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use call::{Cause, Cdr, LegId, LegRecord, Link, LocateFailure, Located, Now, QueryId, Referred};
use jiff::Timestamp;
use store::Id;

use crate::calls::aim::Aim;
use crate::calls::limits::Ticket;
use crate::calls::locate::{Asker, Locator};
use crate::calls::permission::Permission;
use crate::calls::{Inner, script};

/// The transfers of one call: what is asked, and which legs came of it.
#[derive(Debug, Default)]
pub(crate) struct Referrals {
    /// Targets that are looked up, and who is counted for them; none is counted who made the call.
    asked: BTreeMap<QueryId, Option<Ticket>>,
    /// The target that was found last, until its leg begins.
    found: Option<Option<Ticket>>,
    legs: BTreeMap<LegId, Option<Ticket>>,
    /// Whether the caller was ever answered.
    answered: bool,
}

impl Referrals {
    /// Counts a transfer as a call of who transfers, and tells for whom its target is looked up.
    pub(crate) fn ask(
        &mut self,
        calls: &Inner,
        now: &Now,
        of_call: (&Asker, Option<&Ticket>),
        query: QueryId,
        referred: &Referred,
    ) -> Result<Asker, Cause> {
        let (asker, ticket) = of_call;
        if referred.by_caller {
            // The call itself is counted already.
            if let Some(ticket) = ticket {
                ticket.again(now)?;
            }
            self.asked.insert(query, None);
            return Ok(asker.clone());
        }
        let by = referred.by.and_then(|by| Id::try_from(by.0).ok());
        let caller = by.and_then(|by| calls.directory.subscriber_by_id(by));
        // Who is no endpoint of ours reaches what a stranger reaches.
        let account = match &caller {
            Some(caller) => calls.directory.account(caller.account),
            None => Some(Arc::clone(&asker.account)),
        };
        let account = account
            .filter(|account| account.enabled)
            .ok_or(Cause::Forbidden)?;
        let ticket = calls.limits.admit(now, account.id, by)?;
        self.asked.insert(query, Some(ticket));
        Ok(Asker {
            account,
            caller,
            ..asker.clone()
        })
    }

    /// A target was looked up.
    pub(crate) fn located(&mut self, query: QueryId) {
        self.found = self.asked.remove(&query);
    }

    /// A leg begins, or goes on; tells how long one that is answered may talk by a limit of who transferred.
    pub(crate) fn recorded(&mut self, record: &LegRecord) -> Option<Duration> {
        if let Some(ticket) = self.found.take() {
            self.legs.insert(record.leg, ticket);
        }
        self.answered |= record.leg == LegId::A && record.answered.is_some();
        record.answered?;
        self.legs.get(&record.leg)?.as_ref()?.allowance
    }

    /// All that came of an answer is known: a target without a leg is counted no more.
    pub(crate) fn settle(&mut self) {
        self.found = None;
    }

    /// A leg is over: what it talked is counted like a call of who transferred; `ticket` is that of the call. A callee that
    /// talks although its caller was never answered was handed over while it rang.
    pub(crate) fn ended(&mut self, now: &Now, ticket: Option<&Ticket>, cdr: &Cdr) {
        let own = self.legs.remove(&cdr.leg.leg);
        let handed_over = !self.answered && cdr.leg.leg != LegId::A;
        if (own.is_some() || handed_over)
            && let Some(ticket) = own.as_ref().and_then(Option::as_ref).or(ticket)
        {
            ticket.talked(now, cdr.duration);
        }
    }
}

/// What the target of a transfer turned out to be.
pub(crate) enum Target {
    /// Somebody to call.
    Place(Located),
    /// An application of the account, by its answer URL.
    Application(Link),
}

impl Locator {
    /// Finds the target of a transfer, if who transfers may call it.
    pub(crate) async fn referred(
        &self,
        now: Timestamp,
        asker: &Asker,
        referred: &Referred,
    ) -> Result<Target, LocateFailure> {
        self.directory.loaded().await;
        let aim = self.view(asker).read(&referred.to);
        let missing = asker
            .caller
            .as_ref()
            .and_then(|caller| Permission::missing_for_call(caller, &aim, None));
        if let Some(permission) = missing {
            return Err(LocateFailure::Rule(permission.cause()));
        }
        if let Aim::Application(id) = aim {
            // One of another account speaks another customer's words.
            let application = id.and_then(|id| self.directory.application(id));
            let own = application.filter(|application| {
                application.account == asker.account.id && application.enabled
            });
            let answer = own.and_then(|application| script::answer(&application));
            return answer
                .map(Target::Application)
                .ok_or(LocateFailure::UnknownUser);
        }
        let to = referred.to.trim();
        let located = self.aimed(now, asker, &aim, to, false).await;
        located.map(Target::Place)
    }
}
