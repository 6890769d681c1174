//! Endpoints: what a phone logs in as. A user name never changes; a password change, a switch-off and a deletion end its
//! registrations before anybody hears of it.

use std::sync::Arc;

use md5::{Digest, Md5};
use store::{
    Account, Application, Binding, Domain, Endpoint, Flavor, Id, Match, Permissions, Ring, Secret,
};

use super::{ATTEMPTS, Directory, Key, Listed, Page, id};
use crate::error::{Error, Why};

/// A new endpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct NewEndpoint {
    /// Which face makes it.
    pub flavor: Flavor,
    /// In which domain; none means the account's own.
    pub domain: Option<Id>,
    /// The user name that the customer asks for.
    pub user: String,
    /// Whether 12 digits are added to it, so that nobody else has it.
    pub append_digits: bool,
    /// Its alias.
    pub label: String,
    /// Free text.
    pub description: Option<String>,
    /// Its password.
    pub password: String,
    /// Its application.
    pub application: Option<Id>,
    /// Whether, without one, it takes the account's default of this moment.
    pub default_application: bool,
    /// Off: it neither registers nor calls nor rings.
    pub enabled: bool,
    /// Which of its bindings a call rings.
    pub ring: Ring,
    /// What it may do.
    pub permissions: Permissions,
}

/// What is to be different about an endpoint; `Some(None)` takes away.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct EndpointChange {
    /// Its alias.
    pub label: Option<String>,
    /// Free text.
    pub description: Option<Option<String>>,
    /// Its password; its bindings go.
    pub password: Option<String>,
    /// Its application.
    pub application: Option<Option<Id>>,
    /// Whether it may do anything; off, its bindings go.
    pub enabled: Option<bool>,
    /// Which of its bindings a call rings.
    pub ring: Option<Ring>,
    /// What it may do.
    pub permissions: Option<Permissions>,
}

/// Which endpoints a list shows; texts are literal and their case counts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct EndpointFilter {
    pub domain: Option<Id>,
    pub user_contains: Option<String>,
    pub user_is: Option<String>,
    pub user_starts: Option<String>,
    pub label_contains: Option<String>,
    pub label_is: Option<String>,
    pub application: Option<Id>,
    pub has_application: Option<bool>,
}

/// An endpoint with what belongs to it at this moment.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its domain.
    pub domain: Arc<Domain>,
    /// Its application.
    pub application: Option<Arc<Application>>,
    /// Where it is registered, newest login first.
    pub bindings: Vec<Binding>,
}

const NOT_FOUND: Error = Error::NotFound { what: "endpoint" };
const NO_DOMAIN: Error = Error::NotFound { what: "domain" };

impl Directory {
    /// Makes an endpoint.
    pub async fn create_endpoint(
        &self,
        account: &Account,
        new: NewEndpoint,
    ) -> Result<EndpointView, Error> {
        let (directory, account) = (self.clone(), account.clone());
        self.to_the_end(async move {
            let _shared = directory.lock(account.id).read().await;
            let endpoint = directory.insert_endpoint(&account, new).await?;
            directory.view(endpoint)
        })
        .await
    }

