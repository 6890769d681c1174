//! The start of a large installation: endpoints are read in the background while requests are served. Who is not read yet is
//! read when somebody asks for it; nobody is told that a user does not exist before that is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::{DashMap, DashSet};
use store::{EndpointLogin, Id};
use tokio::sync::{Semaphore, watch};

use super::{Directory, Subscriber};
use crate::error::Error;

/// As many endpoints are read before anything is served: they take a tenth of a second.
const AT_ONCE: i64 = 20_000;
/// Parts that are read side by side.
const PARTS: i64 = 3;
/// Endpoints that are read on demand at a time; who comes then is told to come again.
const ON_DEMAND: usize = 512;
/// Names that were looked for and not found, until everything is read.
const ABSENT: usize = 100_000;

/// How far the reading is.
pub(super) struct Loading {
    /// Whether it goes on; a cheap look before anything else.
    goes_on: AtomicBool,
    done: watch::Sender<bool>,
    absent: DashMap<(Id, String), ()>,
    /// Endpoints that were deleted meanwhile: what was read of them before is not to come back.
    deleted: DashSet<Id>,
    permits: Arc<Semaphore>,
}

/// What is known of a name while endpoints are read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// What there is to know.
    Yes,
    /// Not yet; [`Directory::fetch`] finds it.
    NotYet(Id),
    /// Not before everything is read: the name may belong to any domain.
    Later,
}

impl Default for Loading {
    fn default() -> Self {
        Self {
            goes_on: AtomicBool::new(true),
            done: watch::Sender::new(false),
            absent: DashMap::new(),
            deleted: DashSet::new(),
            permits: Arc::new(Semaphore::new(ON_DEMAND)),
        }
    }
}

impl Loading {
    pub(super) fn deleted(&self, endpoint: Id) {
        if self.goes_on.load(Ordering::Acquire) {
            self.deleted.insert(endpoint);
        }
    }
}

impl Directory {
    /// Reads the endpoints: all of them when they are few, else in the background.
    pub(crate) async fn begin_loading(&self) -> Result<(), Error> {
        let last = self.0.store.last_login().await?;
        if last <= AT_ONCE {
            return self.load_endpoints(last).await;
        }
        let directory = self.clone();
        self.0.tasks.spawn(async move {
            while let Err(error) = directory.load_endpoints(last).await {
                tracing::error!(%error, "the endpoints cannot be read; another try follows");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            tracing::info!(endpoints = directory.len(), "all endpoints are read");
        });
        Ok(())
    }

    pub(super) async fn load_endpoints(&self, last: i64) -> Result<(), Error> {
        let part = last / PARTS + 1;
        let mut readers = tokio::task::JoinSet::new();
        for number in 0..PARTS {
            let directory = self.clone();
            readers.spawn(async move {
                let (after, to) = (number * part, (number + 1) * part);
                let store = &directory.0.store;
                store
                    .load_logins(after, to.min(last), |login| directory.remember_read(&login))
                    .await
            });
        }
        while let Some(outcome) = readers.join_next().await {
            outcome.map_err(|error| Error::internal(&error))??;
        }
        let loading = &self.0.loading;
        loading.goes_on.store(false, Ordering::Release);
        for endpoint in loading.deleted.iter() {
            self.0.subscribers.remove(*endpoint);
        }
        loading.deleted.clear();
        loading.absent.clear();
        loading.done.send_replace(true);
        Ok(())
    }

    /// Returns when all endpoints are read.
    pub(crate) async fn loaded(&self) {
        if self.is_loading() {
            let mut done = self.0.loading.done.subscribe();
            // The sender lives as long as the directory.
            let _ = done.wait_for(|done| *done).await;
        }
    }

    /// Whether endpoints are still being read.
    pub fn is_loading(&self) -> bool {
        self.0.loading.goes_on.load(Ordering::Acquire)
    }

    /// What is known of a user under a host name (lower case).
    pub(crate) fn knows(&self, host_name: &str, user: &str) -> Known {
        if !self.is_loading() || user.is_empty() {
            return Known::Yes;
        }
        let Some(host) = self.host(host_name) else {
            return Known::Yes;
        };
        match host.domain {
            None => Known::Later,
            Some(_) if self.0.subscribers.exact(host_name, user).is_some() => Known::Yes,
            Some(domain) => {
                let name = (domain, user.to_owned());
                match self.0.loading.absent.contains_key(&name) {
                    true => Known::Yes,
                    false => Known::NotYet(domain),
                }
            }
        }
    }

    /// Reads users in a task and calls `then`, which is dropped when reading fails; false when too many are read already.
    pub(crate) fn fetch(
        &self,
        users: Vec<(Id, String)>,
        then: impl FnOnce() + Send + 'static,
    ) -> bool {
        let Ok(permit) = Arc::clone(&self.0.loading.permits).try_acquire_owned() else {
            return false;
        };
        let directory = self.clone();
        self.0.tasks.spawn(async move {
            let _permit = permit;
            for (domain, user) in users {
                match directory.0.store.login(domain, &user).await {
                    Ok(Some(login)) => directory.remember_read(&login),
                    Ok(None) => {
                        let absent = &directory.0.loading.absent;
                        if absent.len() >= ABSENT {
                            absent.clear();
                        }
                        absent.insert((domain, user), ());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "an endpoint cannot be read");
                        return;
                    }
                }
            }
            then();
        });
        true
    }

