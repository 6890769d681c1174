//! Calls: which call is whose (`inbound`), the task that owns one (`task`), what those of a shard share (`shards`), their
//! rows (`rows`), which are alive (`live`), where their targets are (`locate`), where they are transferred (`referred`),
//! what they say to each other (`across`), what their addresses mean (`aim`), what endpoints may do (`permission`), how
//! much (`limits`), what comes from trunks (`from_trunk`) and goes to them (`over_trunk`, `on_trunk`), and the customer's
//! HTTP server: asked (`fetch`), told (`callback`), in a vendor's words (`dialect`).

mod across;
mod aim;
pub(crate) mod callback;
mod caller;
mod device;
pub mod dialect;
pub(crate) mod egress;
pub mod fetch;
mod from_trunk;
mod inbound;
mod limits;
mod live;
pub(crate) mod locate;
mod message;
mod on_trunk;
mod orphan;
mod over_trunk;
pub(crate) mod permission;
mod record;
mod redirect;
mod referred;
mod replacing;
mod rows;
mod script;
mod shards;
mod stranger;
mod task;
mod watch;

pub(crate) use device::devices;
pub(crate) use locate::is_own_address;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use call::{Cause, Command, HangupSource, Input};
use rand::SeedableRng;
use rand::rngs::StdRng;
use store::{Account, Application, Flavor, Store};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub(crate) use crate::calls::device::way;

use crate::calls::callback::Outbox;
use crate::calls::dialect::{AccountFacts, Dialects};
use crate::calls::fetch::Fetcher;
use crate::calls::limits::Limits;
use crate::calls::live::Live;
use crate::calls::locate::Locator;
use crate::calls::record::Facts;
use crate::calls::shards::Shard;
use crate::calls::stranger::Strangers;
use crate::directory::Gruus;
use crate::events::Packages;
use crate::registrar::Authenticator;
use crate::trunks::Trunks;
use crate::{Clock, Directory, Guard, Location, MediaHandle, Settings, Signalling};

/// How long calls may take to end after they were told to.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// All calls of this process; clones share them.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

pub(crate) struct Inner {
    settings: Arc<Settings>,
    directory: Directory,
    store: Store,
    guard: Guard,
    authenticator: Authenticator,
    signalling: Signalling,
    media: MediaHandle,
    dialects: Dialects,
    clock: Clock,
    locator: Locator,
    fetcher: Fetcher,
    outbox: Outbox,
    packages: Packages,
    live: Live,
    limits: Limits,
    trunks: Trunks,
    strangers: Strangers,
    tasks: TaskTracker,
    /// Where questions are asked: documents, places that are not known at once.
    runtime: Handle,
    /// What the calls of each shard share; there is one at least.
    shards: Box<[Shard]>,
    draining: AtomicBool,
    next_number: AtomicU64,
    randomness: Mutex<StdRng>,
}

/// What calls are made of.
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) location: Location,
    pub(crate) gruus: Gruus,
    pub(crate) store: Store,
    pub(crate) guard: Guard,
    pub(crate) authenticator: Authenticator,
    pub(crate) signalling: Signalling,
    pub(crate) media: MediaHandle,
    pub(crate) dialects: Dialects,
    pub(crate) clock: Clock,
    pub(crate) trunks: Trunks,
    pub(crate) packages: Packages,
}

impl Calls {
    /// Lets the calls of a shard run on its own thread: what they say to each other wakes no other. Until then they run
    /// where the rest does.
    pub fn run_on(&self, shard: u8, runtime: Handle) {
        self.0.shard(shard).run_on(runtime);
    }

    /// Returns when calls of a shard want something that [`Calls::turn`] sees to.
    pub async fn wanting(&self, shard: u8) {
        self.0.shard(shard).ready().await;
    }

    /// Lets the calls of a shard, on whose thread this is, have their turn, and wakes the media plane if they want something of it.
    pub async fn turn(&self, shard: u8) {
        let shard = self.0.shard(shard);
        if self.live() > 0 {
            shard.will_look();
            tokio::task::yield_now().await;
        }
        if shard.look() {
            self.0.media.wake();
        }
    }

    /// Makes it; what calls have to wait for runs where this is called.
    pub(crate) fn new(parts: Parts) -> Self {
        let fetcher = Fetcher::new(Arc::clone(&parts.settings));
        let limits = Limits::new(parts.directory.clone());
        Self(Arc::new(Inner {
            outbox: Outbox::new(
                Arc::clone(&parts.settings),
                parts.store.clone(),
                fetcher.clone(),
                parts.dialects.clone(),
                parts.clock.clone(),
            ),
            locator: Locator {
                dialer: parts.signalling.dialer.clone(),
                settings: Arc::clone(&parts.settings),
                directory: parts.directory.clone(),
                location: parts.location,
                limits: limits.clone(),
                trunks: parts.trunks.clone(),
                clock: parts.clock.clone(),
                gruus: parts.gruus,
            },
            fetcher,
            live: Live::default(),
            limits,
            trunks: parts.trunks,
            strangers: Strangers::new(parts.settings.strangers_per_minute),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            shards: (0..parts.signalling.shards.len().max(1))
                .map(|_| Shard::default())
                .collect(),
            draining: AtomicBool::new(false),
            next_number: AtomicU64::new(1),
            randomness: Mutex::new(StdRng::from_os_rng()),
            settings: parts.settings,
            directory: parts.directory,
            store: parts.store,
            guard: parts.guard,
            authenticator: parts.authenticator,
            signalling: parts.signalling,
            media: parts.media,
            dialects: parts.dialects,
            clock: parts.clock,
            packages: parts.packages,
        }))
    }

