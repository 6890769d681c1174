//! The index of policies that SIP asks: endpoint, domain, account, settings, the nearest word wins. An account without any
//! policy costs one look-up, an installation without any costs none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use store::{Id, Policy, PolicyRow, PolicyScope};

/// All policies by what they belong to.
#[derive(Default)]
pub(super) struct PolicyIndex {
    /// How many there are, so that an installation without any asks no table.
    count: AtomicUsize,
    /// How many each account has; absent for none.
    accounts: DashMap<Id, usize>,
    policies: DashMap<(PolicyScope, Id), Kept>,
}

struct Kept {
    account: Id,
    policy: Arc<Policy>,
}

impl PolicyIndex {
    /// Puts a policy in the place of what was there.
    pub fn put(&self, row: PolicyRow) {
        let kept = Kept {
            account: row.account,
            policy: Arc::new(row.policy),
        };
        if self
            .policies
            .insert((row.scope, row.subject), kept)
            .is_none()
        {
            *self.accounts.entry(row.account).or_default() += 1;
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes a policy out.
    pub fn remove(&self, scope: PolicyScope, subject: Id) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let Some((_, gone)) = self.policies.remove(&(scope, subject)) else {
            return;
        };
        if let Some(mut count) = self.accounts.get_mut(&gone.account) {
            *count = count.saturating_sub(1);
        }
        self.accounts
            .remove_if(&gone.account, |_, count| *count == 0);
        self.count.fetch_sub(1, Ordering::Release);
    }

    /// The policy of one thing itself.
    pub fn of(&self, scope: PolicyScope, subject: Id) -> Option<Arc<Policy>> {
        let kept = self.policies.get(&(scope, subject))?;
        Some(Arc::clone(&kept.policy))
    }

    /// Whether anything of the account has a policy.
    pub fn concerns(&self, account: Id) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.accounts.contains_key(&account)
    }

    /// What holds for an endpoint of a domain of an account (ids that are not there have none), nearest first.
    pub fn chain(
        &self,
        account: Id,
        domain: Option<Id>,
        endpoint: Option<Id>,
    ) -> impl Iterator<Item = Arc<Policy>> {
        let concerned = self.concerns(account);
        [
            endpoint.map(|id| (PolicyScope::Endpoint, id)),
            domain.map(|id| (PolicyScope::Domain, id)),
            Some((PolicyScope::Account, account)),
        ]
        .into_iter()
        .flatten()
        .filter(move |_| concerned)
        .filter_map(|(scope, id)| self.of(scope, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scope: PolicyScope, subject: Id, ping: u32) -> PolicyRow {
        PolicyRow {
            scope,
            subject,
            account: 1,
            policy: Policy {
                ping: Some(ping),
                ..Policy::default()
            },
        }
    }

    #[test]
    fn the_nearest_policy_comes_first_and_an_account_without_any_has_none() {
        let index = PolicyIndex::default();
        let pings = |account| -> Vec<_> {
            let chain = index.chain(account, Some(10), Some(100));
            chain.filter_map(|policy| policy.ping).collect()
        };
        assert_eq!((pings(1), index.concerns(1)), (vec![], false));
        index.put(row(PolicyScope::Account, 1, 3));
        index.put(row(PolicyScope::Endpoint, 100, 1));
        index.put(row(PolicyScope::Domain, 10, 2));
        index.put(row(PolicyScope::Domain, 10, 4));
        assert_eq!(pings(1), [1, 4, 3]);
        assert!(pings(2).is_empty());
        for (scope, subject) in [
            (PolicyScope::Account, 1),
            (PolicyScope::Domain, 10),
            (PolicyScope::Domain, 10),
            (PolicyScope::Endpoint, 100),
        ] {
            index.remove(scope, subject);
        }
        assert_eq!((pings(1), index.concerns(1)), (vec![], false));
    }
}
