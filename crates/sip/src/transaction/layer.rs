//! The transactions of a stack: their table, their keys, and the doing of what the machines say (RFC 3261 §17).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::stack::{RequestId, SessionId};
use crate::subscription::SubscriptionId;
use crate::transaction::key::{ClientKey, MergeKey, Seeded, ServerKey};
use crate::transaction::slab::{Id, Slab};
use crate::transaction::timer::{Timer, TimerId};
use crate::transaction::{
    Action, Input, client_invite, client_non_invite, server_invite, server_non_invite,
};
use crate::{Flow, FlowId, Request, Text};

/// Names a transaction.
pub(crate) type TransactionId = Id;

/// The four machines.
#[expect(
    clippy::enum_variant_names,
    reason = "the names that RFC 3261 §17 gives them"
)]
#[derive(Debug)]
pub(crate) enum Machine {
    ClientInvite(client_invite::State, Box<Sent>),
    ClientNonInvite(client_non_invite::State),
    ServerInvite(server_invite::State),
    ServerNonInvite(server_non_invite::State),
}

/// What an INVITE client transaction keeps for its ACKs and its CANCEL.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) request: Request,
    /// The ACK for a non-2xx.
    pub(crate) refusal: Option<Bytes>,
    /// The ACKs for 2xx answers, by their To tags; sent again when the 2xx comes again (RFC 3261 §13.2.2.4).
    pub(crate) acks: SmallVec<[(Text, Flow, Bytes); 1]>,
    /// A re-INVITE: a 2xx that nobody waits for needs no BYE.
    pub(crate) in_dialog: bool,
}

impl Machine {
    /// Takes one arrow of the figure.
    fn step(&mut self, input: Input) -> &'static [Action] {
        fn take<S: Copy>(
            state: &mut S,
            input: Input,
            step: fn(S, Input) -> (S, &'static [Action]),
        ) -> &'static [Action] {
            let (next, actions) = step(*state, input);
            *state = next;
            actions
        }
        match self {
            Self::ClientInvite(state, _) => take(state, input, client_invite::step),
            Self::ClientNonInvite(state) => take(state, input, client_non_invite::step),
            Self::ServerInvite(state) => take(state, input, server_invite::step),
            Self::ServerNonInvite(state) => take(state, input, server_non_invite::step),
        }
    }

    fn is_terminated(&self) -> bool {
        matches!(
            self,
            Self::ClientInvite(client_invite::State::Terminated, _)
                | Self::ClientNonInvite(client_non_invite::State::Terminated)
                | Self::ServerInvite(server_invite::State::Terminated)
                | Self::ServerNonInvite(server_non_invite::State::Terminated)
        )
    }
}

/// Under which key a transaction is found.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Client(ClientKey),
    Server(ServerKey, Option<MergeKey>),
}

/// Who waits for the outcome of a transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum User {
    /// A leg.
    Session(SessionId),
    /// A request of ours outside of a dialog.
    Asked(RequestId),
    /// A request outside of a dialog that the layer above answers later.
    Held(RequestId),
    /// The NOTIFY of a subscription.
    Subscription(SubscriptionId),
}

impl From<SessionId> for User {
    fn from(session: SessionId) -> Self {
        Self::Session(session)
    }
}

impl User {
    /// The session, when it is one.
    pub(crate) fn session(self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(session),
            Self::Asked(_) | Self::Held(_) | Self::Subscription(_) => None,
        }
    }
}

/// One transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) machine: Machine,
    pub(crate) flow: Flow,
    /// `None`: nobody waits for its outcome.
    pub(crate) user: Option<User>,
    /// What [`Action::Send`] sends.
    pub(crate) message: Bytes,
    key: Key,
    retransmission: Option<TimerId>,
    end: Option<TimerId>,
    interval: Duration,
}

