//! Keeps trunks: registers with those that want it, asks all whether they are alive, and writes down what is found. One task
//! for each trunk that is on, all under one that follows the directory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rand::Rng;
use sip::{Header, Method, Name, Outcome, Question, Text};
use store::{Id, Trunk};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::registrar::Events;
use crate::trunks::event::{TrunkEvent, TrunkEventKind};
use crate::trunks::reach::{Reach, TrunkPlace};
use crate::trunks::registration::{Next, Registering, retry_after};
use crate::trunks::state::{Health, Registration, TrunkStates};
use crate::{Clock, Directory, Requests};

/// How often the directory is looked at for trunks that came, changed or went.
const LOOK: Duration = Duration::from_secs(1);
/// How long a trunk may take to answer OPTIONS.
const PROBE: Duration = Duration::from_secs(4);
/// Questions in a row without an answer that make a trunk down.
const MISSES: u32 = 3;
/// How soon a trunk that missed is asked again, at the least.
const SOON: Duration = Duration::from_secs(1);
/// How long a trunk may take to let us go.
const FAREWELL: Duration = Duration::from_secs(2);
/// When all places of a trunk are unknown.
const NO_PLACE: Duration = Duration::from_secs(30);

/// What keeping trunks needs.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) directory: Directory,
    pub(crate) states: TrunkStates,
    pub(crate) reach: Reach,
    pub(crate) requests: Requests,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    /// How many shards there are: each trunk has one.
    pub(crate) shards: u8,
}

/// A registration that was made: what undoes it.
struct Made {
    trunk: Arc<Trunk>,
    place: TrunkPlace,
    series: Series,
}

/// Call-ID and CSeq of all REGISTERs with one trunk (RFC 3261 §10.2).
#[derive(Clone)]
struct Series {
    call_id: Text,
    number: u32,
}

impl Series {
    fn new() -> Self {
        Self {
            call_id: format!("{:032x}", rand::rng().random::<u128>()).into(),
            number: 1,
        }
    }

    /// The numbers of one request: the stack counts on for each challenge that it answers.
    fn next(&mut self) -> (Text, u32) {
        let number = self.number;
        self.number = self.number.wrapping_add(4) & 0x7fff_ffff;
        (self.call_id.clone(), number)
    }
}

