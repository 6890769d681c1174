//! The subscriptions of a stack, by number, by our tag and by connection.

use std::collections::{BTreeSet, HashMap};

use crate::subscription::{Subscription, SubscriptionId};
use crate::transaction::key::{Seeded, Token};
use crate::{FlowId, Request};

#[derive(Debug)]
pub(crate) struct Subscriptions {
    by_id: HashMap<SubscriptionId, Subscription, Seeded>,
    by_token: HashMap<Token, SubscriptionId, Seeded>,
    by_flow: BTreeSet<(u64, SubscriptionId)>,
}

impl Subscriptions {
    pub(crate) fn new(hasher: Seeded) -> Self {
        Self {
            by_id: HashMap::with_hasher(hasher),
            by_token: HashMap::with_hasher(hasher),
            by_flow: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn contains(&self, id: SubscriptionId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id)
    }

    /// Finds the subscription that a request inside a dialog is about.
    pub(crate) fn of(&self, request: &Request, token: Option<Token>) -> Option<SubscriptionId> {
        let id = *self.by_token.get(&token?)?;
        self.by_id.get(&id)?.is_with(request).then_some(id)
    }

    /// Lists the subscriptions of a connection.
    pub(crate) fn on_flow(&self, flow: FlowId) -> Vec<SubscriptionId> {
        let of_flow = (flow.0, SubscriptionId(0))..=(flow.0, SubscriptionId(u64::MAX));
        self.by_flow.range(of_flow).map(|&(_, id)| id).collect()
    }

    pub(crate) fn insert(&mut self, subscription: Subscription) {
        let id = subscription.id;
        self.by_token.insert(subscription.token, id);
        self.moved(id, FlowId::NONE, subscription.flow.id);
        self.by_id.insert(id, subscription);
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let gone = self.by_id.remove(&id)?;
        self.by_token.remove(&gone.token);
        self.by_flow.remove(&(gone.flow.id.0, id));
        Some(gone)
    }

    /// Notes that a subscription uses another connection.
    pub(crate) fn moved(&mut self, id: SubscriptionId, before: FlowId, after: FlowId) {
        if before == after {
            return;
        }
        self.by_flow.remove(&(before.0, id));
        if after != FlowId::NONE {
            self.by_flow.insert((after.0, id));
        }
    }
}
