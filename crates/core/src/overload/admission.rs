//! When a shard is overloaded, and what it then refuses: RFC 3261 §21.5.4, with the concerns of RFC 5390 in mind.
//!
//! A queue that is used by bursts runs empty between them; one that stands for a while is too much work (as CoDel sees it).
//! Then each kind of request is refused from its own mark on, so that the queue settles at the mark of the kind that is too
//! much and keeps room for all others. What was begun is preferred to what begins: a REGISTER with a nonce in hand was
//! challenged already, and refusing it would waste that.
//!
//! A first REGISTER is answered so quickly that refusing it costs about as much. Most of those that are too many are therefore
//! left to the kernel, before they are read: the [`Gate`] tells it which, and how many of them it is to keep.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::shares::{Shares, Weight};

/// Thousandths of a queue from which on strangers' requests are refused, and that a queue has to hold for a while first.
const STRANGERS: u16 = 375;
/// From here on REGISTERs without a proof are refused, whoever sends them.
const UNPROVED: u16 = 500;
/// From here on REGISTERs with one: phones that refresh come again.
const PROVED: u16 = 750;
/// What a source that asks little is ahead of one that asks much, within its kind.
const AHEAD: u16 = 60;
/// From here on the kernel keeps fewer of the REGISTERs that look like first ones, and below [`OPENS`] more.
const CLOSES: u16 = 430;
const OPENS: u16 = 400;
/// Below this it is as good as over, and the kernel keeps twice as many.
const CALMED: u16 = 100;
/// How often that is changed.
const STEERING: Duration = Duration::from_millis(50);
/// The fewest that it keeps, in thousandths.
const LEAST: u16 = 10;
/// How long the length of a REGISTER with a proof is remembered, up to twice as long.
const LENGTHS: Duration = Duration::from_secs(10);
/// How long a queue has to stand before anything is refused.
const STANDING: Duration = Duration::from_millis(100);
/// How long no queue has stood when an overload is over.
const CALM: Duration = Duration::from_secs(5);
/// An answer that waits so long for its commit is as bad as a full queue.
const COMMIT: Duration = Duration::from_secs(1);
/// Retry-After: as long as the overload has lasted, within these bounds, up to twice that by chance: 2 to 60 seconds.
const RETRY_AFTER: std::ops::RangeInclusive<u64> = 2..=30;
/// Refusals of one shard in a window of [`WINDOW`]; beyond them there is silence.
const REFUSALS: u32 = 1_000;
/// The window of refusals and shares.
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// How often an overload that lasts is told.
const TELLING: Duration = Duration::from_secs(60);

/// How full the queues of a shard are.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Load {
    /// Thousandths of its fullest socket's buffer.
    pub socket: u16,
    /// Thousandths of its inbox.
    pub inbox: u16,
    /// How long the oldest answer has waited for its commit.
    pub commit: Duration,
}

/// What the kernel is to do with REGISTERs before they are read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    /// Thousandths of the short ones that it keeps, by chance.
    pub keep: u16,
    /// The octets of one that is not short: as many as one with a proof has had lately.
    pub long: usize,
}

impl Gate {
    /// The gate when there is nothing to do.
    pub const OPEN: Gate = Gate {
        keep: 1000,
        long: usize::MAX,
    };
}

/// Which queue is the full one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    /// Datagrams that were not read yet.
    Socket,
    /// Messages of streams, and what the calls want.
    Inbox,
    /// Answers that wait for the disk.
    Commit,
}

impl Sign {
    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sign::Socket => "datagrams wait",
            Sign::Inbox => "the inbox is full",
            Sign::Commit => "commits take long",
        }
    }
}

/// How an overload goes, as far as it is worth telling.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Course {
    /// An overload began.
    Began(Sign),
    /// It has lasted so long; requests that were refused and that were dropped since it was told last.
    Lasts(Duration, u64, u64),
    /// It is over; as above.
    Ended(Duration, u64, u64),
}

/// What may be refused, in that order. Requests that go on with something, those of trunks and the calls of whoever is
/// registered are of no kind.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// A request of somebody who is not registered from there.
    Stranger,
    /// A REGISTER without a proof of somebody who is.
    Unproved,
    /// A REGISTER or a call with a nonce that is good.
    Proved,
}

/// How a request is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// With 503 and these seconds in Retry-After.
    Answer(u32),
    /// Without a word.
    Silence,
}

