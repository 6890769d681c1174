//! Limits of accounts and endpoints: set over REST, asked on every call from memory.

use std::sync::Arc;

use store::{Account, Id, Limit, LimitOwner};

use super::{Directory, Key};
use crate::error::{Error, Why};

/// Prefixes of one owner.
const MAX_PREFIXES: usize = 100;

/// What is to be different about limits; `Some(None)` takes one away.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LimitChange {
    /// Calls at a time.
    pub concurrent_calls: Option<Option<u32>>,
    /// New calls in a second.
    pub calls_per_second: Option<Option<u32>>,
    /// Minutes of talk in a day of UTC.
    pub minutes_per_day: Option<Option<u32>>,
    /// Beginnings of numbers that may be called, with or without `+`; empty: all.
    pub prefixes: Option<Vec<String>>,
}

impl Directory {
    /// What limits an owner; nothing, when nothing was set.
    pub fn limit(&self, owner: LimitOwner) -> Option<Arc<Limit>> {
        // Most owners have none: no lock is taken while nobody has.
        if self.0.limits.is_empty() {
            return None;
        }
        self.0.limits.get(&owner).map(|limit| Arc::clone(&limit))
    }

    /// The limits of the account, or of its endpoint with this key.
    pub async fn limits(&self, account: &Account, endpoint: Option<&Key>) -> Result<Limit, Error> {
        let owner = self.limit_owner(account, endpoint).await?;
        Ok(self
            .limit(owner)
            .map_or_else(Limit::default, |limit| Limit::clone(&limit)))
    }

    /// Changes the limits of the account, or of its endpoint with this key.
    pub async fn update_limits(
        &self,
        account: &Account,
        endpoint: Option<&Key>,
        change: LimitChange,
    ) -> Result<Limit, Error> {
        let (directory, account, endpoint) = (self.clone(), account.clone(), endpoint.cloned());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let owner = directory.limit_owner(&account, endpoint.as_ref()).await?;
            let mut limit = directory
                .limit(owner)
                .map_or_else(Limit::default, |limit| Limit::clone(&limit));
            change.apply(&mut limit)?;
            directory.0.store.put_limit(owner, limit.clone()).await?;
            directory.remember_limit(owner, limit.clone());
            Ok(limit)
        })
        .await
    }

    async fn limit_owner(
        &self,
        account: &Account,
        endpoint: Option<&Key>,
    ) -> Result<LimitOwner, Error> {
        Ok(match endpoint {
            None => LimitOwner::Account(account.id),
            Some(key) => LimitOwner::Endpoint(self.own_endpoint(account.id, key).await?.id),
        })
    }

    pub(super) fn remember_limit(&self, owner: LimitOwner, limit: Limit) {
        if limit.is_empty() {
            self.0.limits.remove(&owner);
        } else {
            self.0.limits.insert(owner, Arc::new(limit));
        }
    }

    pub(super) fn forget_limit(&self, endpoint: Id) {
        self.0.limits.remove(&LimitOwner::Endpoint(endpoint));
    }

    /// All owners that have limits.
    pub(crate) fn limited(&self) -> Vec<LimitOwner> {
        self.0.limits.iter().map(|entry| *entry.key()).collect()
    }
}

impl LimitChange {
    fn apply(self, to: &mut Limit) -> Result<(), Error> {
        if let Some(new) = self.concurrent_calls {
            to.concurrent_calls = new;
        }
        if let Some(new) = self.calls_per_second {
            to.calls_per_second = new;
        }
        if let Some(new) = self.minutes_per_day {
            to.minutes_per_day = new;
        }
        if let Some(new) = self.prefixes {
            let bad = |why: &str| Error::Invalid {
                field: "prefixes",
                why: Why::NotValid(why.to_owned()),
            };
            if new.len() > MAX_PREFIXES {
                return Err(bad("there are more than 100"));
            }
            let bare = new.iter().map(|prefix| prefix.trim_start_matches('+'));
            to.prefixes = bare.map(str::to_owned).collect();
            let is_one = |prefix: &String| {
                (1..=15).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit())
            };
            if !to.prefixes.iter().all(is_one) {
                return Err(bad("a prefix is 1 to 15 digits, with or without a plus"));
            }
        }
        Ok(())
    }
}
