//! What follows from the evidence: an answer to each of the questions that customers ask most.

use std::net::IpAddr;

use call::Cause as End;
use store::{ApplicationKind, CallDirection, CallRow};

use super::evidence::Evidence;
use crate::diagnosis::{Attempt, Cause};
use crate::registrar::LiveBinding;

/// What customers ask.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Why can it not log in?
    LogIn,
    /// Why can it not make calls?
    MakeCalls,
    /// Why can it not receive calls?
    ReceiveCalls,
    /// Why was the call disconnected?
    CallDisconnected,
    /// Why is the call hard to understand?
    CallQuality,
}

impl Question {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Question::LogIn => "log_in",
            Question::MakeCalls => "make_calls",
            Question::ReceiveCalls => "receive_calls",
            Question::CallDisconnected => "call_disconnected",
            Question::CallQuality => "call_quality",
        }
    }
}

/// How bad it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is wrong as far as can be seen.
    Fine,
    /// It may explain something.
    Note,
    /// It keeps things from working.
    Problem,
}

impl Verdict {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Fine => "fine",
            Verdict::Note => "note",
            Verdict::Problem => "problem",
        }
    }
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// To what.
    pub question: Question,
    /// How bad it is.
    pub verdict: Verdict,
    /// Its name for programs; it does not change.
    pub code: &'static str,
    /// What is the case, for people.
    pub sentence: String,
    /// What to do about it; empty where nothing needs doing.
    pub remedy: &'static str,
    /// What it was seen from.
    pub evidence: Vec<String>,
}

/// Answers all questions; each has at least one answer.
pub(crate) fn of(evidence: &Evidence) -> Vec<Finding> {
    let mut all = Vec::new();
    for (question, answer) in [
        (Question::LogIn, log_in as fn(&Evidence, &mut Answers)),
        (Question::MakeCalls, make_calls),
        (Question::ReceiveCalls, receive_calls),
        (Question::CallDisconnected, call_disconnected),
        (Question::CallQuality, call_quality),
    ] {
        let mut answers = Answers {
            question,
            findings: Vec::new(),
        };
        answer(evidence, &mut answers);
        all.append(&mut answers.findings);
    }
    all
}

struct Answers {
    question: Question,
    findings: Vec<Finding>,
}

impl Answers {
    fn add(
        &mut self,
        verdict: Verdict,
        code: &'static str,
        sentence: impl Into<String>,
        remedy: &'static str,
        evidence: Vec<String>,
    ) {
        self.findings.push(Finding {
            question: self.question,
            verdict,
            code,
            sentence: sentence.into(),
            remedy,
            evidence,
        });
    }

    fn problem(
        &mut self,
        code: &'static str,
        sentence: impl Into<String>,
        remedy: &'static str,
        evidence: Vec<String>,
    ) {
        self.add(Verdict::Problem, code, sentence, remedy, evidence);
    }

    fn note(
        &mut self,
        code: &'static str,
        sentence: impl Into<String>,
        remedy: &'static str,
        evidence: Vec<String>,
    ) {
        self.add(Verdict::Note, code, sentence, remedy, evidence);
    }

    /// Says so when nothing else was found.
    fn or_fine(&mut self, code: &'static str, sentence: &str, evidence: Vec<String>) {
        if self.findings.is_empty() {
            self.add(Verdict::Fine, code, sentence, "", evidence);
        }
    }
}

const SWITCH_ON: &str = "Switch the endpoint on.";
const ALLOW_VOICE: &str = "Allow the endpoint to carry voice.";

