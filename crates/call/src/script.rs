//! Runs verbs in order; a document that comes replaces the rest: voice-xml.md §1.3, §1.5.

use std::collections::VecDeque;

use sip::{Method, Refer, RequestId, SessionId, Status};

use crate::about::{FetchFailure, FetchId, Occasion};
use crate::across::Word;
use crate::call::Script;
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Survivor, Timer};
use crate::leg::{End, LegId};
use crate::transfer::{self, Stand, Transfer, Transferor, Way};
use crate::verb::{
    Dialing, Document, Event, Link, Referral, Running, Step, Verb, too_many_documents,
};

/// A script that runs.
#[derive(Debug)]
pub(crate) struct Reading {
    state: State,
    rest: VecDeque<Verb>,
    /// What a REFER of one of the two that talk has begun.
    transfer: Option<Box<Transfer>>,
    /// REFERs that the call of who is left answers: whose leg they came on, their names. A session lets eight wait.
    passed: Vec<(LegId, RequestId)>,
}

#[derive(Debug)]
enum State {
    /// The answer URL, or the fallback URL, is asked.
    Asking {
        fetch: FetchId,
        fallback: Option<Link>,
    },
    /// A transfer URL is asked, and the transferor has left.
    Transferred { fetch: FetchId },
    /// A verb runs.
    Running(Running),
    /// Nothing more will be done.
    Over,
}

impl Reading {
    /// Starts a script; tells how the call ends when it does at once.
    pub(crate) fn start(ctx: &mut Context, script: Script) -> (Self, Option<End>) {
        let mut reading = Self {
            state: State::Over,
            rest: VecDeque::new(),
            transfer: None,
            passed: Vec::new(),
        };
        let end = match script {
            Script::Application {
                answer: Some(link),
                fallback,
                ..
            } => reading.ask(ctx, link, fallback),
            Script::Application {
                answer: None,
                fallback: Some(link),
                ..
            } => reading.ask(ctx, link, None),
            Script::Application {
                answer: None,
                fallback: None,
                ..
            } => Some(unanswerable(FetchFailure::Unreachable)),
            Script::Document { document, .. } => reading.read(ctx, document),
            Script::Replace {
                replaced,
                time_limit,
                ..
            } => {
                let dialing = Dialing::replace(ctx, replaced, time_limit);
                reading.state = State::Running(Running::Dial(Box::new(dialing)));
                None
            }
            Script::Refused { cause, status, .. } => {
                Some(End::with_status(cause, HangupSource::Platform, status))
            }
        };
        (reading, end)
    }

    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Option<End> {
        if let Some(transfer) = &mut self.transfer {
            if transfer.concerns(&event) {
                let stand = transfer.on_event(ctx, event);
                return self.transferred(ctx, stand);
            }
            if transfer.is_ended_by(&event) {
                let end = End::with_status(Cause::Canceled, HangupSource::Platform, 487);
                transfer.accept(ctx);
                transfer.stop(ctx, end);
                self.transferred(ctx, Stand::Failed(end));
            }
        }
        match (&mut self.state, event) {
            (State::Running(running), event) => {
                let step = running.on_event(ctx, event);
                self.follow(ctx, step)
            }
            (
                State::Asking { fetch, fallback },
                Event::Fetched {
                    fetch: answered,
                    outcome,
                },
            ) if *fetch == answered => match (outcome, fallback.take()) {
                (Ok(document), _) => self.read(ctx, document),
                (Err(_), Some(link)) => self.ask(ctx, link, None),
                (Err(failure), None) => Some(unanswerable(failure)),
            },
            (
                State::Transferred { fetch },
                Event::Fetched {
                    fetch: answered,
                    outcome,
                },
            ) if *fetch == answered => match outcome {
                Ok(document) => self.read(ctx, document),
                Err(failure) => Some(transfer::unanswerable(failure)),
            },
            _ => None,
        }
    }

    /// Carries out a REFER, or tells how it is refused.
    pub(crate) fn refer(
        &mut self,
        ctx: &mut Context,
        by: Transferor,
        id: RequestId,
        refer: Refer,
    ) -> Result<(), Status> {
        if refer.to.method != Method::Invite {
            return Err(Status::NOT_IMPLEMENTED);
        }
        if self.transfer.is_some() || ctx.is_held() {
            return Err(Status::REQUEST_PENDING);
        }
        // Who talks with nobody has nobody to transfer.
        let (State::Running(Running::Dial(dialing)), Some(survivor)) =
            (&self.state, ctx.peer_of(by.leg))
        else {
            return Err(Status::DECLINE);
        };
        if ctx.is_distant(survivor) {
            // The call of who is left carries it out.
            let Transferor {
                leg,
                endpoint,
                name,
            } = by;
            self.passed.push((leg, id));
            let refer = Box::new(refer);
            ctx.say_to(
                survivor,
                Word::Refer {
                    id,
                    refer,
                    endpoint,
                    name,
                },
            );
            return Ok(());
        }
        self.transfer = Transfer::start(ctx, dialing, by, survivor, (id, refer)).map(Box::new);
        Ok(())
    }

