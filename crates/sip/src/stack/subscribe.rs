//! Subscriptions of a stack: what the layer above, the wire and the clock want of them (RFC 6665 §4.2).

use std::time::Instant;

use crate::stack::wire::Wire;
use crate::stack::{Command, Stack};
use crate::subscription::{
    Alarm, Fate, Subscription, SubscriptionEnd, SubscriptionEvent, SubscriptionId, Terms,
};
use crate::transaction::layer::TransactionId;
use crate::{Flow, FlowId, Request, Response, Status, Text};

impl Stack {
    /// Counts the subscriptions that are alive.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        request: &Request,
        flow: Flow,
        terms: Terms,
        contact_user: Text,
    ) {
        if self.subscriptions.contains(id) {
            return;
        }
        let has_room = self.subscriptions.len() < self.wire.config.max_subscriptions;
        let begun = if has_room && !self.wire.is_full() {
            Subscription::begin(now, &mut self.wire, id, request, flow, terms, contact_user)
        } else {
            None
        };
        match begun {
            Some(subscription) => self.subscriptions.insert(subscription),
            None => {
                let status = Status::SERVICE_UNAVAILABLE;
                self.wire.reject(flow, request, status, "");
                self.tell_end(id, SubscriptionEnd::NoRoom);
            }
        }
    }

    /// Commands about a subscription that exists; about another they are ignored.
    pub(super) fn subscription_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Changed { subscription } => self.watch(subscription, |watched, wire| {
                watched.changed(wire);
                Fate::Stays
            }),
            Command::Tell { subscription, news } => {
                self.watch(subscription, |watched, wire| {
                    watched.notify(now, wire, news)
                });
            }
            Command::Unsubscribe {
                subscription,
                farewell,
            } => self.watch(subscription, |watched, wire| {
                watched.end(now, wire, farewell)
            }),
            _ => {}
        }
    }

    pub(super) fn subscription_request(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        request: &Request,
        flow: Flow,
    ) {
        self.watch(id, |watched, wire| {
            watched.request(now, wire, request, flow)
        });
    }

    pub(super) fn notify_answered(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        transaction: TransactionId,
        response: &Response,
    ) {
        self.watch(id, |watched, wire| {
            watched.answered(now, wire, transaction, response)
        });
    }

    pub(super) fn subscription_due(&mut self, id: SubscriptionId, alarm: Alarm) {
        self.watch(id, |watched, wire| {
            watched.due(wire, alarm);
            Fate::Stays
        });
    }

    pub(super) fn subscription_lost(&mut self, id: SubscriptionId, why: SubscriptionEnd) {
        self.watch(id, |_, _| Fate::Gone(why));
    }

    pub(super) fn subscriptions_lost(&mut self, flow: FlowId) {
        for id in self.subscriptions.on_flow(flow) {
            self.subscription_lost(id, SubscriptionEnd::FlowLost);
        }
    }

    /// Changes a subscription, and keeps the tables true.
    fn watch(
        &mut self,
        id: SubscriptionId,
        change: impl FnOnce(&mut Subscription, &mut Wire) -> Fate,
    ) {
        let Some(watched) = self.subscriptions.get_mut(id) else {
            return;
        };
        let before = watched.flow.id;
        let fate = change(watched, &mut self.wire);
        let after = watched.flow.id;
        match fate {
            Fate::Stays => self.subscriptions.moved(id, before, after),
            Fate::Gone(why) => {
                watched.disarm(&mut self.wire);
                self.subscriptions.moved(id, before, after);
                self.subscriptions.remove(id);
                self.tell_end(id, why);
            }
        }
    }

    fn tell_end(&mut self, id: SubscriptionId, why: SubscriptionEnd) {
        let event = SubscriptionEvent::Ended { why };
        crate::subscription::tell(&mut self.wire, id, event);
    }
}
