//! Customers' HTTP servers, well and badly behaved: plivo-rest.md §14.1, §14.2; hard cases X01, X02 and SSRF.

mod world;

use std::sync::Arc;
use std::time::Duration;

use call::HttpMethod;
use offhook_core::calls::fetch::{Answer, FetchError, Fetcher, Refused, check_url};
use offhook_core::{DeliveryProfile, Egress, Payload, Settings};
use world::{Customer, http, settings};

const PROFILE: DeliveryProfile = DeliveryProfile {
    connect: Duration::from_secs(2),
    read: Duration::from_secs(5),
    retries: 1,
    user_agent: "Vendor/1",
};
/// 200,000 octets in 228.
const BOMB: &str = "1f8b0800000000000203edc13101000000c2a0aceb5fc20cfe400100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000af019b5369e0400d0300";

fn form() -> Payload {
    let fields = [("To", "+1 5"), ("From", "a&b"), ("Event", "StartApp")];
    Payload::Form(
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    )
}

async fn fetch(settings: Settings, url: &str, method: HttpMethod) -> Result<Answer, FetchError> {
    Fetcher::new(Arc::new(settings))
        .fetch(url, method, &form(), PROFILE)
        .await
}

fn counted(customer: &mut Customer) -> usize {
    std::iter::from_fn(|| customer.requests.try_recv().ok()).count()
}

#[test]
fn no_form_of_a_private_address_is_reached() {
    let refused = [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://172.31.0.1/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://192.0.2.1/",
        "http://198.18.0.1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[ff02::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:db8::1]/",
        "http://[::127.0.0.1]/",
        "https://user:secret@127.0.0.1/",
        "http://127.0.0.1.:80/",
    ];
    for url in refused {
        assert_eq!(
            check_url(&Egress::default(), url),
            Err(Refused::Address),
            "{url}"
        );
    }
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
    ] {
        assert_eq!(
            check_url(&Egress::default(), url),
            Err(Refused::Scheme),
            "{url}"
        );
    }
    for url in ["", "answer", "//example.com/", "http://", "http://[::1"] {
        assert_eq!(
            check_url(&Egress::default(), url),
            Err(Refused::NotUrl),
            "{url}"
        );
    }
    for url in [
        "http://example.com/",
        "https://8.8.8.8/a",
        "http://[2606:4700::1111]/",
    ] {
        assert!(check_url(&Egress::default(), url).is_ok(), "{url}");
    }
    // What the operator allows is reached, metadata services never.
    let everything = Egress {
        allow: ["0.0.0.0/0", "::/0"]
            .map(|net| net.parse().expect("a network"))
            .to_vec(),
    };
    assert!(check_url(&everything, "http://10.1.2.3/").is_ok());
    for url in [
        "http://169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
    ] {
        assert_eq!(check_url(&everything, url), Err(Refused::Address), "{url}");
    }
}

#[tokio::test]
async fn a_name_and_a_redirect_lead_to_no_private_address() {
    let closed = Settings {
        egress: Egress::default(),
        ..settings()
    };
    let outcome = fetch(closed, "http://localhost:1/", HttpMethod::Get).await;
    assert_eq!(outcome.err(), Some(FetchError::Refused(Refused::Address)));
    for target in [
        "http://10.0.0.1/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest/meta-data/",
    ] {
        let customer =
            Customer::new(move |_| http("302 Found", &format!("Location: {target}\r\n"), b""))
                .await;
        let outcome = fetch(settings(), &customer.base, HttpMethod::Get).await;
        assert_eq!(
            outcome.err(),
            Some(FetchError::Refused(Refused::Address)),
            "{target}"
        );
    }
}

