//! `offhook dev`: what the first start makes so that two phones can talk at once, and what is printed of it.

use std::fmt::Write;
use std::sync::Arc;

use offhook_core::directory::{
    ApplicationFilter, EndpointFilter, EndpointView, NewAccount, NewApplication, NewEndpoint, Page,
};
use offhook_core::{Core, Error};
use rand::Rng;
use store::{Account, Application, ApplicationKind, Flavor, Permissions, Ring};

use crate::ready::{Addresses, Api, Bandwidth, ReadyEndpoint, ReadyLine};

/// The names that the first start makes endpoints for.
const PHONES: [&str; 2] = ["alice", "bob"];

/// Letters of a password: none that looks like another one.
const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Finds the account, the application and the endpoints of the first start, or makes them; describes them.
pub async fn prepare(
    core: &Core,
    addresses: &Addresses,
    data_dir: String,
) -> Result<ReadyLine, Error> {
    let directory = &core.directory;
    let all = Page {
        limit: 1000,
        offset: 0,
    };
    // Newest first: the oldest is the one of the first start.
    let account = match directory.accounts(all).await?.items.pop() {
        Some(account) => account,
        None => directory.create_account(NewAccount::named("dev")).await?,
    };
    let application = direct_dial(core, &account).await?;
    if directory
        .endpoints(&account, &EndpointFilter::default(), all)
        .await?
        .total
        == 0
    {
        for name in PHONES {
            directory
                .create_endpoint(&account, phone(name, &application))
                .await?;
        }
    }
    let mut endpoints = Vec::new();
    for name in PHONES {
        let filter = EndpointFilter {
            user_starts: Some(name.into()),
            ..EndpointFilter::default()
        };
        let found = directory.endpoints(&account, &filter, all).await?.items;
        endpoints.extend(
            found
                .iter()
                .rev()
                .find(|view| view.endpoint.submitted_user == name)
                .map(ready),
        );
    }
    let mut sip = addresses.sip.clone();
    if let Some(domain) = directory.account_domain(&account) {
        sip.domain = domain.sip_domain.clone();
    }
    Ok(ReadyLine {
        ready: true,
        pid: std::process::id(),
        data_dir,
        api: Api {
            base_url: addresses.api.base_url.clone(),
            auth_id: account.auth_id.clone(),
            auth_token: account.auth_token.expose().into(),
            bandwidth: Bandwidth {
                user_id: account.bandwidth_user.clone(),
                token: account.bandwidth_token.expose().into(),
                secret: account.bandwidth_secret.expose().into(),
            },
        },
        sip,
        application_id: application.id.to_string(),
        endpoints,
    })
}

async fn direct_dial(core: &Core, account: &Account) -> Result<Arc<Application>, Error> {
    let all = Page {
        limit: 1000,
        offset: 0,
    };
    let found = core
        .directory
        .applications(account, &ApplicationFilter::default(), all)
        .await?;
    match found
        .items
        .into_iter()
        .rev()
        .find(|application| application.kind == ApplicationKind::DirectDial)
    {
        Some(application) => Ok(application),
        None => {
            core.directory
                .create_application(account, NewApplication::direct_dial("direct dial"))
                .await
        }
    }
}

fn phone(name: &str, application: &Application) -> NewEndpoint {
    NewEndpoint {
        flavor: Flavor::Plivo,
        domain: None,
        user: name.into(),
        append_digits: true,
        label: name.into(),
        description: None,
        password: password(),
        application: Some(application.id),
        default_application: false,
        enabled: true,
        ring: Ring::Latest,
        permissions: Permissions::default(),
    }
}

/// 16 letters, 92 bits.
fn password() -> String {
    let mut random = rand::rng();
    (0..16)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

fn ready(view: &EndpointView) -> ReadyEndpoint {
    let endpoint = &view.endpoint;
    ReadyEndpoint {
        endpoint_id: endpoint.id.to_string(),
        username: endpoint.user.clone(),
        password: endpoint.password.expose().into(),
        sip_uri: format!("sip:{}@{}", endpoint.user, view.domain.sip_domain),
    }
}

/// What a person needs, in the order in which it is needed.
pub fn describe(line: &ReadyLine, addresses: &Addresses) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_description(&mut text, line, addresses);
    text
}