    /// The call of who is left answers a REFER that was passed on to it.
    pub(crate) fn responded(
        &mut self,
        ctx: &mut Context,
        leg: LegId,
        id: RequestId,
        status: Status,
    ) {
        let before = self.passed.len();
        self.passed.retain(|passed| *passed != (leg, id));
        if self.passed.len() < before {
            ctx.respond(leg, id, status);
        }
    }

    /// A leg leaves: its own REFERs that were passed on are accepted, because this call is over before their answers come;
    /// those that it was to answer are refused.
    pub(crate) fn left(&mut self, ctx: &mut Context, leg: LegId) {
        let is_distant = ctx.is_distant(leg);
        let concerns = |(by, _): &mut (LegId, RequestId)| is_distant || *by == leg;
        for (by, id) in self.passed.extract_if(.., concerns) {
            let status = match is_distant {
                true => Status::REQUEST_TERMINATED,
                false => Status::ACCEPTED,
            };
            ctx.respond(by, id, status);
        }
    }

    /// Lets a leg of another call talk in the place of one of ours, or tells why not. Where the replaced one is not ours, it
    /// is the distant end of `to`.
    pub(crate) fn join(
        &mut self,
        ctx: &mut Context,
        to: LegId,
        other: SessionId,
        replaced: SessionId,
    ) -> Result<Option<End>, Status> {
        if self.transfer.is_some() || ctx.is_held() {
            return Err(Status::REQUEST_PENDING);
        }
        let State::Running(Running::Dial(dialing)) = &mut self.state else {
            return Err(Status::CALL_DOES_NOT_EXIST);
        };
        let (by, near) = match (ctx.is_own(replaced), ctx.peer_of(to)) {
            (true, peer) => (to, peer),
            (false, Some(by)) if ctx.is_distant(by) => (by, Some(to)),
            (false, _) => return Err(Status::CALL_DOES_NOT_EXIST),
        };
        let Some(near) = near else {
            let near = ctx.served();
            if ctx.is_distant(near) {
                return Err(Status::REQUEST_PENDING);
            }
            if by == near && dialing.is_ringing() {
                return self.wait(ctx, other);
            }
            if !dialing.rings_at(by) {
                return Err(Status::CALL_DOES_NOT_EXIST);
            }
            let distant = ctx.open_distant(other, near);
            let distant = distant.ok_or(Status::SERVICE_UNAVAILABLE)?;
            ctx.say(other, near, Word::Joined { replaced });
            let step = dialing.picked_up(ctx, distant);
            return Ok(self.follow(ctx, step));
        };
        if ctx.is_distant(near) {
            ctx.pass_join_on(near, other, replaced);
            return Ok(None);
        }
        let distant = ctx.open_distant(other, near);
        let distant = distant.ok_or(Status::SERVICE_UNAVAILABLE)?;
        ctx.say(other, near, Word::Joined { replaced });
        let heir = (by == ctx.served()).then(|| ctx.survivor(near));
        let referral = Referral {
            survivor: heir.flatten(),
            referred_by: None,
            before: None,
            on_trial: true,
            owed: None,
        };
        let dialing = dialing.linked(ctx, Box::new(referral), near, distant);
        let (leg, end) = (ctx.leg_of(by), transfer::by_choice(by));
        self.take_over(ctx, Box::new(dialing), end);
        ctx.end_leg(leg, end);
        Ok(None)
    }

    /// A leg of another call takes the caller's place while the callees ring.
    fn wait(&mut self, ctx: &mut Context, other: SessionId) -> Result<Option<End>, Status> {
        let State::Running(Running::Dial(dialing)) = &mut self.state else {
            return Err(Status::CALL_DOES_NOT_EXIST);
        };
        let (by, leg) = (ctx.served(), ctx.served_leg());
        let waiting = ctx.open_waiting(other, by);
        let waiting = waiting.ok_or(Status::SERVICE_UNAVAILABLE)?;
        let (replaced, left) = (ctx.session(by), ctx.time_left(Timer::Verb));
        ctx.say(other, by, Word::Rings { replaced, left });
        let end = transfer::by_choice(by);
        dialing.hand_over(ctx, end);
        // What the caller's document says goes with the caller.
        self.rest.clear();
        ctx.serve_waiting(waiting);
        ctx.end_leg(leg, end);
        Ok(None)
    }

    /// Tells whether an answer of another call is awaited.
    pub(crate) fn awaits(&self, word: &Word) -> bool {
        let (Word::Joined { replaced }
        | Word::Rings { replaced, .. }
        | Word::Declined { replaced, .. }) = word
        else {
            return false;
        };
        let running = match &self.state {
            State::Running(Running::Dial(dialing)) => dialing.awaits(*replaced),
            _ => false,
        };
        let transfer = self.transfer.as_ref();
        running || transfer.is_some_and(|transfer| transfer.awaits(*replaced))
    }