impl Transaction {
    /// Tells whether the transaction is an INVITE server transaction without a final answer.
    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(
            self.machine,
            Machine::ServerInvite(server_invite::State::Proceeding)
        )
    }

    /// Takes one arrow, and forgets a timer that has just fired.
    pub(crate) fn step(&mut self, input: Input) -> &'static [Action] {
        if let Input::Fired(timer) = input {
            *self.place_of(timer) = None;
        }
        self.machine.step(input)
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.machine.is_terminated()
    }

    /// The place where a timer of this kind is kept.
    pub(crate) fn place_of(&mut self, timer: Timer) -> &mut Option<TimerId> {
        if timer.retransmits() {
            &mut self.retransmission
        } else {
            &mut self.end
        }
    }

    pub(crate) fn take_retransmission(&mut self) -> Option<TimerId> {
        self.retransmission.take()
    }

    pub(crate) fn take_end(&mut self) -> Option<TimerId> {
        self.end.take()
    }

    /// Chooses the interval of a timer that an action starts. `None`: this transport does without it.
    pub(crate) fn interval(&mut self, action: Action, times: Times) -> Option<Duration> {
        let reliable = self.flow.transport.is_reliable();
        let interval = match action {
            Action::Start(timer) => timer.interval(times.t1, times.t4, reliable)?,
            // RFC 3261 §17.1.1.2: Timer A doubles without a bound.
            Action::Double(Timer::A) => self.interval * 2,
            Action::Double(_) => (self.interval * 2).min(times.t2),
            Action::Settle(_) => times.t2,
            _ => return None,
        };
        if let Action::Start(timer) | Action::Double(timer) | Action::Settle(timer) = action
            && timer.retransmits()
        {
            self.interval = interval;
        }
        Some(interval)
    }
}

/// RFC 3261 Table 4.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Times {
    pub(crate) t1: Duration,
    pub(crate) t2: Duration,
    pub(crate) t4: Duration,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Transactions {
    slab: Slab<Transaction>,
    clients: HashMap<ClientKey, TransactionId, Seeded>,
    servers: HashMap<ServerKey, TransactionId, Seeded>,
    merges: HashMap<MergeKey, TransactionId, Seeded>,
    by_flow: BTreeSet<(u64, TransactionId)>,
}

impl Transactions {
    pub(crate) fn new(hasher: Seeded) -> Self {
        Self {
            slab: Slab::new(),
            clients: HashMap::with_hasher(hasher),
            servers: HashMap::with_hasher(hasher),
            merges: HashMap::with_hasher(hasher),
            by_flow: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.slab.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.slab.get_mut(id)
    }

    pub(crate) fn client(&self, key: ClientKey) -> Option<TransactionId> {
        self.clients.get(&key).copied()
    }

    pub(crate) fn server(&self, key: &ServerKey) -> Option<TransactionId> {
        self.servers.get(key).copied()
    }

    /// Finds the transaction of the same request that came over another path (RFC 3261 §8.2.2.2).
    pub(crate) fn merged(&self, key: &MergeKey) -> Option<TransactionId> {
        self.merges.get(key).copied()
    }

    /// Lists the transactions of a connection.
    pub(crate) fn on_flow(&self, FlowId(flow): FlowId) -> Vec<TransactionId> {
        let of_flow = (flow, Id::FIRST)..=(flow, Id::LAST);
        self.by_flow.range(of_flow).map(|&(_, id)| id).collect()
    }

    pub(crate) fn insert(
        &mut self,
        machine: Machine,
        key: Key,
        flow: Flow,
        user: Option<User>,
        message: Bytes,
    ) -> TransactionId {
        let id = self.slab.insert(Transaction {
            machine,
            flow,
            user,
            message,
            key: key.clone(),
            retransmission: None,
            end: None,
            interval: Duration::ZERO,
        });
        match key {
            Key::Client(key) => {
                self.clients.insert(key, id);
            }
            Key::Server(key, merge) => {
                self.servers.insert(key, id);
                if let Some(merge) = merge {
                    self.merges.insert(merge, id);
                }
            }
        }
        if flow.id != FlowId::NONE {
            self.by_flow.insert((flow.id.0, id));
        }
        id
    }

    pub(crate) fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        let transaction = self.slab.remove(id)?;
        match &transaction.key {
            Key::Client(key) => {
                self.clients.remove(key);
            }
            Key::Server(key, merge) => {
                self.servers.remove(key);
                if let Some(merge) = merge
                    && self.merges.get(merge) == Some(&id)
                {
                    self.merges.remove(merge);
                }
            }
        }
        self.by_flow.remove(&(transaction.flow.id.0, id));
        Some(transaction)
    }
}
