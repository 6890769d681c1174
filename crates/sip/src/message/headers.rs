//! The headers of a message in the order of the wire: RFC 3261 §7.3.

use crate::Text;
use crate::message::grammar::{List, slice};
use crate::message::header::{
    CSeq, Contacts, Header, HeaderError, Malformed, Name, NameAddr, Via, contact, number,
};

/// Room that the first header makes: most messages have no more.
const ROOM: usize = 16;

/// Headers in the order of the wire. They lie outside of the message, which is moved from one queue to the next.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// Makes an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    fn make_room(&mut self) {
        if self.0.capacity() == 0 {
            self.0.reserve(ROOM);
        }
    }

    /// Gives the value of the first header of that name.
    pub fn get(&self, name: &Name) -> Option<&Text> {
        self.all(name).next()
    }

    /// Walks over the lines of that name.
    pub fn all(&self, name: &Name) -> impl Iterator<Item = &Text> {
        self.0
            .iter()
            .filter(move |header| header.name == *name)
            .map(|header| &header.value)
    }

    /// Walks over the values of that name, with comma-joined lines taken apart (RFC 3261 §7.3.1).
    pub fn values(&self, name: &Name) -> impl Iterator<Item = Text> {
        self.all(name)
            .flat_map(|line| List::new(line).map(|value| slice(line, value)))
    }

    /// Tells whether a list header names a token: an option tag, a method (compared without case).
    pub fn lists(&self, name: &Name, token: &str) -> bool {
        self.all(name)
            .flat_map(|line| List::new(line))
            .any(|value| value.eq_ignore_ascii_case(token))
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: Name, value: impl Into<Text>) {
        self.make_room();
        self.0.push(Header {
            name,
            value: value.into(),
        });
    }

    /// Adds a header before all others: our Via (RFC 3261 §18.1.1).
    pub fn push_front(&mut self, name: Name, value: impl Into<Text>) {
        self.make_room();
        self.0.insert(
            0,
            Header {
                name,
                value: value.into(),
            },
        );
    }

    /// Replaces all headers of that name by one, where the first stood or at the end.
    pub fn set(&mut self, name: Name, value: impl Into<Text>) {
        let value = value.into();
        let Some(at) = self.0.iter().position(|header| header.name == name) else {
            self.0.push(Header { name, value });
            return;
        };
        let mut position = 0;
        self.0.retain(|header| {
            let keep = position <= at || header.name != name;
            position += 1;
            keep
        });
        if let Some(header) = self.0.get_mut(at) {
            header.value = value;
        }
    }

    /// Removes all headers of that name.
    pub fn remove(&mut self, name: &Name) {
        self.0.retain(|header| header.name != *name);
    }

    /// Walks over all headers.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// Counts the header lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the top Via, also out of a comma-joined line (RFC 3261 §20.42).
    pub fn via(&self) -> Result<Via, HeaderError> {
        self.typed(Name::Via, Via::parse_top)
    }

    /// Puts another value in the place of the top Via and leaves those below it alone.
    pub fn set_top_via(&mut self, via: &Via) {
        let Some(header) = self.0.iter_mut().find(|header| header.name == Name::Via) else {
            return;
        };
        let below: Vec<&str> = List::new(&header.value).skip(1).collect();
        let mut line = via.to_string();
        for value in below {
            line.push_str(", ");
            line.push_str(value);
        }
        header.value = line.into();
    }

    /// Reads From (RFC 3261 §20.20).
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.typed(Name::From, NameAddr::parse)
    }

    /// Reads To (RFC 3261 §20.39).
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.typed(Name::To, NameAddr::parse)
    }

    /// Gives the Call-ID (RFC 3261 §20.8).
    pub fn call_id(&self) -> Option<&Text> {
        self.get(&Name::CallId)
    }

    /// Reads CSeq (RFC 3261 §20.16).
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.typed(Name::CSeq, CSeq::parse)
    }

    /// Reads all Contacts (RFC 3261 §20.10); none is an empty list.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        contact::parse(self.all(&Name::Contact))
            .map_err(|Malformed| HeaderError::Malformed(Name::Contact))
    }

    /// Reads a header that lists addresses: Route, Record-Route, Path. Those after the 256th are left aside.
    pub fn addresses(&self, name: &Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.values(name)
            .take(contact::MOST_ADDRESSES)
            .map(|value| NameAddr::parse(&value))
            .collect::<Result<_, _>>()
            .map_err(|Malformed| HeaderError::Malformed(name.clone()))
    }

    /// Reads Max-Forwards (RFC 3261 §20.22). `Ok(None)`: absent.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        match self.get(&Name::MaxForwards) {
            Some(value) => number::max_forwards(value)
                .map(Some)
                .map_err(|Malformed| HeaderError::Malformed(Name::MaxForwards)),
            None => Ok(None),
        }
    }

    /// Reads Expires (RFC 3261 §20.19): what is not a number counts as absent, what is too large as the largest.
    pub fn expires(&self) -> Option<u32> {
        self.get(&Name::Expires)
            .and_then(|value| number::delta_seconds(value))
    }

    fn typed<T>(
        &self,
        name: Name,
        parse: impl FnOnce(&Text) -> Result<T, Malformed>,
    ) -> Result<T, HeaderError> {
        match self.get(&name) {
            Some(value) => parse(value).map_err(|Malformed| HeaderError::Malformed(name)),
            None => Err(HeaderError::Missing(name)),
        }
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl Extend<Header> for Headers {
    fn extend<I: IntoIterator<Item = Header>>(&mut self, headers: I) {
        self.0.extend(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_all_and_keeps_the_place_of_the_first() {
        let mut headers = Headers::new();
        headers.push(Name::Contact, "a");
        headers.push(Name::To, "t");
        headers.push(Name::Contact, "b");
        headers.set(Name::Contact, "c");
        headers.set(Name::Date, "d");
        let lines: Vec<_> = headers.iter().map(|header| header.to_string()).collect();
        assert_eq!(lines, ["Contact: c", "To: t", "Date: d"]);
    }

    #[test]
    fn the_top_via_of_a_joined_line_is_replaced_alone() {
        let mut headers = Headers::new();
        headers.push(Name::Via, "SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b;branch=2");
        headers.push(Name::Via, "SIP/2.0/TLS c;branch=3");
        let mut via = headers.via().expect("top Via");
        assert_eq!(via.branch().as_deref(), Some("1"));
        via.params.set("received", Some("192.0.2.1"));
        headers.set_top_via(&via);
        let vias: Vec<_> = headers.values(&Name::Via).collect();
        assert_eq!(
            vias,
            [
                "SIP/2.0/UDP a;branch=1;received=192.0.2.1",
                "SIP/2.0/TCP b;branch=2",
                "SIP/2.0/TLS c;branch=3"
            ]
        );
    }

    #[test]
    fn tokens_of_list_headers_are_found() {
        let mut headers = Headers::new();
        headers.push(Name::Supported, "path , OUTBOUND");
        headers.push(Name::Supported, "gruu");
        assert!(headers.lists(&Name::Supported, "outbound"));
        assert!(headers.lists(&Name::Supported, "gruu"));
        assert!(!headers.lists(&Name::Supported, "100rel"));
    }
}
