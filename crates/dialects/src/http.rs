//! Mechanism that all three faces need: paths, tolerant body decoding, URLs that customers give. Never a shape.
//!
//! plivo-rest.md §1, §3; vobiz-rest.md §1; bandwidth-v1.md §1.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use offhook_core::calls::fetch::check_url;
use offhook_core::{Core, Egress};
use rand::RngCore as _;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tower::Layer;
use tower::util::MapRequestLayer;
use uuid::Uuid;

/// The largest request body.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;
/// The longest URL that a customer may give.
const URL_LIMIT: usize = 4096;

/// One operation of a face.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path in canonical form, with names for the parts that vary.
    pub path: String,
    handler: MethodRouter<Arc<Core>>,
}

impl Route {
    /// Makes an operation.
    pub(crate) fn new<H, T>(method: Method, path: impl Into<String>, handler: H) -> Self
    where
        H: Handler<T, Arc<Core>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        Self {
            method,
            path: path.into(),
            handler: on(filter, handler),
        }
    }
}

/// Joins operations to a router.
pub(crate) fn join(routes: Vec<Route>) -> Router<Arc<Core>> {
    routes.into_iter().fold(Router::new(), |router, route| {
        router.route(&route.path, route.handler)
    })
}

/// A request whose parameters are read.
pub(crate) struct Input {
    /// Head of the request.
    pub(crate) parts: Parts,
    /// Its parameters.
    pub(crate) fields: Fields,
}

impl Input {
    /// Reads the body to its end.
    pub(crate) async fn read(request: Request) -> Result<Self, BodyError> {
        let (parts, body) = request.into_parts();
        let fields = Fields::read(&parts, body).await?;
        Ok(Self { parts, fields })
    }
}

/// The values of the path's named parts.
pub(crate) struct PathValues(HashMap<String, String>);

impl PathValues {
    /// Reads them, percent-decoded; a path that is not UTF-8 has none.
    pub(crate) async fn read(parts: &mut Parts) -> Self {
        let values = RawPathParams::from_request_parts(parts, &()).await;
        Self(values.map_or_else(
            |_| HashMap::new(),
            |values| {
                values
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect()
            },
        ))
    }

    /// Gives one; a missing one is empty, which names nothing.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// Whole seconds for `Retry-After`, never too early (RFC 9110 §10.2.3).
pub(crate) fn retry_after(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1)
}

/// Names one request, in its answer and in the log.
pub(crate) fn request_id() -> Uuid {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Puts path normalisation around a router, before it matches; nothing is ever redirected.
pub(crate) fn normalized(routes: Router) -> Router {
    Router::new().fallback_service(MapRequestLayer::new(normalize).layer(routes))
}

fn normalize(mut request: Request) -> Request {
    let Some(path) = canonical_path(request.uri().path()) else {
        return request;
    };
    let mut parts = request.uri().clone().into_parts();
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(target) = target.try_into() {
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Collapses repeated slashes, drops the last one, undoes needless escapes and the doubled prefix that a Java library
/// makes of a relative `Location` (bandwidth-v1.md §1.1). Answers `None` when nothing changes.
fn canonical_path(path: &str) -> Option<String> {
    let decoded = unescape(path);
    let mut segments: Vec<&str> = decoded
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if let ["v1", "v1", "users", ..] = segments.as_slice() {
        segments.remove(0);
    }
    let canonical = format!("/{}", segments.join("/"));
    (canonical != path).then_some(canonical)
}

/// Undoes escapes of characters that never need one (RFC 3986 §2.3); all others stay, so that `%2F` is no slash.
fn unescape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let octet = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet.map(char::from) {
            Some(c @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '~')) => {
                out.push(c);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Why a body was not taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum BodyError {
    /// Larger than the limit.
    TooLarge,
    /// Not read to its end, or neither JSON nor a form.
    Malformed,
}

/// Why a parameter was not taken; names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadField(pub String);

/// The named values of a request, whatever way they travelled.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the query, and the body on top of it.
    pub(crate) async fn read(parts: &Parts, body: Body) -> Result<Self, BodyError> {
        let bytes = to_bytes(body, BODY_LIMIT).await.map_err(|error| {
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                if inner.is::<http_body_util::LengthLimitError>() {
                    return BodyError::TooLarge;
                }
                source = inner.source();
            }
            BodyError::Malformed
        })?;
        let mut fields = match parts.method {
            // A query beside a POST only repeats path parameters (plivo-rest.md §3), and passwords do not belong there.
            http::Method::POST | http::Method::PUT => Self::default(),
            _ => Self::query(parts),
        };
        fields.0.extend(decode(&parts.headers, &bytes)?);
        Ok(fields)
    }

    /// Reads the query alone.
    pub(crate) fn query(parts: &Parts) -> Self {
        Self(form(parts.uri.query().unwrap_or_default().as_bytes()))
    }

    /// Gives the value as it was sent, `null` included.
    fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(scalar)
    }

    /// Gives the value under the first of several spellings that was sent and is not `null`.
    fn value(&self, names: &[&str]) -> Option<&Value> {
        names
            .iter()
            .filter_map(|name| self.raw(name))
            .find(|value| !value.is_null())
    }

    /// Gives what was sent under the first of several spellings, `null` only when no other has a value.
    pub(crate) fn raw_of(&self, names: &[&str]) -> Option<&Value> {
        self.value(names)
            .or_else(|| names.iter().find_map(|name| self.raw(name)))
    }

    /// Gives the members of an object, for example `credentials`.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, BadField> {
        match self.value(&[name]) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self(members.clone()))),
            Some(_) => Err(BadField(name.to_owned())),
        }
    }

    /// Gives a text; numbers and booleans are taken as they are written.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, BadField> {
        self.text_of(&[name])
    }

    /// Gives a text that has several spellings; errors name the first.
    pub(crate) fn text_of(&self, names: &[&'static str]) -> Result<Option<String>, BadField> {
        match self.value(names) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(_) => Err(BadField(
                names.first().copied().unwrap_or_default().to_owned(),
            )),
        }
    }

    /// Gives a boolean, or one written as a string in any case.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, BadField> {
        self.flag_of(&[name])
    }

    /// Gives a boolean that has several spellings; errors name the first.
    pub(crate) fn flag_of(&self, names: &[&'static str]) -> Result<Option<bool>, BadField> {
        match self.value(names) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(BadField(
                names.first().copied().unwrap_or_default().to_owned(),
            )),
        }
    }

    /// Gives an integer, or one written as a string.
    pub(crate) fn integer(&self, name: &'static str) -> Result<Option<i64>, BadField> {
        let bad = || BadField(name.to_owned());
        match self.value(&[name]) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(bad),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| bad()),
            Some(_) => Err(bad()),
        }
    }
}

