//! Asks a customer's HTTP server: plivo-rest.md §14.1, §14.2; hard cases X01, X02.
//!
//! Redirects at most 3, each of them checked; the body is read up to a limit after decompression. How patient to be is the
//! dialect's profile, then the URL's own fragment (`#ct=2000&rt=5000&rc=2&rp=ct,rt`), within the operator's limit.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use call::HttpMethod;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, header};
use url::Url;

pub use crate::calls::egress::{Refused, check_url};

use crate::Settings;
use crate::calls::dialect::{DeliveryProfile, Payload};
use crate::calls::egress::{self, Resolver};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// The connect timeouts that clients exist for, in milliseconds; a wish is rounded up.
const CONNECT: [u64; 5] = [500, 1000, 2000, 5000, 10_000];

/// The longest time for one URL with its retries (plivo-rest.md §14.2).
const TOTAL: Duration = Duration::from_secs(55);

/// Why a customer's server brought no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL may not be asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No connection.
    #[error("no connection")]
    Connect,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is too long.
    #[error("the answer is too long")]
    TooLong,
    /// An answer with another status than 2xx.
    #[error("status {0}")]
    Status(u16),
    /// The answer broke off or made no sense.
    #[error("no sensible answer")]
    Broken,
}

/// What a customer's server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The URL that answered, after redirects.
    pub url: String,
    /// Its Content-Type.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The way out to customers' servers; clones share connections.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    egress: Arc<crate::settings::Egress>,
    clients: [OnceLock<Option<Client>>; CONNECT.len()],
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Fetcher {
    /// Makes the way out within the operator's limits.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self(Arc::new(Inner {
            egress: Arc::new(settings.egress.clone()),
            settings,
            clients: Default::default(),
        }))
    }

    /// Asks a URL, again where its options say so, within the total time.
    pub async fn fetch(
        &self,
        url: &str,
        method: HttpMethod,
        payload: &Payload,
        profile: DeliveryProfile,
    ) -> Result<Answer, FetchError> {
        let url = egress::check_url(&self.0.egress, url)?;
        let (url, options) = take_options(url, profile, self.0.settings.fetch_total);
        let tries = self.tries(&url, method, payload, &options);
        tokio::time::timeout(options.total, tries)
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    /// Asks a URL once, or as often as its own options say.
    pub async fn deliver(
        &self,
        url: &str,
        method: HttpMethod,
        payload: &Payload,
        profile: DeliveryProfile,
    ) -> Result<Answer, FetchError> {
        let once = DeliveryProfile {
            retries: 0,
            ..profile
        };
        let url = egress::check_url(&self.0.egress, url)?;
        let (url, options) = take_options(url, once, self.0.settings.fetch_total);
        let tries = self.tries(&url, method, payload, &options);
        tokio::time::timeout(options.total, tries)
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn tries(
        &self,
        url: &Url,
        method: HttpMethod,
        payload: &Payload,
        options: &Options,
    ) -> Result<Answer, FetchError> {
        let mut left = options.retries;
        loop {
            let outcome = self.once(url, method, payload, options).await;
            match &outcome {
                Err(error) if left > 0 && options.retries_on(error) => left -= 1,
                _ => return outcome,
            }
        }
    }

    async fn once(
        &self,
        url: &Url,
        method: HttpMethod,
        payload: &Payload,
        options: &Options,
    ) -> Result<Answer, FetchError> {
        let client = self.client(options.connect).ok_or(FetchError::Broken)?;
        let request = match (method, payload) {
            (HttpMethod::Get, payload) => client.get(with_query(url.clone(), fields(payload))),
            (HttpMethod::Post, Payload::Form(_)) => client
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(encode(fields(payload))),
            (HttpMethod::Post, Payload::Json(json)) => client
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                .body(json.to_string()),
        };
        let timeout = options.connect.saturating_add(options.read);
        let request = request.header(header::USER_AGENT, options.user_agent);
        let mut response = request.timeout(timeout).send().await.map_err(reason)?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status(status.as_u16()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let url = response.url().to_string();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(reason)? {
            if body.len().saturating_add(chunk.len()) > self.0.settings.fetch_bytes {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            url,
            content_type,
            body: body.freeze(),
        })
    }

    fn client(&self, connect: Duration) -> Option<&Client> {
        let place = CONNECT
            .iter()
            .position(|&millis| Duration::from_millis(millis) >= connect);
        let place = place.unwrap_or(CONNECT.len() - 1);
        let (slot, millis) = (self.0.clients.get(place)?, CONNECT.get(place)?);
        slot.get_or_init(|| {
            let egress = Arc::clone(&self.0.egress);
            let built = Client::builder()
                .connect_timeout(Duration::from_millis(*millis))
                .dns_resolver(Arc::new(Resolver(Arc::clone(&self.0.egress))))
                .redirect(Policy::custom(move |attempt: Attempt<'_>| {
                    if attempt.previous().len() > REDIRECTS {
                        return attempt.error("too many redirects");
                    }
                    match egress::check(&egress, attempt.url()) {
                        Ok(()) => attempt.follow(),
                        Err(refused) => attempt.error(refused),
                    }
                }))
                // A customer's query is nobody else's business.
                .referer(false)
                .no_proxy()
                .pool_max_idle_per_host(4)
                .build();
            built
                .inspect_err(|error| tracing::error!(%error, "no HTTP client"))
                .ok()
        })
        .as_ref()
    }
}

/// What the fragment of a URL asks for (plivo-rest.md §14.2).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Options {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u8,
    on_4xx: bool,
    on_5xx: bool,
    on_connect: bool,
    on_read: bool,
    user_agent: &'static str,
}

