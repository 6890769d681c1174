//! A server in this process, from its listeners to its end.

use std::net::SocketAddr;
use std::time::Duration;

use offhook::config::{Config, Layers};
use offhook::net::listen;
use offhook::run::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

fn config() -> Config {
    let any = || toml::Value::from("127.0.0.1:0");
    let list = || toml::Value::Array(vec![any()]);
    let arguments = vec![
        ("http.listen", any()),
        ("sip.udp", list()),
        ("sip.tcp", list()),
        ("sip.shards", 2.into()),
        ("media.ports", "39000-39099".into()),
        ("store.url", "sqlite::memory:".into()),
    ];
    Layers {
        arguments,
        ..Layers::default()
    }
    .load()
    .expect("the configuration is right")
}

fn options(transport: &str, branch: &str) -> String {
    [
        "OPTIONS sip:offhook.localhost SIP/2.0",
        &format!("Via: SIP/2.0/{transport} 127.0.0.1:9;rport;branch=z9hG4bK{branch}"),
        "From: <sip:test@example.org>;tag=1",
        "To: <sip:offhook.localhost>",
        &format!("Call-ID: {branch}@example.org"),
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
        "\r\n",
    ]
    .join("\r\n")
}

async fn read(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 8192];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
        .await
        .expect("in time")
        .expect("a read");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_calls_ends_at_once_and_closes_what_is_open() {
    let server = Server::start(&config()).await.expect("a server");
    let addresses = server.addresses.clone();
    let (end, ended) = oneshot::channel::<()>();
    let mut ended = Some(ended);
    let mut running = JoinSet::new();
    running.spawn(server.serve_until(async move || match ended.take() {
        Some(ended) => drop(ended.await),
        None => std::future::pending().await,
    }));

    let sip: SocketAddr = addresses.sip.udp[0].parse().expect("an address");
    assert_eq!(addresses.sip.tcp, addresses.sip.udp);
    let phone = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    phone
        .send_to(options("UDP", "1").as_bytes(), sip)
        .await
        .expect("sent");
    let mut buffer = [0; 2048];
    let received = tokio::time::timeout(PATIENCE, phone.recv_from(&mut buffer))
        .await
        .expect("in time");
    let (length, from) = received.expect("an answer");
    assert!(
        buffer[..length].starts_with(b"SIP/2.0 200 "),
        "{}",
        String::from_utf8_lossy(&buffer[..length])
    );
    assert_eq!(from, sip);

    let mut stream = TcpStream::connect(sip).await.expect("a connection");
    let two = options("TCP", "2") + &options("TCP", "3");
    stream.write_all(two.as_bytes()).await.expect("written");
    let mut answers = String::new();
    while answers.matches("SIP/2.0 200 ").count() < 2 {
        let more = read(&mut stream).await;
        assert!(!more.is_empty(), "closed after {answers}");
        answers += &more;
    }

    let http = addresses
        .api
        .base_url
        .trim_start_matches("http://")
        .to_owned();
    let mut client = TcpStream::connect(&http).await.expect("a connection");
    client
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("written");
    let report = read(&mut client).await;
    let (_, body) = report.split_once("\r\n\r\n").expect("a body");
    let report: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(report["status"], "ok");
    assert_eq!(
        report["sip"],
        serde_json::to_value(&addresses.sip).expect("JSON")
    );
    assert_eq!(
        (&report["calls"], &report["connections"]),
        (&0.into(), &2.into())
    );

    // Half a message and an idle connection hold nobody up.
    stream
        .write_all(b"OPTIONS sip:offhook")
        .await
        .expect("written");
    end.send(()).expect("a running server");
    let outcome = tokio::time::timeout(PATIENCE, running.join_next())
        .await
        .expect("in time")
        .expect("a task")
        .expect("no panic");
    outcome.expect("a clean end");
    assert_eq!(read(&mut stream).await, "");
    assert_eq!(read(&mut client).await, "");
    listen::sip(&[sip], &[sip], 1).expect("the ports are free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_keeps_the_server_from_starting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = config();
    config.http.listen = taken.local_addr().expect("an address");
    let error = Server::start(&config)
        .await
        .err()
        .expect("an error")
        .to_string();
    assert!(error.contains("Another program has this port"), "{error}");
}
