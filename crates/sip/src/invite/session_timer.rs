//! Session timers: RFC 4028. Whoever refreshes, the silence of the other side ends the session.

use std::time::{Duration, Instant};

use crate::invite::{Alarm, Session};
use crate::stack::wire::Wire;
use crate::{Headers, Method, Name, Request, Response, Text};

/// RFC 4028 §4: no session interval is shorter.
const SHORTEST: u32 = 90;
/// The longest interval that another may force on us by 422: a day.
const LONGEST: u32 = 86_400;

/// A session that ends unless it is refreshed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Timed {
    /// The session interval in seconds.
    seconds: u32,
    /// We refresh.
    ours: bool,
}

impl Timed {
    /// How long a refresh of the other side, or the answer to ours, may keep us waiting: RFC 4028 §10.
    fn patience(self) -> Duration {
        let ahead = (self.seconds / 3).min(32);
        Duration::from_secs(u64::from(self.seconds - ahead))
    }

    /// Says who refreshes, in a request of ours inside the dialog (RFC 4028 §7.4).
    pub(super) fn keep(self, request: &mut Request) {
        let refresher = if self.ours { "uac" } else { "uas" };
        let value = format!("{};refresher={refresher}", self.seconds);
        request.headers.push(Name::SessionExpires, value);
    }

    /// Takes the interval that a 422 to our refresh asks for. `false`: no longer one.
    pub(super) fn lengthen(&mut self, refusal: &Response) -> bool {
        let longer = shortest(refusal).filter(|seconds| *seconds > self.seconds);
        self.seconds = longer.unwrap_or(self.seconds);
        longer.is_some()
    }
}

impl Session {
    /// The session is refreshed, and lasts so long from here (RFC 4028 §7.2, §9).
    pub(super) fn time(&mut self, now: Instant, wire: &mut Wire, timed: Option<Timed>) {
        self.timed = timed;
        self.disarm(wire, Alarm::Refresh);
        let Some(timed) = timed else {
            self.disarm(wire, Alarm::Expire);
            return;
        };
        self.arm(now, wire, Alarm::Expire, timed.patience());
        if timed.ours {
            // RFC 4028 §7.2: at half the interval.
            let half = Duration::from_secs(u64::from(timed.seconds / 2));
            self.arm(now, wire, Alarm::Refresh, half);
        }
    }
}

/// Asks for a session interval in our INVITE; the other side chooses who refreshes (RFC 4028 §7.1).
pub(super) fn ask(request: &mut Request, seconds: u32) {
    if seconds > 0 {
        let value = seconds.max(SHORTEST).to_string();
        request.headers.push(Name::SessionExpires, value);
    }
}

/// Makes our INVITE ask for the interval that a 422 wants (RFC 4028 §7.3). `false`: it asks for that already.
pub(super) fn ask_longer(request: &mut Request, refusal: &Response) -> bool {
    let (asked, _) = read(&request.headers).unwrap_or_default();
    let Some(seconds) = shortest(refusal).filter(|seconds| *seconds > asked) else {
        return false;
    };
    let headers = &mut request.headers;
    headers.set(Name::SessionExpires, seconds.to_string());
    headers.set(Name::MinSe, seconds.to_string());
    true
}

/// Tells whether a request asks for an interval below what anybody may (RFC 4028 §9). Who does not support timers does
/// not understand a 422.
pub(crate) fn is_too_short(request: &Request) -> bool {
    matches!(request.method, Method::Invite | Method::Update)
        && read(&request.headers).is_some_and(|(seconds, _)| seconds < SHORTEST)
        && request.headers.lists(&Name::Supported, "timer")
}

/// Value of Min-SE in our 422.
pub(crate) fn min_se() -> Text {
    SHORTEST.to_string().into()
}

