//! Policies of registrations: who may set them, within which bounds, and what holds for whom.

use std::sync::Arc;

use sip::digest::Algorithm;
use store::{Account, Application, HttpMethod, Id, Policy, PolicyRow, PolicyScope};

use super::{Directory, Host, Key, Subscriber};
use crate::error::{Error, Why};
use crate::registrar::{ChallengePolicy, RegistrationPolicy};

/// RFC 3261 §10.3 step 7: a wish of an hour or more is never too brief.
const MOST_MIN_EXPIRES: u32 = 3600;
/// A week.
const MOST_EXPIRES: u32 = 604_800;
/// Bindings of one endpoint, each of which may be rung by one call.
const MOST_BINDINGS: u32 = 100;
/// Seconds between two pings: fewer would cost more than NAT needs, more would not keep its mappings.
const PING: std::ops::RangeInclusive<u32> = 10..=3600;
/// Characters of the refused user agents.
const MOST_TEXT: usize = 1000;

/// What a policy is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyOf {
    /// The account itself.
    Account,
    /// A domain of it, by its `rd-…` id.
    Domain(String),
    /// An endpoint of it.
    Endpoint(Key),
}

/// What is to be different about a policy; `Some(None)` leaves it to what is above.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PolicyChange {
    /// The shortest registration: 1 to 3,600 s.
    pub min_expires: Option<Option<u32>>,
    /// The registration of a phone that names none: 1 to 604,800 s.
    pub default_expires: Option<Option<u32>>,
    /// The longest registration: 1 to 604,800 s.
    pub max_expires: Option<Option<u32>>,
    /// The most bindings of one endpoint: 1 to 100.
    pub max_bindings: Option<Option<u32>>,
    /// The weakest digest algorithm: `MD5`, `SHA-256` or `SHA-512-256`.
    pub digest_algorithm: Option<Option<String>>,
    /// Whether a nonce is good for one address only; of accounts and domains.
    pub bind_nonces: Option<Option<bool>>,
    /// User agents that are refused besides the installation's: alternatives divided by `|`.
    pub refused_user_agents: Option<Option<String>>,
    /// Seconds between pings: 0 for none, or 10 to 3,600.
    pub ping: Option<Option<u32>>,
    /// Told of registrations; the caller has checked that it may be asked.
    pub registration_url: Option<Option<String>>,
    /// How.
    pub registration_method: Option<Option<HttpMethod>>,
    /// Whether refreshes are told too.
    pub registration_refreshed: Option<Option<bool>>,
}

/// A policy, and what holds with what is above it.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// What was set here.
    pub own: Policy,
    /// What holds for registrations.
    pub effective: RegistrationPolicy,
}

/// Whom to tell of an endpoint's registrations.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct RegistrationLink {
    /// The URL.
    pub(crate) url: String,
    /// How it is asked.
    pub(crate) method: HttpMethod,
    /// Whether of refreshes too.
    pub(crate) refreshed: bool,
    /// The application that named it.
    pub(crate) application: Option<Arc<Application>>,
}

/// The thing that a policy belongs to, found.
struct Subject {
    scope: PolicyScope,
    id: Id,
    domain: Option<Id>,
    endpoint: Option<Id>,
}

impl Directory {
    /// What holds for the registrations of a subscriber.
    pub fn registration_policy(&self, subscriber: &Subscriber) -> RegistrationPolicy {
        let (index, account) = (&self.0.policies, subscriber.account);
        if !index.concerns(account) {
            return RegistrationPolicy::of(&self.0.settings);
        }
        let domain = self.0.hosts.get(&subscriber.domain);
        let domain = domain.and_then(|host| host.domain);
        let chain = index.chain(account, domain, Some(subscriber.endpoint));
        RegistrationPolicy::resolve(&self.0.settings, chain)
    }

    /// Whether anybody has a policy.
    pub(crate) fn has_policies(&self) -> bool {
        self.0.policies.any()
    }