/// A list of one element is its element (plivo-rest.md §3).
fn scalar(value: &Value) -> &Value {
    match value {
        Value::Array(list) if list.len() == 1 => list.first().unwrap_or(value),
        _ => value,
    }
}

fn decode(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, BodyError> {
    let text = str::from_utf8(bytes)
        .map_err(|_| BodyError::Malformed)?
        .trim();
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_form = media_type
        .to_ascii_lowercase()
        .starts_with("application/x-www-form-urlencoded");
    let looks_like_json = text.is_empty() || text.starts_with(['{', '[', '"']);
    if is_form && !looks_like_json
        || media_type.is_empty() && !looks_like_json && text.contains('=')
    {
        return Ok(form(text.as_bytes()));
    }
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text).map(|Unambiguous(value)| value) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::String(text)) if text.is_empty() => Ok(Map::new()),
        _ => Err(BodyError::Malformed),
    }
}

/// JSON in which no object names a member twice: readers differ about which one counts (RFC 8259 §4), so a proxy that
/// checks requests might see another than we do.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("JSON without a member that is named twice")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(flag.into())
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(number.into())
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(number.into())
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(number.into())
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Unambiguous(value)) = from.next_element()? {
                    list.push(value);
                }
                Ok(Value::Array(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
                let mut members = Map::new();
                while let Some((name, Unambiguous(value))) = from.next_entry::<String, _>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is named twice"));
                    }
                }
                Ok(Value::Object(members))
            }
        }

        from.deserialize_any(Reader).map(Self)
    }
}

fn form(bytes: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

/// Whether a customer's URL is absolute, http or https, and written without characters that parsers read differently.
/// Addresses are judged by the core.
pub(crate) fn is_absolute_http(url: &str) -> bool {
    let after = |name: &str| match url.split_at_checked(name.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(name) => Some(rest),
        _ => None,
    };
    after("http://")
        .or_else(|| after("https://"))
        .is_some_and(|rest| !rest.starts_with(['/', '?', '#']))
        && url.len() <= URL_LIMIT
        && !url.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '\\')
        && url::Url::parse(url)
            .is_ok_and(|parsed| parsed.host_str().is_some_and(|host| !host.is_empty()))
}

/// Whether a customer's URL may be kept: absolute http or https, and no literal address that is out of bounds. Names are
/// judged when they are resolved.
pub(crate) fn may_be_asked(egress: &Egress, url: &str) -> bool {
    // The names of the loopback need no resolver (RFC 6761 §6.3).
    let is_loopback = |host: &str| host == "localhost" || host.ends_with(".localhost");
    is_absolute_http(url)
        && check_url(egress, url).is_ok_and(|read| {
            !read
                .host_str()
                .is_some_and(|host| is_loopback(host.trim_end_matches('.')))
                || check_url(egress, "http://127.0.0.1/").is_ok()
        })
}

