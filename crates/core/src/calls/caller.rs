//! What an INVITE says of its caller, and what of it may be believed.
//!
//! Who proved a password is named by us, whatever From says (S69). Of the headers only custom ones go along: identities
//! that a client asserts (P-Asserted-Identity, Diversion, internal headers) end here (S73, RFC 3325 §5).

use bytes::Bytes;
use call::Caller;
use sip::{Flow, Name, NameAddr, Request, Scheme, Uri};

use crate::calls::locate::digits;

/// Headers that go along with a call, to the customer and to other legs; all other extensions stop here (S73).
const CUSTOM_HEADERS: [&str; 2] = ["X-PH-", "X-VH-"];

/// What the INVITE itself says of the caller.
pub(crate) fn of(request: &Request, flow: Flow, uri: &Uri, from: &NameAddr) -> Caller {
    let user = from.uri.user_decoded().unwrap_or_default().into_owned();
    let offer = request.sdp().map(|sdp| Bytes::copy_from_slice(&sdp));
    Caller {
        from: match digits(&user) {
            Some(number) => number,
            None => format!("sip:{user}@{}", from.uri.host_lower()),
        },
        to: dialled(uri),
        name: display_name(from),
        number_or_user: user,
        source: flow,
        to_header: request
            .headers
            .get(&Name::To)
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: custom_headers(request),
        auth: None,
        endpoint: None,
        offer,
        domain: String::new(),
        call_id: request.call_id().map(ToString::to_string),
        anonymous: wants_privacy(request),
        max_forwards: Some(
            request
                .headers
                .max_forwards()
                .ok()
                .flatten()
                .unwrap_or(70)
                .saturating_sub(1),
        ),
    }
}

/// The domain in which a stranger's name is shown: never one of ours, whose names only we give (S69).
pub(crate) fn home_of_stranger(from: &NameAddr) -> String {
    let home = from.uri.host_lower();
    // A tel URI has none. RFC 3323 §4.1.1.3.
    let named = from.uri.scheme.is_sip() && !home.is_empty();
    if named {
        home.into_owned()
    } else {
        "anonymous.invalid".to_owned()
    }
}

/// Who a trusted peer says is calling: the first SIP or tel identity that it asserts (RFC 3325 §9.1).
pub(crate) fn asserted(request: &Request) -> Option<NameAddr> {
    let identities = request.headers.addresses(&Name::PAssertedIdentity).ok()?;
    let mut identities = identities.into_iter();
    identities.find(|identity| identity.uri.scheme.is_sip() || identity.uri.scheme == Scheme::Tel)
}

/// RFC 3323 §4.2, RFC 3325 §9.3: the caller is not to be named to the other side. `none` wins over all else; `critical`
/// and `session` ask for nothing that a leg of its own (with its own Call-ID, Contact and media address) leaves undone.
fn wants_privacy(request: &Request) -> bool {
    let words = || {
        let lines = request.headers.all(&Name::Privacy);
        lines.flat_map(|line| line.split([';', ',']).map(str::trim))
    };
    let asks = |wanted: &[&str]| {
        words().any(|word| wanted.iter().any(|one| one.eq_ignore_ascii_case(word)))
    };
    asks(&["id", "header", "user"]) && !asks(&["none"])
}

/// What was dialled, as customers see it: digits, or a SIP URI (plivo-rest.md §14.4).
fn dialled(uri: &Uri) -> String {
    let user = uri.user_decoded().unwrap_or_default();
    match digits(&user) {
        Some(number) => number,
        None if user.is_empty() => format!("sip:{}", uri.host_lower()),
        None => format!("sip:{user}@{}", uri.host_lower()),
    }
}

fn display_name(from: &NameAddr) -> String {
    let name = from.display_unquoted().unwrap_or_default();
    name.chars()
        .filter(|letter| !letter.is_control())
        .take(100)
        .collect()
}

fn custom_headers(request: &Request) -> Vec<(String, String)> {
    let is_custom = |name: &str| {
        CUSTOM_HEADERS.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    };
    let headers = request
        .headers
        .iter()
        .filter(|header| is_custom(header.name.as_str()));
    headers
        .map(|header| (header.name.as_str().to_owned(), header.value.to_string()))
        .take(50)
        .collect()
}
