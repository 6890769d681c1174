//! Applications: bandwidth-v1.md §5.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::{ApplicationChange, ApplicationFilter, Key, NewApplication, Orphans};
use offhook_core::{Application, ApplicationKind, Flavor, HttpMethod};
use serde_json::{Map, Value, json};

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::error::Refusal;
use crate::bandwidth::page::Asked;
use crate::http::{Fields, Input};

/// The largest page of this list.
const PAGE: u64 = 1_000;
const TIMEOUT: i64 = 10_000;

const CALL_URL: &str = "incomingCallUrl";
const CALL_TIMEOUT: &str = "incomingCallUrlCallbackTimeout";
const CALL_FALLBACK: &str = "incomingCallFallbackUrl";
const MESSAGE_URL: [&str; 2] = ["incomingMessageUrl", "incomingSmsUrl"];
const MESSAGE_TIMEOUT: [&str; 2] = [
    "incomingMessageUrlCallbackTimeout",
    "incomingSmsUrlCallbackTimeout",
];
/// Ours: told of registrations.
const REGISTRATION_URL: &str = "registrationUrl";
const MESSAGE_FALLBACK: [&str; 2] = ["incomingMessageFallbackUrl", "incomingSmsFallbackUrl"];

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let name = name(&fields)?.ok_or_else(|| Refusal::missing("name"))?;
    let sent = Sent::read(&caller, &fields)?;
    let answer_url = sent.call_url.flatten();
    let message_url = sent.message_url.flatten();
    if answer_url.is_none() && message_url.is_none() {
        return Err(Refusal::missing(CALL_URL));
    }
    let fallback_url = sent.call_fallback.flatten();
    check_fallbacks(
        answer_url.is_some(),
        fallback_url.is_some(),
        message_url.is_some(),
        sent.extra.contains_key(MESSAGE_FALLBACK[0]),
    )?;
    let method = sent.method.unwrap_or(HttpMethod::Post);
    let mut extra = Map::new();
    extra.insert("autoAnswer".to_owned(), json!(true));
    extra.extend(sent.extra);
    let new = NewApplication {
        flavor: Flavor::Bandwidth,
        name,
        kind: ApplicationKind::Xml,
        answer_url,
        answer_method: method,
        hangup_url: None,
        hangup_method: method,
        fallback_url,
        fallback_method: method,
        message_url,
        message_method: method,
        registration_url: sent.registration_url.flatten(),
        registration_method: method,
        default_number_app: false,
        default_endpoint_app: false,
        public_uri: false,
        log_incoming: true,
        enabled: true,
        extra: Value::Object(extra),
    };
    let application = caller
        .core
        .directory
        .create_application(&caller.account, new)
        .await?;
    Ok(caller.created(&format!("applications/{}", application.public_id)))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = Asked::read(&input, PAGE)?;
    let found = caller
        .core
        .directory
        .applications(&caller.account, &ApplicationFilter::default(), page.rows())
        .await?;
    let items = found
        .items
        .iter()
        .map(|application| object(application))
        .collect();
    Ok(page.listed(&caller, "applications", found.total, items))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("application_id");
    let found = caller
        .core
        .directory
        .application_by_key(&caller.account, &key(id))
        .await;
    let application = found.map_err(|error| Refusal::of(error, id))?;
    Ok(Json(object(&application)).into_response())
}

/// Omitted properties stay.
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let id = caller.path("application_id");
    let found = caller
        .core
        .directory
        .application_by_key(&caller.account, &key(id))
        .await;
    let before = found.map_err(|error| Refusal::of(error, id))?;
    let sent = Sent::read(&caller, &fields)?;
    let mut extra = before.extra.as_object().cloned().unwrap_or_default();
    extra.extend(sent.extra);
    extra.retain(|_, value| !value.is_null());
    let after = |sent: &Option<Option<String>>, before: &Option<String>| {
        sent.as_ref().unwrap_or(before).is_some()
    };
    let has_call_url = after(&sent.call_url, &before.answer_url);
    let has_message_url = after(&sent.message_url, &before.message_url);
    if !has_call_url && !has_message_url {
        return Err(Refusal::missing(CALL_URL));
    }
    let has_fallback = after(&sent.call_fallback, &before.fallback_url);
    check_fallbacks(
        has_call_url,
        has_fallback,
        has_message_url,
        extra.contains_key(MESSAGE_FALLBACK[0]),
    )?;
    let change = ApplicationChange {
        name: name(&fields)?,
        answer_url: sent.call_url,
        answer_method: sent.method,
        hangup_method: sent.method,
        fallback_url: sent.call_fallback,
        fallback_method: sent.method,
        message_url: sent.message_url,
        message_method: sent.method,
        registration_url: sent.registration_url,
        registration_method: sent.method,
        extra: Some(Value::Object(extra)),
        ..ApplicationChange::default()
    };
    let changed = caller
        .core
        .directory
        .update_application(&caller.account, &key(id), change)
        .await;
    changed.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

/// Its endpoints stay and lose it; their calls are then rejected.
pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("application_id");
    let gone = caller
        .core
        .directory
        .delete_application(&caller.account, &key(id), Orphans::Move(None))
        .await;
    gone.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

