//! Event packages: who watches what, and the documents that tell it. RFC 6665, RFC 3903.
//!
//! The dialogs of subscriptions live in the stacks; here is what they are about: which endpoint, which package
//! (`package`), and how far its watcher has been told (`subscriptions`). A change only says that there is something to
//! tell; the document is written when the stack may send it, from what is known then: calls (`dialog`), bindings (`reg`),
//! what was published (`publish`), and all of them (`presence`). Nothing of it survives a restart: watchers hear 481 and
//! subscribe again.

mod dialog;
mod document;
mod message_summary;
mod package;
mod presence;
mod publish;
mod reg;
mod subscribe;
mod subscriptions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use call::Now;
use sip::{Command, Farewell, News, SubscriptionEvent, SubscriptionId};
use store::Id;

pub(crate) use crate::events::dialog::{DialogState, Side};
pub use crate::events::package::ALLOW_EVENTS;
pub(crate) use crate::events::package::Package;

use crate::directory::Subscriber;
use crate::events::dialog::Dialogs;
use crate::events::publish::Publications;
use crate::events::subscriptions::{Subscriptions, Watch};
use crate::sender::{Senders, address_of};
use crate::{Location, Settings, Signalling};

/// All subscriptions and publications of this process; clones share them.
#[derive(Clone, Debug)]
pub struct Packages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    senders: Senders,
    location: Location,
    signalling: Signalling,
    subscriptions: Subscriptions,
    publications: Publications,
    dialogs: Dialogs,
    next: AtomicU64,
}

impl Packages {
    /// Makes it, without any subscription.
    pub(crate) fn new(senders: Senders, location: Location, signalling: Signalling) -> Self {
        let settings = Arc::clone(&senders.settings);
        Self(Arc::new(Inner {
            subscriptions: Subscriptions::new(
                settings.max_subscriptions,
                settings.max_subscriptions_of_endpoint,
            ),
            publications: Publications::new(settings.max_publications),
            dialogs: Dialogs::default(),
            next: AtomicU64::new(1),
            settings,
            senders,
            location,
            signalling,
        }))
    }

    /// Takes what happened to a subscription, on the thread of its shard; the command that follows is for the same stack.
    pub fn happened(
        &self,
        now: &Now,
        id: SubscriptionId,
        event: SubscriptionEvent,
    ) -> Option<Command> {
        match event {
            SubscriptionEvent::Wanted { number, full, .. } => {
                let subscription = id;
                Some(match self.0.news(now, id, number, full) {
                    Some(news) => Command::Tell { subscription, news },
                    None => Command::Unsubscribe {
                        subscription,
                        farewell: Farewell::NoResource,
                    },
                })
            }
            SubscriptionEvent::Ended { why } => {
                tracing::debug!(subscription = id.0, ?why, "a subscription is over");
                self.0.subscriptions.remove(id);
                None
            }
        }
    }

    /// Counts the subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.0.subscriptions.len()
    }

    /// Counts the publications; what expired since the last sweep included.
    pub fn publications(&self) -> usize {
        self.0.publications.len()
    }

    /// Tells the watchers of an endpoint's bindings that these changed. Cheap when nobody watches.
    pub(crate) fn bindings_changed(&self, endpoint: Id) {
        self.0.tell(Package::Reg, endpoint);
        self.0.tell(Package::Presence, endpoint);
    }

    /// Notes where a leg of an endpoint stands, and tells its watchers.
    pub(crate) fn dialog(&self, now: &Now, endpoint: Id, side: &Side, state: DialogState) {
        let watched = self.0.subscriptions.is_watched(Package::Dialog, endpoint);
        if self.0.dialogs.put(now, endpoint, side, state, watched) {
            self.0.tell(Package::Dialog, endpoint);
            self.0.tell(Package::Presence, endpoint);
        }
    }

    /// Gives the Call-IDs of the answered calls of an endpoint.
    pub(crate) fn call_ids(&self, endpoint: Id) -> Vec<String> {
        self.0.dialogs.call_ids(endpoint)
    }

    /// Ends subscriptions that have lost their right or their object, tells those that a full queue kept from hearing of
    /// something, and forgets what has expired.
    pub(crate) fn sweep(&self, now: &Now) {
        let inner = &self.0;
        for (package, endpoint) in inner.publications.sweep(now.instant) {
            inner.tell(package, endpoint);
        }
        inner.dialogs.sweep(now.instant);
        for (subscription, watch, missed) in inner.subscriptions.all() {
            let command = match inner.right_of(&watch) {
                Err(farewell) => Command::Unsubscribe {
                    subscription,
                    farewell,
                },
                Ok(_) if missed => Command::Changed { subscription },
                Ok(_) => continue,
            };
            if inner.signalling.send(watch.shard, command).is_ok() {
                inner.subscriptions.heard(subscription);
            }
        }
    }
}

impl Inner {
    /// Says to the watchers of an endpoint that there is something to tell.
    fn tell(&self, package: Package, endpoint: Id) {
        for (subscription, shard) in self.subscriptions.of(package, endpoint) {
            let command = Command::Changed { subscription };
            if self.signalling.send(shard, command).is_err() {
                // The next sweep says it again.
                self.subscriptions.missed(subscription);
            }
        }
    }

    fn draw(&self) -> SubscriptionId {
        SubscriptionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What a watch is about, if its watcher may still see it.
    fn right_of(&self, watch: &Watch) -> Result<Arc<Subscriber>, Farewell> {
        let directory = &self.senders.directory;
        let watcher = directory.subscriber_by_id(watch.watcher);
        if !watcher.is_some_and(|watcher| watcher.enabled && watcher.account == watch.account) {
            return Err(Farewell::Rejected);
        }
        directory
            .subscriber_by_id(watch.endpoint)
            .filter(|found| found.account == watch.account)
            .ok_or(Farewell::NoResource)
    }

    /// Writes the document of a NOTIFY.
    fn news(&self, now: &Now, id: SubscriptionId, number: u32, full: bool) -> Option<News> {
        let watch = self.subscriptions.get(id)?;
        let subject = self.right_of(&watch).ok()?;
        let address = address_of(&subject);
        let endpoint = watch.endpoint;
        let published = |package| self.publications.latest(now.instant, package, endpoint);
        let body = match watch.package {
            Package::Dialog => {
                let since = (!full).then_some(watch.seen);
                let (rows, revision) = self.dialogs.rows(endpoint, since);
                self.subscriptions.saw(id, revision);
                dialog::document(&address, number, rows.as_ref().map_err(Vec::as_slice))
            }
            Package::Presence => match published(Package::Presence) {
                Some(body) => body,
                None => presence::document(
                    &subject,
                    !self.location.reach(endpoint, now.wall).is_empty(),
                    self.dialogs.is_busy(endpoint),
                    now.wall,
                ),
            },
            Package::MessageSummary => match published(Package::MessageSummary) {
                Some(body) => body,
                None => message_summary::document(&address),
            },
            Package::Reg => {
                let bindings = self.location.bindings(endpoint, now.wall);
                let before = match full {
                    true => None,
                    false => self.subscriptions.told(id),
                };
                self.subscriptions.tell(id, reg::told(&bindings));
                let before = before.as_deref();
                reg::document(&address, endpoint, number, &bindings, before, now.wall)
            }
        };
        Some(News {
            content_type: watch.package.content_type().into(),
            body,
        })
    }
}
