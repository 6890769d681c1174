//! Applications: what calls ask, and which of them new endpoints get.

use std::sync::Arc;

use serde_json::Value;
use store::{Account, Application, ApplicationKind, Flavor, HttpMethod, Id, WithEndpoints};

use super::{ATTEMPTS, Directory, Key, Listed, Page, id};
use crate::error::{Error, Why};

/// A new application.
#[derive(Clone, PartialEq, Debug)]
pub struct NewApplication {
    /// Which face makes it.
    pub flavor: Flavor,
    /// What people call it.
    pub name: String,
    /// What it does.
    pub kind: ApplicationKind,
    /// Asked when a call comes.
    pub answer_url: Option<String>,
    /// How.
    pub answer_method: HttpMethod,
    /// Told when a call ends; none means the answer URL.
    pub hangup_url: Option<String>,
    /// How.
    pub hangup_method: HttpMethod,
    /// Asked when the answer URL fails.
    pub fallback_url: Option<String>,
    /// How.
    pub fallback_method: HttpMethod,
    /// Told of messages.
    pub message_url: Option<String>,
    /// How.
    pub message_method: HttpMethod,
    /// Given to numbers that are made without one; taken from whoever had this.
    pub default_number_app: bool,
    /// Given to endpoints that are made without one; taken from whoever had this.
    pub default_endpoint_app: bool,
    /// Whether strangers may call it by its SIP URI.
    pub public_uri: bool,
    /// Whether the content of messages is logged.
    pub log_incoming: bool,
    /// Off: calls that reach it are refused.
    pub enabled: bool,
    /// Fields that only one face knows.
    pub extra: Value,
}

impl NewApplication {
    /// The built-in application that dials what its caller dialled; the account's default for endpoints.
    pub fn direct_dial(name: &str) -> Self {
        NewApplication {
            flavor: Flavor::Plivo,
            name: name.to_owned(),
            kind: ApplicationKind::DirectDial,
            answer_url: None,
            answer_method: HttpMethod::Post,
            hangup_url: None,
            hangup_method: HttpMethod::Post,
            fallback_url: None,
            fallback_method: HttpMethod::Post,
            message_url: None,
            message_method: HttpMethod::Post,
            default_number_app: false,
            default_endpoint_app: true,
            public_uri: false,
            log_incoming: true,
            enabled: true,
            extra: Value::Null,
        }
    }
}

/// What is to be different about an application; `Some(None)` takes a URL away.
#[derive(Clone, PartialEq, Default, Debug)]
#[expect(missing_docs, reason = "the fields are those of NewApplication")]
pub struct ApplicationChange {
    pub name: Option<String>,
    pub answer_url: Option<Option<String>>,
    pub answer_method: Option<HttpMethod>,
    pub hangup_url: Option<Option<String>>,
    pub hangup_method: Option<HttpMethod>,
    pub fallback_url: Option<Option<String>>,
    pub fallback_method: Option<HttpMethod>,
    pub message_url: Option<Option<String>>,
    pub message_method: Option<HttpMethod>,
    pub default_number_app: Option<bool>,
    pub default_endpoint_app: Option<bool>,
    pub public_uri: Option<bool>,
    pub log_incoming: Option<bool>,
    pub enabled: Option<bool>,
    pub extra: Option<Value>,
}

/// Which applications a list shows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ApplicationFilter {
    /// Only those whose name begins so.
    pub name_starts: Option<String>,
}

/// What becomes of the endpoints of an application that is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Orphans {
    /// They are deleted too.
    Delete,
    /// They stay, with another application or none.
    Move(Option<Id>),
}

const NOT_FOUND: Error = Error::NotFound {
    what: "application",
};

