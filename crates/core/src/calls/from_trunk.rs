//! A call that comes from a trunk: whose it is, whether it may come, and which number it is for.
//!
//! A trunk is known by the address that its call comes from, by the realm that the call names (`{tr-…}.{domain}`), or by
//! the contact that we registered with it. Who it says is calling is its business; what it may reach is a number of the
//! same account and nothing else.

use std::sync::Arc;

use call::Caller;
use sip::digest::Credentials;
use sip::{Name, NameAddr, Request, Status};
use store::{Account, Number, Trunk};

use crate::calls::inbound::{Admitted, Arriving, Refusal};
use crate::calls::locate::Asker;
use crate::calls::{Inner, caller, script};
use crate::trunks::e164;

/// How a call shows that it is a trunk's.
enum Sign {
    /// It names the trunk's realm.
    Realm,
    /// It is for the contact that we registered, and comes from where we registered it.
    Contact,
    /// It comes from one of the trunk's networks.
    Network,
}

impl Inner {
    /// Takes a call from a trunk, or refuses it. `None`: it is no trunk's.
    pub(super) fn admit_from_trunk(
        &self,
        arriving: Arriving<'_>,
    ) -> Result<Option<Admitted>, Refusal> {
        let Arriving {
            now,
            shard,
            request,
            flow,
            uri,
            from,
            ..
        } = arriving;
        let refuse = |status, why: &'static str| Err(self.refusal(shard, request, status, why));
        let (sign, candidates) = self.candidates(arriving);
        if candidates.is_empty() {
            return match sign {
                Sign::Network => Ok(None),
                Sign::Realm | Sign::Contact => refuse(Status::FORBIDDEN, "Trunk disabled"),
            };
        }
        // A gateway calls its contact and names the number in To.
        let to = request.to();
        let called = match (&sign, &to) {
            (Sign::Contact, Ok(to)) => to.uri.user_decoded(),
            _ => uri.user_decoded(),
        };
        let called = called.unwrap_or_default();
        let Some((trunk, account, number)) = self.called_number(&candidates, &called) else {
            return match sign {
                Sign::Network
                    if self
                        .directory
                        .subscriber(&uri.host_lower(), &called)
                        .is_some() =>
                {
                    Ok(None)
                }
                Sign::Network if e164::normalised(None, &called).is_none() => Ok(None),
                _ => refuse(Status::NOT_FOUND, "Unknown number"),
            };
        };
        self.prove_trunk(arriving, &sign, &trunk)?;
        let Some(place) = self.trunks.states.take_call(trunk.id, trunk.max_calls) else {
            tracing::info!(
                trunk = trunk.public_id,
                "a trunk has no place for one more call"
            );
            return refuse(Status::SERVICE_UNAVAILABLE, "Trunk is full");
        };
        let application = number
            .application
            .and_then(|application| self.directory.application(application));
        let Some(application) = application else {
            return refuse(Status::NOT_FOUND, "No application for this number");
        };
        if !application.enabled {
            return refuse(Status::FORBIDDEN, "Application disabled");
        }
        let asserted = caller::asserted(request).filter(|_| trunk.trusted);
        let from = asserted.as_ref().unwrap_or(from);
        let caller = self.caller_over(&account, &number, from, arriving);
        let flavor = application.flavor;
        let (script, ticket) = match self.counted(now, account.id, None) {
            Ok(ticket) => (script::of(&self.settings, &application, uri), Some(ticket)),
            Err((cause, status)) => (script::refused(cause, status, Some(&application)), None),
        };
        Ok(Some(Admitted {
            script,
            ticket,
            facts: self.facts(&account, Some(application), flavor),
            asker: Asker {
                account,
                caller: None,
                source: flow,
                shown: String::new(),
            },
            caller,
            on_trunk: Some(place),
        }))
    }

