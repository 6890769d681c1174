//! Accounts and what is theirs: the rules that hold whatever face a request came through.
//!
//! What SIP and authentication ask is answered from memory: accounts, domains, applications, and of every endpoint a
//! [`Subscriber`]. The store is written first, then memory, then (after a change of password, a switch-off or a deletion)
//! the bindings go, and only then the caller hears of it. A change runs to its end even when its caller is gone, so that
//! memory never differs from the store; changes of one account wait for each other, creations do not.

mod account;
mod application;
mod call;
mod domain;
mod endpoint;
mod gruu;
mod id;
mod limit;
mod loading;
mod number;
mod pace;
mod policy;
mod policy_index;
mod subscriber;
mod trunk;

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, RwLock as SyncRwLock};

use dashmap::DashMap;
use store::{Account, Application, Domain, Id, Limit, LimitOwner, Number, Store};
use tokio::sync::RwLock;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::error::Error;
use crate::registrar::Location;
use crate::settings::Settings;

pub use account::{AccountChange, NewAccount};
pub use application::{ApplicationChange, ApplicationFilter, NewApplication, Orphans};
pub use call::CallFilter;
pub use domain::MAX_DOMAINS;
pub use endpoint::{EndpointChange, EndpointFilter, EndpointView, NewEndpoint};
pub use limit::LimitChange;
pub use number::{MAX_AT_ONCE, NewNumbers, NumberChange, NumberFilter};
pub use policy::{PolicyChange, PolicyOf, PolicyView};
pub use store::Page;
pub use store::Paged as Listed;
pub(crate) use subscriber::MOST_HASHES;
pub use subscriber::Subscriber;
pub use trunk::{MAX_TRUNKS, TrunkChange};

pub(crate) use gruu::{Device, Gruus};
pub(crate) use loading::Known;
use loading::Loading;
use pace::Pace;
use policy_index::PolicyIndex;
use subscriber::Subscribers;
use trunk::Trunks;

/// Locks that order the changes of an account.
const LOCKS: usize = 64;

/// How often a random id is drawn again when it is taken.
const ATTEMPTS: usize = 8;

/// How a customer names a thing of his.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// By its decimal id.
    Number(Id),
    /// By its id with a prefix: `re-…`, `a-…`, `rd-…`.
    Public(String),
}

/// What a host name means to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The realm of digests under it.
    pub realm: Arc<str>,
    /// Whether it means the whole installation: an alias, or the address of a listener.
    pub shared: bool,
    /// The domain that it is, unless it is shared.
    pub domain: Option<Id>,
}

/// Accounts and what is theirs. Clones share it.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    store: Store,
    settings: Arc<Settings>,
    location: Location,
    clock: Clock,
    /// The installation's realm; fixed at its first start.
    realm: Arc<str>,
    accounts: DashMap<Id, Arc<Account>>,
    by_auth_id: DashMap<String, Id>,
    by_token: DashMap<String, Id>,
    domains: DashMap<Id, Arc<Domain>>,
    hosts: DashMap<String, Host>,
    aliases: Vec<String>,
    applications: DashMap<Id, Arc<Application>>,
    default_endpoint: DashMap<Id, Id>,
    default_number: DashMap<Id, Id>,
    subscribers: Subscribers,
    limits: DashMap<LimitOwner, Arc<Limit>>,
    loading: Loading,
    /// By their E.164 digits.
    numbers: DashMap<String, Arc<Number>>,
    trunks: SyncRwLock<Trunks>,
    policies: PolicyIndex,
    pace: Pace,
    locks: [RwLock<()>; LOCKS],
    tasks: TaskTracker,
}