/// The machine of one shard.
#[derive(Debug)]
pub(crate) struct Admission {
    level: u16,
    /// Since when a queue stands at every look.
    standing: Option<Instant>,
    overload: Option<Overload>,
    shares: Shares,
    /// Refusals of the current window.
    refusals: (u128, u32),
    gate: Gate,
    steered: Instant,
    /// The shortest REGISTER with a proof in this and the last stretch of [`LENGTHS`], and when this one began.
    shortest: (usize, usize, Instant),
    chance: u64,
}

#[derive(Debug)]
struct Overload {
    since: Instant,
    last_full: Instant,
    told: Instant,
    refused: u64,
    dropped: u64,
}

impl Admission {
    /// Makes one; the seed is for its chances.
    pub(crate) fn new(now: Instant, seed: u64) -> Self {
        Self {
            level: 0,
            standing: None,
            overload: None,
            shares: Shares::new(now, seed),
            refusals: (0, 0),
            gate: Gate::OPEN,
            steered: now,
            shortest: (usize::MAX, usize::MAX, now),
            chance: seed | 1,
        }
    }

    /// Takes a look at the queues. Call it once a turn.
    pub(crate) fn look(&mut self, now: Instant, load: Load) -> Option<Course> {
        let (level, sign) = load.level();
        self.level = level;
        let is_full = level >= STRANGERS;
        self.standing = is_full.then(|| self.standing.unwrap_or(now));
        let Some(overload) = &mut self.overload else {
            let since = self.standing?;
            if now.saturating_duration_since(since) < STANDING {
                return None;
            }
            self.overload = Some(Overload {
                since,
                last_full: now,
                told: now,
                refused: 0,
                dropped: 0,
            });
            return Some(Course::Began(sign));
        };
        if is_full {
            overload.last_full = now;
        }
        self.steer(now);
        let Some(overload) = &mut self.overload else {
            return None;
        };
        let is_over = now.saturating_duration_since(overload.last_full) >= CALM;
        if !is_over && now.saturating_duration_since(overload.told) < TELLING {
            return None;
        }
        let lasted = overload.last_full.saturating_duration_since(overload.since);
        let (refused, dropped) = (overload.refused, overload.dropped);
        if is_over {
            self.overload = None;
            self.gate = Gate::OPEN;
            return Some(Course::Ended(lasted, refused, dropped));
        }
        (overload.refused, overload.dropped, overload.told) = (0, 0, now);
        Some(Course::Lasts(lasted, refused, dropped))
    }

    /// When it wants to look again although nothing happens: what the kernel drops wakes nobody.
    pub(crate) fn next_look(&self) -> Option<Duration> {
        self.overload.is_some().then_some(STEERING)
    }

    /// What the kernel is to do; it changes in [`Admission::look`] only.
    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    /// Notes the length of a REGISTER that has a proof.
    pub(crate) fn saw_proof(&mut self, now: Instant, length: usize) {
        let (this, _, began) = self.shortest;
        if now.saturating_duration_since(began) >= LENGTHS {
            self.shortest = (usize::MAX, this, now);
        }
        self.shortest.0 = self.shortest.0.min(length);
    }

    fn steer(&mut self, now: Instant) {
        if now.saturating_duration_since(self.steered) < STEERING {
            return;
        }
        self.steered = now;
        let keep = self.gate.keep;
        let keep = match self.level {
            CLOSES.. => (keep - keep / 4).max(LEAST),
            OPENS.. => keep,
            CALMED.. => (keep + keep / 8 + 1).min(1000),
            _ => (keep * 2).min(1000),
        };
        let (this, last, _) = self.shortest;
        let long = this.min(last);
        self.gate = match keep {
            1000 => Gate::OPEN,
            keep => Gate { keep, long },
        };
    }

    /// Whether anything is refused at this moment. Costs two comparisons.
    pub(crate) fn refuses_any(&self) -> bool {
        self.overload.is_some() && self.level >= STRANGERS
    }

    /// Counts a request of a source, and says whether that asks much; `users` is how many users are known to be behind it.
    pub(crate) fn weigh(
        &mut self,
        now: Instant,
        source: IpAddr,
        users: impl FnOnce() -> u32,
    ) -> Weight {
        self.shares.weigh(now, source, users)
    }

    /// Notes that somebody registers from a source: a proof of it was right.
    pub(crate) fn registers(&mut self, now: Instant, source: IpAddr) {
        self.shares.registers(now, source);
    }

    /// Whether somebody has registered from a source a moment ago.
    pub(crate) fn is_known(&self, now: Instant, source: IpAddr) -> bool {
        self.shares.is_known(now, source)
    }

