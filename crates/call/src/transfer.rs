//! A REFER that is carried out for a leg that talks: RFC 3515 §2.4.
//!
//! The transferor is told how far it has come, until it leaves or the transfer is over. Until then the two that talk go on
//! talking: the new leg is called on trial. Where an application wants to be asked first, its document takes the place of
//! the call.

use sip::{Header, Refer, RequestId, SessionEvent, Status, Text};

use crate::about::{FetchFailure, FetchId, Occasion};
use crate::across::Word;
use crate::address::from_value;
use crate::call::Output;
use crate::cdr::{Cause, HangupSource};
use crate::context::{Context, Survivor};
use crate::leg::{End, EndpointId, LegId, Wire};
use crate::verb::{
    Dialing, Document, Event, LocateFailure, Referral, Referred, Step, TargetKind,
    too_many_documents,
};

/// Who transfers.
#[derive(Clone, Debug)]
pub(crate) struct Transferor {
    /// Its leg; that of another call, if the two talk across.
    pub(crate) leg: LegId,
    /// Our endpoint there.
    pub(crate) endpoint: Option<EndpointId>,
    /// The name by which we know it.
    pub(crate) name: Text,
}

/// A transfer that goes on.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// Whose leg the REFER came on.
    by: LegId,
    refer: RequestId,
    /// Who is to talk with the target.
    survivor: LegId,
    /// What the transferor was told last.
    told: Status,
    pub(crate) way: Way,
}

/// How a transfer is carried out.
#[derive(Debug)]
pub(crate) enum Way {
    /// The application is asked what to do.
    Asking {
        fetch: FetchId,
        /// Who takes the caller's place, when it is the caller that transfers.
        survivor: Option<Box<Survivor>>,
    },
    /// The target is called.
    Dialing(Box<Dialing>),
}

/// Where a transfer stands after an event.
#[derive(Debug)]
pub(crate) enum Stand {
    /// It goes on.
    Open,
    /// The survivor talks with the target.
    Joined,
    /// The application has said what to do.
    Told(Document),
    /// Nothing comes of it.
    Failed(End),
}

impl Transfer {
    /// Begins to carry out a REFER of a leg that talks with another one, and accepts it: one with Replaces only when the
    /// other call has heard of it, so that nothing the transferor does after our 202 comes before that.
    pub(crate) fn start(
        ctx: &mut Context,
        dialing: &Dialing,
        transferor: Transferor,
        survivor: LegId,
        refer: (RequestId, Refer),
    ) -> Option<Self> {
        let (id, refer) = refer;
        let Transferor {
            leg: by,
            endpoint,
            name,
        } = transferor;
        if refer.to.replaces.is_none() {
            ctx.respond(by, id, Status::ACCEPTED);
        }
        let hands_over = by == ctx.served();
        let heir = hands_over.then(|| ctx.survivor(survivor)).flatten();
        let target = refer.to.uri.to_string();
        let referral = |heir| {
            Box::new(Referral {
                survivor: heir,
                referred_by: refer.referred_by.as_ref().map(|_| name.clone()),
                before: None,
                on_trial: true,
                owed: None,
            })
        };
        let way = match (refer.to.replaces, ctx.transfer.clone()) {
            (Some(replaces), _) => {
                let referral = referral(heir);
                let dialing = dialing.find(ctx, referral, by, (id, replaces));
                Some(Way::Dialing(Box::new(dialing)))
            }
            (None, Some(link)) => {
                let occasion = Occasion::Transfer {
                    refer_to: target,
                    by_caller: by == LegId::A,
                };
                ctx.fetch_document(link, occasion).map(|fetch| Way::Asking {
                    fetch,
                    survivor: heir,
                })
            }
            (None, None) => {
                let referral = referral(heir);
                let target = TargetKind::Referred(Referred {
                    to: target,
                    by: endpoint,
                    by_caller: by == LegId::A,
                });
                let dialing = dialing.refer(target, referral, ctx).ok();
                dialing.map(|dialing| Way::Dialing(Box::new(dialing)))
            }
        };
        let told = Status::TRYING;
        match way {
            Some(way) => Some(Self {
                by,
                refer: id,
                survivor,
                told,
                way,
            }),
            None => {
                ctx.notify(by, id, Status::SERVER_INTERNAL_ERROR, None);
                None
            }
        }
    }

