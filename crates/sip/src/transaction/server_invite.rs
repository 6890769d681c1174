//! INVITE server transaction: RFC 3261 §17.2.1 (Figure 7), amended by RFC 6026 §7.1.

use crate::transaction::timer::Timer;
use crate::transaction::{Action, Input, Step};

/// The states of Figure 7, with Accepted of RFC 6026 §7.1.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Proceeding,
    /// A 2xx was sent: repeated INVITEs are absorbed, the transaction user repeats the 2xx.
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

/// One arrow of the figure.
pub(crate) fn step(state: State, input: Input) -> Step<State> {
    use Action::*;
    use Input::*;
    use State::*;
    match (state, input) {
        (Proceeding, Request | Provisional) => (Proceeding, &[Send]),
        (Proceeding, Success) => (Accepted, &[Send, Start(Timer::L)]),
        (Proceeding, Failure) => (Completed, &[Send, Start(Timer::G), Start(Timer::H)]),
        (Proceeding, TransportLost) => (Terminated, &[ReportLost]),
        // RFC 6026 §7.1: the transaction user, not the transaction, retransmits a 2xx.
        (Accepted, Success) => (Accepted, &[Send]),
        (Accepted, Ack) => (Accepted, &[Pass]),
        (Accepted, Fired(Timer::L)) => (Terminated, &[]),
        (Completed, Request) => (Completed, &[Send]),
        (Completed, Fired(Timer::G)) => (Completed, &[Send, Double(Timer::G)]),
        (Completed, Fired(Timer::H)) => (Terminated, &[StopRetransmission, ReportTimeout]),
        (Completed, Ack) => (Confirmed, &[StopRetransmission, Start(Timer::I)]),
        (Confirmed, Fired(Timer::I)) => (Terminated, &[]),
        (Accepted | Completed | Confirmed, TransportLost) => (Terminated, &[]),
        (state, _) => (state, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::*;
    use Input::*;
    use State::*;

    #[test]
    fn figure_7_and_its_amendment_hold() {
        const STOP: Action = StopRetransmission;
        let rows: &[(State, Input, State, &[Action])] = &[
            (Proceeding, Request, Proceeding, &[Send]),
            (Proceeding, Provisional, Proceeding, &[Send]),
            (Proceeding, Success, Accepted, &[Send, Start(Timer::L)]),
            (
                Proceeding,
                Failure,
                Completed,
                &[Send, Start(Timer::G), Start(Timer::H)],
            ),
            (Proceeding, TransportLost, Terminated, &[ReportLost]),
            (Accepted, Request, Accepted, &[]),
            (Accepted, Success, Accepted, &[Send]),
            (Accepted, Ack, Accepted, &[Pass]),
            (Accepted, Failure, Accepted, &[]),
            (Accepted, Fired(Timer::L), Terminated, &[]),
            (Completed, Request, Completed, &[Send]),
            (
                Completed,
                Fired(Timer::G),
                Completed,
                &[Send, Double(Timer::G)],
            ),
            (
                Completed,
                Fired(Timer::H),
                Terminated,
                &[STOP, ReportTimeout],
            ),
            (Completed, Ack, Confirmed, &[STOP, Start(Timer::I)]),
            (Completed, Success, Completed, &[]),
            (Confirmed, Request, Confirmed, &[]),
            (Confirmed, Ack, Confirmed, &[]),
            (Confirmed, Fired(Timer::I), Terminated, &[]),
        ];
        for &(state, input, next, actions) in rows {
            assert_eq!(step(state, input), (next, actions), "{state:?} {input:?}");
        }
    }
}