    /// Whether requests of this kind are refused at this moment.
    pub(crate) fn refuses(&self, class: Class, weight: Weight) -> bool {
        let mark = match class {
            Class::Stranger => STRANGERS,
            Class::Unproved => UNPROVED,
            Class::Proved => PROVED,
        };
        let ahead = match weight {
            Weight::Much => 0,
            Weight::Little => AHEAD,
        };
        self.overload.is_some() && self.level >= mark + ahead
    }

    /// Refuses a request: with an answer, as long as there are not too many.
    pub(crate) fn refuse(&mut self, now: Instant) -> Refusal {
        let window = self.shares.window(now);
        if self.refusals.0 != window {
            self.refusals = (window, 0);
        }
        self.refusals.1 = self.refusals.1.saturating_add(1);
        if self.refusals.1 > REFUSALS {
            self.drop();
            return Refusal::Silence;
        }
        let mut lasted = 0;
        if let Some(overload) = &mut self.overload {
            overload.refused += 1;
            lasted = now.saturating_duration_since(overload.since).as_secs();
        }
        let least = lasted.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end());
        let seconds = least + self.by_chance() % (least + 1);
        Refusal::Answer(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Notes a request that is refused without a word.
    pub(crate) fn drop(&mut self) {
        if let Some(overload) = &mut self.overload {
            overload.dropped += 1;
        }
    }

    /// Marsaglia's xorshift: good enough to keep phones from coming back all at once.
    fn by_chance(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance >> 11
    }
}

impl Load {
    fn level(self) -> (u16, Sign) {
        let commit = self.commit.min(COMMIT).as_millis() * 1000 / COMMIT.as_millis();
        let commit = u16::try_from(commit).unwrap_or(u16::MAX);
        let all = [
            (self.socket, Sign::Socket),
            (self.inbox, Sign::Inbox),
            (commit, Sign::Commit),
        ];
        all.into_iter()
            .max_by_key(|(level, _)| *level)
            .unwrap_or((0, Sign::Socket))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, VecDeque};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn full(socket: u16) -> Load {
        Load {
            socket,
            ..Load::default()
        }
    }

    /// One that has been overloaded since `start`.
    fn overloaded(start: Instant) -> Admission {
        let mut admission = Admission::new(start, 7);
        assert_eq!(admission.look(start, full(400)), None);
        let told = admission.look(start + millis(100), full(400));
        assert_eq!(told, Some(Course::Began(Sign::Socket)));
        admission
    }

    #[test]
    fn a_burst_is_no_overload_and_a_queue_that_stands_is_one_until_it_was_calm() {
        let start = start();
        let mut admission = Admission::new(start, 7);
        // Bursts that fill the queue, and that it recovers from.
        for turn in 0..50 {
            let load = if turn % 9 == 8 { full(10) } else { full(999) };
            assert_eq!(admission.look(start + millis(10 * turn), load), None);
            assert!(!admission.refuses_any());
        }
        let mut admission = overloaded(start);
        assert!(admission.refuses_any());
        // What waits has gone down: nothing is refused, but it is the same overload.
        assert_eq!(admission.look(start + millis(200), full(0)), None);
        assert!(!admission.refuses_any());
        assert_eq!(admission.look(start + millis(3_000), full(375)), None);
        assert!(admission.refuses_any());
        admission.refuse(start + millis(3_000));
        admission.drop();
        assert_eq!(admission.look(start + millis(7_999), full(0)), None);
        let told = admission.look(start + millis(8_000), full(0));
        assert_eq!(told, Some(Course::Ended(millis(3_000), 1, 1)));
        assert_eq!(admission.look(start + millis(8_001), full(999)), None);
    }

