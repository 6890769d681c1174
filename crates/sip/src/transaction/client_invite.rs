//! INVITE client transaction: RFC 3261 §17.1.1 (Figure 5), amended by RFC 6026 §7.2 and §8.4.

use crate::transaction::timer::Timer;
use crate::transaction::{Action, Input, Step};

/// The states of Figure 5, with Accepted of RFC 6026 §8.4.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Calling,
    Proceeding,
    /// A 2xx came: more of them, also from other forks, go to the transaction user.
    Accepted,
    Completed,
    Terminated,
}

/// One arrow of the figure.
pub(crate) fn step(state: State, input: Input) -> Step<State> {
    use Action::*;
    use Input::*;
    use State::*;
    match (state, input) {
        (Calling, Begin) => (Calling, &[Send, Start(Timer::A), Start(Timer::B)]),
        (Calling, Fired(Timer::A)) => (Calling, &[Send, Double(Timer::A)]),
        // In Proceeding, Timer B runs only where nobody waits for the answer any more.
        (Calling | Proceeding, Fired(Timer::B)) => {
            (Terminated, &[StopRetransmission, ReportTimeout])
        }
        (Calling, Provisional) => (Proceeding, &[StopRetransmission, StopEnd, Pass]),
        (Proceeding, Provisional) => (Proceeding, &[Pass]),
        (Calling | Proceeding, Success) => (Accepted, &[StopRetransmission, Start(Timer::M), Pass]),
        (Calling | Proceeding, Failure) => (
            Completed,
            &[StopRetransmission, Acknowledge, Start(Timer::D), Pass],
        ),
        (Calling | Proceeding, TransportLost) => (Terminated, &[ReportLost]),
        // RFC 6026 §7.2: the transaction user acknowledges each 2xx.
        (Accepted, Success) => (Accepted, &[Pass]),
        (Accepted, Fired(Timer::M)) => (Terminated, &[]),
        (Completed, Failure) => (Completed, &[Acknowledge]),
        (Completed, Fired(Timer::D)) => (Terminated, &[]),
        (Accepted | Completed, TransportLost) => (Terminated, &[]),
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
    fn figure_5_and_its_amendment_hold() {
        const STOP: Action = StopRetransmission;
        let rows: &[(State, Input, State, &[Action])] = &[
            (
                Calling,
                Begin,
                Calling,
                &[Send, Start(Timer::A), Start(Timer::B)],
            ),
            (Calling, Fired(Timer::A), Calling, &[Send, Double(Timer::A)]),
            (Calling, Fired(Timer::B), Terminated, &[STOP, ReportTimeout]),
            (Calling, TransportLost, Terminated, &[ReportLost]),
            (Calling, Provisional, Proceeding, &[STOP, StopEnd, Pass]),
            (Calling, Success, Accepted, &[STOP, Start(Timer::M), Pass]),
            (
                Calling,
                Failure,
                Completed,
                &[STOP, Acknowledge, Start(Timer::D), Pass],
            ),
            (Proceeding, Provisional, Proceeding, &[Pass]),
            (
                Proceeding,
                Success,
                Accepted,
                &[STOP, Start(Timer::M), Pass],
            ),
            (
                Proceeding,
                Failure,
                Completed,
                &[STOP, Acknowledge, Start(Timer::D), Pass],
            ),
            (Proceeding, Fired(Timer::A), Proceeding, &[]),
            (Accepted, Success, Accepted, &[Pass]),
            (Accepted, Failure, Accepted, &[]),
            (Accepted, Provisional, Accepted, &[]),
            (Accepted, Fired(Timer::M), Terminated, &[]),
            (Completed, Failure, Completed, &[Acknowledge]),
            (Completed, Success, Completed, &[]),
            (Completed, Fired(Timer::D), Terminated, &[]),
        ];
        for &(state, input, next, actions) in rows {
            assert_eq!(step(state, input), (next, actions), "{state:?} {input:?}");
        }
    }
}
