//! Non-INVITE client transaction: RFC 3261 §17.1.2 (Figure 6).

use crate::transaction::timer::Timer;
use crate::transaction::{Action, Input, Step};

/// The states of Figure 6.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// One arrow of the figure.
pub(crate) fn step(state: State, input: Input) -> Step<State> {
    use Action::*;
    use Input::*;
    use State::*;
    match (state, input) {
        (Trying, Begin) => (Trying, &[Send, Start(Timer::E), Start(Timer::F)]),
        (Trying, Fired(Timer::E)) => (Trying, &[Send, Double(Timer::E)]),
        (Proceeding, Fired(Timer::E)) => (Proceeding, &[Send, Settle(Timer::E)]),
        (Trying | Proceeding, Fired(Timer::F)) => {
            (Terminated, &[StopRetransmission, ReportTimeout])
        }
        (Trying | Proceeding, Provisional) => (Proceeding, &[Pass]),
        (Trying | Proceeding, Success | Failure) => {
            (Completed, &[StopRetransmission, Start(Timer::K), Pass])
        }
        (Trying | Proceeding, TransportLost) => (Terminated, &[ReportLost]),
        (Completed, Fired(Timer::K)) | (Completed, TransportLost) => (Terminated, &[]),
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
    fn figure_6_holds() {
        const STOP: Action = StopRetransmission;
        let rows: &[(State, Input, State, &[Action])] = &[
            (
                Trying,
                Begin,
                Trying,
                &[Send, Start(Timer::E), Start(Timer::F)],
            ),
            (Trying, Fired(Timer::E), Trying, &[Send, Double(Timer::E)]),
            (Trying, Fired(Timer::F), Terminated, &[STOP, ReportTimeout]),
            (Trying, TransportLost, Terminated, &[ReportLost]),
            (Trying, Provisional, Proceeding, &[Pass]),
            (Trying, Success, Completed, &[STOP, Start(Timer::K), Pass]),
            (Trying, Failure, Completed, &[STOP, Start(Timer::K), Pass]),
            (
                Proceeding,
                Fired(Timer::E),
                Proceeding,
                &[Send, Settle(Timer::E)],
            ),
            (
                Proceeding,
                Fired(Timer::F),
                Terminated,
                &[STOP, ReportTimeout],
            ),
            (Proceeding, Provisional, Proceeding, &[Pass]),
            (
                Proceeding,
                Failure,
                Completed,
                &[STOP, Start(Timer::K), Pass],
            ),
            (Completed, Success, Completed, &[]),
            (Completed, Fired(Timer::E), Completed, &[]),
            (Completed, Fired(Timer::K), Terminated, &[]),
        ];
        for &(state, input, next, actions) in rows {
            assert_eq!(step(state, input), (next, actions), "{state:?} {input:?}");
        }
    }
}