    pub(crate) const fn by(&self) -> LegId {
        self.by
    }

    /// How the transferor's leg ends when the transfer has succeeded.
    pub(crate) const fn end(&self) -> End {
        by_choice(self.by)
    }

    /// Tells whether another call is asked about this session.
    pub(crate) fn awaits(&self, session: sip::SessionId) -> bool {
        matches!(&self.way, Way::Dialing(dialing) if dialing.awaits(session))
    }

    /// Tells whether an event is the transfer's.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        match (&self.way, event) {
            (Way::Asking { fetch, .. }, Event::Fetched { fetch: asked, .. }) => fetch == asked,
            (Way::Asking { .. }, _) => false,
            (Way::Dialing(dialing), event) => dialing.concerns(event),
        }
    }

    /// Tells whether an event takes away what the transfer is about.
    pub(crate) fn is_ended_by(&self, event: &Event) -> bool {
        match event {
            Event::Leg {
                leg,
                event: SessionEvent::Ended { .. },
            } => *leg == self.survivor,
            Event::TimeLimit => true,
            _ => false,
        }
    }

    pub(crate) fn on_event(&mut self, ctx: &mut Context, event: Event) -> Stand {
        match (&mut self.way, event) {
            (Way::Asking { .. }, Event::Fetched { outcome, .. }) => match outcome {
                Ok(document) => Stand::Told(document),
                Err(failure) => Stand::Failed(unanswerable(failure)),
            },
            (Way::Asking { .. }, _) => Stand::Open,
            (Way::Dialing(dialing), Event::Application { query, answer }) => {
                if !dialing.looks_for(query) {
                    return Stand::Open;
                }
                let survivor = dialing.take_survivor();
                dialing.abandon(ctx, LocateFailure::UnknownUser.end());
                match ctx.fetch_document(answer, Occasion::StartApp) {
                    Some(fetch) => {
                        self.way = Way::Asking { fetch, survivor };
                        Stand::Open
                    }
                    None => Stand::Failed(too_many_documents()),
                }
            }
            (Way::Dialing(dialing), event) => {
                let rings = match &event {
                    Event::Leg {
                        event: SessionEvent::Ringing { status, .. },
                        ..
                    } => Some(*status),
                    Event::Across {
                        word: Word::Rings { .. },
                        ..
                    } => Some(Status::RINGING),
                    _ => None,
                };
                let step = dialing.on_event(ctx, event);
                match (step, rings) {
                    (Step::End(end), _) => {
                        dialing.abandon(ctx, end);
                        Stand::Failed(end)
                    }
                    (_, Some(status)) if status != self.told => {
                        self.told = status;
                        ctx.notify(self.by, self.refer, status, None);
                        Stand::Open
                    }
                    _ if dialing.is_bridged() => Stand::Joined,
                    _ => Stand::Open,
                }
            }
        }
    }

    /// Tells the transferor that the transfer has succeeded.
    pub(crate) fn succeeded(&self, ctx: &mut Context) {
        ctx.notify(self.by, self.refer, Status::OK, None);
    }

    /// Tells the transferor why nothing came of it (RFC 3515 §2.4.5).
    pub(crate) fn failed(&self, ctx: &mut Context, end: End) {
        // A rule of ours is best told by its name.
        let reason = end.cause.is_rule().then(|| Text::from(end.cause.name()));
        let status = end.status.map_or_else(|| end.refusal(), Status);
        ctx.notify(self.by, self.refer, status, reason);
    }

    /// Accepts the REFER, if that is still to be done: why nothing comes of it is told after that.
    pub(crate) fn accept(&mut self, ctx: &mut Context) {
        if let Way::Dialing(dialing) = &mut self.way {
            dialing.answer_refer(ctx, Status::ACCEPTED);
        }
    }

    /// Leaves the answer of the REFER to the call of who transfers.
    pub(crate) fn forget(&mut self) {
        if let Way::Dialing(dialing) = &mut self.way {
            dialing.forget_refer();
        }
    }

    /// Gives up what is open, because the survivor or the whole call ends.
    pub(crate) fn stop(&mut self, ctx: &mut Context, end: End) {
        if let Way::Dialing(dialing) = &mut self.way {
            dialing.abandon(ctx, end);
        }
    }
}

