//! Who is not answered: attackers, by what their address did (hard-case list "brute force", "enumeration", "flood").
//!
//! Each source has a score that offences raise and time lowers (`score`), in a bounded table (`table`). Above the limit it
//! is *silenced*: nothing it sends outside of a dialog gets an answer, but for the phones that are registered from there. The
//! explainer shows it with the endpoints that it asked for. Trunks' own addresses are never scored.
//! A name that exists, a name that does not and an endpoint that is disabled count alike, so that silence tells nobody
//! which is which.

mod keeper;
mod offence;
mod score;
mod source;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use call::Now;
use ipnet::IpNet;
use jiff::Timestamp;
use store::{Block, Id, Store};
use tokio::sync::mpsc;

use crate::Error;
use crate::trunks::TrunkPeers;

pub use self::offence::Offence;
pub(crate) use self::source::network;

use self::score::Limits;
use self::table::Table;

/// Blocks that wait to be written; one that finds no room is not kept over a restart.
const QUEUE: usize = 256;
/// Silenced sources that are shown with an endpoint.
const SHOWN: usize = 16;
/// Blocks that are read at the start.
const KEPT: u32 = 10_000;

/// What an operator may set about abuse.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// Points at which a source is silenced; 0 silences nobody.
    pub score: u32,
    /// Points that a source loses in a minute.
    pub per_minute: u32,
    /// How long the first silence lasts; each one that follows lasts twice as long.
    pub silence: Duration,
    /// The longest silence.
    pub max_silence: Duration,
    /// Networks that are never scored.
    pub exempt: Vec<IpNet>,
    /// User agents of scanners: alternatives, separated by `|`, found anywhere in the header in any case.
    pub scanners: String,
}

impl Default for Abuse {
    fn default() -> Self {
        Self {
            score: 10,
            per_minute: 10,
            silence: Duration::from_secs(60),
            max_silence: Duration::from_secs(3600),
            exempt: Vec::new(),
            scanners: "friendly-scanner|friendly-request|sipvicious|sundayddr|sipcli|sip-scan|pplsip|sipsak|iWar|VaxIPUserAgent".to_owned(),
        }
    }
}

/// A source that gets no answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Blocked {
    /// Its address, or the first one of its network.
    pub(crate) source: IpAddr,
    /// Until then.
    pub(crate) until: Timestamp,
}

/// Keeps the scores; clones share them.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    abuse: Abuse,
    scanners: AhoCorasick,
    peers: TrunkPeers,
    table: Table,
    written: mpsc::Sender<Block>,
}

impl Guard {
    /// Makes it from what an earlier process left in the store. The receiver belongs to [`Guard::keep`].
    pub(crate) async fn load(
        abuse: Abuse,
        peers: TrunkPeers,
        store: &Store,
        now: &Now,
    ) -> Result<(Self, mpsc::Receiver<Block>), Error> {
        let table = Table::new(Limits::of(&abuse));
        for block in store.blocks(now.wall, KEPT).await? {
            if let Ok(source) = block.source.parse() {
                table.restore(now, source, block.strikes, block.until);
            }
        }
        let scanners = abuse.scanners.split('|').map(str::trim);
        let scanners = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(scanners.filter(|name| !name.is_empty()))
            .map_err(|error| Error::internal(&error))?;
        let (written, blocks) = mpsc::channel(QUEUE);
        let guard = Self(Arc::new(Inner {
            abuse,
            scanners,
            peers,
            table,
            written,
        }));
        Ok((guard, blocks))
    }

    /// Tells whether a source gets no answers. Costs one load while nobody is silenced.
    pub fn is_silenced(&self, now: &Now, source: IpAddr) -> bool {
        self.0.table.has_silenced() && !self.is_exempt(source) && {
            let source = network(source);
            self.0.table.is_silenced(now, source)
        }
    }

    /// Notes that a silenced source asked for an endpoint; tells whether it is the first time since it was silenced.
    pub(crate) fn asked_for(&self, now: &Now, source: IpAddr, endpoint: Id) -> bool {
        self.0.table.asked_for(now, network(source), endpoint)
    }

    /// Until when a source gets no answers, if it gets none.
    pub(crate) fn blocked(&self, now: &Now, source: IpAddr) -> Option<Blocked> {
        if !self.is_silenced(now, source) {
            return None;
        }
        let source = network(source);
        let until = self.0.table.silenced_until(now, source)?;
        Some(Blocked { source, until })
    }

    /// The silenced sources that asked for an endpoint, at most 16. It looks at all of them: for people, not for phones.
    pub(crate) fn blocked_from(&self, now: &Now, endpoint: Id) -> Vec<Blocked> {
        if !self.0.table.has_silenced() {
            return Vec::new();
        }
        let found = self.0.table.silenced_that_asked_for(now, endpoint);
        let found = found.into_iter().filter(|it| !self.is_exempt(it.source));
        found.take(SHOWN).collect()
    }

    /// Tells whether a User-Agent is a scanner's.
    pub fn is_scanner(&self, user_agent: &str) -> bool {
        self.0.scanners.is_match(user_agent)
    }

    /// Counts an offence; the one that is too much silences its source.
    pub fn note(&self, now: &Now, source: IpAddr, offence: Offence) {
        if self.0.abuse.score == 0 || self.is_exempt(source) {
            return;
        }
        let network = network(source);
        let Some(silence) = self.0.table.note(now, network, offence) else {
            return;
        };
        tracing::warn!(
            %source,
            reason = offence.reason(),
            seconds = silence.length.as_secs(),
            strikes = silence.strikes,
            "a source is not answered any more"
        );
        let block = Block {
            source: network.to_string(),
            reason: offence.reason().to_owned(),
            strikes: silence.strikes,
            until: now.wall.saturating_add(silence.length).unwrap_or(now.wall),
        };
        if self.0.written.try_send(block).is_err() {
            tracing::debug!(%source, "a block is not kept over a restart");
        }
    }

    /// Counts a challenge: the first answer of every honest registration, an offence only to who never answers them.
    pub(crate) fn challenged(&self, now: &Now, source: IpAddr) {
        self.note(now, source, Offence::UnansweredChallenge);
    }

    /// Notes that a user proved a password from this source.
    pub(crate) fn proved(&self, now: &Now, source: IpAddr, endpoint: Id) {
        if self.0.abuse.score != 0 && !self.is_in_exempt_network(source) {
            self.0.table.proved(now, network(source), endpoint);
        }
    }

    /// Whether a source is a trunk's own address.
    pub(crate) fn is_trunks(&self, source: IpAddr) -> bool {
        self.0.peers.has(source)
    }

    /// How many users proved a password from a source lately, as far as they are remembered.
    pub(crate) fn users_behind(&self, source: IpAddr) -> u32 {
        self.0.table.users_behind(network(source))
    }

    /// Counts the sources that are remembered.
    pub fn sources(&self) -> usize {
        self.0.table.len()
    }

    fn is_exempt(&self, source: IpAddr) -> bool {
        self.is_in_exempt_network(source) || self.0.peers.has(source)
    }

    fn is_in_exempt_network(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.0
            .abuse
            .exempt
            .iter()
            .any(|network| network.contains(&source))
    }
}
