//! Parameters of a header value: `;name=value;flag` (RFC 3261 §7.3.1).

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use crate::Text;
use crate::message::grammar::{
    find_outside, is_token, quoted_end, slice, split_off, trim, unquote,
};
use crate::message::write::push_number;

/// The parameters of a header value as sent: the text after the first `;`, read when asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Params(Text);

impl Params {
    /// Takes the text after the first `;`. `None`: an empty parameter, an open quote, or a name that is no token.
    pub(crate) fn parse(text: Text) -> Option<Self> {
        let params = Self(text);
        let mut rest: Option<&str> = Some(&params.0);
        while let Some(text) = rest {
            let (param, next) = match find_outside(text, b';').ok()? {
                Some(at) => split_off(text, at).map(|(param, next)| (param, Some(next)))?,
                None => (text, None),
            };
            let (name, value) = name_and_value(param);
            // One `;` at the very end is forgiven, phones send it; `;;` is not (RFC 4475 §3.1.2.1).
            if name.is_empty() && value.is_none() && next.is_none() {
                break;
            }
            let value_stands = value.is_none_or(|value| {
                !value.starts_with('"') || quoted_end(value) == Some(value.len())
            });
            if !is_token(name) || !value_stands {
                return None;
            }
            rest = next;
        }
        Some(params)
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        trim(&self.0).is_empty()
    }

    /// Walks over names and values as sent (a quoted value keeps its quotes).
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut rest: Option<&str> = Some(&self.0);
        std::iter::from_fn(move || {
            let text = rest.take()?;
            let (param, next) = match find_outside(text, b';') {
                Ok(Some(at)) => {
                    split_off(text, at).map_or((text, None), |(param, next)| (param, Some(next)))
                }
                _ => (text, None),
            };
            rest = next;
            Some(name_and_value(param))
        })
        .filter(|(name, _)| !name.is_empty())
    }

    /// Tells whether a parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Gives a parameter's value without quotes; a flag has an empty one. Names are compared without case.
    pub fn get(&self, name: &str) -> Option<Text> {
        let value = self.find(name)?.unwrap_or_default();
        Some(if value.starts_with('"') {
            unquote(&slice(&self.0, value))
        } else {
            slice(&self.0, value)
        })
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Sets a parameter where it stands, or adds it at the end. The value must already be quoted if it has to be.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let mut text =
            String::with_capacity(self.0.len() + name.len() + value.map_or(0, str::len) + 2);
        let mut found = false;
        for (known, old) in self.iter() {
            if known.eq_ignore_ascii_case(name) {
                if !found {
                    write_param(&mut text, name, value);
                }
                found = true;
            } else {
                write_param(&mut text, known, old);
            }
        }
        if !found {
            write_param(&mut text, name, value);
        }
        self.0 = text.into();
    }

    /// Puts `received` in, and `rport` in its place (RFC 3581 §4), in one pass: each answer needs it.
    pub(crate) fn with_source(&self, received: IpAddr, rport: Option<u16>) -> Self {
        // Writing into a String cannot fail.
        let mut text = String::with_capacity(self.0.len() + "received=;rport=65535".len() + 40);
        let mut said = false;
        for (name, value) in self.iter() {
            if name.eq_ignore_ascii_case("received") {
                if !said {
                    write_param(&mut text, "received", Some(""));
                    let _ = write!(text, "{received}");
                }
                said = true;
            } else if let Some(port) = rport.filter(|_| name.eq_ignore_ascii_case("rport")) {
                write_param(&mut text, "rport", Some(""));
                push_number(&mut text, port);
            } else {
                write_param(&mut text, name, value);
            }
        }
        if !said {
            write_param(&mut text, "received", Some(""));
            let _ = write!(text, "{received}");
        }
        Self(text.into())
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        let mut text = String::with_capacity(self.0.len());
        for (known, value) in self.iter() {
            if !known.eq_ignore_ascii_case(name) {
                write_param(&mut text, known, value);
            }
        }
        self.0 = text.into();
    }

    /// Gives the text as sent, without the leading `;`.
    pub fn as_text(&self) -> &Text {
        &self.0
    }
}

fn name_and_value(param: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'=', param.as_bytes()).and_then(|at| split_off(param, at)) {
        Some((name, value)) => (trim(name), Some(trim(value))),
        None => (trim(param), None),
    }
}

fn write_param(text: &mut String, name: &str, value: Option<&str>) {
    if !text.is_empty() {
        text.push(';');
    }
    text.push_str(name);
    if let Some(value) = value {
        text.push('=');
        text.push_str(value);
    }
}

/// Writes `;` and the parameters, or nothing.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        f.write_str(";")?;
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Option<Params> {
        Params::parse(Text::from(text))
    }

    #[test]
    fn blanks_quotes_and_case_do_not_matter() {
        let params = params("  Tag = 98asjd8 ; lr; x=\"a;\\\"b\" ;").expect("parses");
        assert_eq!(params.get("tag").as_deref(), Some("98asjd8"));
        assert_eq!(params.get("LR").as_deref(), Some(""));
        assert_eq!(params.get("x").as_deref(), Some("a;\"b"));
        assert_eq!(params.get("y"), None);
    }

    #[test]
    fn empty_parameters_and_open_quotes_are_refused() {
        for bad in [";;", "a;;b", "a=\"b", "a b=c", "a=\"b\"c", "=x"] {
            assert_eq!(params(bad), None, "{bad}");
        }
    }

    #[test]
    fn where_a_request_came_from_goes_in_at_once() {
        let source = |text| {
            let params = params(text).expect("parses");
            params
                .with_source([192, 0, 2, 1].into(), Some(5060))
                .to_string()
        };
        assert_eq!(
            source("branch=1;rport;x"),
            ";branch=1;rport=5060;x;received=192.0.2.1"
        );
        assert_eq!(
            source("received=a;branch=1;Received=b;RPORT=9"),
            ";received=192.0.2.1;branch=1;rport=5060"
        );
    }

    #[test]
    fn setting_keeps_the_order() {
        let mut params = params("branch=z9;rport;x=1").expect("parses");
        params.set("rport", Some("5060"));
        params.set("received", Some("192.0.2.1"));
        params.remove("x");
        assert_eq!(
            params.to_string(),
            ";branch=z9;rport=5060;received=192.0.2.1"
        );
    }
}
