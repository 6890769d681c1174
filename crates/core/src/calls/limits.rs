//! Safe dialling: how many calls at a time and in a second, how many minutes a day, and to which numbers an account and
//! each of its endpoints may call. A call that passes a limit is refused by name, with a record.
//!
//! Calls are counted for every owner, so that a limit holds from the moment it is set. The table holds the owners of live
//! calls and those that have limits, nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use call::{Cause, Now};
use dashmap::DashMap;
use jiff::Timestamp;
use smallvec::SmallVec;
use store::{Id, Limit, LimitOwner, Store};

use crate::Directory;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What all owners have used; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    used: DashMap<LimitOwner, Used>,
}

#[derive(Debug)]
struct Used {
    calls: u32,
    /// Calls that may begin at once.
    tokens: f64,
    filled: Instant,
    /// Days since 1970.
    day: i64,
    /// Seconds of talk on that day.
    seconds: u64,
}

/// One call that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    limits: Limits,
    owners: SmallVec<[LimitOwner; 2]>,
    /// How long it may talk.
    pub(crate) allowance: Option<Duration>,
}

impl Limits {
    pub(crate) fn new(directory: Directory) -> Self {
        let used = DashMap::new();
        Self(Arc::new(Inner { directory, used }))
    }

    /// Reads what was used today, after a start.
    pub(crate) async fn load(&self, store: &Store, now: &Now) -> store::Result<()> {
        let midnight = Timestamp::from_microsecond(day(now) * DAY).unwrap_or(now.wall);
        for owner in self.0.directory.limited() {
            let seconds = store.talked(owner, midnight).await?;
            self.0.used.entry(owner).or_insert(Used::new(now)).seconds = seconds;
        }
        Ok(())
    }

    /// Counts a call of an account, made by one of its endpoints or coming to it; or names the limit that it passes.
    pub(crate) fn admit(
        &self,
        now: &Now,
        account: Id,
        endpoint: Option<Id>,
    ) -> Result<Ticket, Cause> {
        let mut ticket = Ticket {
            limits: self.clone(),
            owners: SmallVec::new(),
            allowance: None,
        };
        // Whoever was counted before another owner's limit refuses is given back when the ticket is dropped.
        let owners = [
            endpoint.map(LimitOwner::Endpoint),
            Some(LimitOwner::Account(account)),
        ];
        for owner in owners.into_iter().flatten() {
            let limit = self.0.directory.limit(owner);
            let mut used = self.0.used.entry(owner).or_insert(Used::new(now));
            let left = used.take(now, limit.as_deref())?;
            ticket.owners.push(owner);
            ticket.allowance = [ticket.allowance, left].into_iter().flatten().min();
        }
        Ok(ticket)
    }

    /// Whether an owner may call this number, given as digits.
    pub(crate) fn may_dial(&self, owner: LimitOwner, number: &str) -> bool {
        self.0.directory.limit(owner).is_none_or(|limit| {
            let prefixes = &limit.prefixes;
            prefixes.is_empty() || prefixes.iter().any(|prefix| number.starts_with(prefix))
        })
    }

    /// Drops an owner that nothing is to be remembered of.
    fn forget(&self, owner: LimitOwner) {
        let limited = self.0.directory.limit(owner).is_some();
        let is_idle = |_: &LimitOwner, used: &Used| used.calls == 0 && !limited;
        self.0.used.remove_if(&owner, is_idle);
    }
}

impl Ticket {
    /// Counts one more attempt of a call that is counted already, or names the limit that it passes.
    pub(crate) fn again(&self, now: &Now) -> Result<(), Cause> {
        for owner in &self.owners {
            let limit = self.limits.0.directory.limit(*owner);
            if let (Some(mut used), Some(limit)) = (self.limits.0.used.get_mut(owner), limit) {
                used.turn(now);
                used.spend(now, &limit)?;
            }
        }
        Ok(())
    }

    /// Adds what the call has talked to its owners' day.
    pub(crate) fn talked(&self, now: &Now, duration: Duration) {
        for owner in &self.owners {
            if let Some(mut used) = self.limits.0.used.get_mut(owner) {
                used.turn(now);
                used.seconds = used.seconds.saturating_add(duration.as_secs());
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        for owner in &self.owners {
            if let Some(mut used) = self.limits.0.used.get_mut(owner) {
                used.calls = used.calls.saturating_sub(1);
            }
            self.limits.forget(*owner);
        }
    }
}

impl Used {
    fn new(now: &Now) -> Self {
        Self {
            calls: 0,
            tokens: f64::INFINITY,
            filled: now.instant,
            day: day(now),
            seconds: 0,
        }
    }

    /// Begins another day.
    fn turn(&mut self, now: &Now) {
        let today = day(now);
        if self.day != today {
            self.day = today;
            self.seconds = 0;
        }
    }

    /// Counts one more call and gives the time that it may talk, or names the limit that it passes.
    fn take(&mut self, now: &Now, limit: Option<&Limit>) -> Result<Option<Duration>, Cause> {
        self.turn(now);
        let Some(limit) = limit else {
            self.calls += 1;
            return Ok(None);
        };
        if limit
            .concurrent_calls
            .is_some_and(|most| self.calls >= most)
        {
            return Err(Cause::CallsAtOnceLimit);
        }
        let left = self.spend(now, limit)?;
        self.calls += 1;
        Ok(left)
    }

    /// Takes one call of this second and gives the time that it may talk.
    fn spend(&mut self, now: &Now, limit: &Limit) -> Result<Option<Duration>, Cause> {
        let left = match limit.minutes_per_day {
            None => None,
            Some(most) => match (u64::from(most) * 60).saturating_sub(self.seconds) {
                0 => return Err(Cause::MinutesLimit),
                left => Some(Duration::from_secs(left)),
            },
        };
        if let Some(rate) = limit.calls_per_second {
            let rate = f64::from(rate);
            let passed = now.instant.saturating_duration_since(self.filled);
            let tokens = (self.tokens + passed.as_secs_f64() * rate).min(rate);
            self.filled = now.instant;
            self.tokens = tokens;
            if tokens < 1.0 {
                return Err(Cause::CallRateLimit);
            }
            self.tokens = tokens - 1.0;
        }
        Ok(left)
    }
}

fn day(now: &Now) -> i64 {
    now.wall.as_microsecond().div_euclid(DAY)
}