/// Gives scheme and authority under which the client reached us, for links in answers.
pub(crate) fn origin(parts: &Parts, fallback: &str) -> String {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let Some(host) = host
        .filter(|host| host.parse::<http::uri::Authority>().is_ok() && !host.contains([',', '@']))
    else {
        return fallback.trim_end_matches('/').to_owned();
    };
    // Set by a proxy that ends TLS in front of us; only the client's own links depend on it.
    let secure = parts
        .headers
        .get("x-forwarded-proto")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"));
    format!("{}://{host}", if secure { "https" } else { "http" })
}

/// Credentials of HTTP Basic (RFC 7617).
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_does_not_distinguish_them() {
        let of = |path: &str| canonical_path(path).unwrap_or_else(|| path.to_owned());
        assert_eq!(of("/v1/Account/MA1//"), "/v1/Account/MA1");
        assert_eq!(
            of("//v1///Account/MA1/Endpoint/"),
            "/v1/Account/MA1/Endpoint"
        );
        assert_eq!(of("/v1//v1/users/u-1/domains"), "/v1/users/u-1/domains");
        assert_eq!(of("/v1/v1/users/u-1/"), "/v1/users/u-1");
        assert_eq!(
            of("/v1/Account/%4DA1/Endpoint/a%2Fb"),
            "/v1/Account/MA1/Endpoint/a%2Fb"
        );
        assert_eq!(of("/v1/%2e%2E/x%"), "/v1/%2e%2E/x%");
        assert_eq!(canonical_path("/v1/users/u-1"), None);
        assert_eq!(of("/"), "/");
    }

    #[test]
    fn bodies_are_read_in_every_shape_that_clients_send() {
        let read = |content_type: Option<&str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            }
            decode(&headers, body.as_bytes()).map(|fields| Value::Object(fields).to_string())
        };
        let json = Some("application/json");
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(read(json, r#" {"a":1} "#), Ok(r#"{"a":1}"#.into()));
        for empty in ["", "  ", "\"\"", "null", "{}"] {
            assert_eq!(read(json, empty), Ok("{}".into()), "{empty:?}");
        }
        assert_eq!(
            read(form, "a=b+c&d=%41"),
            Ok(r#"{"a":"b c","d":"A"}"#.into())
        );
        assert_eq!(read(form, r#"{"a":"="}"#), Ok(r#"{"a":"="}"#.into()));
        assert_eq!(read(None, "a=1"), Ok(r#"{"a":"1"}"#.into()));
        for broken in [
            r#"{"username":"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"a":1e999}"#,
            "\u{feff}{}",
            "[1]",
            "7",
            "\"x\"",
            "a=1",
        ] {
            assert_eq!(read(json, broken), Err(BodyError::Malformed), "{broken:?}");
        }
    }

    #[test]
    fn values_are_taken_in_their_looser_forms() {
        let Value::Object(members) = serde_json::json!({
            "yes": "True", "no": false, "odd": "1", "n": "12", "id": 104520771, "none": null, "one": ["active"], "two": [1, 2]
        }) else {
            return;
        };
        let fields = Fields(members);
        assert_eq!(fields.flag("yes"), Ok(Some(true)));
        assert_eq!(fields.flag("no"), Ok(Some(false)));
        assert_eq!(fields.flag("odd"), Err(BadField("odd".into())));
        assert_eq!(fields.flag("none"), Ok(None));
        assert_eq!(fields.integer("n"), Ok(Some(12)));
        assert_eq!(fields.text("id"), Ok(Some("104520771".into())));
        assert_eq!(fields.text("one"), Ok(Some("active".into())));
        assert_eq!(fields.text("two"), Err(BadField("two".into())));
        assert_eq!(
            fields.text_of(&["none", "id"]),
            Ok(Some("104520771".into()))
        );
    }

    #[test]
    fn only_plain_absolute_http_urls_pass() {
        for good in [
            "http://a.example/x?y=1#ct=200",
            "HTTPS://user:pw@a.example:8443",
            "http://127.0.0.1:9/",
        ] {
            assert!(is_absolute_http(good), "{good}");
        }
        for bad in [
            "",
            "not a url",
            "/x",
            "//a.example/",
            "ftp://a.example/",
            "http:a.example",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a.example\\@127.0.0.1/",
            "http://a\t.example/",
            "javascript:alert(1)",
            "http://[::1",
            "http://exa\nmple/",
        ] {
            assert!(!is_absolute_http(bad), "{bad:?}");
        }
    }
}