    /// The trunks that a call may be of, and how it shows that. Those that are off are left out.
    fn candidates(&self, arriving: Arriving<'_>) -> (Sign, Vec<Arc<Trunk>>) {
        let Arriving {
            request,
            flow,
            uri,
            from,
            ..
        } = arriving;
        let enabled = |trunk: &Arc<Trunk>| trunk.enabled;
        let source = flow.remote.ip();
        let hosts = [uri.host_lower(), from.uri.host_lower()];
        let named = hosts
            .iter()
            .find_map(|host| self.directory.trunk_of_host(host));
        if let Some(named) = named {
            let named = Some(named).filter(enabled);
            return (Sign::Realm, named.into_iter().collect());
        }
        let user = uri.user_decoded().unwrap_or_default();
        let contact = self.directory.trunk_by_public_id(&user);
        let contact = contact.filter(|trunk| self.trunks.states.is_peer(trunk.id, source));
        if let Some(contact) = contact {
            let contact = Some(contact).filter(enabled);
            return (Sign::Contact, contact.into_iter().collect());
        }
        let mut near = self.directory.trunks_with_address(source);
        near.retain(enabled);
        if !near.is_empty() && self.is_endpoints(request, from, &near) {
            near.clear();
        }
        (Sign::Network, near)
    }

    /// Whether a call from a trunk's network is yet that of an endpoint, which has to prove its password.
    fn is_endpoints(&self, request: &Request, from: &NameAddr, near: &[Arc<Trunk>]) -> bool {
        let proofs = request.headers.all(&Name::ProxyAuthorization);
        let mut proofs = proofs.filter_map(|value| Credentials::parse(value).ok().flatten());
        let is_trunks = |realm: &str| {
            let mut realms = near
                .iter()
                .map(|trunk| self.directory.realm_of_trunk(trunk));
            realms.any(|known| known == realm)
        };
        if proofs.any(|proof| !is_trunks(&proof.realm)) {
            return true;
        }
        let host = from.uri.host_lower();
        let user = from.uri.user_decoded().unwrap_or_default();
        match self.directory.host(&host) {
            Some(known) if !known.shared => true,
            Some(_) => self.directory.subscriber(&host, &user).is_some(),
            None => false,
        }
    }

    /// The number that is called, as one of the trunks' accounts has it.
    fn called_number(
        &self,
        candidates: &[Arc<Trunk>],
        called: &str,
    ) -> Option<(Arc<Trunk>, Arc<Account>, Arc<Number>)> {
        candidates.iter().find_map(|trunk| {
            let account = self.directory.account(trunk.account)?;
            let digits = e164::normalised(self.locator.country(&account), called)?;
            let number = self.directory.known_number(&digits)?;
            let own = number.account == account.id && account.enabled;
            own.then(|| (Arc::clone(trunk), account, number))
        })
    }

    /// A trunk with networks comes from them; one with inbound credentials proves them; one with neither does not come.
    fn prove_trunk(
        &self,
        arriving: Arriving<'_>,
        sign: &Sign,
        trunk: &Trunk,
    ) -> Result<(), Refusal> {
        let Arriving {
            now,
            shard,
            request,
            flow,
            ..
        } = arriving;
        let source = flow.remote.ip();
        let near = self.directory.trunks_with_address(source);
        let from_network = near.iter().any(|known| known.id == trunk.id)
            || self.trunks.states.is_peer(trunk.id, source);
        let anywhere = trunk.inbound_networks.is_empty() && trunk.inbound_login.is_some();
        if !from_network && !anywhere {
            tracing::info!(
                trunk = trunk.public_id,
                %source,
                "a call names a trunk and does not come from it"
            );
            let status = Status::FORBIDDEN;
            return Err(self.refusal(shard, request, status, "Not from this address"));
        }
        match (&trunk.inbound_login, sign) {
            // Who sends to the contact that only the registrar knows, from where it is, has proved enough.
            (Some(_), Sign::Contact) | (None, _) => Ok(()),
            (Some(login), _) => {
                let realm = self.directory.realm_of_trunk(trunk);
                self.authenticator
                    .check_peer(now, shard, request, flow, &realm, login)
            }
        }
    }

    /// Who calls, as the trunk says, with numbers in their international form.
    fn caller_over(
        &self,
        account: &Account,
        number: &Number,
        from: &NameAddr,
        arriving: Arriving<'_>,
    ) -> Caller {
        let Arriving {
            request, flow, uri, ..
        } = arriving;
        let said = caller::of(request, flow, uri, from);
        let user = from.uri.user_decoded().unwrap_or_default();
        let calling = e164::normalised(self.locator.country(account), &user);
        Caller {
            from: calling.clone().unwrap_or_else(|| said.from.clone()),
            number_or_user: calling.unwrap_or_else(|| said.number_or_user.clone()),
            to: number.number.clone(),
            domain: caller::home_of_stranger(from),
            ..said
        }
    }
}
