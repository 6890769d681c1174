//! Session timers as far as the other side asks for them and refreshes itself: RFC 4028.
//!
//! We never ask, and never refresh; where the other side refreshes, its silence ends the session.

use std::time::Duration;

use crate::{Headers, Name, Request, Response, Text};

/// RFC 4028 §4: no session interval is shorter.
const SHORTEST: u32 = 90;

/// Agrees to the session interval that the request asks for, with the caller as the refresher (RFC 4028 §9).
pub(super) fn grant(request: &Request, response: &mut Response) -> Option<u32> {
    if !request.headers.lists(&Name::Supported, "timer") {
        return None;
    }
    let (seconds, refresher) = read(&request.headers)?;
    // Where the caller wants us to refresh, the session has no timer: the 2xx does not speak of it.
    if refresher.is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas")) {
        return None;
    }
    let value = format!("{seconds};refresher=uac");
    response.headers.set(Name::SessionExpires, value);
    response
        .headers
        .set(Name::Require, Text::from_static("timer"));
    Some(seconds)
}

/// Reads the session interval of a 2xx to us, when the other side refreshes (RFC 4028 §7.2).
pub(super) fn granted(response: &Response) -> Option<u32> {
    let (seconds, refresher) = read(&response.headers)?;
    refresher
        .is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas"))
        .then_some(seconds)
}

/// How long to wait for a refresh: RFC 4028 §10.
pub(super) fn patience(seconds: u32) -> Duration {
    let ahead = (seconds / 3).min(32);
    Duration::from_secs(u64::from(seconds - ahead))
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
    (seconds >= SHORTEST).then_some((seconds, refresher))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Status};

    fn granted_to(supported: &'static str, asked: &'static str) -> (Option<u32>, Option<Text>) {
        let mut request = Request::new(Method::Invite, "sip:b@example.com");
        request.headers.push(Name::Supported, supported);
        request.headers.push(Name::SessionExpires, asked);
        let mut response = Response::new(Status::OK);
        let seconds = grant(&request, &mut response);
        (
            seconds,
            response.headers.get(&Name::SessionExpires).cloned(),
        )
    }

    #[test]
    fn the_caller_gets_its_interval_and_refreshes() {
        let value = Some(Text::from("1800;refresher=uac"));
        assert_eq!(
            granted_to("100rel, timer", "1800"),
            (Some(1800), value.clone())
        );
        assert_eq!(
            granted_to("timer", "1800 ; Refresher = UAC"),
            (Some(1800), value)
        );
        assert_eq!(granted_to("timer", "1800;refresher=uas"), (None, None));
        assert_eq!(granted_to("100rel", "1800"), (None, None));
        assert_eq!(granted_to("timer", "89"), (None, None));
        assert_eq!(granted_to("timer", "soon"), (None, None));
    }

    #[test]
    fn the_wait_ends_a_little_before_the_interval() {
        assert_eq!(patience(1800), Duration::from_secs(1768));
        assert_eq!(patience(90), Duration::from_secs(60));
    }
}