/// Agrees to a session interval in a 2xx: the one asked for, else `usual`; zero: none (RFC 4028 §9, Table 2).
pub(super) fn grant(request: &Request, response: &mut Response, usual: u32) -> Option<Timed> {
    let supports = request.headers.lists(&Name::Supported, "timer");
    let (seconds, refresher) = match read(&request.headers) {
        Some((seconds, refresher)) if seconds >= SHORTEST => (seconds, refresher),
        Some(_) => return None,
        None if supports && usual > 0 => (usual.max(SHORTEST), None),
        None => return None,
    };
    let ours = !supports || refresher.is_some_and(|who| who.eq_ignore_ascii_case("uas"));
    let refresher = if ours { "uas" } else { "uac" };
    let value = format!("{seconds};refresher={refresher}");
    response.headers.set(Name::SessionExpires, value);
    if !ours {
        let timer = Text::from_static("timer");
        response.headers.set(Name::Require, timer);
    }
    Some(Timed { seconds, ours })
}

/// Reads what a 2xx to us grants (RFC 4028 §7.2). `None`: the session lasts as long as it will, because the other side
/// wants no timer or knows none.
pub(super) fn granted(response: &Response) -> Option<Timed> {
    let (seconds, refresher) = read(&response.headers)?;
    let seconds = Some(seconds).filter(|seconds| *seconds >= SHORTEST)?;
    let ours = !refresher.is_some_and(|who| who.eq_ignore_ascii_case("uas"));
    Some(Timed { seconds, ours })
}

fn shortest(refusal: &Response) -> Option<u32> {
    let value = refusal.headers.get(&Name::MinSe)?;
    let seconds = value.split(';').next()?.trim().parse().ok();
    seconds.filter(|seconds| (SHORTEST..=LONGEST).contains(seconds))
}

fn read(headers: &Headers) -> Option<(u32, Option<&str>)> {
    let mut parts = headers.get(&Name::SessionExpires)?.split(';');
    let seconds: u32 = parts.next()?.trim().parse().ok()?;
    let refresher = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("refresher")
            .then_some(value.trim())
    });
    Some((seconds, refresher))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    /// What RFC 4028 §9, Table 2 makes of a request.
    fn answer(supported: &'static str, asked: &'static str, usual: u32) -> Option<String> {
        let mut request = Request::new(Method::Invite, "sip:b@example.com");
        request.headers.push(Name::Supported, supported);
        if !asked.is_empty() {
            request.headers.push(Name::SessionExpires, asked);
        }
        let mut response = Response::new(Status::OK);
        grant(&request, &mut response, usual)?;
        let headers = [Name::SessionExpires, Name::Require];
        let values = headers.iter().filter_map(|name| response.headers.get(name));
        Some(
            values
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn the_refresher_is_who_was_asked_and_can() {
        let uac = Some("1800;refresher=uac timer".to_owned());
        let uas = Some("1800;refresher=uas".to_owned());
        assert_eq!(answer("100rel, timer", "1800", 600), uac);
        assert_eq!(answer("timer", "1800 ; Refresher = UAC", 600), uac);
        assert_eq!(answer("timer", "1800;refresher=uas", 600), uas);
        assert_eq!(answer("100rel", "1800", 600), uas);
        assert_eq!(answer("timer", "", 1800), uac);
        assert_eq!(answer("timer", "", 0), None);
        assert_eq!(answer("100rel", "", 1800), None);
        assert_eq!(answer("timer", "89", 0), None);
        assert_eq!(answer("timer", "soon", 0), None);
    }

    #[test]
    fn the_wait_ends_a_little_before_the_interval() {
        let patience = |seconds| {
            let ours = true;
            Timed { seconds, ours }.patience()
        };
        assert_eq!(patience(1800), Duration::from_secs(1768));
        assert_eq!(patience(90), Duration::from_secs(60));
    }

    #[test]
    fn nobody_can_force_an_absurd_interval_on_us() {
        let refused = |value: &'static str| {
            let mut response = Response::new(Status::SESSION_INTERVAL_TOO_SMALL);
            response.headers.push(Name::MinSe, value);
            shortest(&response)
        };
        assert_eq!(refused("3600;x=y"), Some(3600));
        for bad in ["4000000000", "10", "never"] {
            assert_eq!(refused(bad), None, "{bad}");
        }
    }
}
