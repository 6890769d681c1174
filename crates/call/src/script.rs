//! Runs verbs in order; a document that comes replaces the rest: voice-xml.md §1.3, §1.5.

use std::collections::VecDeque;

use crate::about::{FetchFailure, FetchId, Occasion};
use crate::call::Script;
use crate::cdr::{Cause, HangupSource};
use crate::context::Context;
use crate::leg::End;
use crate::verb::{Document, Event, Link, Running, Step, Verb, too_many_documents};

/// A script that runs.
#[derive(Debug)]
pub(crate) struct Reading {
    state: State,
    rest: VecDeque<Verb>,
}

#[derive(Debug)]
enum State {
    /// The answer URL, or the fallback URL, is asked.
    Asking {
        fetch: FetchId,
        fallback: Option<Link>,
    },
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
            Script::Refused { cause, status, .. } => {
                Some(End::with_status(cause, HangupSource::Platform, status))
            }
        };
        (reading, end)
    }

    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Option<End> {
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
            _ => None,
        }
    }

    /// Undoes what is open, because the caller's leg ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        self.rest.clear();
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