    /// Whom to tell of a subscriber's registrations: the URL of its application, else of the nearest policy.
    pub(crate) fn registration_link(&self, subscriber: &Subscriber) -> Option<RegistrationLink> {
        if !self.0.policies.may_listen() {
            return None;
        }
        let domain = self.0.hosts.get(&subscriber.domain);
        let domain = domain.and_then(|host| host.domain);
        let chain = || {
            let (account, endpoint) = (subscriber.account, Some(subscriber.endpoint));
            self.0.policies.chain(account, domain, endpoint)
        };
        let refreshed = || chain().find_map(|policy| policy.registration_refreshed);
        let application = match subscriber.application {
            Some(id) => self.application(id),
            None => None,
        };
        let own = application
            .as_ref()
            .and_then(|application| application.registration_url.clone());
        if let (Some(application), Some(url)) = (application, own) {
            return Some(RegistrationLink {
                url,
                method: application.registration_method,
                refreshed: refreshed().unwrap_or(false),
                application: Some(application),
            });
        }
        let policy = chain().find(|policy| policy.registration_url.is_some())?;
        Some(RegistrationLink {
            url: policy.registration_url.clone()?,
            method: policy.registration_method.unwrap_or_default(),
            refreshed: refreshed().unwrap_or(false),
            application: None,
        })
    }

    /// Whom to tell of an account's trunks: the URL of the account's own policy.
    pub(crate) fn trunk_link(&self, account: Id) -> Option<RegistrationLink> {
        let policies = &self.0.policies;
        let policy = policies
            .chain(account, None, None)
            .find(|policy| policy.registration_url.is_some())?;
        Some(RegistrationLink {
            url: policy.registration_url.clone()?,
            method: policy.registration_method.unwrap_or_default(),
            refreshed: false,
            application: None,
        })
    }

    /// What holds for challenges under a host name, whoever is asked: all that may differ before a password is proved.
    pub(crate) fn challenge_policy(&self, host: &Host) -> ChallengePolicy {
        let domain = host.domain.and_then(|id| self.domain_by_id(id));
        let Some(domain) = domain.filter(|domain| self.0.policies.concerns(domain.account)) else {
            return ChallengePolicy::of(&self.0.settings);
        };
        let chain = self.0.policies.chain(domain.account, Some(domain.id), None);
        ChallengePolicy::resolve(&self.0.settings, chain)
    }

    /// The policy of something of the account; an empty one when none was set.
    pub async fn policy(&self, account: &Account, of: &PolicyOf) -> Result<PolicyView, Error> {
        let subject = self.subject(account, of).await?;
        let own = self.0.policies.of(subject.scope, subject.id);
        Ok(self.policy_view(account.id, &subject, own))
    }

    /// Changes the policy of something of the account.
    pub async fn update_policy(
        &self,
        account: &Account,
        of: &PolicyOf,
        change: PolicyChange,
    ) -> Result<PolicyView, Error> {
        let (directory, account, of) = (self.clone(), account.clone(), of.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let subject = directory.subject(&account, &of).await?;
            let mut policy = directory
                .0
                .policies
                .of(subject.scope, subject.id)
                .map_or_else(Policy::default, |own| Policy::clone(&own));
            change.apply(subject.scope, &mut policy)?;
            let row = PolicyRow {
                scope: subject.scope,
                subject: subject.id,
                account: account.id,
                policy: policy.clone(),
            };
            match directory.0.store.put_policy(row.clone()).await {
                Ok(()) => directory.0.policies.put(row),
                Err(store::Error::Gone) => return Err(not_found(subject.scope)),
                Err(other) => return Err(other.into()),
            }
            Ok(directory.policy_view(account.id, &subject, Some(Arc::new(policy))))
        })
        .await
    }

    /// Leaves everything to what is above again.
    pub async fn delete_policy(&self, account: &Account, of: &PolicyOf) -> Result<(), Error> {
        let (directory, account, of) = (self.clone(), account.clone(), of.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let subject = directory.subject(&account, &of).await?;
            let (scope, id) = (subject.scope, subject.id);
            directory.0.store.delete_policy(scope, id).await?;
            directory.0.policies.remove(scope, id);
            Ok(())
        })
        .await
    }

    async fn subject(&self, account: &Account, of: &PolicyOf) -> Result<Subject, Error> {
        Ok(match of {
            PolicyOf::Account => Subject {
                scope: PolicyScope::Account,
                id: account.id,
                domain: None,
                endpoint: None,
            },
            PolicyOf::Domain(public_id) => {
                let domain = self.domain(account, public_id).await?.id;
                Subject {
                    scope: PolicyScope::Domain,
                    id: domain,
                    domain: Some(domain),
                    endpoint: None,
                }
            }
            PolicyOf::Endpoint(key) => {
                let endpoint = self.endpoint(account, key).await?.endpoint;
                Subject {
                    scope: PolicyScope::Endpoint,
                    id: endpoint.id,
                    domain: Some(endpoint.domain),
                    endpoint: Some(endpoint.id),
                }
            }
        })
    }

    fn policy_view(&self, account: Id, subject: &Subject, own: Option<Arc<Policy>>) -> PolicyView {
        let chain = self
            .0
            .policies
            .chain(account, subject.domain, subject.endpoint);
        PolicyView {
            own: own.map_or_else(Policy::default, |own| Policy::clone(&own)),
            effective: RegistrationPolicy::resolve(&self.0.settings, chain),
        }
    }
}

