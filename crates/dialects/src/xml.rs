//! Mechanism for reading the documents that customers answer: limits, attributes, URLs. Which elements exist is the
//! dialects' business. voice-xml.md §1.2–1.4.

use std::borrow::Cow;

use call::{HttpMethod, Link};
use roxmltree::{Node, NodeType, ParsingOptions};

/// How deep elements may nest.
const DEPTH: usize = 32;
/// How many elements there may be.
const ELEMENTS: usize = 1_000;
/// How many nodes there may be: elements, texts between them, comments.
const NODES: u32 = 4_096;
/// How long an attribute may be.
const ATTRIBUTE: usize = 64 * 1024;

/// Why a body is no document; what the log and the customer's debug view say.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Zero bytes, or nothing but blanks.
    #[error("the body is empty")]
    Empty,
    /// Larger than the dialect allows.
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    /// Neither UTF-8 nor a declared ISO 8859-1.
    #[error("the document is not UTF-8")]
    Encoding,
    /// Not well-formed, or with a DTD.
    #[error("XML Parsing Error: Invalid XML Syntax: {0}")]
    Syntax(String),
    /// Well-formed, and beyond the limits.
    #[error("the document has too many or too deeply nested elements, or too long attributes")]
    Limits,
    /// Some other root element.
    #[error("the root element is {0}, not Response")]
    Root(String),
    /// A top-level element that no contract knows.
    #[error("{0} is not an element of Response")]
    Unknown(String),
    /// An element that the contract has and this server does not run.
    #[error("{0} is not supported by this server")]
    Unsupported(String),
    /// An element without its content or with a value outside its set.
    #[error("{element}: {what} is not valid")]
    Invalid {
        /// The element.
        element: &'static str,
        /// Its attribute, or `body`.
        what: &'static str,
    },
}

/// Reads a document and hands its `Response` to `read`.
pub(crate) fn with_response<T>(
    body: &[u8],
    limit: usize,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if body.len() > limit {
        return Err(Fault::TooLarge(limit));
    }
    let text = text(body)?;
    if text.trim().is_empty() {
        return Err(Fault::Empty);
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    let document =
        roxmltree::Document::parse_with_options(&text, options).map_err(|error| match error {
            roxmltree::Error::NodesLimitReached => Fault::Limits,
            error => Fault::Syntax(error.to_string()),
        })?;
    check_limits(&document)?;
    match document.root_element() {
        root if root.tag_name().name() == "Response" => read(root),
        root => Err(Fault::Root(root.tag_name().name().to_owned())),
    }
}

fn text(body: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(text) = str::from_utf8(body) {
        return Ok(Cow::Borrowed(text));
    }
    let declaration: Vec<u8> = body
        .iter()
        .take(100)
        .take_while(|octet| **octet != b'>')
        .map(u8::to_ascii_lowercase)
        .collect();
    if !declaration
        .windows(10)
        .any(|window| window == b"iso-8859-1")
    {
        return Err(Fault::Encoding);
    }
    Ok(Cow::Owned(body.iter().copied().map(char::from).collect()))
}

fn check_limits(document: &roxmltree::Document<'_>) -> Result<(), Fault> {
    let mut elements = 0;
    let mut depth = 0;
    let mut node = Some(document.root_element());
    // Depth first without recursion: down, else across, else up and across.
    while let Some(at) = node {
        if at.is_element() {
            elements += 1;
            if elements > ELEMENTS
                || at
                    .attributes()
                    .any(|attribute| attribute.value().len() > ATTRIBUTE)
            {
                return Err(Fault::Limits);
            }
        }
        node = match at.first_child() {
            Some(child) => {
                depth += 1;
                if child.is_element() && depth >= DEPTH {
                    return Err(Fault::Limits);
                }
                Some(child)
            }
            None => {
                let mut climb = at;
                loop {
                    if depth == 0 {
                        break None;
                    }
                    if let Some(next) = climb.next_sibling() {
                        if next.is_element() && depth >= DEPTH {
                            return Err(Fault::Limits);
                        }
                        break Some(next);
                    }
                    depth -= 1;
                    match climb.parent() {
                        Some(parent) => climb = parent,
                        None => break None,
                    }
                }
            }
        };
    }
    Ok(())
}

/// The elements directly below one.
pub(crate) fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
) -> impl Iterator<Item = (&'a str, Node<'a, 'input>)> {
    node.children()
        .filter(|child| child.node_type() == NodeType::Element)
        .map(|child| (child.tag_name().name(), child))
}

/// The text directly inside an element, trimmed.
pub(crate) fn body(node: Node<'_, '_>) -> String {
    let text: String = node
        .children()
        .filter(|child| child.is_text())
        .filter_map(|child| child.text())
        .collect();
    text.trim().to_owned()
}

/// An attribute with a value; an empty one counts as absent (voice-xml.md §1.7).
pub(crate) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name)
        .filter(|value| !value.trim().is_empty())
}

/// An integer attribute; anything else counts as absent (voice-xml.md §1.4).
pub(crate) fn integer(node: Node<'_, '_>, name: &str) -> Option<i64> {
    attribute(node, name).and_then(|value| value.trim().parse().ok())
}

