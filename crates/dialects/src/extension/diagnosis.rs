//! What is known of an endpoint, and what follows from it.

use offhook_core::diagnosis::{Attempt, Finding, Report};
use serde_json::{Map, Value};

use super::{Object, Spelling, registration};

/// Shows a report.
pub(crate) fn object(report: &Report, spelling: Spelling) -> Map<String, Value> {
    let list = |values: Vec<Map<String, Value>>| -> Value { values.into() };
    let findings = report.findings.iter();
    let bindings = report.bindings.iter();
    let mut object = Object::new(spelling);
    object.put(
        ("findings", "findings"),
        list(findings.map(|it| finding(it, spelling)).collect()),
    );
    object.put(
        ("attempts", "attempts"),
        attempts(&report.attempts, spelling),
    );
    object.put(
        ("registrations", "registrations"),
        list(
            bindings
                .map(|it| registration::object(it, spelling))
                .collect(),
        ),
    );
    object.done()
}

/// Shows attempts, as they are ordered.
pub(crate) fn attempts(attempts: &[Attempt], spelling: Spelling) -> Value {
    let shown = attempts.iter().map(|it| attempt(it, spelling));
    shown.collect::<Vec<_>>().into()
}

fn finding(finding: &Finding, spelling: Spelling) -> Map<String, Value> {
    let mut object = Object::new(spelling);
    object.put(("question", "question"), finding.question.name());
    object.put(("verdict", "verdict"), finding.verdict.name());
    object.put(("code", "code"), finding.code);
    object.put(("text", "text"), finding.sentence.clone());
    object.put(("remedy", "remedy"), finding.remedy);
    object.put(("evidence", "evidence"), finding.evidence.clone());
    object.done()
}

fn attempt(attempt: &Attempt, spelling: Spelling) -> Map<String, Value> {
    let mut object = Object::new(spelling);
    object.put(("time", "time"), spelling.time(attempt.at));
    object.put(("method", "method"), attempt.method.clone());
    object.put(("domain", "domain"), attempt.host.clone());
    object.put(("username", "username"), attempt.user.clone());
    object.put(
        ("source_address", "sourceAddress"),
        attempt.source.to_string(),
    );
    object.put(("transport", "transport"), attempt.transport.name());
    object.put(("user_agent", "userAgent"), attempt.user_agent.clone());
    object.put(("call_id", "callId"), attempt.call_id.clone());
    object.put(("cause", "cause"), attempt.cause.name());
    object.put(("text", "text"), attempt.cause.sentence());
    object.put(("remedy", "remedy"), attempt.cause.remedy());
    object.done()
}