    async fn insert_endpoint(
        &self,
        account: &Account,
        new: NewEndpoint,
    ) -> Result<Endpoint, Error> {
        let domain = self.domain_by_id(new.domain.unwrap_or(account.domain));
        let domain = domain
            .filter(|domain| domain.account == account.id)
            .ok_or(NO_DOMAIN)?;
        let application = match new.application {
            Some(id) => self
                .require_application(account.id, id)
                .map(|()| Some(id))?,
            None if new.default_application => {
                self.default_application(account.id).map(|found| found.id)
            }
            None => None,
        };
        let now = self.now();
        let mut endpoint = Endpoint {
            id: 0,
            public_id: String::new(),
            account: account.id,
            flavor: new.flavor,
            domain: domain.id,
            user: new.user.clone(),
            submitted_user: new.user,
            label: new.label,
            description: new.description,
            password: Secret::new(new.password),
            application,
            enabled: new.enabled,
            ring: new.ring,
            permissions: new.permissions,
            created: now,
            updated: now,
        };
        for _ in 0..ATTEMPTS {
            endpoint.id = id::endpoint();
            endpoint.public_id = id::public("re");
            if new.append_digits {
                self.loaded().await;
                endpoint.user = format!("{}{}", endpoint.submitted_user, id::suffix());
                // No domain has it: then the shared domains find it too, for good.
                if self.0.subscribers.is_taken(&endpoint.user) {
                    continue;
                }
            }
            match self.0.store.insert_endpoint(endpoint.clone()).await {
                Ok(()) => {
                    self.remember_endpoint(&endpoint);
                    return Ok(endpoint);
                }
                Err(store::Error::Taken { columns })
                    if columns.contains("endpoint.user") && !new.append_digits =>
                {
                    return Err(Error::Conflict {
                        what: "endpoint",
                        value: endpoint.user,
                    });
                }
                Err(store::Error::Taken { .. }) => {}
                Err(store::Error::Gone) => return Err(gone(&endpoint)),
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::busy())
    }

    /// The account's endpoint with this key.
    pub async fn endpoint(&self, account: &Account, key: &Key) -> Result<EndpointView, Error> {
        let endpoint = self.own_endpoint(account.id, key).await?;
        self.view(endpoint)
    }

    pub(super) async fn own_endpoint(&self, account: Id, key: &Key) -> Result<Endpoint, Error> {
        let found = match key {
            Key::Number(id) => self.0.store.endpoint(*id).await?,
            Key::Public(public_id) => self.0.store.endpoint_by_public_id(public_id).await?,
        };
        found
            .filter(|endpoint| endpoint.account == account)
            .ok_or(NOT_FOUND)
    }

    /// The account's endpoints, newest first.
    pub async fn endpoints(
        &self,
        account: &Account,
        filter: &EndpointFilter,
        page: Page,
    ) -> Result<Listed<EndpointView>, Error> {
        let found = self.0.store.endpoints(&filter.of(account.id), page).await?;
        // One whose domain went between the two reads is no longer shown.
        let items = found
            .items
            .into_iter()
            .filter_map(|endpoint| self.view(endpoint).ok())
            .collect();
        Ok(Listed {
            items,
            total: found.total,
        })
    }

    /// Changes an endpoint. When the password is set or it is switched off its bindings are gone on return.
    pub async fn update_endpoint(
        &self,
        account: &Account,
        key: &Key,
        change: EndpointChange,
    ) -> Result<EndpointView, Error> {
        let (directory, account, key) = (self.clone(), account.id, key.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let mut endpoint = directory.own_endpoint(account, &key).await?;
            if let Some(Some(application)) = change.application {
                directory.require_application(account, application)?;
            }
            let ends_bindings = change.password.is_some() || change.enabled == Some(false);
            change.apply(&mut endpoint);
            endpoint.updated = directory.now();
            match directory.0.store.update_endpoint(endpoint.clone()).await {
                Ok(true) => {}
                Ok(false) => return Err(NOT_FOUND),
                Err(store::Error::Gone) => return Err(gone(&endpoint)),
                Err(other) => return Err(other.into()),
            }
            directory.remember_endpoint(&endpoint);
            if ends_bindings {
                directory.0.location.drop_bindings(endpoint.id).await?;
            }
            directory.view(endpoint)
        })
        .await
    }

    /// Deletes an endpoint; its bindings are gone on return, its calls stay, its name is free.
    pub async fn delete_endpoint(&self, account: &Account, key: &Key) -> Result<(), Error> {
        let (directory, account, key) = (self.clone(), account.id, key.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let endpoint = directory.own_endpoint(account, &key).await?;
            if !directory.0.store.delete_endpoint(endpoint.id).await? {
                return Err(NOT_FOUND);
            }
            directory.forget_endpoints(&[endpoint.id]).await;
            Ok(())
        })
        .await
    }

    /// The MD5 of an endpoint's password in hexadecimal digits, where the contract shows it and the operator allows it;
    /// computed when asked, never stored.
    pub fn password_md5(&self, endpoint: &Endpoint) -> Option<String> {
        let shown = self.0.settings.plivo_password_md5;
        shown.then(|| hex::encode(Md5::digest(endpoint.password.expose().as_bytes())))
    }

    fn view(&self, endpoint: Endpoint) -> Result<EndpointView, Error> {
        Ok(EndpointView {
            domain: self.domain_by_id(endpoint.domain).ok_or(NO_DOMAIN)?,
            application: endpoint.application.and_then(|id| self.application(id)),
            bindings: self.0.location.bindings(endpoint.id, self.now()),
            endpoint,
        })
    }

    pub(super) fn remember_endpoint(&self, endpoint: &Endpoint) {
        if let Some(subscriber) = self.subscriber_of(&endpoint.into()) {
            self.0.subscribers.put(subscriber);
        }
    }

    /// Takes deleted endpoints out of memory, and then their bindings. Their rows are gone.
    pub(super) async fn forget_endpoints(&self, endpoints: &[Id]) {
        for endpoint in endpoints {
            self.0.loading.deleted(*endpoint);
            self.0.subscribers.remove(*endpoint);
            self.forget_limit(*endpoint);
            let policies = &self.0.policies;
            policies.remove(store::PolicyScope::Endpoint, *endpoint);
        }
        for endpoint in endpoints {
            // Without a subscriber a binding that is left in memory leads nowhere and lapses.
            if let Err(error) = self.0.location.drop_bindings(*endpoint).await {
                tracing::warn!(endpoint, %error, "bindings of a deleted endpoint stay in memory until they lapse");
            }
        }
    }
}

impl EndpointChange {
    fn apply(self, to: &mut Endpoint) {
        if let Some(label) = self.label {
            to.label = label;
        }
        if let Some(description) = self.description {
            to.description = description;
        }
        if let Some(password) = self.password {
            to.password = Secret::new(password);
        }
        if let Some(application) = self.application {
            to.application = application;
        }
        if let Some(enabled) = self.enabled {
            to.enabled = enabled;
        }
        if let Some(ring) = self.ring {
            to.ring = ring;
        }
        if let Some(permissions) = self.permissions {
            to.permissions = permissions;
        }
    }
}