    #[test]
    fn an_overload_that_lasts_is_told_once_a_minute() {
        let start = start();
        let mut admission = overloaded(start);
        let told = (1..=200).filter_map(|second| {
            let told = admission.look(start + millis(100 + 1000 * second), full(500));
            admission.refuse(start + millis(100 + 1000 * second));
            told
        });
        let expected: Vec<Course> = [(60, 59), (120, 60), (180, 60)]
            .map(|(seconds, refused)| Course::Lasts(millis(1000 * seconds + 100), refused, 0))
            .into();
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn strangers_are_refused_first_and_refreshes_last() {
        let start = start();
        let mut admission = overloaded(start);
        let all = [Class::Stranger, Class::Unproved, Class::Proved];
        let mut marks = Vec::new();
        for class in all {
            for weight in [Weight::Much, Weight::Little] {
                let mark = (0..=1000).find(|level| {
                    admission.look(start + millis(200), full(*level));
                    admission.refuses(class, weight)
                });
                marks.push(mark);
            }
        }
        assert_eq!(marks, [375, 435, 500, 560, 750, 810].map(Some));
    }

    #[test]
    fn the_gate_closes_while_a_queue_stands_and_opens_when_it_does_not() {
        let start = start();
        let mut admission = overloaded(start);
        admission.saw_proof(start, 700);
        admission.saw_proof(start, 650);
        assert_eq!(admission.gate(), Gate::OPEN);
        let mut now = start + millis(100);
        let mut keeps = |level, count: usize| {
            let all = std::iter::repeat_with(|| {
                assert_eq!(admission.next_look(), Some(STEERING));
                now += STEERING;
                admission.look(now, full(level));
                admission.gate().keep
            });
            all.take(count).collect::<Vec<_>>()
        };
        assert_eq!(keeps(900, 4), [750, 563, 423, 318]);
        assert_eq!(keeps(410, 2), [318, 318]);
        assert_eq!(keeps(300, 2), [358, 403]);
        assert_eq!(keeps(900, 40).last(), Some(&LEAST));
        assert_eq!(keeps(0, 7), [20, 40, 80, 160, 320, 640, 1000]);
        assert_eq!(admission.gate(), Gate::OPEN);
        assert_eq!(admission.look(now, full(900)), None);
        admission.look(now + STEERING, full(900));
        assert_eq!(admission.gate().long, 650);
        admission.look(now + 2 * CALM, full(0));
        assert_eq!(
            (admission.gate(), admission.next_look()),
            (Gate::OPEN, None)
        );
    }

    #[test]
    fn any_queue_may_be_the_one_that_stands() {
        let start = start();
        for (load, sign) in [
            (full(380), Sign::Socket),
            (
                Load {
                    inbox: 380,
                    ..full(0)
                },
                Sign::Inbox,
            ),
            (
                Load {
                    commit: millis(380),
                    ..full(0)
                },
                Sign::Commit,
            ),
            (
                Load {
                    commit: millis(60_000),
                    ..full(999)
                },
                Sign::Commit,
            ),
        ] {
            let mut admission = Admission::new(start, 7);
            assert_eq!(admission.look(start, load), None);
            assert_eq!(
                admission.look(start + STANDING, load),
                Some(Course::Began(sign))
            );
        }
    }

    #[test]
    fn retry_after_grows_with_the_overload_and_differs_by_chance() {
        let start = start();
        let mut admission = overloaded(start);
        let mut range = |seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let all = (0..1000).map(|_| match admission.refuse(now) {
                Refusal::Answer(seconds) => seconds,
                Refusal::Silence => 0,
            });
            let all: BTreeSet<u32> = all.collect();
            (all.first().copied(), all.last().copied(), all.len())
        };
        assert_eq!(range(1), (Some(2), Some(4), 3));
        assert_eq!(range(10), (Some(10), Some(20), 11));
        assert_eq!(range(3600), (Some(30), Some(60), 31));
    }

    #[test]
    fn beyond_so_many_refusals_there_is_silence() {
        let start = start();
        let mut admission = overloaded(start);
        let mut answers = |at| {
            let all = (0..5_000).map(|_| admission.refuse(start + millis(at)));
            all.filter(|it| *it != Refusal::Silence).count()
        };
        assert_eq!(
            (answers(100), answers(150), answers(200)),
            (1_000, 0, 1_000)
        );
    }

    /// Phones that register at twice the rate that a server can take, over a wire whose buffer holds 400 datagrams.
    struct World {
        admission: Option<Admission>,
        start: Instant,
        now: u64,
        queue: VecDeque<(u32, bool)>,
        /// When a phone sends again, or gives up.
        timers: BTreeSet<(u64, u32)>,
        /// Of a phone that waits for an answer: its timer, whether it proves its password, and how often it has sent.
        waiting: BTreeMap<u32, (u64, bool, u32)>,
        begun: u32,
        chance: u32,
        registered: Vec<u64>,
        lost: Vec<u64>,
    }

    /// Microseconds that things take; one REGISTER takes a challenge and a proof.
    const CHALLENGE: u64 = 60;
    const PROOF: u64 = 90;
    const REFUSAL: u64 = 30;
    const DROP: u64 = 10;
    const SECOND: u64 = 1_000_000;
    const BUFFER: usize = 400;