fn log_in(evidence: &Evidence, answers: &mut Answers) {
    if !evidence.endpoint.endpoint.enabled {
        answers.problem(
            Cause::Disabled.name(),
            Cause::Disabled.sentence(),
            SWITCH_ON,
            vec![],
        );
    }
    blocked(evidence, answers);
    let failed = |attempt: &&Attempt| attempt.cause != Cause::Registered;
    // A block is a finding of its own, as long as it lasts.
    let mut tried = evidence.attempts.iter();
    let newest = tried.find(|attempt| attempt.cause != Cause::SourceBlocked);
    if let Some(last) = newest.filter(failed)
        && last.cause != Cause::Disabled
    {
        let verdict = match evidence.bindings.is_empty() {
            true => Verdict::Problem,
            false => Verdict::Note,
        };
        let same = evidence.attempts.iter();
        let same = same.take_while(|attempt| attempt.cause == last.cause);
        let seen = same.take(3).map(attempt_line).collect();
        answers.add(
            verdict,
            last.cause.name(),
            last.cause.sentence(),
            last.cause.remedy(),
            seen,
        );
    }
    if let Some(last) = evidence.misnamed.first()
        && evidence.bindings.is_empty()
    {
        let user = &evidence.endpoint.endpoint.user;
        match last.cause {
            Cause::AccountCredentials => answers.note(
                last.cause.name(),
                last.cause.sentence(),
                last.cause.remedy(),
                vec![attempt_line(last)],
            ),
            _ => answers.problem(
                "partial_user_name",
                format!(
                    "A phone tried the user name {}; this endpoint's is {user}.",
                    last.user
                ),
                Cause::UnknownUser.remedy(),
                vec![attempt_line(last)],
            ),
        }
    }
    if evidence.attempts.is_empty() && evidence.bindings.is_empty() && answers.findings.is_empty() {
        answers.note(
            "never_tried",
            "No phone has tried to log in as this endpoint since the server started, or the attempts are forgotten.",
            "Check the phone's domain, port and transport, and whether a firewall lets it out.",
            vec![],
        );
    }
    let seen = evidence.bindings.iter().map(binding_line).collect();
    answers.or_fine("registered", "The endpoint is logged in.", seen);
}

/// Sources that are not answered, and came with this endpoint's name.
fn blocked(evidence: &Evidence, answers: &mut Answers) {
    if evidence.blocked.is_empty() {
        return;
    }
    let verdict = match evidence.bindings.is_empty() {
        true => Verdict::Problem,
        false => Verdict::Note,
    };
    let seen = evidence.blocked.iter().map(|blocked| {
        let until = blocked.until.strftime("%Y-%m-%d %H:%M:%S");
        format!("{} is not answered until {until}", blocked.source)
    });
    let cause = Cause::SourceBlocked;
    let seen = seen.collect();
    answers.add(
        verdict,
        cause.name(),
        cause.sentence(),
        cause.remedy(),
        seen,
    );
}

fn make_calls(evidence: &Evidence, answers: &mut Answers) {
    let endpoint = &evidence.endpoint.endpoint;
    if !endpoint.enabled {
        answers.problem("disabled", Cause::Disabled.sentence(), SWITCH_ON, vec![]);
    }
    if !endpoint.permissions.voice {
        answers.problem(
            "voice_not_allowed",
            "The endpoint may not make or take calls.",
            ALLOW_VOICE,
            vec![],
        );
    }
    application(evidence, answers);
    let permissions = endpoint.permissions;
    let barred: Vec<String> = [
        (permissions.same_domain, "endpoints of its own domain"),
        (permissions.other_domains, "other SIP domains"),
        (permissions.phones, "telephone numbers"),
        (permissions.apps, "applications"),
    ]
    .into_iter()
    .filter(|(allowed, _)| !allowed)
    .map(|(_, what)| what.to_owned())
    .collect();
    if !barred.is_empty() {
        answers.note(
            "permissions",
            "The endpoint may not call everybody.",
            "Allow what it needs.",
            barred,
        );
    }
    blocked(evidence, answers);
    let mut tried = evidence.attempts.iter();
    let newest = tried.find(|it| it.cause != Cause::SourceBlocked);
    if let Some(last) = newest.filter(|it| it.method == "INVITE" && it.cause != Cause::Registered) {
        answers.problem(
            last.cause.name(),
            last.cause.sentence(),
            last.cause.remedy(),
            vec![attempt_line(last)],
        );
    }
    if let Some(last) = made(evidence).next().filter(|call| call.answered.is_none()) {
        call_that_failed(evidence, answers, last);
    }
    let seen = made(evidence).take(1).map(call_line).collect();
    answers.or_fine(
        "calls_possible",
        "Nothing keeps it from making calls.",
        seen,
    );
}

fn application(evidence: &Evidence, answers: &mut Answers) {
    let Some(application) = &evidence.application else {
        return answers.problem(
            "no_application",
            "The endpoint has no application, and the account has no default one: its calls are refused with 404.",
            "Give the endpoint an application.",
            vec![],
        );
    };
    let named = vec![format!("application {}", application.name)];
    if !application.enabled {
        answers.problem(
            "application_disabled",
            "The endpoint's application is switched off.",
            "Switch the application on.",
            named,
        );
    } else if application.kind == ApplicationKind::Xml && application.answer_url.is_none() {
        answers.problem(
            "no_answer_url",
            "The endpoint's application has no answer URL: nobody says what its calls are to do.",
            "Set the answer URL.",
            named,
        );
    }
}