impl Directory {
    /// Reads everything that is answered from memory; of many endpoints the rest in the background.
    pub async fn load(
        store: Store,
        settings: Arc<Settings>,
        location: Location,
        clock: Clock,
    ) -> Result<Directory, Error> {
        let realm = match store.meta("realm").await? {
            Some(realm) => realm,
            None => {
                store.set_meta("realm", &settings.domain).await?;
                settings.domain.clone()
            }
        };
        let own = std::iter::once(&settings.domain).chain(&settings.aliases);
        let aliases = own.map(|name| name.to_ascii_lowercase()).collect();
        let directory = Directory(Arc::new(Inner {
            store,
            pace: Pace::new(settings.requests_per_second),
            settings,
            location,
            clock,
            realm: realm.into(),
            accounts: DashMap::new(),
            by_auth_id: DashMap::new(),
            by_token: DashMap::new(),
            domains: DashMap::new(),
            hosts: DashMap::new(),
            aliases,
            applications: DashMap::new(),
            default_endpoint: DashMap::new(),
            default_number: DashMap::new(),
            subscribers: Subscribers::default(),
            limits: DashMap::new(),
            loading: Loading::default(),
            numbers: DashMap::new(),
            trunks: SyncRwLock::default(),
            policies: PolicyIndex::default(),
            locks: std::array::from_fn(|_| RwLock::new(())),
            tasks: TaskTracker::new(),
        }));
        let inner = &directory.0;
        inner
            .store
            .load_accounts(|account| directory.remember_account(account))
            .await?;
        inner
            .store
            .load_domains(|domain| directory.remember_domain(domain))
            .await?;
        inner
            .store
            .load_applications(|application| directory.remember_application(application))
            .await?;
        inner
            .store
            .load_limits(|owner, limit| directory.remember_limit(owner, limit))
            .await?;
        inner
            .store
            .load_numbers(|number| drop(directory.remember_number(number)))
            .await?;
        inner
            .store
            .load_trunks(|trunk| drop(directory.remember_trunk(trunk)))
            .await?;
        inner
            .store
            .load_policies(|row| inner.policies.put(row))
            .await?;
        directory.begin_loading().await?;
        Ok(directory)
    }

    /// What a host name (lower case) means: none of ours, one domain, or the whole installation.
    pub fn host(&self, host: &str) -> Option<Host> {
        if let Some(found) = self.0.hosts.get(host) {
            return Some(found.clone());
        }
        let shared = self.0.aliases.iter().any(|alias| alias == host) || self.is_own_address(host);
        shared.then(|| Host {
            realm: Arc::clone(&self.0.realm),
            shared: true,
            domain: None,
        })
    }

    fn is_own_address(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        let Ok(address) = bare.parse::<IpAddr>() else {
            return false;
        };
        self.0
            .settings
            .own_addresses
            .iter()
            .any(|own| own.ip().to_canonical() == address.to_canonical())
    }

    /// The subscriber with this user name under this host name (lower case); under a shared one only when exactly one
    /// domain has the user.
    pub fn subscriber(&self, host: &str, user: &str) -> Option<Arc<Subscriber>> {
        self.subscriber_under(&self.host(host)?, host, user)
    }

    /// The same when the host is known already; `name` is its name.
    pub(crate) fn subscriber_under(
        &self,
        host: &Host,
        name: &str,
        user: &str,
    ) -> Option<Arc<Subscriber>> {
        match host.shared {
            true => self.0.subscribers.only(user),
            false => self.0.subscribers.exact(name, user),
        }
    }

    /// The account's subscriber with this user name, when exactly one of its domains has it.
    pub fn subscriber_in(&self, account: Id, user: &str) -> Option<Arc<Subscriber>> {
        self.0.subscribers.only_of(account, user)
    }

    /// The subscriber with this user name, when exactly one domain of the installation has it.
    pub(crate) fn only_subscriber(&self, user: &str) -> Option<Arc<Subscriber>> {
        self.0.subscribers.only(user)
    }

    /// The subscriber of an endpoint.
    pub fn subscriber_by_id(&self, endpoint: Id) -> Option<Arc<Subscriber>> {
        self.0.subscribers.of(endpoint)
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.0.subscribers.len()
    }

    /// Whether there are no endpoints.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time in microseconds, as the store keeps it: what was made and what is read again are equal.
    fn now(&self) -> jiff::Timestamp {
        let wall = self.0.clock.now().wall;
        jiff::Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall)
    }

    /// The lock that orders the changes of an account: writers exclude each other and creators, creators do not.
    fn lock(&self, account: Id) -> &RwLock<()> {
        let place = usize::try_from(account.unsigned_abs() % LOCKS as u64).unwrap_or_default();
        &self.0.locks[place]
    }

    /// Runs a change to its end even when the caller goes away.
    async fn to_the_end<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.0
            .tasks
            .spawn(change)
            .await
            .unwrap_or_else(|error| Err(Error::internal(&error)))
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({} endpoints)", self.len())
    }
}