#[tokio::test]
async fn redirects_are_followed_three_times() {
    let answer = |line: &str| {
        let step: u32 = line
            .split(['/', ' '])
            .nth(2)
            .and_then(|step| step.parse().ok())
            .unwrap_or_default();
        match step {
            0 => http("200 OK", "Content-Type: text/xml\r\n", b"<Response/>"),
            _ => http(
                "307 Temporary Redirect",
                &format!("Location: /{}\r\n", step - 1),
                b"",
            ),
        }
    };
    let mut customer = Customer::new(answer).await;
    let found = fetch(
        settings(),
        &format!("{}/3", customer.base),
        HttpMethod::Post,
    )
    .await
    .expect("an answer");
    assert_eq!(found.url, format!("{}/0", customer.base));
    assert_eq!(found.content_type.as_deref(), Some("text/xml"));
    assert_eq!(found.body, "<Response/>");
    assert_eq!(counted(&mut customer), 4);
    let outcome = fetch(
        settings(),
        &format!("{}/4", customer.base),
        HttpMethod::Post,
    )
    .await;
    assert_eq!(outcome.err(), Some(FetchError::Broken));
}

#[tokio::test]
async fn fields_travel_sorted_in_the_body_or_merged_into_the_query() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"ok")).await;
    let base = customer.base.replace("http://", "http://me:pass%20word@");
    fetch(
        settings(),
        &format!("{base}/a?x=1#ct=2000"),
        HttpMethod::Post,
    )
    .await
    .expect("an answer");
    let request = customer.request().await;
    assert!(request.starts_with("POST /a?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\nEvent=StartApp&From=a%26b&To=%2B1+5"),
        "{request}"
    );
    assert!(
        request.contains("application/x-www-form-urlencoded"),
        "{request}"
    );
    assert!(
        request
            .to_ascii_lowercase()
            .contains("authorization: basic bwu6cgfzcyb3b3jk"),
        "{request}"
    );
    fetch(settings(), &format!("{base}/a?F=1"), HttpMethod::Get)
        .await
        .expect("an answer");
    let request = customer.request().await;
    assert!(
        request.starts_with("GET /a?Event=StartApp&F=1&From=a%26b&To=%2B1+5 HTTP/1.1\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn x01_a_server_that_hangs_or_fails_is_asked_again_as_its_url_says() {
    let mut hanging = Customer::new(|_| Vec::new()).await;
    let url = format!("{}/#ct=100&rt=100&rc=2", hanging.base);
    assert_eq!(
        fetch(settings(), &url, HttpMethod::Get).await.err(),
        Some(FetchError::Timeout)
    );
    assert_eq!(counted(&mut hanging), 3);
    let url = format!("{}/#rt=40000&tt=150&rc=5", hanging.base);
    assert_eq!(
        fetch(settings(), &url, HttpMethod::Get).await.err(),
        Some(FetchError::Timeout)
    );
    let mut failing = Customer::new(|_| http("500 Internal Server Error", "", b"")).await;
    assert_eq!(
        fetch(settings(), &failing.base, HttpMethod::Post)
            .await
            .err(),
        Some(FetchError::Status(500))
    );
    assert_eq!(counted(&mut failing), 1);
    let url = format!("{}/#rc=2&rp=5xx", failing.base);
    assert_eq!(
        fetch(settings(), &url, HttpMethod::Post).await.err(),
        Some(FetchError::Status(500))
    );
    assert_eq!(counted(&mut failing), 3);
    // A port where nobody listens any more.
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    assert_eq!(
        fetch(settings(), &closed, HttpMethod::Get).await.err(),
        Some(FetchError::Connect)
    );
}

#[tokio::test]
async fn x02_no_answer_grows_beyond_its_limit_not_even_a_compressed_one() {
    let long = Customer::new(|_| http("200 OK", "", &vec![b'a'; 100_001])).await;
    assert_eq!(
        fetch(settings(), &long.base, HttpMethod::Get).await.err(),
        Some(FetchError::TooLong)
    );
    let fits = Customer::new(|_| http("200 OK", "", &vec![b'a'; 100_000])).await;
    let answer = fetch(settings(), &fits.base, HttpMethod::Get)
        .await
        .expect("an answer");
    assert_eq!(answer.body.len(), 100_000);
    let bomb = hex::decode(BOMB).expect("hexadecimal digits");
    let bomb = Customer::new(move |_| http("200 OK", "Content-Encoding: gzip\r\n", &bomb)).await;
    assert_eq!(
        fetch(settings(), &bomb.base, HttpMethod::Get).await.err(),
        Some(FetchError::TooLong)
    );
}