/// A boolean attribute: only `true` is true (voice-xml.md §1.4).
pub(crate) fn flag(node: Node<'_, '_>, name: &str, default: bool) -> bool {
    attribute(node, name).map_or(default, |value| value.trim() == "true")
}

/// A method attribute.
pub(crate) fn method(
    node: Node<'_, '_>,
    element: &'static str,
    name: &'static str,
) -> Result<HttpMethod, Fault> {
    match attribute(node, name).map(str::trim) {
        None => Ok(HttpMethod::Post),
        Some(value) if value.eq_ignore_ascii_case("POST") => Ok(HttpMethod::Post),
        Some(value) if value.eq_ignore_ascii_case("GET") => Ok(HttpMethod::Get),
        Some(_) => Err(Fault::Invalid {
            element,
            what: name,
        }),
    }
}

/// A URL, resolved against that of the document (voice-xml.md §1.3). One that cannot be resolved stays as it is: asking it
/// fails with the right cause.
pub(crate) fn link(base: &str, url: &str, method: HttpMethod) -> Link {
    let url = url.trim();
    if crate::http::is_absolute_http(url) {
        return Link {
            url: url.to_owned(),
            method,
        };
    }
    let has_scheme = url::Url::parse(url).is_ok();
    let resolved = url::Url::parse(base)
        .ok()
        .and_then(|base| base.join(url).ok())
        .filter(|_| !has_scheme);
    if resolved.is_some() {
        tracing::warn!("a document holds a relative URL; resolved against the document's own");
    }
    Link {
        url: resolved.map_or_else(|| url.to_owned(), |url| url.into()),
        method,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<usize, Fault> {
        with_response(body, 100 * 1024, |response| Ok(children(response).count()))
    }

    #[test]
    fn documents_are_refused_by_form() {
        assert_eq!(read(b"<Response/>"), Ok(0));
        assert_eq!(
            read(b"\xef\xbb\xbf<?xml version='1.0'?><Response><A/>x<B/></Response>"),
            Ok(2)
        );
        assert_eq!(
            read(b"<?xml version='1.0' encoding='ISO-8859-1'?><Response>\xe9</Response>"),
            Ok(0)
        );
        assert_eq!(read(b"<Response>\xe9</Response>"), Err(Fault::Encoding));
        assert_eq!(read(b""), Err(Fault::Empty));
        assert_eq!(read(b" \r\n"), Err(Fault::Empty));
        assert_eq!(read(b"<response/>"), Err(Fault::Root("response".into())));
        assert_eq!(
            read(b"<html><body/></html>"),
            Err(Fault::Root("html".into()))
        );
        assert_eq!(
            read(&vec![b' '; 100 * 1024 + 1]),
            Err(Fault::TooLarge(100 * 1024))
        );
        for malformed in [
            &b"{\"a\":1}"[..],
            b"hello",
            b"<Response>",
            b"<Response/><Response/>",
            b"<Response>a & b</Response>",
            b" <?xml version='1.0'?><Response/>",
            b"<!DOCTYPE Response [<!ENTITY a 'b'>]><Response>&a;</Response>",
            b"<!DOCTYPE Response SYSTEM 'file:///etc/passwd'><Response/>",
        ] {
            assert!(
                matches!(read(malformed), Err(Fault::Syntax(_))),
                "{}",
                String::from_utf8_lossy(malformed)
            );
        }
    }

    #[test]
    fn limits_hold_to_the_element() {
        let nested = |depth: usize| {
            let inner = depth - 1;
            format!(
                "<Response>{}{}</Response>",
                "<a>".repeat(inner),
                "</a>".repeat(inner)
            )
            .into_bytes()
        };
        assert_eq!(read(&nested(DEPTH)), Ok(1));
        assert_eq!(read(&nested(DEPTH + 1)), Err(Fault::Limits));
        assert!(read(&nested(14_000)).is_err());
        let wide = |count: usize| {
            format!("<Response>{}</Response>", "<a/>".repeat(count - 1)).into_bytes()
        };
        assert_eq!(read(&wide(ELEMENTS)), Ok(ELEMENTS - 1));
        assert_eq!(read(&wide(ELEMENTS + 1)), Err(Fault::Limits));
        let long = |length: usize| {
            format!("<Response><a b='{}'/></Response>", "x".repeat(length)).into_bytes()
        };
        assert_eq!(read(&long(ATTRIBUTE)), Ok(1));
        assert_eq!(read(&long(ATTRIBUTE + 1)), Err(Fault::Limits));
    }

    #[test]
    fn relative_urls_belong_to_the_document() {
        let of = |url: &str| link("https://app.example/flow/start?x=1", url, HttpMethod::Post).url;
        assert_eq!(of("/dial-status/"), "https://app.example/dial-status/");
        assert_eq!(of(" next "), "https://app.example/flow/next");
        assert_eq!(of("https://b.example/Y#rc=2"), "https://b.example/Y#rc=2");
        assert_eq!(of("ftp://b.example/"), "ftp://b.example/");
    }
}
