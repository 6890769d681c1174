//! Pings: phones are asked every so often whether they are there (policies, `sip.ping_seconds`). One that does not answer
//! several times is silent: shown as unreachable, told of as `flow_lost`, and not called while another phone of its endpoint
//! answers. Its next answer or REGISTER brings it back, told of as `refreshed`.
//!
//! A round walks over all endpoints in slices and pings those whose turn it is, so that pings are spread over their
//! interval. What is awaited is a mark for each phone that has not answered, and no timer.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use jiff::Timestamp;
use sip::{Command, FlowId, Ping, PingMark};
use store::{Binding, Id, View};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::calls::way;
use crate::registrar::{EventKind, Location, Reach};
use crate::{Clock, Directory, Settings, Signalling};

/// Slices follow each other in this time.
const TICK: Duration = Duration::from_millis(100);
/// Endpoints of one slice; with more than this for each tick a round takes longer than it should.
const MOST_IN_SLICE: usize = 10_000;
/// Pings of one slice; what is beyond it waits for the next turn of its endpoint.
const MOST_PINGS: usize = 2_000;

/// Who was pinged and has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    phones: DashMap<PingMark, Missed>,
    /// Somebody was ever pinged. Asking `phones` would take all its locks.
    any: AtomicBool,
    hasher: RandomState,
}

#[derive(Copy, Clone, Debug)]
struct Missed {
    /// Pings without an answer.
    pings: u32,
    /// They are too many.
    silent: bool,
    /// The round in which the next ping should have come.
    until: u64,
}

impl Awaited {
    /// Marks a binding. Nobody who was not pinged can know it.
    pub(crate) fn mark(&self, binding: &Binding) -> PingMark {
        let Binding { endpoint, key, .. } = binding;
        self.mark_of(*endpoint, key, binding.local, binding.remote)
    }

    fn mark_of(&self, endpoint: Id, key: &str, local: SocketAddr, remote: SocketAddr) -> PingMark {
        let endpoint = endpoint.cast_unsigned();
        let way = (endpoint, key, local, remote);
        PingMark([endpoint, self.hasher.hash_one(way)])
    }

    /// Notes a ping. `true`: those before it were too many, and this is when it shows.
    fn asked(&self, mark: PingMark, until: u64, misses: u32) -> bool {
        self.any.store(true, Ordering::Release);
        let mut missed = self.phones.entry(mark).or_insert(Missed {
            pings: 0,
            silent: false,
            until,
        });
        // The ping that is sent may still be answered.
        let silent = missed.pings >= misses;
        let shows = silent && !missed.silent;
        missed.pings = missed.pings.saturating_add(1);
        missed.silent = silent;
        missed.until = until;
        shows
    }

    /// Notes that somebody answered. `true`: it had been silent.
    pub(crate) fn heard(&self, mark: PingMark) -> bool {
        let missed = self.phones.remove(&mark);
        missed.is_some_and(|(_, missed)| missed.silent)
    }

    /// Notes that a binding was made or refreshed.
    pub(crate) fn registered(&self, endpoint: Id, binding: &View<'_>) {
        if self.any.load(Ordering::Acquire) {
            self.heard(self.mark_of(endpoint, binding.key, binding.local, binding.remote));
        }
    }

    /// Tells whether a phone has left too many pings unanswered.
    pub(crate) fn is_silent(&self, binding: &Binding) -> bool {
        let missed = || self.phones.get(&self.mark(binding));
        self.any.load(Ordering::Acquire) && missed().is_some_and(|missed| missed.silent)
    }

    /// Forgets phones that are pinged no more.
    fn sweep(&self, round: u64) {
        self.phones.retain(|_, missed| missed.until >= round);
    }
}

/// Pings the phones of all endpoints.
#[derive(Debug)]
pub(crate) struct Pings {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) location: Location,
    pub(crate) signalling: Signalling,
    pub(crate) clock: Clock,
}

impl Pings {
    /// Pings round after round until the end.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut number = 0;
        let mut rounds = tokio::time::interval(self.settings.ping_round.max(TICK));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = rounds.tick() => (),
            }
            number += 1;
            self.location.awaited().sweep(number);
            if self.settings.ping == 0 && !self.directory.has_policies() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round(number) => (),
            }
        }
    }

    async fn round(&self, number: u64) {
        let endpoints = self.location.endpoints();
        let ticks = self.settings.ping_round.as_nanos() / TICK.as_nanos();
        let ticks = usize::try_from(ticks).unwrap_or(usize::MAX).max(1);
        let slice = endpoints.len().div_ceil(ticks).clamp(1, MOST_IN_SLICE);
        let mut slices = tokio::time::interval(TICK);
        slices.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for slice in endpoints.chunks(slice) {
            slices.tick().await;
            let now = self.clock.now().wall;
            let mut room = MOST_PINGS;
            for endpoint in slice {
                if let Some(until) = self.next_turn(*endpoint, number) {
                    room = room.saturating_sub(self.ping(*endpoint, now, until));
                }
                if room == 0 {
                    break;
                }
            }
        }
    }

    /// Gives the round of the turn after this one, when it is the endpoint's turn now.
    fn next_turn(&self, endpoint: Id, number: u64) -> Option<u64> {
        let subscriber = self.directory.subscriber_by_id(endpoint)?;
        let ping = self.directory.registration_policy(&subscriber).ping;
        let interval = Duration::from_secs(ping.into()).as_nanos();
        let every = interval.div_ceil(self.settings.ping_round.as_nanos().max(1));
        let every = u64::try_from(every).ok().filter(|every| *every > 0)?;
        // Endpoints with the same interval take their turns in different rounds.
        let shifted = number.wrapping_add(endpoint.cast_unsigned());
        shifted.is_multiple_of(every).then_some(number + every + 1)
    }

    /// Pings an endpoint's phones; gives how many.
    fn ping(&self, endpoint: Id, now: Timestamp, until: u64) -> usize {
        let awaited = self.location.awaited();
        let shards = self.signalling.shards.len().max(1);
        let shard = endpoint.cast_unsigned() % u64::try_from(shards).unwrap_or(1);
        let shard = u8::try_from(shard).unwrap_or_default();
        let ways = self.location.ways(endpoint, now);
        let count = ways.len();
        for (binding, reach) in ways {
            let mark = awaited.mark(&binding);
            let Some(command) = self.command(&reach, mark) else {
                continue;
            };
            let answers = matches!(command, Command::Ping(_));
            // A shard without room is asked again in the next turn; its phones are not to blame.
            if self.signalling.send(shard, command).is_ok()
                && answers
                && awaited.asked(mark, until, self.settings.ping_misses)
            {
                tracing::info!(endpoint, "a phone does not answer its pings");
                self.location
                    .tell(EventKind::FlowLost, endpoint, || binding);
            }
        }
        count
    }

    /// A connection is kept open by bytes: when they cannot be delivered it closes, and its bindings go.
    fn command(&self, reach: &Reach, mark: PingMark) -> Option<Command> {
        if reach.flow.id != FlowId::NONE {
            return Some(Command::KeepAlive { flow: reach.flow });
        }
        Some(Command::Ping(Ping {
            to: way(&self.settings, reach)?,
            from: format!("<sip:{}>", self.settings.domain).into(),
            mark,
        }))
    }
}