impl Keeper {
    /// Follows the directory until it is stopped; then takes leave of trunks.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut kept: BTreeMap<Id, watch::Sender<Arc<Trunk>>> = BTreeMap::new();
        loop {
            let trunks: BTreeMap<Id, Arc<Trunk>> = self
                .directory
                .enabled_trunks()
                .into_iter()
                .map(|trunk| (trunk.id, trunk))
                .collect();
            // Who is dropped here ends its task.
            kept.retain(|id, _| trunks.contains_key(id));
            self.states
                .retain(|id| self.directory.trunk_by_id(id).is_some());
            for (id, trunk) in trunks {
                match kept.get(&id) {
                    Some(known) => {
                        known.send_if_modified(|known| {
                            let is_new = !Arc::ptr_eq(known, &trunk);
                            *known = Arc::clone(&trunk);
                            is_new
                        });
                    }
                    None => {
                        let (tell, told) = watch::channel(trunk);
                        tasks.spawn(self.clone().keep(told));
                        kept.insert(id, tell);
                    }
                }
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK) => (),
            }
        }
        kept.clear();
        while tasks.join_next().await.is_some() {}
    }

    /// One trunk, until it is switched off or gone.
    async fn keep(self, mut current: watch::Receiver<Arc<Trunk>>) {
        let mut made = None;
        let mut series = Series::new();
        loop {
            let trunk = Arc::clone(&current.borrow_and_update());
            if let Some(before) = made.take_if(|made: &mut Made| must_undo(made, &trunk)) {
                self.undo(before).await;
            }
            self.begin(&trunk);
            let changed = tokio::select! {
                () = self.tend(&trunk, &mut series, &mut made) => true,
                changed = current.changed() => changed.is_ok(),
            };
            if !changed {
                break;
            }
        }
        let trunk = Arc::clone(&current.borrow());
        if let Some(before) = made.take() {
            self.undo(before).await;
        }
        self.states.change(trunk.id, |state| {
            state.health = Health::Unknown;
            state.registration = Registration::Unwanted;
        });
        self.states.set_peers(trunk.id, Vec::new());
    }

    fn begin(&self, trunk: &Trunk) {
        self.states.change(trunk.id, |state| {
            let registered = matches!(state.registration, Registration::Registered { .. });
            if !trunk.register {
                state.registration = Registration::Unwanted;
            } else if !registered {
                state.registration = Registration::Pending;
            }
            if trunk.options_interval == 0 {
                state.health = Health::Unknown;
            }
        });
    }

    async fn tend(&self, trunk: &Arc<Trunk>, series: &mut Series, made: &mut Option<Made>) {
        let register = async {
            match trunk.register {
                true => self.register(trunk, series, made).await,
                false => std::future::pending().await,
            }
        };
        let watch = async {
            match trunk.options_interval {
                0 => std::future::pending().await,
                _ => self.watch(trunk).await,
            }
        };
        tokio::join!(register, watch);
    }

    // --- registration ---

    async fn register(
        &self,
        trunk: &Arc<Trunk>,
        series: &mut Series,
        made: &mut Option<Made>,
    ) -> ! {
        let mut registering = Registering::new(trunk.expires);
        loop {
            let places = self.reach.places(self.clock.now().instant, trunk).await;
            let peers: Vec<IpAddr> = places
                .iter()
                .map(|place| place.flow.remote.ip().to_canonical())
                .collect();
            self.states.set_peers(trunk.id, peers);
            let wait = self
                .round(trunk, &places, &mut registering, series, made)
                .await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Tries one place after the other; gives the time until the next round.
    async fn round(
        &self,
        trunk: &Arc<Trunk>,
        places: &[TrunkPlace],
        registering: &mut Registering,
        series: &mut Series,
        made: &mut Option<Made>,
    ) -> Duration {
        let mut wait = NO_PLACE;
        if places.is_empty() {
            self.failed(
                trunk,
                None,
                "no address of its hosts can be used".to_owned(),
            );
        }
        let mut places = places.iter();
        let mut place = places.next();
        while let Some(at) = place {
            let question = register(trunk, at, series.next(), registering.expires);
            let outcome = self.requests.ask(self.shard(trunk), question).await;
            self.note(at, &outcome);
            let now = self.clock.now().wall;
            match registering.next(now, &outcome, &trunk.public_id, &mut rand::rng()) {
                Next::Refresh { after, state } => {
                    *made = Some(Made {
                        trunk: Arc::clone(trunk),
                        place: at.clone(),
                        series: series.clone(),
                    });
                    self.registered(trunk, state);
                    return after;
                }
                Next::Longer => continue,
                Next::Refused { after, status } => {
                    let why = format!("REGISTER was answered {status}");
                    self.failed(trunk, Some(status), why);
                    return after;
                }
                Next::Elsewhere { after, status } => {
                    wait = after;
                    let why = match status {
                        Some(status) => format!("REGISTER was answered {status}"),
                        None => format!("REGISTER to {} was not answered", at.flow.remote),
                    };
                    self.failed(trunk, status, why);
                    place = places.next();
                }
            }
        }
        wait
    }

    fn registered(&self, trunk: &Trunk, registration: Registration) {
        let before = self.states.change(trunk.id, |state| {
            state.registration = registration;
        });
        if !matches!(before.registration, Registration::Registered { .. }) {
            tracing::info!(trunk = trunk.public_id, "registered with a trunk");
        }
    }

    fn failed(&self, trunk: &Trunk, status: Option<u16>, why: String) {
        let registration = Registration::Failed { status };
        let said = why.clone();
        let before = self.states.change(trunk.id, |state| {
            state.registration = registration.clone();
            state.last_error = Some(said);
        });
        if before.registration != registration {
            tracing::warn!(trunk = trunk.public_id, why, "not registered with a trunk");
        }
    }

    /// Takes our contact away again (RFC 3261 §10.2.2); whether that works is the trunk's business.
    async fn undo(&self, made: Made) {
        let mut series = made.series;
        let question = register(&made.trunk, &made.place, series.next(), 0);
        let asked = self.requests.ask(self.shard(&made.trunk), question);
        if tokio::time::timeout(FAREWELL, asked).await.is_err() {
            tracing::debug!(trunk = made.trunk.public_id, "a trunk does not let us go");
        }
    }

    // --- health ---

    async fn watch(&self, trunk: &Trunk) -> ! {
        let interval = Duration::from_secs(trunk.options_interval.into());
        let mut misses = 0;
        // Not all at once after a start.
        let mut wait = SOON.mul_f64(rand::rng().random_range(0.0..1.0));
        loop {
            tokio::time::sleep(wait).await;
            match self.probe(trunk).await {
                Ok(()) => {
                    misses = 0;
                    self.up(trunk);
                    wait = interval.mul_f64(rand::rng().random_range(0.9..1.1));
                }
                Err(why) => {
                    misses += 1;
                    self.missed(trunk, misses, why);
                    wait = (interval / 4).max(SOON);
                }
            }
        }
    }

    /// Asks every place; the trunk is alive when one of them is.
    async fn probe(&self, trunk: &Trunk) -> Result<(), String> {
        let places = self.reach.places(self.clock.now().instant, trunk).await;
        let mut why = "no address of its hosts can be used".to_owned();
        let mut alive = false;
        for place in places {
            let asked = self.requests.ask(self.shard(trunk), options(trunk, &place));
            let outcome = tokio::time::timeout(PROBE, asked).await;
            let outcome = outcome.unwrap_or(Outcome::Timeout);
            self.note(&place, &outcome);
            match outcome {
                Outcome::Answered(response) if !is_failure(response.status.0) => alive = true,
                Outcome::Answered(response) => {
                    why = format!("OPTIONS was answered {}", response.status.0);
                }
                Outcome::Timeout => {
                    why = format!("OPTIONS to {} was not answered", place.flow.remote);
                }
                Outcome::FlowLost => why = format!("no connection to {}", place.flow.remote),
                Outcome::NoRoom => why = "too many requests are on their way".to_owned(),
            }
        }
        if alive { Ok(()) } else { Err(why) }
    }

    fn up(&self, trunk: &Trunk) {
        let now = self.clock.now().wall;
        let before = self.states.change(trunk.id, |state| {
            if state.health != Health::Up {
                state.health = Health::Up;
                state.since = Some(now);
            }
        });
        if before.health == Health::Down {
            tracing::info!(trunk = trunk.public_id, "a trunk is up again");
            self.tell(trunk, TrunkEventKind::Up, now, None);
        }
    }

    fn missed(&self, trunk: &Trunk, misses: u32, why: String) {
        let now = self.clock.now().wall;
        let said = why.clone();
        let before = self.states.change(trunk.id, |state| {
            state.last_error = Some(said);
            if misses >= MISSES && state.health != Health::Down {
                state.health = Health::Down;
                state.since = Some(now);
            }
        });
        if misses == MISSES && before.health != Health::Down {
            tracing::warn!(trunk = trunk.public_id, why, "a trunk is down");
            self.tell(trunk, TrunkEventKind::Down, now, Some(why));
        }
    }

    fn tell(&self, trunk: &Trunk, kind: TrunkEventKind, at: Timestamp, reason: Option<String>) {
        self.events.trunk(TrunkEvent {
            kind,
            at,
            account: trunk.account,
            trunk: trunk.id,
            public_id: trunk.public_id.clone(),
            name: trunk.name.clone(),
            reason,
        });
    }

    /// Remembers which places answer, for calls.
    fn note(&self, place: &TrunkPlace, outcome: &Outcome) {
        let (transport, remote) = (place.flow.transport, place.flow.remote);
        let now = self.clock.now().instant;
        match outcome {
            Outcome::Answered(response) if is_failure(response.status.0) => {
                let wait = retry_after(response);
                self.reach.cooldown.failed(now, transport, remote, wait);
            }
            Outcome::Answered(_) => self.reach.cooldown.answered(transport, remote),
            Outcome::Timeout | Outcome::FlowLost => {
                self.reach.cooldown.failed(now, transport, remote, None);
            }
            Outcome::NoRoom => {}
        }
    }

    fn shard(&self, trunk: &Trunk) -> u8 {
        let shards = u64::from(self.shards.max(1));
        u8::try_from(trunk.id.unsigned_abs() % shards).unwrap_or_default()
    }
}

/// Statuses that say that the host cannot serve, and nothing about the request (RFC 3263 §4.3).
pub(crate) fn is_failure(status: u16) -> bool {
    matches!(status, 408 | 430 | 500 | 502..=504)
}

/// Whether what was registered before would stay behind.
fn must_undo(made: &Made, trunk: &Trunk) -> bool {
    let user = |trunk: &Trunk| trunk.login.as_ref().map(|login| login.user.clone());
    !trunk.register || made.trunk.hosts != trunk.hosts || user(&made.trunk) != user(trunk)
}

fn register(trunk: &Trunk, place: &TrunkPlace, series: (Text, u32), expires: u32) -> Question {
    let user = trunk.login.as_ref().map(|login| login.user.as_str());
    let domain = trunk.from_domain.as_deref().unwrap_or(&place.domain);
    let address = address(user.unwrap_or_default(), domain);
    Question {
        method: Method::Register,
        to: place.destination(None),
        from: address.clone(),
        to_value: address,
        series: Some(series),
        contact_user: Some(trunk.public_id.as_str().into()),
        headers: vec![Header::new(Name::Expires, expires.to_string())],
        body: Bytes::new(),
        login: login(trunk),
    }
}

/// A challenge is an answer too: no password is spent on it.
fn options(trunk: &Trunk, place: &TrunkPlace) -> Question {
    let domain = trunk.from_domain.as_deref().unwrap_or(&place.domain);
    Question {
        method: Method::Options,
        to: place.destination(None),
        from: address("ping", domain),
        to_value: format!("<sip:{}>", place.host).into(),
        series: None,
        contact_user: Some(trunk.public_id.as_str().into()),
        headers: vec![Header::new(Name::Accept, "application/sdp")],
        body: Bytes::new(),
        login: None,
    }
}

/// How we prove who we are to a trunk.
pub(crate) fn login(trunk: &Trunk) -> Option<sip::Login> {
    trunk.login.as_ref().map(|login| sip::Login {
        username: login.user.as_str().into(),
        password: login.password.expose().into(),
    })
}

/// An address without display name; what a URI cannot hold is escaped (RFC 3261 §25.1).
fn address(user: &str, domain: &str) -> Text {
    let mut escaped = String::new();
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'+' | b'~' | b'!' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("<sip:{escaped}@{domain}>").into()
}
