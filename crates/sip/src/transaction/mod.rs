//! Transactions: RFC 3261 §17 with RFC 6026.
//!
//! Four machines, four files; each is one function from `(state, input)` to the next state and what to do.
//! [`layer`] keeps the transactions of a stack and does what the machines say; [`timer`] keeps their timers.

pub(crate) mod client_invite;
pub(crate) mod client_non_invite;
pub(crate) mod key;
pub(crate) mod layer;
pub(crate) mod server_invite;
pub(crate) mod server_non_invite;
pub(crate) mod slab;
pub(crate) mod timer;

use crate::transaction::timer::Timer;

/// What can happen to a transaction. Client transactions receive the answers, server transactions are told to send
/// them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// A client transaction starts.
    Begin,
    /// The request came (again): server transactions only.
    Request,
    /// ACK came for an INVITE server transaction.
    Ack,
    /// A 1xx.
    Provisional,
    /// A 2xx.
    Success,
    /// A 3xx to 6xx.
    Failure,
    /// A timer ran out.
    Fired(Timer),
    /// The connection is gone (RFC 3261 §17.1.4, §17.2.4).
    TransportLost,
}

/// What a machine wants done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Send the transaction's message: the request of a client, the last answer of a server.
    Send,
    /// Send the ACK for a non-2xx (RFC 3261 §17.1.1.3).
    Acknowledge,
    /// Give what came to the transaction user.
    Pass,
    /// Tell the transaction user that nothing came.
    ReportTimeout,
    /// Tell the transaction user that the connection is gone.
    ReportLost,
    /// Start a timer with its first interval.
    Start(Timer),
    /// Start a timer with twice its last interval, at most T2 where the RFC says so.
    Double(Timer),
    /// Start a timer with T2.
    Settle(Timer),
    /// Stop the timer that retransmits: A, E or G.
    StopRetransmission,
    /// Stop the timer that ends the state: B.
    StopEnd,
}

/// The rows of a machine: the next state and what to do, in order.
pub(crate) type Step<State> = (State, &'static [Action]);
