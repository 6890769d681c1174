//! Accounts: who is asking, and how a new one begins.

use std::sync::Arc;

use store::{Account, Domain, DomainKind, Id, Secret};

use super::{ATTEMPTS, Directory, Listed, Page, id};
use crate::error::{Barred, Error, Why};

/// What is decided about a new account; the rest is random.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAccount {
    /// What people call it.
    pub name: String,
    /// Where phone numbers are sent, as a SIP URI.
    pub trunk: Option<String>,
    /// The country whose numbers its people dial without an international prefix, as calling code.
    pub country_code: Option<String>,
    /// Whether strangers may ring its endpoints.
    pub allow_external_callers: bool,
}

impl NewAccount {
    /// An account without a trunk, whose endpoints strangers may ring.
    pub fn named(name: &str) -> Self {
        NewAccount {
            name: name.to_owned(),
            trunk: None,
            country_code: None,
            allow_external_callers: true,
        }
    }
}

/// What is to be different about an account.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AccountChange {
    /// Its name.
    pub name: Option<String>,
    /// Where phone numbers are sent.
    pub trunk: Option<Option<String>>,
    /// The country whose numbers its people dial without an international prefix.
    pub country_code: Option<Option<String>>,
    /// Whether strangers may ring its endpoints.
    pub allow_external_callers: Option<bool>,
    /// Whether it may do anything.
    pub enabled: Option<bool>,
    /// Whether its tokens are replaced by new ones.
    pub new_tokens: bool,
}

impl Directory {
    /// Makes an account with its own SIP domain; the first one gets the installation's.
    pub async fn create_account(&self, new: NewAccount) -> Result<Arc<Account>, Error> {
        let directory = self.clone();
        self.to_the_end(async move { directory.insert_account(new).await })
            .await
    }