fn write_description(
    out: &mut String,
    line: &ReadyLine,
    addresses: &Addresses,
) -> std::fmt::Result {
    let sip = &line.sip;
    let api = &line.api;
    writeln!(
        out,
        "\nOffhook is ready. Everything is kept in {}; Ctrl-C stops it.\n",
        line.data_dir
    )?;
    writeln!(out, "REST interface  {}", api.base_url)?;
    writeln!(out, "  auth id       {}", api.auth_id)?;
    writeln!(out, "  auth token    {}", api.auth_token)?;
    let bandwidth = &api.bandwidth;
    writeln!(
        out,
        "  Bandwidth     user {}  token {}  secret {}",
        bandwidth.user_id, bandwidth.token, bandwidth.secret
    )?;
    writeln!(
        out,
        "  try           curl -u {}:{} {}/v1/Account/{}/Endpoint/",
        api.auth_id, api.auth_token, api.base_url, api.auth_id
    )?;
    writeln!(out, "SIP             domain {}", sip.domain)?;
    for (name, list) in [
        ("UDP", &sip.udp),
        ("TCP", &sip.tcp),
        ("TLS", &sip.tls),
        ("WebSocket", &sip.ws),
        ("  with TLS", &sip.wss),
    ] {
        if !list.is_empty() {
            writeln!(out, "  {name:<13} {}", list.join(" "))?;
        }
    }
    writeln!(
        out,
        "Media           {} UDP ports {}",
        addresses.media.ip, addresses.media.ports
    )?;
    if line.endpoints.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nPaste these three lines into a softphone each; no DNS is needed:"
    )?;
    let server = sip
        .udp
        .first()
        .or(sip.tcp.first())
        .map_or(sip.domain.as_str(), String::as_str);
    for endpoint in &line.endpoints {
        writeln!(out, "\n  account   {}", endpoint.username)?;
        writeln!(out, "  password  {}", endpoint.password)?;
        writeln!(out, "  domain    {server}")?;
        writeln!(
            out,
            "            ({}, endpoint {})",
            endpoint.sip_uri, endpoint.endpoint_id
        )?;
    }
    if let [first, second, ..] = line.endpoints.as_slice() {
        writeln!(
            out,
            "\nThen dial {} from {}.",
            second.username, first.username
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Api, Bandwidth, LETTERS, ReadyEndpoint, ReadyLine, describe, password};
    use crate::ready::{ApiAddress, MediaAddresses, SipAddresses};

    fn line() -> (ReadyLine, Addresses) {
        let sip = SipAddresses {
            domain: "offhook.localhost".into(),
            udp: vec!["127.0.0.1:5060".into()],
            tcp: vec!["127.0.0.1:5060".into()],
            tls: vec![],
            ws: vec!["ws://127.0.0.1:8080/sip".into()],
            wss: vec![],
        };
        let base_url = "http://127.0.0.1:8080".to_owned();
        let endpoint = |id: &str, name: &str| ReadyEndpoint {
            endpoint_id: id.into(),
            username: name.into(),
            password: "secret".into(),
            sip_uri: format!("sip:{name}@offhook.localhost"),
        };
        let line = ReadyLine {
            ready: true,
            pid: 1,
            data_dir: "data".into(),
            api: Api {
                base_url: base_url.clone(),
                auth_id: "MA1".into(),
                auth_token: "token".into(),
                bandwidth: Bandwidth {
                    user_id: "u-1".into(),
                    token: "t-1".into(),
                    secret: "s".into(),
                },
            },
            sip: sip.clone(),
            application_id: "7".into(),
            endpoints: vec![endpoint("1", "alice1"), endpoint("2", "bob2")],
        };
        let media = MediaAddresses {
            ip: "127.0.0.1".into(),
            ports: "20000-29999".into(),
        };
        (
            line,
            Addresses {
                api: ApiAddress { base_url },
                sip,
                media,
            },
        )
    }

    #[test]
    fn the_ready_line_is_as_documented() {
        let expected = concat!(
            r#"{"ready":true,"pid":1,"data_dir":"data","api":{"base_url":"http://127.0.0.1:8080","auth_id":"MA1","#,
            r#""auth_token":"token","bandwidth":{"user_id":"u-1","token":"t-1","secret":"s"}},"sip":{"#,
            r#""domain":"offhook.localhost","udp":["127.0.0.1:5060"],"tcp":["127.0.0.1:5060"],"tls":[],"#,
            r#""ws":["ws://127.0.0.1:8080/sip"],"wss":[]},"application_id":"7","endpoints":[{"endpoint_id":"1","#,
            r#""username":"alice1","password":"secret","sip_uri":"sip:alice1@offhook.localhost"},{"endpoint_id":"2","#,
            r#""username":"bob2","password":"secret","sip_uri":"sip:bob2@offhook.localhost"}]}"#,
        );
        assert_eq!(serde_json::to_string(&line().0).unwrap(), expected);
    }

    #[test]
    fn a_person_gets_three_lines_for_each_phone() {
        let (line, addresses) = line();
        let text = describe(&line, &addresses);
        let phone = "  account   alice1\n  password  secret\n  domain    127.0.0.1:5060\n";
        assert!(text.contains(phone), "{text}");
        assert!(text.ends_with("Then dial bob2 from alice1.\n"), "{text}");
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, other) = (password(), password());
        assert_eq!(one.len(), 16);
        assert_ne!(one, other);
        assert!(one.bytes().all(|letter| LETTERS.contains(&letter)));
    }
}