/// Why the last call that the endpoint made was not answered.
fn call_that_failed(evidence: &Evidence, answers: &mut Answers, call: &CallRow) {
    let seen = vec![call_line(call)];
    let end = call.cause_code.and_then(End::from_code);
    let to_number = !call.to.contains('@') && !call.to.starts_with("sip:");
    match end {
        Some(End::AnswerUnreachable) => answers.problem(
            "answer_url_failed",
            "The application's answer URL could not be fetched when the last call was made.",
            "Check that the URL answers with 200 within its time, from the internet.",
            seen,
        ),
        Some(End::InvalidAnswerXml) => answers.problem(
            "answer_xml_invalid",
            "The application's answer URL gave no document that can be read when the last call was made.",
            "Check the XML that the URL answers with.",
            seen,
        ),
        Some(End::ConcurrencyLimit | End::CanceledDialLimit | End::CarrierCongestion) => answers
            .problem(
                "limit_reached",
                "The last call was refused because too many calls were going on.",
                "Try again, or have the limit raised.",
                seen,
            ),
        Some(End::EndpointNotRegistered) => answers.note(
            "callee_not_registered",
            "Who was called last is not registered.",
            "Look at the called endpoint's diagnosis.",
            seen,
        ),
        Some(End::RoutingError | End::InvalidDestination | End::UnallocatedNumber)
            if to_number && !evidence.has_trunk =>
        {
            answers.problem(
                "no_trunk",
                "The last call was to a telephone number, and the account has no trunk.",
                "Give the account a trunk.",
                seen,
            );
        }
        Some(
            End::BusyLine
            | End::BusyEverywhere
            | End::NoAnswer
            | End::Rejected
            | End::Declined
            | End::Canceled
            | End::RingTimeout
            | End::NormalHangup
            | End::EndOfXml,
        ) => {}
        _ => answers.note(
            "last_call_failed",
            "The last call was not answered.",
            "Its hang-up cause says why.",
            seen,
        ),
    }
}

fn receive_calls(evidence: &Evidence, answers: &mut Answers) {
    let endpoint = &evidence.endpoint.endpoint;
    if !endpoint.enabled {
        answers.problem("disabled", Cause::Disabled.sentence(), SWITCH_ON, vec![]);
    }
    if !endpoint.permissions.voice {
        answers.problem(
            "voice_not_allowed",
            "The endpoint may not make or take calls.",
            ALLOW_VOICE,
            vec![],
        );
    }
    let bindings = &evidence.bindings;
    let lost: Vec<String> = bindings
        .iter()
        .filter(|live| !live.reachable)
        .map(binding_line)
        .collect();
    if bindings.is_empty() {
        answers.problem(
            "not_registered",
            "No phone is logged in as this endpoint, so none can ring.",
            "See why it cannot log in.",
            evidence
                .attempts
                .first()
                .map(attempt_line)
                .into_iter()
                .collect(),
        );
    } else if lost.len() == bindings.len() {
        answers.problem(
            "unreachable",
            "The connection over which the phone logged in is gone; it rings again after its next registration.",
            "Restart the phone, or give it a shorter registration interval.",
            lost,
        );
    } else if !lost.is_empty() {
        answers.note(
            "partly_unreachable",
            "Some of its phones cannot be reached: the connections over which they logged in are gone.",
            "End the registrations that are no longer used.",
            lost,
        );
    }
    let silent = |call: &&CallRow| call.rang.is_none() && call.answered.is_none();
    if let Some(last) = taken(evidence).next().filter(silent) {
        let end = last.cause_code.and_then(End::from_code);
        let refused = matches!(
            end,
            Some(End::Canceled | End::LostRace | End::BusyLine | End::Rejected | End::Declined)
        );
        if !refused {
            answers.problem(
                "never_rang",
                "The last call to this endpoint never rang: the phone did not answer with 180.",
                "If the phone is behind a NAT, let it keep its mapping open (keep-alive, or ping in the policy), or use TCP or TLS.",
                vec![call_line(last)],
            );
        }
    }
    let nat: Vec<String> = bindings.iter().filter_map(nat_line).collect();
    if !nat.is_empty() {
        answers.note(
            "behind_nat",
            "The phone is behind a NAT, which forgets it unless something is sent often enough.",
            "Let the phone send keep-alives, or set ping in the policy to 30.",
            nat,
        );
    }
    if !evidence.external_callers {
        answers.note(
            "no_external_callers",
            "Callers from outside of the account are refused.",
            "Allow external callers for the account if they are wanted.",
            vec![],
        );
    }
    let seen = bindings.iter().map(binding_line).collect();
    answers.or_fine("can_ring", "It can be reached.", seen);
}