    pub(crate) fn is_transferred_by(&self, leg: LegId) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.by() == leg)
    }

    /// The transferor leaves before the transfer is over: who is left waits for it.
    pub(crate) fn transferor_left(&mut self, ctx: &mut Context, end: End) -> Option<End> {
        let mut transfer = self.transfer.take()?;
        let by = transfer.by();
        let leg = ctx.leg_of(by);
        if ctx.is_distant(by) {
            transfer.forget();
        }
        ctx.attempt_gone(by, None);
        match transfer.way {
            Way::Dialing(dialing) => self.take_over(ctx, dialing, end),
            Way::Asking { fetch, survivor } => {
                self.leave(ctx, survivor, end);
                self.state = State::Transferred { fetch };
            }
        }
        ctx.end_leg(leg, end);
        None
    }

    /// A transfer has come to something.
    fn transferred(&mut self, ctx: &mut Context, stand: Stand) -> Option<End> {
        if matches!(stand, Stand::Open) {
            return None;
        }
        let transfer = self.transfer.take()?;
        let (by, end) = (transfer.by(), transfer.end());
        let leg = ctx.leg_of(by);
        match stand {
            Stand::Open => None,
            Stand::Failed(end) => {
                transfer.failed(ctx, end);
                None
            }
            Stand::Joined => {
                transfer.succeeded(ctx);
                if let Way::Dialing(dialing) = transfer.way {
                    self.take_over(ctx, dialing, end);
                }
                ctx.end_leg(leg, end);
                None
            }
            Stand::Told(document) => {
                transfer.succeeded(ctx);
                if let Way::Asking { survivor, .. } = transfer.way {
                    self.leave(ctx, survivor, end);
                }
                ctx.end_leg(leg, end);
                self.read(ctx, document)
            }
        }
    }

    /// The Dial of a transfer takes the place of the one that brought the transferor.
    fn take_over(&mut self, ctx: &mut Context, mut dialing: Box<Dialing>, end: End) {
        if let State::Running(Running::Dial(other)) =
            std::mem::replace(&mut self.state, State::Over)
            && dialing.take_place_of(ctx, *other, end)
        {
            // What the caller's document says goes with the caller.
            self.rest.clear();
        }
        self.state = State::Running(Running::Dial(dialing));
    }

    /// The Dial that brought the transferor is over; who is left gets another document.
    fn leave(&mut self, ctx: &mut Context, survivor: Option<Box<Survivor>>, end: End) {
        if let State::Running(Running::Dial(mut dialing)) =
            std::mem::replace(&mut self.state, State::Over)
        {
            match survivor {
                Some(survivor) => {
                    ctx.serve(survivor);
                    self.rest.clear();
                    dialing.leave(ctx, end);
                }
                None => dialing.stop(ctx, end),
            }
        }
        ctx.clear_timer(Timer::TimeLimit);
        ctx.disconnect();
    }

    /// Undoes what is open, because the caller's leg ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        self.rest.clear();
        for (leg, id) in self.passed.drain(..) {
            ctx.respond(leg, id, Status::REQUEST_TERMINATED);
        }
        if let Some(mut transfer) = self.transfer.take() {
            transfer.stop(ctx, end);
        }
        if let State::Running(mut running) = std::mem::replace(&mut self.state, State::Over) {
            running.stop(ctx, end);
        }
    }

    fn ask(&mut self, ctx: &mut Context, link: Link, fallback: Option<Link>) -> Option<End> {
        match ctx.fetch_document(link, Occasion::StartApp) {
            Some(fetch) => {
                self.state = State::Asking { fetch, fallback };
                None
            }
            None => Some(too_many_documents()),
        }
    }

    fn read(&mut self, ctx: &mut Context, document: Document) -> Option<End> {
        self.follow(ctx, Step::Replace(document))
    }

    /// Goes on until a verb waits or the call ends.
    fn follow(&mut self, ctx: &mut Context, mut step: Step) -> Option<End> {
        loop {
            match step {
                Step::Continue => return None,
                Step::End(end) => return Some(end),
                Step::Replace(document) => self.rest = document.verbs.into(),
                Step::Done => {}
            }
            let Some(verb) = self.rest.pop_front() else {
                return Some(ran_out(ctx));
            };
            match verb.start(ctx) {
                Ok(running) => {
                    self.state = State::Running(running);
                    return None;
                }
                Err(next) => step = next,
            }
        }
    }
}

/// voice-xml.md §1.3: the last element is finished, or there was none.
fn ran_out(ctx: &Context) -> End {
    End {
        cause: Cause::EndOfXml,
        source: HangupSource::AnswerXml,
        status: ctx.last_dial.map(|end| end.refusal().0),
    }
}

/// voice-xml.md §1.3: neither the answer URL nor the fallback URL brought a document.
const fn unanswerable(failure: FetchFailure) -> End {
    let cause = match failure {
        FetchFailure::BadXml => Cause::InvalidAnswerXml,
        FetchFailure::Unreachable | FetchFailure::BadUrl | FetchFailure::BadMethod => {
            Cause::AnswerUnreachable
        }
    };
    End::with_status(cause, HangupSource::Error, 500)
}