    /// Tells a call what happened to one of its legs; never waits. A session that is not known is left aside.
    pub fn session_event(&self, session: sip::SessionId, event: sip::SessionEvent) {
        let (call, leg) = call::leg_of(session);
        self.0.live.tell(call, Input::Leg { leg, event });
    }

    /// Tells a call that the stack has no room for one of its legs; never waits.
    pub fn no_room(&self, session: sip::SessionId) {
        let (call, leg) = call::leg_of(session);
        self.0.live.tell(call, Input::LegRefused(leg));
    }

    /// Tells a call what happened to the media of one of its legs; never waits. Not by way of its shard's thread: a phone that
    /// hears what it is about may answer sooner than that looks.
    pub fn media_event(&self, event: media::Event) {
        let (call, _) = call::leg_of(session_of(&event));
        self.0.live.tell(call, Input::Media(event));
    }

    /// Counts the calls that are alive.
    pub fn live(&self) -> usize {
        self.0.live.len()
    }

    /// Takes no more calls, lets those in progress go on for so long, then ends them; returns when none is left.
    pub async fn drain(&self, deadline: Duration) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.tasks.close();
        if tokio::time::timeout(deadline, self.0.tasks.wait())
            .await
            .is_ok()
        {
            return;
        }
        tracing::info!(calls = self.live(), "calls are ended");
        self.0.live.command_all(&Command::HangUp {
            cause: Cause::NormalHangup,
            source: HangupSource::Platform,
        });
        if tokio::time::timeout(LAST_WORDS, self.0.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(calls = self.live(), "calls did not end in time");
        }
    }

    /// Reads what accounts and endpoints have used today.
    pub(crate) async fn load_limits(&self) -> Result<(), crate::Error> {
        let now = self.0.clock.now();
        Ok(self.0.limits.load(&self.0.store, &now).await?)
    }

    /// Whose something is, and in which vendor's words its customer is spoken to.
    pub(crate) fn facts(
        &self,
        account: &Account,
        application: Option<Arc<Application>>,
        flavor: Flavor,
    ) -> Facts {
        self.0.facts(account, application, flavor)
    }

    pub(crate) fn outbox(&self) -> Outbox {
        self.0.outbox.clone()
    }
}

/// The SIP session of the leg that the media plane speaks of.
fn session_of(event: &media::Event) -> sip::SessionId {
    let (media::Event::Offered { session, .. }
    | media::Event::Answered { session, .. }
    | media::Event::Accepted { session, .. }
    | media::Event::Refused { session, .. }
    | media::Event::Silent { session, .. }
    | media::Event::Closed { session, .. }
    | media::Event::Unavailable { session }) = event;
    sip::SessionId(session.0)
}

impl Inner {
    /// What the calls of a shard share. A number that no shard has falls to one of them.
    fn shard(&self, shard: u8) -> &Shard {
        &self.shards[usize::from(shard) % self.shards.len()]
    }

    /// Has the media plane look at what a call of this shard has sent it.
    fn wake_media(&self, shard: u8) {
        let shard = self.shard(shard);
        match shard.runtime() {
            Some(_) => shard.want_media(),
            None => self.media.wake(),
        }
    }

    /// Where what belongs to the calls of a shard runs.
    fn runtime_of(&self, shard: u8) -> &Handle {
        self.shard(shard).runtime().unwrap_or(&self.runtime)
    }

    /// A source of random numbers for one call.
    fn randomness(&self) -> StdRng {
        let mut source = self
            .randomness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        StdRng::from_rng(&mut *source)
    }

    /// Whose call it is, and in which vendor's words its customer is spoken to.
    fn facts(
        &self,
        account: &Account,
        application: Option<Arc<Application>>,
        flavor: Flavor,
    ) -> Facts {
        let flavor = application
            .as_ref()
            .map_or(flavor, |application| application.flavor);
        let parent = account
            .parent
            .and_then(|parent| self.directory.account(parent));
        Facts {
            account_id: account.id,
            application: application.as_ref().map(|application| application.id),
            flavor,
            dialect: self.dialects.of(flavor),
            account: AccountFacts {
                auth_id: account.auth_id.clone(),
                main_auth_id: parent
                    .map_or_else(|| account.auth_id.clone(), |parent| parent.auth_id.clone()),
                auth_token: account.auth_token.clone(),
                bandwidth_user: account.bandwidth_user.clone(),
                public_url: self.settings.public_url.clone(),
                application,
            },
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calls({} live)", self.live())
    }
}
