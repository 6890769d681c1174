//! Refer-To: RFC 3515 §2.1, with Replaces in its URI (RFC 3891 §4).

use crate::Text;
use crate::message::grammar::{percent_decode, split_once};
use crate::message::header::{Malformed, NameAddr, Replaces};
use crate::message::method::Method;
use crate::message::uri::Uri;

/// Whom a REFER sends the other side to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReferTo {
    /// The display name as sent, with its quotes if it had any.
    pub display: Option<Text>,
    /// Where to, without a `method` parameter and without headers.
    pub uri: Uri,
    /// With which request; INVITE unless the URI says otherwise.
    pub method: Method,
    /// The dialog that the new one takes the place of: an attended transfer.
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads the value. Headers of the URI other than Replaces are left aside: nobody may write our requests for us.
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let NameAddr {
            display, mut uri, ..
        } = NameAddr::parse(value)?;
        let method = match uri.param("method") {
            Some(method) => Method::new(&method.into()),
            None => Method::Invite,
        };
        let replaces = match replaces(&uri.headers)? {
            Some(replaces) => Some(Replaces::parse(&replaces)?),
            None => None,
        };
        uri.headers = Text::new();
        uri.params = without_method(&uri.params);
        Ok(Self {
            display,
            uri,
            method,
            replaces,
        })
    }
}

/// Finds the one Replaces among the headers of a URI (RFC 3261 §19.1.1).
fn replaces(headers: &str) -> Result<Option<Text>, Malformed> {
    let mut values = headers
        .split('&')
        .filter_map(|header| split_once(header, b'='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("Replaces"));
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    // RFC 3891 §3: more than one is an error.
    if values.next().is_some() {
        return Err(Malformed);
    }
    let value = String::from_utf8(percent_decode(value).into_owned()).map_err(|_| Malformed)?;
    Ok(Some(value.into()))
}

fn without_method(params: &Text) -> Text {
    let is_method = |param: &&str| {
        let name = param.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("method")
    };
    if !params.split(';').any(|param| is_method(&param)) {
        return params.clone();
    }
    let kept: Vec<&str> = params
        .split(';')
        .filter(|param| !is_method(param))
        .collect();
    kept.join(";").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blind_transfer_names_only_the_target() {
        let refer = ReferTo::parse(&"Bob <sip:bob@b.example;user=phone>".into()).expect("parses");
        assert_eq!(refer.uri.to_string(), "sip:bob@b.example;user=phone");
        assert_eq!((refer.method, refer.replaces), (Method::Invite, None));
    }

    #[test]
    fn an_attended_transfer_names_a_dialog_too() {
        let value = "<sip:bob@b.example;method=INVITE;lr?Replaces=12%40c.example%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=x>";
        let refer = ReferTo::parse(&value.into()).expect("parses");
        assert_eq!(refer.uri.to_string(), "sip:bob@b.example;lr");
        let replaces = refer.replaces.expect("Replaces");
        assert_eq!(replaces.to_string(), "12@c.example;to-tag=1;from-tag=2");
    }

    #[test]
    fn a_dialog_that_is_not_named_well_is_refused() {
        for bad in [
            "<sip:bob@b.example?Replaces=12>",
            "<sip:bob@b.example?Replaces=%ff%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            "<sip:bob@b.example?Replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            "bob",
        ] {
            assert_eq!(ReferTo::parse(&bad.into()), Err(Malformed), "{bad}");
        }
    }
}