fn key(id: &str) -> Key {
    Key::Public(id.to_owned())
}

/// Keys without a value are left out.
fn object(application: &Application) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(application.public_id));
    put("name", json!(application.name));
    let links = [
        (CALL_URL, &application.answer_url),
        (CALL_FALLBACK, &application.fallback_url),
        (MESSAGE_URL[0], &application.message_url),
        (REGISTRATION_URL, &application.registration_url),
    ];
    for (name, url) in links {
        if let Some(url) = url {
            put(name, json!(url));
        }
    }
    for name in [CALL_TIMEOUT, MESSAGE_TIMEOUT[0], MESSAGE_FALLBACK[0]] {
        if let Some(value) = application.extra.get(name).filter(|value| !value.is_null()) {
            put(name, value.clone());
        }
    }
    put(
        "callbackHttpMethod",
        json!(match application.answer_method {
            HttpMethod::Get => "get",
            HttpMethod::Post => "post",
        }),
    );
    put(
        "autoAnswer",
        application
            .extra
            .get("autoAnswer")
            .cloned()
            .unwrap_or(json!(true)),
    );
    Value::Object(object)
}

/// What a request says about an application, apart from its name.
struct Sent {
    call_url: Option<Option<String>>,
    call_fallback: Option<Option<String>>,
    message_url: Option<Option<String>>,
    registration_url: Option<Option<String>>,
    method: Option<HttpMethod>,
    /// Properties that only this face knows.
    extra: Map<String, Value>,
}

impl Sent {
    fn read(caller: &Caller, fields: &Fields) -> Result<Self, Refusal> {
        let mut extra = Map::new();
        for names in [&[CALL_TIMEOUT] as &[&'static str], &MESSAGE_TIMEOUT] {
            if let Some(timeout) = timeout(fields, names)? {
                extra.insert(names[0].to_owned(), json!(timeout));
            }
        }
        if let Some(url) = link(caller, fields, &MESSAGE_FALLBACK)? {
            extra.insert(MESSAGE_FALLBACK[0].to_owned(), json!(url));
        }
        if let Some(answer) = fields.flag("autoAnswer")? {
            extra.insert("autoAnswer".to_owned(), json!(answer));
        }
        Ok(Self {
            call_url: link(caller, fields, &[CALL_URL])?,
            call_fallback: link(caller, fields, &[CALL_FALLBACK])?,
            message_url: link(caller, fields, &MESSAGE_URL)?,
            registration_url: link(caller, fields, &[REGISTRATION_URL])?,
            method: method(fields)?,
            extra,
        })
    }
}

fn name(fields: &Fields) -> Result<Option<String>, Refusal> {
    match fields.text("name")?.filter(|name| !name.is_empty()) {
        Some(name) if name.chars().count() > 256 || name.chars().any(char::is_control) => Err(
            Refusal::not_valid("name", "it is too long or has control characters"),
        ),
        name => Ok(name),
    }
}

/// A URL that was sent; an empty one unsets. It may hold Basic credentials (bandwidth-v1.md §7.1).
fn link(
    caller: &Caller,
    fields: &Fields,
    names: &[&'static str],
) -> Result<Option<Option<String>>, Refusal> {
    match fields.text_of(names)? {
        None => Ok(None),
        Some(url) if url.is_empty() => Ok(Some(None)),
        Some(url) if crate::http::may_be_asked(&caller.core.settings.egress, &url) => {
            Ok(Some(Some(url)))
        }
        Some(_) => Err(Refusal::not_valid(
            names.first().copied().unwrap_or_default(),
            "it is not a valid http or https URL",
        )),
    }
}

fn timeout(fields: &Fields, names: &[&'static str]) -> Result<Option<i64>, Refusal> {
    for name in names {
        match fields.integer(name)? {
            None => {}
            Some(timeout) if (1..=TIMEOUT).contains(&timeout) => return Ok(Some(timeout)),
            Some(_) => return Err(Refusal::not_valid(name, "it is not between 1 and 10000")),
        }
    }
    Ok(None)
}

fn method(fields: &Fields) -> Result<Option<HttpMethod>, Refusal> {
    match fields
        .text("callbackHttpMethod")?
        .map(|method| method.to_ascii_uppercase())
        .as_deref()
    {
        None | Some("") => Ok(None),
        Some("GET") => Ok(Some(HttpMethod::Get)),
        Some("POST") => Ok(Some(HttpMethod::Post)),
        Some(_) => Err(Refusal::not_valid(
            "callbackHttpMethod",
            "it is neither GET nor POST",
        )),
    }
}

/// A fallback needs the URL that it stands in for.
fn check_fallbacks(
    call: bool,
    call_fallback: bool,
    message: bool,
    message_fallback: bool,
) -> Result<(), Refusal> {
    if call_fallback && !call {
        return Err(Refusal::not_valid(
            CALL_FALLBACK,
            "it needs incomingCallUrl",
        ));
    }
    if message_fallback && !message {
        return Err(Refusal::not_valid(
            MESSAGE_FALLBACK[0],
            "it needs incomingMessageUrl",
        ));
    }
    Ok(())
}
