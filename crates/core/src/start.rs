//! `Core`: made from its parts, ended in reverse.

use std::sync::Arc;
use std::time::Duration;

use sip::{FlowId, Outcome, RequestId};
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::{Calls, Parts};
use crate::diagnosis::Diagnosis;
use crate::directory::Gruus;
use crate::registrar::{Authenticator, Events, Herald, Location, Pings, Registrar};
use crate::sender::Senders;
use crate::trunks::keep::Keeper;
use crate::trunks::{TrunkPeers, TrunkStates, Trunks};
use crate::{
    Clock, Dialects, Directory, Error, Guard, MediaHandle, Messages, Offence, Packages, Requests,
    Settings, Signalling, Uas,
};
use crate::{messages, requests};

/// How often expired bindings and nonces are removed.
const SWEEP: Duration = Duration::from_secs(30);

/// Everything that decides, over one store.
#[derive(Debug)]
pub struct Core {
    /// Accounts, domains, applications, endpoints.
    pub directory: Directory,
    /// Decides about REGISTER.
    pub registrar: Arc<Registrar>,
    /// The calls.
    pub calls: Calls,
    /// Subscriptions and publications.
    pub packages: Packages,
    /// Messages between endpoints.
    pub messages: Messages,
    /// Is asked about each request outside of a dialog.
    pub uas: Uas,
    /// What is known of trunks.
    pub trunks: TrunkStates,
    /// Who is not answered.
    pub guard: Guard,
    /// What happens to registrations.
    pub events: Events,
    /// Why phones do not get in.
    pub diagnosis: Diagnosis,
    /// Requests of ours whose answers tasks wait for.
    pub requests: Requests,
    /// What the operator set.
    pub settings: Arc<Settings>,
    clock: Clock,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Core {
    /// Notes that something came which is no SIP.
    pub fn noise(&self, flow: sip::Flow) {
        let offence = Offence::noise(flow.transport);
        self.guard
            .note(&self.clock.now(), flow.remote.ip(), offence);
    }

    /// Reads what the store holds, closes what an earlier process left open, and starts the tasks in the background.
    pub async fn start(
        settings: Settings,
        store: Store,
        signalling: Signalling,
        media: MediaHandle,
        dialects: Dialects,
        clock: Clock,
    ) -> Result<Arc<Core>, Error> {
        let settings = Arc::new(settings);
        let to_phones = signalling.clone();
        let now = clock.now();
        let location = Location::new(&store);
        let directory = Directory::load(
            store.clone(),
            Arc::clone(&settings),
            location.clone(),
            clock.clone(),
        )
        .await?;
        let bindings = location.begin(now.wall);
        tracing::info!(
            endpoints = directory.len(),
            bindings,
            "the directory is loaded"
        );
        // Another key for each start: what was proved to an earlier process cannot be replayed to this one, whose table
        // of uses is empty.
        let key = store
            .key()
            .derive(&format!("nonces {}", now.wall.as_nanosecond()));
        let states = TrunkStates::default();
        let peers = TrunkPeers::new(directory.clone(), states.clone());
        let (guard, blocks) = Guard::load(settings.abuse.clone(), peers, &store, &now).await?;
        let (events, happenings) = Events::new(directory.clone(), clock.clone());
        location.heard_by(events.listener());
        let authenticator = Authenticator::new(
            Arc::clone(&settings),
            directory.clone(),
            events.clone(),
            guard.clone(),
            key,
        );
        let gruus = Gruus::new(store.key().sealer("temporary GRUUs")?);
        let registrar = Arc::new(Registrar::new(
            Arc::clone(&settings),
            directory.clone(),
            location.clone(),
            authenticator.clone(),
            guard.clone(),
            gruus.clone(),
            events.clone(),
            signalling.shards.len(),
        ));
        let requests = Requests::new(signalling.clone());
        let shards = u8::try_from(signalling.shards.len()).unwrap_or(u8::MAX);
        let trunks = Trunks::new(Arc::clone(&settings), signalling.dialer.clone(), states);
        let senders = Senders {
            settings: Arc::clone(&settings),
            directory: directory.clone(),
            authenticator: authenticator.clone(),
        };
        let packages = Packages::new(senders.clone(), location.clone(), signalling.clone());
        location.watched_by({
            let packages = packages.clone();
            move |endpoint| packages.bindings_changed(endpoint)
        });
        location.followed_by({
            let (packages, signalling) = (packages.clone(), signalling.clone());
            move |endpoint, contact, flow| {
                for call_id in packages.call_ids(endpoint) {
                    signalling.follow(&call_id, contact, flow);
                }
            }
        });
        let calls = Calls::new(Parts {
            settings: Arc::clone(&settings),
            directory: directory.clone(),
            location: location.clone(),
            gruus,
            store: store.clone(),
            guard: guard.clone(),
            authenticator: authenticator.clone(),
            signalling: signalling.clone(),
            media,
            dialects,
            clock: clock.clone(),
            trunks: trunks.clone(),
            packages: packages.clone(),
        });
        let messages = Messages::new(messages::Parts {
            senders,
            location: location.clone(),
            requests: requests.clone(),
            signalling: signalling.clone(),
            calls: calls.clone(),
            clock: clock.clone(),
        });
        calls.close_orphans().await?;
        calls.load_limits().await?;
        let uas = Uas {
            settings: Arc::clone(&settings),
            directory: directory.clone(),
            registrar: Arc::clone(&registrar),
            calls: calls.clone(),
            packages: packages.clone(),
            messages: messages.clone(),
            authenticator: authenticator.clone(),
            guard: guard.clone(),
            events: events.clone(),
            signalling,
        };
        let attempts = Arc::default();
        let herald = Herald::new(
            events.clone(),
            Arc::clone(&attempts),
            directory.clone(),
            calls.clone(),
            store.clone(),
        );
        let diagnosis = Diagnosis {
            attempts,
            guard: guard.clone(),
            directory: directory.clone(),
            location: location.clone(),
            store: store.clone(),
            clock: clock.clone(),
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(calls.outbox().run(stop.clone()));
        let pings = Pings {
            settings: Arc::clone(&settings),
            directory: directory.clone(),
            location: location.clone(),
            signalling: to_phones,
            clock: clock.clone(),
        };
        tasks.spawn(pings.run(stop.clone()));
        let keeper = Keeper {
            directory: directory.clone(),
            states: trunks.states.clone(),
            reach: trunks.reach.clone(),
            requests: requests.clone(),
            clock: clock.clone(),
            events: events.clone(),
            shards,
        };
        tasks.spawn(keeper.run(stop.clone()));
        tasks.spawn(
            guard
                .clone()
                .keep(blocks, store, clock.clone(), stop.clone()),
        );
        tasks.spawn(herald.run(happenings, stop.clone()));
        tasks.spawn(sweep(
            location,
            authenticator,
            packages.clone(),
            clock.clone(),
            stop.clone(),
        ));
        Ok(Arc::new(Core {
            directory,
            registrar,
            calls,
            packages,
            messages,
            uas,
            trunks: trunks.states,
            guard,
            events,
            diagnosis,
            requests,
            settings,
            clock,
            tasks,
            stop,
        }))
    }

    /// Tells the time as the core sees it.
    pub fn now(&self) -> call::Now {
        self.clock.now()
    }

    /// Takes what became of a request of ours outside of a dialog; never waits.
    pub fn answered(&self, id: RequestId, outcome: Outcome) {
        match requests::table_of(id) {
            requests::table::AWAITED => self.requests.answered(id, outcome),
            table => tracing::error!(table, "an answer that is for nobody"),
        }
    }

    /// Removes the bindings of a stream connection that is gone.
    pub fn flow_closed(&self, flow: FlowId) {
        self.registrar.flow_closed(flow);
    }

    /// Whether a stream connection is one that a phone is reached by: it has a live binding.
    pub fn flow_in_use(&self, flow: FlowId) -> bool {
        let now = self.clock.now().wall;
        self.registrar.location().is_bound_to(flow, now)
    }

    /// Counts the endpoints that have bindings, those that just expired included.
    pub fn bindings(&self) -> usize {
        self.registrar.location().count()
    }

    /// Takes no more calls, gives those in progress so much time, then ends them.
    pub async fn drain(&self, deadline: Duration) {
        self.calls.drain(deadline).await;
    }

    /// Stops the tasks in the background; callbacks that are not told yet are told after the next start.
    pub async fn stop(&self) {
        self.messages.stop().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn sweep(
    location: Location,
    authenticator: Authenticator,
    packages: Packages,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => (),
        }
        let now = clock.now();
        authenticator.sweep(&now);
        location.sweep(now.wall);
        packages.sweep(&now);
    }
}
