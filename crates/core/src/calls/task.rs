//! The task that owns one call: it carries out what the call wants and tells it what happens, until it is over.
//!
//! Questions (documents, places) are asked side by side. Rows go to the store with those of the shard's other calls (`rows`);
//! the caller's leg hears of its first row by `Recorded`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use call::{
    Call, CallNumber, Cause, Command, Fetch, FetchFailure, HangupSource, Input, LegId,
    LocateFailure, Notice, Output, QueryId, TargetKind,
};
use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::calls::Inner;
use crate::calls::callback;
use crate::calls::dialect::DocumentError;
use crate::calls::fetch::{FetchError, Fetcher, Refused};
use crate::calls::limits::Ticket;
use crate::calls::live::Inbox;
use crate::calls::locate::Asker;
use crate::calls::on_trunk::OnTrunks;
use crate::calls::record::{self, Facts};
use crate::calls::referred::{Referrals, Target};
use crate::calls::rows::{self, Batch};
use crate::calls::watch::Watch;

/// How often the media plane is asked to take a command while its queue is full, every [`MEDIA_PAUSE`].
const MEDIA_TRIES: u32 = 100;
const MEDIA_PAUSE: Duration = Duration::from_millis(10);

/// One call and what it needs.
pub(crate) struct Task {
    pub(crate) calls: Arc<Inner>,
    pub(crate) call: Call,
    pub(crate) number: CallNumber,
    pub(crate) shard: u8,
    pub(crate) inbox: Inbox,
    pub(crate) facts: Facts,
    pub(crate) extra: serde_json::Value,
    pub(crate) asker: Asker,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) on_trunks: OnTrunks,
    pub(crate) referrals: Referrals,
    pub(crate) watch: Watch,
    /// Whether the caller's leg has its row, or will have it soon.
    pub(crate) is_recorded: bool,
}

/// What the call waits for.
#[derive(Default)]
struct Waiting {
    /// Answers to questions.
    answers: JoinSet<Input>,
    /// What is to be written.
    next: Batch,
    /// What is already known and must be told.
    known: VecDeque<Input>,
}

impl Task {
    /// Runs the call until it is over; its last rows may still be on their way then.
    pub(crate) async fn run(mut self) {
        let mut waiting = Waiting::default();
        tracing::info!(
            call.id = self.number.0,
            account.id = self.facts.account_id,
            "a call begins"
        );
        loop {
            self.carry_out(&mut waiting).await;
            let batch = std::mem::take(&mut waiting.next);
            if !batch.is_empty() {
                rows::put(&self.calls, self.shard, self.number, batch);
            }
            if self.call.is_over() {
                break;
            }
            let Some(input) = self.next(&mut waiting).await else {
                break;
            };
            match self.refuses(&input) {
                Some(command) => self.sip(command, &mut waiting).await,
                None => self.tell(input),
            }
            if self.inbox.was_overrun() {
                self.tell(Input::Command(Command::HangUp {
                    cause: Cause::InternalError,
                    source: HangupSource::Error,
                }));
            }
        }
        self.ticket = None;
        self.on_trunks = OnTrunks::default();
        self.referrals = Referrals::default();
        self.calls.live.close(self.number);
        tracing::info!(call.id = self.number.0, "a call is over");
    }

    fn tell(&mut self, input: Input) {
        self.watch.came(&self.calls, &input);
        if let Input::Located { query, .. } = &input {
            self.referrals.located(*query);
        }
        match &input {
            Input::Located {
                outcome: Ok(located),
                ..
            } => self.on_trunks.located(located),
            Input::Leg { leg, event } => {
                let calls = &self.calls;
                self.on_trunks
                    .heard(&calls.trunks, &calls.clock, *leg, event);
            }
            _ => {}
        }
        self.call.handle(self.calls.clock.now(), input);
    }