fn call_disconnected(evidence: &Evidence, answers: &mut Answers) {
    let answered = evidence.calls.iter().filter(|it| it.answered.is_some());
    let last: Vec<&CallRow> = answered.take(10).collect();
    let ended_by = |cause: End| -> Vec<String> {
        let calls = last.iter();
        let calls = calls.filter(|call| call.cause_code == Some(cause.code()));
        calls.map(|call| call_line(call)).collect()
    };
    for (cause, code, sentence, remedy) in [
        (
            End::AnswerNotAcknowledged,
            "ack_lost",
            "Calls ended because the answer was never acknowledged: no ACK came for 32 seconds.",
            "Look for a NAT or firewall that drops SIP packets, or a phone that cannot reach our Contact; TCP or TLS help.",
        ),
        (
            End::SessionExpired,
            "session_not_refreshed",
            "Calls ended because the party that refreshes the session did not.",
            "Look for a NAT that forgot the phone during the call: keep-alives in the phone, or ping in the policy, keep it open.",
        ),
        (
            End::PartyGone,
            "party_gone",
            "Calls ended because a party did not answer a request inside the call, or did not know the call any more.",
            "Look for a phone that restarted or lost its network, or a NAT that forgot it.",
        ),
        (
            End::FlowLost,
            "flow_lost",
            "Calls ended because the connection to a party was lost.",
            "Look for a network or a proxy that closes connections.",
        ),
        (
            End::NetworkError,
            "description_unusable",
            "Calls ended because a party's session description could not be used.",
            "Compare the codecs of the two phones.",
        ),
        (
            End::MediaTimeout,
            "media_timeout",
            "Calls ended because no audio came from a party for a minute.",
            "Look for a firewall that drops RTP, or a phone that sends nothing while it is muted or on hold.",
        ),
        (
            End::ScheduledHangup,
            "time_limit",
            "Calls ended because they reached their time limit.",
            "Raise the time limit in the document.",
        ),
    ] {
        let seen = ended_by(cause);
        if !seen.is_empty() {
            answers.problem(code, sentence, remedy, seen);
        }
    }
    for (cause, code, sentence) in [
        (
            End::EndOfXml,
            "end_of_document",
            "Calls ended because the document had no more instructions.",
        ),
        (
            End::ActionUnreachable,
            "action_url_failed",
            "Calls ended because an action URL could not be fetched.",
        ),
        (
            End::InvalidActionXml,
            "action_xml_invalid",
            "Calls ended because an action URL gave no document that can be read.",
        ),
    ] {
        let seen = ended_by(cause);
        if !seen.is_empty() {
            let remedy = "Check what the application answers with.";
            answers.note(code, sentence, remedy, seen);
        }
    }
    match last.is_empty() {
        true => answers.or_fine("no_calls", "No answered call is on record.", vec![]),
        false => {
            let seen = last.iter().map(|call| call_line(call)).collect();
            answers.or_fine("hung_up", "The last calls were hung up by a party.", seen);
        }
    }
}