    fn remember_read(&self, login: &EndpointLogin) {
        if let Some(subscriber) = self.subscriber_of(login)
            && !self.0.loading.deleted.contains(&login.id)
        {
            self.0.subscribers.put_absent(subscriber);
        }
    }

    pub(super) fn subscriber_of(&self, login: &EndpointLogin) -> Option<Subscriber> {
        let domain = self.domain_by_id(login.domain)?;
        let host = self.host(&domain.sip_domain)?;
        let (name, installation) = (&domain.sip_domain, &self.0.realm);
        Some(Subscriber::new(login, name, &host.realm, installation))
    }
}

#[cfg(test)]
mod tests {
    use store::{Config, Durability, Flavor, Permissions, Ring, SealKey, Store};

    use super::*;
    use crate::clock::Clock;
    use crate::directory::{NewAccount, NewEndpoint};
    use crate::registrar::Location;
    use crate::settings::Settings;

    const DOMAIN: &str = "sip.example.net";

    fn endpoint(user: &str) -> NewEndpoint {
        NewEndpoint {
            flavor: Flavor::Plivo,
            domain: None,
            user: user.into(),
            append_digits: false,
            label: String::new(),
            description: None,
            password: "secret".into(),
            application: None,
            default_application: false,
            enabled: true,
            ring: Ring::Latest,
            permissions: Permissions::default(),
        }
    }

    /// A directory that has endpoints on disk and none in memory, as at the start of a large installation.
    async fn starting(users: &[&str]) -> (Directory, Vec<Id>) {
        let config = Config {
            url: "sqlite::memory:".into(),
            durability: Durability::Process,
            key: SealKey::random().expect("a key"),
        };
        let store = Store::open(config).await.expect("the store opens");
        let location = Location::new(&store);
        let settings = Arc::new(Settings::new(DOMAIN));
        let directory = Directory::load(store, settings, location, Clock::System);
        let directory = directory.await.expect("it loads");
        let account = directory.create_account(NewAccount::named("one"));
        let account = account.await.expect("an account");
        let mut ids = Vec::new();
        for user in users {
            let made = directory.create_endpoint(&account, endpoint(user)).await;
            ids.push(made.expect("an endpoint").endpoint.id);
        }
        directory.0.loading.goes_on.store(true, Ordering::Release);
        directory.0.loading.done.send_replace(false);
        for id in &ids {
            directory.0.subscribers.remove(*id);
        }
        (directory, ids)
    }

    #[tokio::test]
    async fn who_is_not_read_yet_is_read_when_asked_for_and_nobody_is_unknown_before_that() {
        let (directory, _) = starting(&["alice"]).await;
        let Known::NotYet(domain) = directory.knows(DOMAIN, "alice") else {
            panic!("nobody has read her");
        };
        assert_eq!(directory.knows("phone.plivo.com", "alice"), Known::Later);
        assert_eq!(
            directory.knows("elsewhere.example.com", "alice"),
            Known::Yes
        );
        let (told, done) = tokio::sync::oneshot::channel();
        let users = ["alice", "nobody"].map(|user| (domain, user.to_owned()));
        let taken = directory.fetch(users.to_vec(), move || {
            told.send(()).expect("the test listens");
        });
        assert!(taken);
        done.await.expect("both are looked for");
        assert_eq!(directory.knows(DOMAIN, "alice"), Known::Yes);
        assert_eq!(directory.knows(DOMAIN, "nobody"), Known::Yes);
        assert!(directory.subscriber(DOMAIN, "alice").is_some());
        assert!(directory.subscriber(DOMAIN, "nobody").is_none());
    }

    #[tokio::test]
    async fn what_was_deleted_while_it_was_read_does_not_come_back() {
        let (directory, ids) = starting(&["alice", "bob"]).await;
        let store = &directory.0.store;
        let last = store.last_login().await.expect("a number");
        // Its row is read, and then it is deleted.
        let mut read = Vec::new();
        let reading = store.load_logins(0, last, |login| read.push(login));
        reading.await.expect("they are read");
        directory.forget_endpoints(&ids[..1]).await;
        for login in &read {
            directory.remember_read(login);
        }
        assert!(directory.subscriber(DOMAIN, "alice").is_none());
        store.delete_endpoint(ids[0]).await.expect("deleted");
        directory.load_endpoints(last).await.expect("they are read");
        directory.loaded().await;
        assert!(!directory.is_loading());
        assert!(directory.subscriber(DOMAIN, "alice").is_none());
        assert!(directory.subscriber(DOMAIN, "bob").is_some());
        assert_eq!(directory.knows("phone.plivo.com", "bob"), Known::Yes);
    }
}