impl Context {
    /// Answers a request inside a leg's dialog.
    pub(crate) fn respond(&mut self, id: LegId, request: RequestId, status: Status) {
        self.respond_with(id, request, status, Vec::new());
    }

    /// The same with more headers.
    pub(crate) fn respond_with(
        &mut self,
        id: LegId,
        request: RequestId,
        status: Status,
        headers: Vec<Header>,
    ) {
        if self.wire(id) == Wire::Gone {
            return;
        }
        if self.is_distant(id) {
            return self.say_to(
                id,
                Word::Responded {
                    id: request,
                    status,
                },
            );
        }
        let command = sip::Command::RespondInDialog {
            session: self.session(id),
            request,
            status,
            sdp: None,
            headers,
        };
        self.outputs.push_back(Output::Sip(command));
    }

    /// Answers a REFER; who has left waits for that too (the session outlives its BYE until then), but not in another call,
    /// which has answered it by itself.
    pub(crate) fn respond_refer(&mut self, id: LegId, request: RequestId, status: Status) {
        if self.wire(id) == Wire::Up {
            return self.respond(id, request, status);
        }
        let command = sip::Command::RespondInDialog {
            session: self.session(id),
            request,
            status,
            sdp: None,
            headers: Vec::new(),
        };
        self.outputs.push_back(Output::Sip(command));
    }

    /// Tells whoever sent a REFER how far it has come; nobody who has left.
    pub(crate) fn notify(
        &mut self,
        id: LegId,
        refer: RequestId,
        status: Status,
        reason: Option<Text>,
    ) {
        if self.wire(id) != Wire::Up {
            return;
        }
        if self.is_distant(id) {
            return self.say_to(
                id,
                Word::Progress {
                    id: refer,
                    status,
                    reason,
                },
            );
        }
        let session = self.session(id);
        self.outputs.push_back(Output::Sip(sip::Command::Notify {
            session,
            refer,
            status,
            reason,
        }));
    }

    /// Who sits at a leg of ours, when it transfers.
    pub(crate) fn transferor(&self, leg: LegId) -> Transferor {
        Transferor {
            leg,
            endpoint: self.leg_endpoint(self.leg_of(leg)),
            name: self.identity(leg),
        }
    }

    /// The name by which we know who sits at a leg: nobody else's word counts (RFC 3892 §5).
    fn identity(&self, id: LegId) -> Text {
        let who = match self.leg_of(id) {
            LegId::A => Some(self.caller.from.as_str()),
            leg => self.shown_to(leg),
        };
        from_value(who.unwrap_or_default(), "", &self.caller.domain)
    }

    /// Who is left of the call when the caller transfers it.
    pub(crate) fn survivor(&self, attempt: LegId) -> Option<Box<Survivor>> {
        let leg = self.leg_of(attempt);
        let name = self.shown_to(leg)?.to_owned();
        let caller = crate::Caller {
            number_or_user: name.clone(),
            from: name,
            name: String::new(),
            auth: None,
            endpoint: self.leg_endpoint(leg),
            offer: None,
            anonymous: false,
            ..self.caller.clone()
        };
        Some(Box::new(Survivor {
            attempt,
            leg,
            uuid: self.leg_uuid(leg)?,
            caller,
        }))
    }
}

/// Whoever sits at a leg has given it up.
pub(crate) const fn by_choice(leg: LegId) -> End {
    let source = match leg {
        LegId::A => HangupSource::Caller,
        _ => HangupSource::Callee,
    };
    End::new(Cause::NormalHangup, source)
}

/// The application was to say what to do, and did not: voice-xml.md §1.3.
pub(crate) const fn unanswerable(failure: FetchFailure) -> End {
    let cause = match failure {
        FetchFailure::Unreachable => Cause::TransferUnreachable,
        FetchFailure::BadXml => Cause::InvalidTransferXml,
        FetchFailure::BadUrl => Cause::InvalidTransferUrl,
        FetchFailure::BadMethod => Cause::InvalidTransferMethod,
    };
    End::new(cause, HangupSource::Error)
}
