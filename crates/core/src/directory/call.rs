//! Finished calls, for reading.

use jiff::Timestamp;
use store::{Account, CallDirection, CallRow, Comparison, Match};
use uuid::Uuid;

use super::{Directory, Listed, Page};
use crate::error::Error;

/// Which finished legs a list shows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CallFilter {
    /// `inbound` or `outbound`; anything else shows none.
    pub direction: Option<String>,
    /// What the caller begins with.
    pub from_prefix: Option<String>,
    /// What the called begins with.
    pub to_prefix: Option<String>,
    /// The leg that caused it.
    pub parent: Option<Uuid>,
    /// Ended at this time or later.
    pub ended_from: Option<Timestamp>,
    /// Ended before this time.
    pub ended_to: Option<Timestamp>,
    /// The number of its hang-up cause.
    pub cause_code: Option<u16>,
    /// Who ended it.
    pub source: Option<String>,
    /// At least so many seconds from answer to end.
    pub duration_min: Option<u64>,
    /// At most so many.
    pub duration_max: Option<u64>,
}

impl Directory {
    /// The account's finished leg with this UUID.
    pub async fn call(&self, account: &Account, uuid: Uuid) -> Result<CallRow, Error> {
        let found = self.0.store.call(account.id, uuid).await?;
        found
            .filter(|call| call.ended.is_some())
            .ok_or(Error::NotFound { what: "call" })
    }

    /// The account's finished legs, last ended first.
    pub async fn calls(
        &self,
        account: &Account,
        filter: &CallFilter,
        page: Page,
    ) -> Result<Listed<CallRow>, Error> {
        let direction = match filter.direction.as_deref() {
            None => None,
            Some("inbound") => Some(CallDirection::Inbound),
            Some("outbound") => Some(CallDirection::Outbound),
            Some(_) => {
                return Ok(Listed {
                    items: Vec::new(),
                    total: 0,
                });
            }
        };
        let seconds = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let at_least = filter
            .duration_min
            .map(|count| (Comparison::GreaterOrEqual, seconds(count)));
        let at_most = filter
            .duration_max
            .map(|count| (Comparison::LessOrEqual, seconds(count)));
        let from = filter
            .ended_from
            .map(|time| (Comparison::GreaterOrEqual, time));
        let to = filter.ended_to.map(|time| (Comparison::Less, time));
        let filter = store::CallFilter {
            account: account.id,
            direction,
            from: filter.from_prefix.clone().map(Match::StartsWith),
            to: filter.to_prefix.clone().map(Match::StartsWith),
            parent: filter.parent,
            bill_duration: at_least.into_iter().chain(at_most).collect(),
            end_time: from.into_iter().chain(to).collect(),
            cause_code: filter.cause_code,
            source: filter.source.clone(),
            endpoint: None,
        };
        Ok(self.0.store.calls(&filter, page).await?)
    }
}
