//! Non-INVITE server transaction: RFC 3261 §17.2.2 (Figure 8).

use crate::transaction::timer::Timer;
use crate::transaction::{Action, Input, Step};

/// The states of Figure 8.
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
        (Trying | Proceeding, Provisional) => (Proceeding, &[Send]),
        (Trying | Proceeding, Success | Failure) => (Completed, &[Send, Start(Timer::J)]),
        (Proceeding | Completed, Request) => (state, &[Send]),
        (Trying | Proceeding, TransportLost) => (Terminated, &[ReportLost]),
        (Completed, Fired(Timer::J) | TransportLost) => (Terminated, &[]),
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
    fn figure_8_holds() {
        let rows: &[(State, Input, State, &[Action])] = &[
            (Trying, Request, Trying, &[]),
            (Trying, Provisional, Proceeding, &[Send]),
            (Trying, Success, Completed, &[Send, Start(Timer::J)]),
            (Trying, TransportLost, Terminated, &[ReportLost]),
            (Proceeding, Request, Proceeding, &[Send]),
            (Proceeding, Provisional, Proceeding, &[Send]),
            (Proceeding, Failure, Completed, &[Send, Start(Timer::J)]),
            (Completed, Request, Completed, &[Send]),
            (Completed, Failure, Completed, &[]),
            (Completed, Fired(Timer::J), Terminated, &[]),
        ];
        for &(state, input, next, actions) in rows {
            assert_eq!(step(state, input), (next, actions), "{state:?} {input:?}");
        }
    }
}