    async fn insert_account(&self, new: NewAccount) -> Result<Arc<Account>, Error> {
        check_country(new.country_code.as_deref())?;
        let installation = self.0.settings.domain.to_ascii_lowercase();
        let mut first = !self.0.hosts.contains_key(&installation);
        for _ in 0..ATTEMPTS {
            let auth_id = id::auth_id();
            let sip_domain = if first {
                installation.clone()
            } else {
                format!("{}.{installation}", auth_id.to_ascii_lowercase())
            };
            let account = Account {
                id: id::internal(),
                auth_id,
                auth_token: Secret::new(id::auth_token()),
                bandwidth_user: id::public("u"),
                bandwidth_token: Secret::new(id::public("t")),
                bandwidth_secret: Secret::new(id::secret()),
                name: new.name.clone(),
                parent: None,
                domain: id::internal(),
                trunk: new.trunk.clone(),
                country_code: new.country_code.clone(),
                allow_external_callers: new.allow_external_callers,
                enabled: true,
                created: self.now(),
            };
            let domain = Domain {
                id: account.domain,
                public_id: id::public("rd"),
                account: account.id,
                name: sip_domain.clone(),
                realm: sip_domain.clone(),
                sip_domain,
                description: None,
                kind: DomainKind::Account,
                created: account.created,
            };
            match self
                .0
                .store
                .insert_account(account.clone(), domain.clone())
                .await
            {
                Ok(()) => {
                    self.remember_domain(domain);
                    self.remember_account(account.clone());
                    return Ok(Arc::new(account));
                }
                // Somebody else was first.
                Err(store::Error::Taken { columns }) if columns.contains("sip_domain") => {
                    first = false
                }
                Err(store::Error::Taken { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::busy())
    }

    /// The account that these credentials prove; the comparison takes the same time wherever they differ. A refusal reads
    /// the store once whether there is such an account or not, so that its time does not tell (hard case H01).
    pub async fn authenticate_basic(
        &self,
        auth_id: &str,
        token: &str,
    ) -> Result<Arc<Account>, Error> {
        let known = self.0.by_auth_id.get(auth_id).map(|id| *id);
        let account = match known.and_then(|id| self.account(id)) {
            Some(account) => account,
            // Another process may have made it (`account create`).
            None => {
                self.adopt(self.0.store.account_by_auth_id(auth_id).await?)
                    .await?
            }
        };
        if !account.auth_token.matches(token) {
            if known.is_some() {
                self.0.store.account_by_auth_id(auth_id).await?;
            }
            return Err(Error::Unauthorized);
        }
        self.permitted(account)
    }

    /// The account that these credentials of the third face prove.
    pub async fn authenticate_bandwidth(
        &self,
        token: &str,
        secret: &str,
    ) -> Result<Arc<Account>, Error> {
        let known = self.0.by_token.get(token).map(|id| *id);
        let account = match known.and_then(|id| self.account(id)) {
            Some(account) => account,
            None => {
                self.adopt(self.0.store.account_by_bandwidth_token(token).await?)
                    .await?
            }
        };
        if !(account.bandwidth_token.matches(token) && account.bandwidth_secret.matches(secret)) {
            if known.is_some() {
                self.0.store.account_by_bandwidth_token(token).await?;
            }
            return Err(Error::Unauthorized);
        }
        self.permitted(account)
    }

    /// Lets an account in that proved itself, unless it is off or asks too much.
    fn permitted(&self, account: Arc<Account>) -> Result<Arc<Account>, Error> {
        if !account.enabled {
            return Err(Error::Forbidden {
                why: Barred::AccountDisabled,
            });
        }
        let payer = account.parent.unwrap_or(account.id);
        let admitted = self.0.pace.admit(self.0.clock.now().instant, payer);
        admitted
            .map(|()| account)
            .map_err(|retry_after| Error::TooMany { retry_after })
    }

    /// Takes over an account that is in the store and not in memory.
    async fn adopt(&self, found: Option<Account>) -> Result<Arc<Account>, Error> {
        let account = found.ok_or(Error::Unauthorized)?;
        let domain = self
            .0
            .store
            .domain(account.domain)
            .await?
            .ok_or(Error::Unauthorized)?;
        self.remember_domain(domain);
        self.remember_account(account.clone());
        Ok(Arc::new(account))
    }

    /// The account with this key.
    pub fn account(&self, id: Id) -> Option<Arc<Account>> {
        self.0.accounts.get(&id).map(|account| Arc::clone(&account))
    }

    /// The account with this `auth_id`.
    pub fn account_by_auth_id(&self, auth_id: &str) -> Option<Arc<Account>> {
        let id = *self.0.by_auth_id.get(auth_id)?;
        self.account(id)
    }

    /// All accounts, newest first.
    pub async fn accounts(&self, page: Page) -> Result<Listed<Arc<Account>>, Error> {
        Ok(self.0.store.accounts(page).await?.map(Arc::new))
    }

    /// Changes an account; what it was proved with before is void at once.
    pub async fn update_account(
        &self,
        account: &Account,
        change: AccountChange,
    ) -> Result<Arc<Account>, Error> {
        let (directory, id) = (self.clone(), account.id);
        self.to_the_end(async move {
            let _alone = directory.lock(id).write().await;
            let current = directory
                .account(id)
                .ok_or(Error::NotFound { what: "account" })?;
            let mut changed = Account::clone(&current);
            changed.name = change.name.unwrap_or(changed.name);
            changed.trunk = change.trunk.unwrap_or(changed.trunk);
            changed.country_code = change.country_code.unwrap_or(changed.country_code);
            check_country(changed.country_code.as_deref())?;
            changed.allow_external_callers = change
                .allow_external_callers
                .unwrap_or(changed.allow_external_callers);
            changed.enabled = change.enabled.unwrap_or(changed.enabled);
            if change.new_tokens {
                changed.auth_token = Secret::new(id::auth_token());
                changed.bandwidth_token = Secret::new(id::public("t"));
                changed.bandwidth_secret = Secret::new(id::secret());
            }
            if !directory.0.store.update_account(changed.clone()).await? {
                return Err(Error::NotFound { what: "account" });
            }
            if change.new_tokens {
                directory
                    .0
                    .by_token
                    .remove(current.bandwidth_token.expose());
            }
            directory.remember_account(changed.clone());
            Ok(Arc::new(changed))
        })
        .await
    }

    /// Changes the name of an account.
    pub async fn update_account_name(&self, account: &Account, name: String) -> Result<(), Error> {
        self.update_account(
            account,
            AccountChange {
                name: Some(name),
                ..AccountChange::default()
            },
        )
        .await
        .map(|_| ())
    }

    pub(super) fn remember_account(&self, account: Account) {
        self.0
            .by_auth_id
            .insert(account.auth_id.clone(), account.id);
        self.0
            .by_token
            .insert(account.bandwidth_token.expose().to_owned(), account.id);
        self.0.accounts.insert(account.id, Arc::new(account));
    }
}

fn check_country(code: Option<&str>) -> Result<(), Error> {
    match code.is_none_or(crate::trunks::e164::is_country_code) {
        true => Ok(()),
        false => Err(Error::Invalid {
            field: "country_code",
            why: Why::NotValid("it must be one to three digits, the first not 0".to_owned()),
        }),
    }
}