impl Directory {
    /// Makes an application.
    pub async fn create_application(
        &self,
        account: &Account,
        new: NewApplication,
    ) -> Result<Arc<Application>, Error> {
        let (directory, account) = (self.clone(), account.id);
        self.to_the_end(async move {
            // Alone, because two that claim a default flag must reach memory in the order of the store.
            let _alone = directory.lock(account).write().await;
            let now = directory.now();
            let mut application = Application {
                id: 0,
                public_id: String::new(),
                account,
                flavor: new.flavor,
                name: new.name,
                kind: new.kind,
                answer_url: new.answer_url,
                answer_method: new.answer_method,
                hangup_url: new.hangup_url,
                hangup_method: new.hangup_method,
                fallback_url: new.fallback_url,
                fallback_method: new.fallback_method,
                message_url: new.message_url,
                message_method: new.message_method,
                default_number_app: new.default_number_app,
                default_endpoint_app: new.default_endpoint_app,
                public_uri: new.public_uri,
                log_incoming: new.log_incoming,
                enabled: new.enabled,
                extra: new.extra,
                created: now,
                updated: now,
            };
            for _ in 0..ATTEMPTS {
                application.id = id::application();
                application.public_id = id::public("a");
                let unique_name = has_unique_names(application.flavor);
                match directory
                    .0
                    .store
                    .insert_application(application.clone(), unique_name)
                    .await
                {
                    Ok(()) => {
                        directory.remember_application(application.clone());
                        return Ok(Arc::new(application));
                    }
                    Err(store::Error::Taken { columns })
                        if columns.contains("application.name") =>
                    {
                        return Err(Error::Conflict {
                            what: "application",
                            value: application.name,
                        });
                    }
                    Err(store::Error::Taken { .. }) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Err(Error::busy())
        })
        .await
    }

    /// The application with this key, whosever it is: for what an endpoint or a call refers to.
    pub fn application(&self, id: Id) -> Option<Arc<Application>> {
        self.0
            .applications
            .get(&id)
            .map(|application| Arc::clone(&application))
    }

    /// The application that the account's new endpoints get.
    pub fn default_application(&self, account: Id) -> Option<Arc<Application>> {
        let id = *self.0.default_endpoint.get(&account)?;
        self.application(id)
    }

    /// The account's application with this key.
    pub async fn application_by_key(
        &self,
        account: &Account,
        key: &Key,
    ) -> Result<Arc<Application>, Error> {
        self.own_application(account.id, key).await
    }

    async fn own_application(&self, account: Id, key: &Key) -> Result<Arc<Application>, Error> {
        let found = match key {
            Key::Number(id) => self.application(*id),
            Key::Public(public_id) => self
                .0
                .store
                .application_by_public_id(public_id)
                .await?
                .map(Arc::new),
        };
        found
            .filter(|application| application.account == account)
            .ok_or(NOT_FOUND)
    }

    /// The account's applications, newest first.
    pub async fn applications(
        &self,
        account: &Account,
        filter: &ApplicationFilter,
        page: Page,
    ) -> Result<Listed<Arc<Application>>, Error> {
        let filter = store::ApplicationFilter {
            account: account.id,
            name_prefix: filter.name_starts.clone(),
            flavor: None,
        };
        Ok(self
            .0
            .store
            .applications(&filter, page)
            .await?
            .map(Arc::new))
    }

    /// Changes an application.
    pub async fn update_application(
        &self,
        account: &Account,
        key: &Key,
        change: ApplicationChange,
    ) -> Result<Arc<Application>, Error> {
        let (directory, account, key) = (self.clone(), account.id, key.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let mut changed = Application::clone(&*directory.own_application(account, &key).await?);
            change.apply(&mut changed);
            changed.updated = directory.now();
            let unique_name = has_unique_names(changed.flavor);
            match directory
                .0
                .store
                .update_application(changed.clone(), unique_name)
                .await
            {
                Ok(true) => {}
                Ok(false) => return Err(NOT_FOUND),
                Err(store::Error::Taken { columns }) if columns.contains("application.name") => {
                    return Err(Error::Conflict {
                        what: "application",
                        value: changed.name,
                    });
                }
                Err(other) => return Err(other.into()),
            }
            directory.remember_application(changed.clone());
            Ok(Arc::new(changed))
        })
        .await
    }

    /// Deletes an application; its endpoints go with it, move to another one, or stay without.
    pub async fn delete_application(
        &self,
        account: &Account,
        key: &Key,
        orphans: Orphans,
    ) -> Result<(), Error> {
        let (directory, account, key) = (self.clone(), account.id, key.clone());
        self.to_the_end(async move {
            let _alone = directory.lock(account).write().await;
            let application = directory.own_application(account, &key).await?;
            let with = match orphans {
                Orphans::Delete => WithEndpoints::Delete,
                Orphans::Move(None) => WithEndpoints::Move(None),
                Orphans::Move(Some(to)) => {
                    directory.require_application(account, to)?;
                    if to == application.id {
                        return Err(not_an_application(to));
                    }
                    WithEndpoints::Move(Some(to))
                }
            };
            directory.loaded().await;
            let endpoints = directory
                .0
                .store
                .delete_application(application.id, with)
                .await?
                .ok_or(NOT_FOUND)?;
            directory.forget_application(&application);
            match with {
                WithEndpoints::Delete => directory.forget_endpoints(&endpoints).await,
                WithEndpoints::Move(to) => {
                    for subscriber in endpoints
                        .iter()
                        .filter_map(|id| directory.subscriber_by_id(*id))
                    {
                        directory.0.subscribers.put(subscriber.with_application(to));
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Fails unless the account has this application.
    pub(super) fn require_application(&self, account: Id, id: Id) -> Result<(), Error> {
        let own = self
            .application(id)
            .is_some_and(|application| application.account == account);
        if own {
            Ok(())
        } else {
            Err(not_an_application(id))
        }
    }

    pub(super) fn remember_application(&self, application: Application) {
        let (account, id) = (application.account, application.id);
        let endpoint = (&self.0.default_endpoint, application.default_endpoint_app);
        let number = (&self.0.default_number, application.default_number_app);
        self.0.applications.insert(id, Arc::new(application));
        for (defaults, claims) in [endpoint, number] {
            let before = match claims {
                true => defaults.insert(account, id),
                false => defaults
                    .remove_if(&account, |_, holder| *holder == id)
                    .map(|(_, holder)| holder),
            };
            let Some(before) = before.filter(|before| *before != id) else {
                continue;
            };
            let Some(mut former) = self.0.applications.get_mut(&before) else {
                continue;
            };
            let mut without = Application::clone(&former);
            without.default_endpoint_app &= self
                .0
                .default_endpoint
                .get(&account)
                .is_some_and(|holder| *holder == before);
            without.default_number_app &= self
                .0
                .default_number
                .get(&account)
                .is_some_and(|holder| *holder == before);
            *former = Arc::new(without);
        }
    }

    fn forget_application(&self, application: &Application) {
        self.0.applications.remove(&application.id);
        self.detach_numbers(application.id);
        for defaults in [&self.0.default_endpoint, &self.0.default_number] {
            defaults.remove_if(&application.account, |_, holder| *holder == application.id);
        }
    }
}

impl ApplicationChange {
    fn apply(self, to: &mut Application) {
        fn put<T>(new: Option<T>, to: &mut T) {
            if let Some(new) = new {
                *to = new;
            }
        }
        // Undocumented; chosen: whoever gives the direct dial an answer URL wants it asked.
        if let Some(Some(_)) = &self.answer_url {
            to.kind = ApplicationKind::Xml;
        }
        put(self.name, &mut to.name);
        put(self.answer_url, &mut to.answer_url);
        put(self.answer_method, &mut to.answer_method);
        put(self.hangup_url, &mut to.hangup_url);
        put(self.hangup_method, &mut to.hangup_method);
        put(self.fallback_url, &mut to.fallback_url);
        put(self.fallback_method, &mut to.fallback_method);
        put(self.message_url, &mut to.message_url);
        put(self.message_method, &mut to.message_method);
        put(self.default_number_app, &mut to.default_number_app);
        put(self.default_endpoint_app, &mut to.default_endpoint_app);
        put(self.public_uri, &mut to.public_uri);
        put(self.log_incoming, &mut to.log_incoming);
        put(self.enabled, &mut to.enabled);
        put(self.extra, &mut to.extra);
    }
}

/// bandwidth-v1.md §5: 409 for a second application of the same name; the other two faces take it.
fn has_unique_names(flavor: Flavor) -> bool {
    match flavor {
        Flavor::Bandwidth => true,
        Flavor::Plivo | Flavor::Vobiz => false,
    }
}

fn not_an_application(id: Id) -> Error {
    Error::Invalid {
        field: "application",
        why: Why::NotValid(format!("there is no application {id}")),
    }
}