impl Options {
    fn retries_on(&self, error: &FetchError) -> bool {
        match error {
            FetchError::Connect => self.on_connect,
            FetchError::Timeout => self.on_read,
            FetchError::Status(400..=499) => self.on_4xx,
            FetchError::Status(500..=599) => self.on_5xx,
            _ => false,
        }
    }
}

/// Reads the options in a URL's fragment and takes the fragment off.
fn take_options(mut url: Url, profile: DeliveryProfile, limit: Duration) -> (Url, Options) {
    let mut options = Options {
        connect: profile.connect,
        read: profile.read,
        total: TOTAL.min(limit),
        retries: profile.retries,
        on_4xx: false,
        on_5xx: false,
        on_connect: true,
        on_read: true,
        user_agent: profile.user_agent,
    };
    let fragment = url.fragment().unwrap_or_default().to_owned();
    for (key, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')) {
        let millis = |most: u64| {
            value
                .parse()
                .ok()
                .map(|wish: u64| Duration::from_millis(wish.clamp(100, most)))
        };
        match key {
            "ct" => options.connect = millis(10_000).unwrap_or(options.connect),
            "rt" => options.read = millis(40_000).unwrap_or(options.read),
            "tt" => options.total = millis(55_000).unwrap_or(options.total).min(limit),
            "rc" => {
                options.retries = value
                    .parse()
                    .map_or(options.retries, |wish: u8| wish.min(5))
            }
            "rp" => {
                let wants = |what| value.split(',').any(|word| word == what || word == "all");
                options.on_4xx = wants("4xx");
                options.on_5xx = wants("5xx");
                options.on_connect = wants("ct");
                options.on_read = wants("rt");
            }
            _ => (),
        }
    }
    url.set_fragment(None);
    (url, options)
}

/// Tells whether a URL says itself how often it is to be asked.
pub(crate) fn says_how_often(url: &str) -> bool {
    let options = url.split_once('#').map_or("", |(_, fragment)| fragment);
    let count = options
        .split('&')
        .filter_map(|pair| pair.strip_prefix("rc="))
        .next_back();
    count.is_some_and(|count| count.parse::<u8>().is_ok())
}

/// The fields of a payload, sorted by name (plivo-rest.md §14.1).
fn fields(payload: &Payload) -> Vec<(String, String)> {
    let mut fields = match payload {
        Payload::Form(fields) => fields.clone(),
        Payload::Json(serde_json::Value::Object(members)) => members
            .iter()
            .map(|(name, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect(),
        Payload::Json(_) => Vec::new(),
    };
    fields.sort_by(|one, two| one.0.cmp(&two.0));
    fields
}

/// Merges fields with the URL's own query and sorts the whole.
fn with_query(mut url: Url, mut fields: Vec<(String, String)>) -> Url {
    fields.extend(url.query_pairs().into_owned());
    fields.sort_by(|one, two| one.0.cmp(&two.0));
    let query = encode(fields);
    url.set_query(
        Some(&query)
            .filter(|query| !query.is_empty())
            .map(String::as_str),
    );
    url
}

fn encode(fields: Vec<(String, String)>) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

fn reason(error: reqwest::Error) -> FetchError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return FetchError::Refused(refused.clone());
        }
        source = inner.source();
    }
    if error.is_connect() {
        FetchError::Connect
    } else if error.is_timeout() {
        FetchError::Timeout
    } else {
        FetchError::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: DeliveryProfile = DeliveryProfile {
        connect: Duration::from_secs(2),
        read: Duration::from_secs(40),
        retries: 1,
        user_agent: "Vendor/1",
    };

    #[test]
    fn options_in_the_fragment_are_honoured_within_their_ranges_and_taken_off() {
        let url =
            Url::parse("https://h/answer?a=1#ct=1&rt=99999&tt=5000&rc=9&rp=4xx,ct").expect("a URL");
        let (url, options) = take_options(url, PROFILE, Duration::from_secs(55));
        assert_eq!(url.as_str(), "https://h/answer?a=1");
        let expected = Options {
            connect: Duration::from_millis(100),
            read: Duration::from_secs(40),
            total: Duration::from_secs(5),
            retries: 5,
            on_4xx: true,
            on_5xx: false,
            on_connect: true,
            on_read: false,
            user_agent: "Vendor/1",
        };
        assert_eq!(options, expected);
        assert!(says_how_often("https://h/#rp=5xx&rc=2"));
        assert!(!says_how_often("https://h/?a&rc=2#rt=200") && !says_how_often("https://h/#rc=x"));
        let plain = Url::parse("https://h/answer#top").expect("a URL");
        let (_, options) = take_options(plain, PROFILE, Duration::from_secs(55));
        assert!(
            options.retries_on(&FetchError::Connect) && options.retries_on(&FetchError::Timeout)
        );
        assert!(!options.retries_on(&FetchError::Status(500)));
    }

    #[test]
    fn a_get_merges_its_fields_with_the_query_in_the_order_of_names() {
        let url = Url::parse("https://h/?b=2&Z=3").expect("a URL");
        let fields = vec![
            ("To".to_owned(), "+1 5".to_owned()),
            ("CallUUID".to_owned(), "x".to_owned()),
        ];
        assert_eq!(
            with_query(url, fields).as_str(),
            "https://h/?CallUUID=x&To=%2B1+5&Z=3&b=2"
        );
    }
}