impl EndpointFilter {
    fn of(&self, account: Id) -> store::EndpointFilter {
        let exact = |text: &Option<String>| text.clone().map(Match::Exact);
        let starts = |text: &Option<String>| text.clone().map(Match::StartsWith);
        let contains = |text: &Option<String>| text.clone().map(Match::Contains);
        store::EndpointFilter {
            account,
            domain: self.domain,
            user: [
                exact(&self.user_is),
                starts(&self.user_starts),
                contains(&self.user_contains),
            ]
            .into_iter()
            .flatten()
            .collect(),
            label: [exact(&self.label_is), contains(&self.label_contains)]
                .into_iter()
                .flatten()
                .collect(),
            application: self.application,
            without_application: self.has_application.map(|has| !has),
            flavor: None,
        }
    }
}

/// What went away while an endpoint that refers to it was written.
fn gone(endpoint: &Endpoint) -> Error {
    match endpoint.application {
        Some(id) => Error::Invalid {
            field: "application",
            why: Why::NotValid(format!("there is no application {id}")),
        },
        None => NO_DOMAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::directory::NewAccount;
    use crate::registrar::Location;
    use crate::settings::Settings;
    use store::{Config, Durability, SealKey, Store, Transport};

    fn binding(endpoint: Id) -> Binding {
        Binding {
            endpoint,
            key: "sip:alice@192.0.2.1".into(),
            contact: "sip:alice@192.0.2.1".into(),
            call_id: "call".into(),
            cseq: 1,
            expires_at: jiff::Timestamp::from_second(4_000_000_000).expect("a time"),
            logged_in: jiff::Timestamp::UNIX_EPOCH,
            transport: Transport::Udp,
            local: "192.0.2.9:5060".parse().expect("an address"),
            remote: "192.0.2.1:5060".parse().expect("an address"),
            flow: 0,
            path: None,
            user_agent: "phone".into(),
            q: 1000,
            instance: None,
            reg_id: None,
        }
    }

    #[tokio::test]
    async fn a_password_a_switch_off_and_a_deletion_end_registrations_before_the_answer() {
        let key = SealKey::random().expect("a key");
        let config = Config {
            url: "sqlite::memory:".into(),
            durability: Durability::Process,
            key,
        };
        let store = Store::open(config).await.expect("the store opens");
        let location = Location::new(&store);
        let settings = Arc::new(Settings::new("sip.example.net"));
        let directory = Directory::load(store.clone(), settings, location.clone(), Clock::System)
            .await
            .expect("it loads");
        let account = directory
            .create_account(NewAccount::named("one"))
            .await
            .expect("an account");
        let new = NewEndpoint {
            flavor: Flavor::Plivo,
            domain: None,
            user: "alice".into(),
            append_digits: false,
            label: String::new(),
            description: None,
            password: "before".into(),
            application: None,
            default_application: false,
            enabled: true,
            ring: Ring::Latest,
            permissions: Permissions::default(),
        };
        let endpoint = directory
            .create_endpoint(&account, new)
            .await
            .expect("an endpoint")
            .endpoint;
        let key = Key::Number(endpoint.id);

        let register = async || {
            let put = vec![store::BindingChange::Put(binding(endpoint.id))];
            let (tell, told) = tokio::sync::oneshot::channel();
            let completion = Box::new(move |outcome| drop(tell.send(outcome)));
            store
                .change_bindings(put, completion)
                .expect("there is room");
            told.await.expect("told").expect("written");
            assert_eq!(
                directory
                    .endpoint(&account, &key)
                    .await
                    .expect("it is there")
                    .bindings
                    .len(),
                1
            );
        };
        let left = async || {
            let shown = location
                .bindings(endpoint.id, jiff::Timestamp::UNIX_EPOCH)
                .len();
            (shown, store.count_bindings().await.expect("counted"))
        };

        register().await;
        let label = EndpointChange {
            label: Some("desk".into()),
            ..EndpointChange::default()
        };
        directory
            .update_endpoint(&account, &key, label)
            .await
            .expect("changed");
        assert_eq!(left().await, (1, 1));
        let password = EndpointChange {
            password: Some("after".into()),
            ..EndpointChange::default()
        };
        let view = directory
            .update_endpoint(&account, &key, password)
            .await
            .expect("changed");
        assert_eq!((left().await, view.bindings.len()), ((0, 0), 0));

        register().await;
        let off = EndpointChange {
            enabled: Some(false),
            ..EndpointChange::default()
        };
        directory
            .update_endpoint(&account, &key, off)
            .await
            .expect("changed");
        assert_eq!(left().await, (0, 0));

        register().await;
        directory
            .delete_endpoint(&account, &key)
            .await
            .expect("deleted");
        assert_eq!(left().await, (0, 0));
        assert_eq!(
            directory.delete_endpoint(&account, &key).await,
            Err(NOT_FOUND)
        );
        assert!(directory.subscriber("sip.example.net", "alice").is_none());
    }
}