    impl World {
        fn run(admission: bool) -> Self {
            let start = start();
            let mut world = World {
                admission: admission.then(|| Admission::new(start, 7)),
                start,
                now: 0,
                queue: VecDeque::new(),
                timers: BTreeSet::new(),
                waiting: BTreeMap::new(),
                begun: 0,
                chance: 7,
                registered: Vec::new(),
                lost: Vec::new(),
            };
            while world.now < 12 * SECOND {
                world.turn();
            }
            world
        }

        fn send(&mut self, phone: u32, proof: bool, tries: u32) {
            let gate = self.admission.as_ref().map_or(Gate::OPEN, Admission::gate);
            let length = if proof { 650 } else { 400 };
            self.chance = self
                .chance
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let is_kept = length >= gate.long || (self.chance >> 8) % 1000 < u32::from(gate.keep);
            match (is_kept, self.queue.len() < BUFFER) {
                (true, true) => self.queue.push_back((phone, proof)),
                (true, false) => self.lost.push(self.now),
                (false, _) => {}
            }
            // RFC 3261 §17.1.2.2: Timer E; this phone gives up after its fourth try.
            let due = self.now + ((SECOND / 2) << tries);
            self.timers.insert((due, phone));
            self.waiting.insert(phone, (due, proof, tries + 1));
        }

        fn arrive(&mut self) {
            while u64::from(self.begun) * (CHALLENGE + PROOF) / 2 <= self.now {
                self.begun += 1;
                self.send(self.begun, false, 0);
            }
            while let Some((due, phone)) = self
                .timers
                .first()
                .copied()
                .filter(|(due, _)| *due <= self.now)
            {
                self.timers.remove(&(due, phone));
                match self.waiting.remove(&phone) {
                    Some((_, proof, tries)) if tries < 4 => self.send(phone, proof, tries),
                    _ => {}
                }
            }
        }

        /// Whether an answer to this is news to the phone.
        fn hears(&mut self, phone: u32, proof: bool) -> bool {
            let waits = self
                .waiting
                .get(&phone)
                .is_some_and(|(_, what, _)| *what == proof);
            if waits && let Some((due, ..)) = self.waiting.remove(&phone) {
                self.timers.remove(&(due, phone));
            }
            waits
        }

        fn turn(&mut self) {
            self.arrive();
            let start = self.start;
            let at = |micros| start + Duration::from_micros(micros);
            for _ in 0..64 {
                let Some((phone, proof)) = self.queue.pop_front() else {
                    self.now += DROP;
                    break;
                };
                let class = if proof {
                    Class::Proved
                } else {
                    Class::Unproved
                };
                if let Some(admission) = &mut self.admission
                    && proof
                {
                    admission.saw_proof(at(self.now), 650);
                }
                if let Some(admission) = &mut self.admission
                    && admission.refuses(class, Weight::Much)
                {
                    match admission.refuse(at(self.now)) {
                        Refusal::Answer(_) => {
                            self.now += REFUSAL;
                            self.hears(phone, proof);
                        }
                        Refusal::Silence => self.now += DROP,
                    }
                    continue;
                }
                self.now += if proof { PROOF } else { CHALLENGE };
                match (self.hears(phone, proof), proof) {
                    (true, true) => self.registered.push(self.now),
                    (true, false) => self.send(phone, true, 0),
                    (false, _) => {}
                }
            }
            self.arrive();
            let socket = u16::try_from(self.queue.len() * 1000 / BUFFER).unwrap_or(u16::MAX);
            if let Some(admission) = &mut self.admission {
                admission.look(at(self.now), full(socket));
            }
        }

        /// What was done in the last seconds, as a part of the most that can be.
        fn goodput(&self) -> f64 {
            let late = self
                .registered
                .iter()
                .filter(|at| **at >= 4 * SECOND)
                .count();
            let most = 8 * SECOND / (CHALLENGE + PROOF);
            late as f64 / most as f64
        }
    }

    #[test]
    fn at_twice_the_load_four_of_five_get_through_and_nothing_else_is_lost() {
        let with = World::run(true);
        assert!(with.goodput() >= 0.8, "{}", with.goodput());
        // Calls would be among what the full buffer loses.
        let late = with.lost.iter().filter(|at| **at >= SECOND).count();
        assert_eq!(late, 0);
        let without = World::run(false);
        assert!(without.lost.iter().filter(|at| **at >= SECOND).count() > 10_000);
    }
}