    /// Waits for whatever happens next.
    async fn next(&mut self, waiting: &mut Waiting) -> Option<Input> {
        if let Some(known) = waiting.known.pop_front() {
            return Some(known);
        }
        let due = self.call.poll_timeout();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = self.inbox.next() => input,
            Some(Ok(answer)) = waiting.answers.join_next() => Some(answer),
            () = sleep => Some(Input::Due),
        }
    }

    /// Carries out all that the call wants.
    async fn carry_out(&mut self, waiting: &mut Waiting) {
        while let Some(output) = self.call.poll_output() {
            self.watch.goes(&self.calls, &output);
            match output {
                Output::Sip(sip::Command::Invite {
                    session, ref to, ..
                }) if !self.has_place(session, to) => {
                    let (_, leg) = call::leg_of(session);
                    waiting.known.push_back(Input::LegRefused(leg));
                }
                Output::Across { to, from, word } => {
                    let teller = (self.facts.account_id, self.number);
                    let answer = self.calls.across(teller, to, from, word);
                    waiting.known.extend(answer);
                }
                Output::Sip(command) => self.sip(command, waiting).await,
                Output::Media(command) => self.media(command, waiting).await,
                Output::Fetch(fetch) if fetch.wants_document => self.fetch(fetch, waiting),
                Output::Fetch(fetch) => self.notify(
                    &Notice {
                        link: fetch.link,
                        occasion: fetch.occasion,
                        about: fetch.about,
                    },
                    waiting,
                ),
                Output::Locate {
                    query,
                    target,
                    shown,
                    ..
                } => {
                    self.locate(query, target, shown, waiting);
                }
                Output::Notify(notice) => self.notify(&notice, waiting),
                Output::Record(leg) => {
                    if let Some(left) = self.referrals.recorded(&leg) {
                        let leg = leg.leg;
                        waiting.known.push_back(Input::Allowed { leg, left });
                    }
                    let row = record::live_row(&self.facts, &self.extra, &leg);
                    waiting.next.rows.push(Arc::new(row));
                    // Its first row is the first that it wants.
                    waiting.next.is_awaited |= !self.is_recorded;
                    self.is_recorded = true;
                }
                Output::Cdr(cdr) => {
                    let now = self.calls.clock.now();
                    let ticket = self.ticket.as_ref();
                    if let (LegId::A, Some(ticket)) = (cdr.leg.leg, ticket) {
                        ticket.talked(&now, cdr.duration);
                    }
                    self.referrals.ended(&now, ticket, &cdr);
                    let row = record::final_row(&self.facts, &self.extra, &cdr);
                    waiting.next.rows.push(Arc::new(row));
                }
                Output::Over => (),
            }
        }
        self.referrals.settle();
    }

    /// Gives a signalling shard a command. A shard that is gone takes its sessions along.
    async fn sip(&mut self, command: sip::Command, waiting: &mut Waiting) {
        if let Some(answer) = self.undeliverable(&command) {
            waiting.known.push_back(answer);
            return;
        }
        // A dialog that Replaces means is known to the shard that made its tag.
        let shard = match &command {
            sip::Command::Find { replaces, .. } => replaces.shard(),
            _ => None,
        };
        let shard = shard.unwrap_or(self.shard);
        if self.calls.signalling.deliver(shard, command).await.is_err() {
            tracing::warn!(call.id = self.number.0, "no signalling shard for a call");
        }
    }

    /// Looks a target up for whom it is called.
    fn locate(&mut self, query: QueryId, target: TargetKind, shown: String, waiting: &mut Waiting) {
        let asker = match &target {
            TargetKind::Referred(referred) => {
                let now = self.calls.clock.now();
                let of_call = (&self.asker, self.ticket.as_ref());
                self.referrals
                    .ask(&self.calls, &now, of_call, query, referred)
            }
            _ => Ok(self.asker.clone()),
        };
        let asker = match asker {
            Ok(asker) => Asker { shown, ..asker },
            Err(cause) => {
                let outcome = Err(LocateFailure::Rule(cause));
                waiting.known.push_back(Input::Located { query, outcome });
                return;
            }
        };
        let calls = Arc::clone(&self.calls);
        let mut asked = Box::pin(async move {
            let now = calls.clock.now().wall;
            let outcome = match &target {
                TargetKind::Referred(referred) => {
                    match calls.locator.referred(now, &asker, referred).await {
                        Ok(Target::Application(answer)) => {
                            return Input::Application { query, answer };
                        }
                        Ok(Target::Place(located)) => Ok(located),
                        Err(failure) => Err(failure),
                    }
                }
                _ => calls.locator.locate(now, &asker, &target).await,
            };
            Input::Located { query, outcome }
        });
        // What is in memory is known at once.
        match asked.as_mut().now_or_never() {
            Some(located) => waiting.known.push_back(located),
            None => {
                waiting.answers.spawn_on(asked, &self.calls.runtime);
            }
        }
    }

    /// Takes a place for a leg on the trunk that it goes over, if it goes over one.
    fn has_place(&mut self, session: sip::SessionId, to: &sip::Destination) -> bool {
        let (_, leg) = call::leg_of(session);
        let calls = &self.calls;
        self.on_trunks
            .call(&calls.trunks, &calls.directory, leg, to)
    }

    fn notify(&self, notice: &Notice, waiting: &mut Waiting) {
        let now = self.calls.clock.now().wall;
        waiting
            .next
            .callbacks
            .push(callback::row(&self.facts, now, notice));
    }

    /// Gives the plane a command. A plane that stays too busy has failed the leg.
    async fn media(&mut self, mut command: media::Command, waiting: &mut Waiting) {
        for _ in 0..MEDIA_TRIES {
            let sent = self.calls.media.send(command);
            self.calls.wake_media(self.shard);
            match sent {
                Ok(()) => return,
                Err(back) => command = back,
            }
            tokio::time::sleep(MEDIA_PAUSE).await;
        }
        tracing::warn!(call.id = self.number.0, "the media plane takes no commands");
        let failed = match command {
            media::Command::Offer { session, .. }
            | media::Command::Remote { session, .. }
            | media::Command::Answer { session, .. } => media::Event::Unavailable { session },
            media::Command::Close { session } => media::Event::Closed {
                session,
                stats: media::Stats::default(),
            },
            media::Command::Bridge { .. }
            | media::Command::Unbridge { .. }
            | media::Command::Near { .. } => return,
        };
        waiting.known.push_back(Input::Media(failed));
    }

    fn fetch(&self, fetch: Fetch, waiting: &mut Waiting) {
        let (fetcher, facts) = (self.calls.fetcher.clone(), self.facts.clone());
        let asked = async move {
            let outcome = document(&fetcher, &facts, &fetch).await;
            Input::Fetched {
                fetch: fetch.id,
                outcome,
            }
        };
        waiting.answers.spawn_on(asked, &self.calls.runtime);
    }
}

/// Asks the customer's server for a document and reads it.
async fn document(
    fetcher: &Fetcher,
    facts: &Facts,
    fetch: &Fetch,
) -> Result<call::Document, FetchFailure> {
    let payload = facts
        .dialect
        .payload(&facts.account, &fetch.about, &fetch.occasion);
    let profile = facts.dialect.profile();
    let answer = fetcher
        .fetch(&fetch.link.url, fetch.link.method, &payload, profile)
        .await;
    let answer = answer.map_err(|error| {
        tracing::info!(%error, "no document");
        match error {
            FetchError::Refused(Refused::NotUrl | Refused::Scheme) => FetchFailure::BadUrl,
            FetchError::TooLong => FetchFailure::BadXml,
            _ => FetchFailure::Unreachable,
        }
    })?;
    let document =
        facts
            .dialect
            .document(&answer.body, answer.content_type.as_deref(), &answer.url);
    document.map_err(|error| {
        tracing::info!(%error, "no document");
        match error {
            DocumentError::Xml(_) => FetchFailure::BadXml,
            DocumentError::Url(_) => FetchFailure::BadUrl,
            DocumentError::Method(_) => FetchFailure::BadMethod,
        }
    })
}
