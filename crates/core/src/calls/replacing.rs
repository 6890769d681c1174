//! An INVITE with Replaces: a phone takes the place of a session of another call (RFC 3891 §3, §8), to pick a call up or to
//! finish a transfer by itself. Who does it has proved its password, and both calls are of its account (hard case S75).

use std::sync::Arc;

use call::Script;
use sip::{Replaced, Status};
use store::Account;

use crate::calls::inbound::{Admitted, Arriving, Refusal};
use crate::calls::locate::Asker;
use crate::calls::permission::Permission;
use crate::calls::{Inner, script};
use crate::directory::Subscriber;

impl Inner {
    /// Takes a call of an endpoint that replaces a session, or refuses it.
    pub(super) fn admit_replacing(
        &self,
        arriving: Arriving<'_>,
        subscriber: Arc<Subscriber>,
        account: Arc<Account>,
        replaced: Replaced,
    ) -> Result<Admitted, Refusal> {
        let Arriving {
            now,
            shard,
            request,
            flow,
            ..
        } = arriving;
        let (call, _) = call::leg_of(replaced.session);
        if self.live.account(call) != Some(account.id) {
            let status = Status::CALL_DOES_NOT_EXIST;
            return Err(self.refusal(shard, request, status, ""));
        }
        let application = match subscriber.application {
            Some(application) => self.directory.application(application),
            None => self.directory.default_application(account.id),
        };
        let counted = match subscriber.permissions.voice {
            true => self.counted(now, account.id, Some(subscriber.endpoint)),
            false => Err((Permission::Voice.cause(), Status::FORBIDDEN)),
        };
        let (script, ticket) = match counted {
            Ok(ticket) => {
                let script = Script::Replace {
                    replaced: replaced.session,
                    time_limit: self.settings.time_limit,
                    hangup: application.as_deref().and_then(script::hangup),
                };
                (script, Some(ticket))
            }
            Err((cause, status)) => {
                let script = script::refused(cause, status, application.as_deref());
                (script, None)
            }
        };
        Ok(Admitted {
            ticket,
            facts: self.facts(&account, application, subscriber.flavor),
            caller: self.named(&subscriber, arriving.caller()),
            asker: Asker {
                account,
                caller: Some(subscriber),
                source: flow,
                shown: String::new(),
            },
            script,
            on_trunk: None,
        })
    }
}
