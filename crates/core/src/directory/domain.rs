//! SIP domains: an account's own one, and those that a customer makes beside it.

use std::sync::Arc;

use store::{Account, Domain, DomainFilter, DomainKind, Id};

use super::{ATTEMPTS, Directory, Host, Listed, Page, id};
use crate::error::{Barred, Error};

/// The most domains that a customer may make (bandwidth-v1.md §2).
pub const MAX_DOMAINS: u64 = 100;

const NOT_FOUND: Error = Error::NotFound { what: "domain" };

impl Directory {
    /// Makes a domain `{name}.{installation's domain}`; names are unique in the installation, whatever their case.
    pub async fn create_domain(
        &self,
        account: &Account,
        name: String,
        description: Option<String>,
    ) -> Result<Arc<Domain>, Error> {
        let (directory, account) = (self.clone(), account.id);
        self.to_the_end(async move {
            let _shared = directory.lock(account).read().await;
            let sip_domain =
                format!("{}.{}", name, directory.0.settings.domain).to_ascii_lowercase();
            for _ in 0..ATTEMPTS {
                let domain = Domain {
                    id: id::internal(),
                    public_id: id::public("rd"),
                    account,
                    name: name.clone(),
                    sip_domain: sip_domain.clone(),
                    realm: sip_domain.clone(),
                    description: description.clone(),
                    kind: DomainKind::Bandwidth,
                    created: directory.now(),
                };
                match directory
                    .0
                    .store
                    .insert_domain(domain.clone(), MAX_DOMAINS)
                    .await
                {
                    Ok(()) => {
                        directory.remember_domain(domain.clone());
                        return Ok(Arc::new(domain));
                    }
                    Err(store::Error::Taken { columns }) if columns.contains("sip_domain") => {
                        return Err(Error::Conflict {
                            what: "domain",
                            value: name,
                        });
                    }
                    Err(store::Error::Taken { .. }) => {}
                    Err(store::Error::Limit { .. }) => {
                        return Err(Error::Forbidden {
                            why: Barred::DomainLimit,
                        });
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            Err(Error::busy())
        })
        .await
    }

    /// The domain with this `rd-…` id that the account made.
    pub async fn domain(&self, account: &Account, public_id: &str) -> Result<Arc<Domain>, Error> {
        self.own_domain(account.id, public_id).await.map(Arc::new)
    }

    async fn own_domain(&self, account: Id, public_id: &str) -> Result<Domain, Error> {
        let found = self.0.store.domain_by_public_id(public_id).await?;
        found
            .filter(|domain| domain.account == account && domain.kind == DomainKind::Bandwidth)
            .ok_or(NOT_FOUND)
    }

    /// The domains that the account made, newest first.
    pub async fn domains(
        &self,
        account: &Account,
        page: Page,
    ) -> Result<Listed<Arc<Domain>>, Error> {
        let filter = DomainFilter {
            account: account.id,
            kind: Some(DomainKind::Bandwidth),
        };
        Ok(self.0.store.domains(&filter, page).await?.map(Arc::new))
    }

    /// Changes a domain's description.
    pub async fn update_domain(
        &self,
        account: &Account,
        public_id: &str,
        description: Option<Option<String>>,
    ) -> Result<Arc<Domain>, Error> {
        let (directory, account, public_id) = (self.clone(), account.id, public_id.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let mut domain = directory.own_domain(account, &public_id).await?;
            if let Some(description) = description {
                domain.description = description;
                if !directory
                    .0
                    .store
                    .update_domain(domain.id, domain.description.clone())
                    .await?
                {
                    return Err(NOT_FOUND);
                }
                directory.remember_domain(domain.clone());
            }
            Ok(Arc::new(domain))
        })
        .await
    }

    /// Deletes a domain with its endpoints; their bindings go, calls stay.
    pub async fn delete_domain(&self, account: &Account, public_id: &str) -> Result<(), Error> {
        let (directory, account, public_id) = (self.clone(), account.id, public_id.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let domain = directory.own_domain(account, &public_id).await?;
            let endpoints = directory
                .0
                .store
                .delete_domain(domain.id)
                .await?
                .ok_or(NOT_FOUND)?;
            directory.0.hosts.remove(&domain.sip_domain);
            directory.0.domains.remove(&domain.id);
            let policies = &directory.0.policies;
            policies.remove(store::PolicyScope::Domain, domain.id);
            directory.forget_endpoints(&endpoints).await;
            Ok(())
        })
        .await
    }

    /// The SIP domain that belongs to the account itself.
    pub fn account_domain(&self, account: &Account) -> Option<Arc<Domain>> {
        self.domain_by_id(account.domain)
    }

    /// The domain with this key.
    pub fn domain_by_id(&self, id: Id) -> Option<Arc<Domain>> {
        self.0.domains.get(&id).map(|domain| Arc::clone(&domain))
    }

    pub(super) fn remember_domain(&self, domain: Domain) {
        let realm = if *domain.realm == *self.0.realm {
            Arc::clone(&self.0.realm)
        } else {
            domain.realm.as_str().into()
        };
        self.0.hosts.insert(
            domain.sip_domain.clone(),
            Host {
                realm,
                shared: false,
                domain: Some(domain.id),
            },
        );
        self.0.domains.insert(domain.id, Arc::new(domain));
    }
}
