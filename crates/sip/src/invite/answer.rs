//! Our 2xx until its ACK: RFC 3261 §13.3.1.4.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Flow;
use crate::invite::{Alarm, Session};
use crate::stack::wire::Wire;

/// A 2xx that waits for its ACK.
#[derive(Debug)]
pub(super) struct Answer {
    flow: Flow,
    bytes: Bytes,
    /// Sequence number of the INVITE.
    pub(super) number: u32,
    /// The 2xx carries our offer; its answer comes in the ACK.
    pub(super) offered: bool,
    /// The 2xx answers the first INVITE: no BYE before its ACK (RFC 3261 §15).
    pub(super) first: bool,
    interval: Duration,
}

impl Answer {
    #[expect(clippy::too_many_arguments, reason = "all of it is one answer's facts")]
    pub(super) fn begin(
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        flow: Flow,
        bytes: Bytes,
        number: u32,
        offered: bool,
        first: bool,
    ) -> Self {
        let interval = wire.config.t1;
        let patience = wire.patience();
        session.arm(now, wire, Alarm::Repeat, interval);
        session.arm(now, wire, Alarm::GiveUp, patience);
        Self {
            flow,
            bytes,
            number,
            offered,
            first,
            interval,
        }
    }

    /// Sends the 2xx again, also over reliable transports: a proxy on the way may have another one behind it.
    pub(super) fn repeat(&mut self, session: &mut Session, now: Instant, wire: &mut Wire) {
        wire.send(self.flow, self.bytes.clone());
        self.interval = (self.interval * 2).min(wire.config.t2);
        session.arm(now, wire, Alarm::Repeat, self.interval);
    }

    /// The ACK is here.
    pub(super) fn end(session: &mut Session, wire: &mut Wire) {
        session.disarm(wire, Alarm::Repeat);
        session.disarm(wire, Alarm::GiveUp);
    }
}