impl PolicyChange {
    fn apply(self, scope: PolicyScope, to: &mut Policy) -> Result<(), Error> {
        let seconds = |field, most| {
            move |wish: &Option<u32>| match wish {
                Some(wish) if !(1..=most).contains(wish) => {
                    Err(invalid(field, format!("it must be 1 to {most}")))
                }
                _ => Ok(()),
            }
        };
        set(
            &mut to.min_expires,
            self.min_expires,
            seconds("min_expires", MOST_MIN_EXPIRES),
        )?;
        set(
            &mut to.default_expires,
            self.default_expires,
            seconds("default_expires", MOST_EXPIRES),
        )?;
        set(
            &mut to.max_expires,
            self.max_expires,
            seconds("max_expires", MOST_EXPIRES),
        )?;
        set(
            &mut to.max_bindings,
            self.max_bindings,
            seconds("max_bindings", MOST_BINDINGS),
        )?;
        set(&mut to.ping, self.ping, |wish| match wish {
            Some(wish) if *wish != 0 && !PING.contains(wish) => Err(invalid(
                "ping",
                format!("it must be 0 or {} to {}", PING.start(), PING.end()),
            )),
            _ => Ok(()),
        })?;
        let algorithm = self.digest_algorithm.map(|wish| match wish {
            None => Ok(None),
            Some(token) => match Algorithm::from_token(&token) {
                Some(known) => Ok(Some(known.token().to_owned())),
                None => Err(invalid(
                    "digest_algorithm",
                    "it must be MD5, SHA-256 or SHA-512-256".to_owned(),
                )),
            },
        });
        set(&mut to.digest_algorithm, algorithm.transpose()?, |_| Ok(()))?;
        set(&mut to.bind_nonces, self.bind_nonces, |wish| {
            match (wish, scope) {
                // A challenge is made before anybody knows which endpoint answers it.
                (Some(_), PolicyScope::Endpoint) => Err(invalid(
                    "bind_nonces",
                    "it can be set for an account or a domain".to_owned(),
                )),
                _ => Ok(()),
            }
        })?;
        set(
            &mut to.refused_user_agents,
            self.refused_user_agents,
            |wish| match wish {
                Some(text)
                    if text.chars().count() > MOST_TEXT || text.chars().any(char::is_control) =>
                {
                    Err(invalid("refused_user_agents", "it is too long".to_owned()))
                }
                _ => Ok(()),
            },
        )?;
        set(&mut to.registration_url, self.registration_url, |_| Ok(()))?;
        set(
            &mut to.registration_method,
            self.registration_method,
            |_| Ok(()),
        )?;
        set(
            &mut to.registration_refreshed,
            self.registration_refreshed,
            |_| Ok(()),
        )?;
        let ordered = |least: Option<u32>, most: Option<u32>| match (least, most) {
            (Some(least), Some(most)) => least <= most,
            _ => true,
        };
        if !ordered(to.min_expires, to.default_expires)
            || !ordered(to.default_expires, to.max_expires)
            || !ordered(to.min_expires, to.max_expires)
        {
            return Err(invalid(
                "default_expires",
                "it must lie between the shortest and the longest".to_owned(),
            ));
        }
        Ok(())
    }
}

fn set<T>(
    slot: &mut Option<T>,
    wish: Option<Option<T>>,
    check: impl FnOnce(&Option<T>) -> Result<(), Error>,
) -> Result<(), Error> {
    if let Some(wish) = wish {
        check(&wish)?;
        *slot = wish;
    }
    Ok(())
}

fn invalid(field: &'static str, why: String) -> Error {
    Error::Invalid {
        field,
        why: Why::NotValid(why),
    }
}

fn not_found(scope: PolicyScope) -> Error {
    Error::NotFound {
        what: match scope {
            PolicyScope::Account => "account",
            PolicyScope::Domain => "domain",
            PolicyScope::Endpoint => "endpoint",
        },
    }
}