fn call_quality(evidence: &Evidence, answers: &mut Answers) {
    let answered = evidence.calls.iter().filter(|it| it.answered.is_some());
    let counted: Vec<(&CallRow, Media)> = answered
        .filter_map(|call| Some((call, Media::of(call)?)))
        .take(10)
        .collect();
    let lines = |is: &dyn Fn(&Media) -> bool| -> Vec<String> {
        let calls = counted.iter().filter(|(_, media)| is(media));
        calls
            .map(|(call, media)| format!("{}; {}", call_line(call), media.line()))
            .collect()
    };
    let deaf = lines(&|media| media.received == 0 && media.sent > 0);
    let mute = lines(&|media| media.received > 0 && media.sent == 0);
    let neither = lines(&|media| media.received == 0 && media.sent == 0);
    let lossy = lines(&|media| media.lost * 50 > media.received + media.lost);
    let foreign = lines(&|media| media.strangers > media.received);
    if !deaf.is_empty() {
        answers.problem(
            "no_audio_from_phone",
            "No audio came from the phone, while audio was sent to it: its firewall or NAT keeps RTP back, or its SDP names an address that it does not send from.",
            "Let the phone send UDP to the server's media ports; switch off SIP ALG in the router.",
            deaf,
        );
    }
    if !mute.is_empty() {
        answers.problem(
            "no_audio_to_phone",
            "Audio came from the phone and none was there to be sent to it: the other party sent none.",
            "Look at the other party's diagnosis.",
            mute,
        );
    }
    if !neither.is_empty() {
        answers.problem(
            "no_audio",
            "No audio came or went.",
            "Let the phones send UDP to the server's media ports.",
            neither,
        );
    }
    if !lossy.is_empty() {
        answers.problem(
            "packet_loss",
            "More than 2 % of the phone's audio was lost on its way.",
            "Use a wired network, or give voice priority in the router.",
            lossy,
        );
    }
    if !foreign.is_empty() {
        answers.problem(
            "audio_from_elsewhere",
            "Most of the audio came from an address that was not the phone's, and was left out.",
            "Let the phone send its audio from the address that its SDP names.",
            foreign,
        );
    }
    let nat: Vec<String> = evidence.bindings.iter().filter_map(nat_line).collect();
    if !nat.is_empty() && !answers.findings.is_empty() {
        answers.note(
            "private_address",
            "The phone names an address of a private network; audio is sent to where its own comes from.",
            "Switch off SIP ALG in the router.",
            nat,
        );
    }
    match counted.is_empty() {
        true => answers.or_fine("no_calls", "No answered call is on record.", vec![]),
        false => {
            let seen = lines(&|_| true);
            answers.or_fine("audio_both_ways", "Audio went both ways.", seen);
        }
    }
}

/// Legs that came from the endpoint.
fn made(evidence: &Evidence) -> impl Iterator<Item = &CallRow> {
    let calls = evidence.calls.iter();
    calls.filter(|call| call.direction == CallDirection::Inbound)
}

/// Legs that went to it.
fn taken(evidence: &Evidence) -> impl Iterator<Item = &CallRow> {
    let calls = evidence.calls.iter();
    calls.filter(|call| call.direction == CallDirection::Outbound)
}

/// What the plane counted of a leg.
struct Media {
    received: u64,
    sent: u64,
    lost: u64,
    strangers: u64,
}

impl Media {
    fn of(call: &CallRow) -> Option<Self> {
        let media = call.extra.get("media")?;
        let count = |name: &str| media.get(name).and_then(serde_json::Value::as_u64);
        Some(Self {
            received: count("received")?,
            sent: count("sent")?,
            lost: count("lost")?,
            strangers: count("strangers")?,
        })
    }

    fn line(&self) -> String {
        format!(
            "RTP packets: {} from the phone, {} to it, {} lost, {} from elsewhere",
            self.received, self.sent, self.lost, self.strangers
        )
    }
}

fn attempt_line(attempt: &Attempt) -> String {
    format!(
        "{} {} of {}@{} from {} ({}), {}, Call-ID {}",
        attempt.at.strftime("%Y-%m-%d %H:%M:%S"),
        attempt.method,
        attempt.user,
        attempt.host,
        attempt.source,
        attempt.transport.name(),
        match attempt.user_agent.as_str() {
            "" => "no User-Agent",
            user_agent => user_agent,
        },
        attempt.call_id
    )
}

fn binding_line(live: &LiveBinding) -> String {
    let binding = &live.binding;
    format!(
        "{} from {} ({}), {}",
        binding.contact,
        binding.remote,
        binding.transport.name(),
        binding.user_agent
    )
}

fn call_line(call: &CallRow) -> String {
    let source = call.source.as_deref().unwrap_or("unknown");
    let status = call
        .sip_status
        .map_or(String::new(), |status| format!(", SIP {status}"));
    format!(
        "{} {} to {}: {} {} ({source}{status})",
        call.started.strftime("%Y-%m-%d %H:%M:%S"),
        call.from,
        call.to,
        call.cause_code.unwrap_or_default(),
        call.cause_name.as_deref().unwrap_or("Unknown"),
    )
}

/// Says so when a phone's Contact names another address than the one that it came from, a private one.
fn nat_line(live: &LiveBinding) -> Option<String> {
    let binding = &live.binding;
    let uri = sip::Uri::parse(&binding.contact.as_str().into()).ok()?;
    let host = uri.host.trim_start_matches('[').trim_end_matches(']');
    let named: IpAddr = host.parse().ok()?;
    let is_private = match named {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(address) => address.is_unique_local(),
    };
    let moved = named.to_canonical() != binding.remote.ip().to_canonical();
    (is_private && moved).then(|| {
        format!(
            "the phone says {named} and comes from {}",
            binding.remote.ip()
        )
    })
}
