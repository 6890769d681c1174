//! Applications: vobiz-rest.md §3.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::directory::{ApplicationChange, ApplicationFilter, Key, NewApplication, Orphans};
use offhook_core::{Application, ApplicationKind, Error, Flavor, HttpMethod};
use serde_json::{Map, Value, json};

use crate::http::{Fields, Input};
use crate::vobiz::auth::Caller;
use crate::vobiz::error::{NOT_VALID, REQUIRED, Refusal};
use crate::vobiz::page::{listed, page};

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let mut details = Map::new();
    let name = fields
        .text_of(&["app_name", "name"])?
        .filter(|name| !name.is_empty());
    match &name {
        None => details.insert("app_name".to_owned(), json!(REQUIRED)),
        Some(name) if !is_name(name) => details.insert("app_name".to_owned(), json!(NAME_RULE)),
        Some(_) => None,
    };
    if fields.text("answer_url")?.is_none_or(|url| url.is_empty()) {
        details.insert("answer_url".to_owned(), json!(REQUIRED));
    }
    let links = Links::read(&caller, &fields, &mut details);
    let (Some(name), true) = (name, details.is_empty()) else {
        return Err(Refusal::invalid(details));
    };
    let extra = json!({
        "application_type": fields.text("application_type")?.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "XML".to_owned()),
        "default_app": fields.flag("default_app")?.unwrap_or(false),
        "sip_transfer_url": links.sip_transfer.0.flatten(),
        "sip_transfer_method": method_name(links.sip_transfer.1.unwrap_or(HttpMethod::Post)),
    });
    let new = NewApplication {
        flavor: Flavor::Vobiz,
        name,
        kind: ApplicationKind::Xml,
        answer_url: links.answer.0.flatten(),
        answer_method: links.answer.1.unwrap_or(HttpMethod::Post),
        hangup_url: links.hangup.0.flatten(),
        hangup_method: links.hangup.1.unwrap_or(HttpMethod::Post),
        fallback_url: links.fallback.0.flatten(),
        fallback_method: links.fallback.1.unwrap_or(HttpMethod::Post),
        message_url: links.message.0.flatten(),
        message_method: links.message.1.unwrap_or(HttpMethod::Post),
        registration_url: links.registration.0.flatten(),
        registration_method: links.registration.1.unwrap_or(HttpMethod::Post),
        default_number_app: fields.flag("default_number_app")?.unwrap_or(false),
        default_endpoint_app: fields.flag("default_endpoint_app")?.unwrap_or(false),
        public_uri: fields.flag("public_uri")?.unwrap_or(false),
        log_incoming: log_incoming(&fields)?.unwrap_or(true),
        enabled: fields.flag("enabled")?.unwrap_or(true),
        extra,
    };
    let application = caller
        .core
        .directory
        .create_application(&caller.account, new)
        .await?;
    let body = json!({
        "api_id": caller.api_id.to_string(),
        "app_id": application.id.to_string(),
        "message": "created",
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let found = caller
        .core
        .directory
        .application_by_key(&caller.account, &key(&caller)?)
        .await;
    let application = found.map_err(|error| refusal(&caller, error))?;
    let mut object = object(&caller, &application);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let found = caller
        .core
        .directory
        .applications(&caller.account, &ApplicationFilter::default(), page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|application| Value::Object(object(&caller, application)))
        .collect();
    Ok(listed(
        &caller,
        &input,
        "Application",
        page,
        found.total,
        objects,
    ))
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = key(&caller)?;
    let before = caller
        .core
        .directory
        .application_by_key(&caller.account, &key)
        .await;
    let before = before.map_err(|error| refusal(&caller, error))?;
    let mut details = Map::new();
    let name = fields
        .text_of(&["app_name", "name"])?
        .filter(|name| !name.is_empty());
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        details.insert("app_name".to_owned(), json!(NAME_RULE));
    }
    let links = Links::read(&caller, &fields, &mut details);
    if !details.is_empty() {
        return Err(Refusal::invalid(details));
    }
    let mut extra = before.extra.as_object().cloned().unwrap_or_default();
    let unchanged = extra.clone();
    if let Some(kind) = fields
        .text("application_type")?
        .filter(|kind| !kind.is_empty())
    {
        extra.insert("application_type".to_owned(), json!(kind));
    }
    if let Some(default) = fields.flag("default_app")? {
        extra.insert("default_app".to_owned(), json!(default));
    }
    if let Some(url) = links.sip_transfer.0 {
        extra.insert("sip_transfer_url".to_owned(), json!(url));
    }
    if let Some(method) = links.sip_transfer.1 {
        extra.insert("sip_transfer_method".to_owned(), json!(method_name(method)));
    }
    let change = ApplicationChange {
        name,
        answer_url: links.answer.0,
        answer_method: links.answer.1,
        hangup_url: links.hangup.0,
        hangup_method: links.hangup.1,
        fallback_url: links.fallback.0,
        fallback_method: links.fallback.1,
        message_url: links.message.0,
        message_method: links.message.1,
        registration_url: links.registration.0,
        registration_method: links.registration.1,
        default_number_app: fields.flag("default_number_app")?,
        default_endpoint_app: fields.flag("default_endpoint_app")?,
        public_uri: fields.flag("public_uri")?,
        log_incoming: log_incoming(&fields)?,
        enabled: fields.flag("enabled")?,
        extra: (extra != unchanged).then_some(Value::Object(extra)),
    };
    let changed = caller
        .core
        .directory
        .update_application(&caller.account, &key, change)
        .await;
    changed.map_err(|error| refusal(&caller, error))?;
    Ok(Json(json!({ "api_id": caller.api_id.to_string(), "message": "changed" })).into_response())
}

/// Its endpoints stay and lose it.
pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let key = key(&caller)?;
    let directory = &caller.core.directory;
    let application = directory.application_by_key(&caller.account, &key).await;
    let application = application.map_err(|error| refusal(&caller, error))?;
    let numbers = directory.numbers_with_application(application.id);
    if numbers > 0 {
        // vobiz-rest.md §1.6: the numbers are pointed elsewhere first.
        let text = "Cannot delete application";
        let message = format!("Application is currently in use by {numbers} phone numbers");
        return Err(Refusal::new(StatusCode::CONFLICT, text).with("message", message));
    }
    let gone = caller
        .core
        .directory
        .delete_application(&caller.account, &key, Orphans::Move(None))
        .await;
    gone.map_err(|error| refusal(&caller, error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn key(caller: &Caller) -> Result<Key, Refusal> {
    caller
        .id("app_id")
        .map(Key::Number)
        .ok_or_else(|| unknown(caller))
}

fn unknown(caller: &Caller) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "Application not found")
        .with("app_id", caller.path("app_id"))
}

fn refusal(caller: &Caller, error: Error) -> Refusal {
    match error {
        Error::NotFound {
            what: "application",
        } => unknown(caller),
        error => error.into(),
    }
}

/// The URL that is asked what becomes of a call that a phone transfers: `sip_transfer_url`.
pub(crate) fn transfer(application: &Application) -> Option<::call::Link> {
    let text = |key: &str| application.extra.get(key).and_then(Value::as_str);
    Some(::call::Link {
        url: text("sip_transfer_url")
            .filter(|url| !url.is_empty())?
            .to_owned(),
        method: match text("sip_transfer_method") {
            Some("GET") => ::call::HttpMethod::Get,
            _ => ::call::HttpMethod::Post,
        },
    })
}

/// Exactly the documented keys; `default_number_app` is never shown.
pub(crate) fn object(caller: &Caller, application: &Application) -> Map<String, Value> {
    let id = application.id.to_string();
    let extra =
        |name: &str, default: Value| application.extra.get(name).cloned().unwrap_or(default);
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put(
        "answer_method",
        json!(method_name(application.answer_method)),
    );
    put("answer_url", json!(application.answer_url));
    put("app_id", json!(id));
    put("app_name", json!(application.name));
    put("application_type", extra("application_type", json!("XML")));
    put("created_at", json!(microseconds(application.created)));
    put("default_app", extra("default_app", json!(false)));
    put(
        "default_endpoint_app",
        json!(application.default_endpoint_app),
    );
    put("enabled", json!(application.enabled));
    put("fallback_answer_url", json!(application.fallback_url));
    put(
        "fallback_method",
        json!(method_name(application.fallback_method)),
    );
    put(
        "hangup_method",
        json!(method_name(application.hangup_method)),
    );
    // An unset hangup URL is the answer URL.
    put(
        "hangup_url",
        json!(
            application
                .hangup_url
                .as_ref()
                .or(application.answer_url.as_ref())
        ),
    );
    put("log_incoming_message", json!(application.log_incoming));
    put(
        "message_method",
        json!(method_name(application.message_method)),
    );
    put("message_url", json!(application.message_url));
    put("public_uri", json!(application.public_uri));
    // Ours: only shown where it is used, and never to a library that refuses what it does not know.
    if let Some(url) = application
        .registration_url
        .as_ref()
        .filter(|_| !caller.strict)
    {
        put(
            "registration_method",
            json!(method_name(application.registration_method)),
        );
        put("registration_url", json!(url));
    }
    put(
        "resource_uri",
        json!(caller.uri(&format!("Application/{id}/"))),
    );
    put(
        "sip_transfer_method",
        extra("sip_transfer_method", json!("POST")),
    );
    put("sip_transfer_url", extra("sip_transfer_url", Value::Null));
    put(
        "sip_uri",
        json!(format!("sip:{id}@{}", caller.core.settings.app_domain)),
    );
    put("sub_account", Value::Null);
    put("updated_at", json!(microseconds(application.updated)));
    object
}

fn microseconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string()
}

const NAME_RULE: &str =
    "Only letters, digits, spaces, parentheses, hyphens and underscores are allowed";

fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '(' | ')' | ' ' | '-'))
}

type LinkChange = (Option<Option<String>>, Option<HttpMethod>);

/// The URLs with their methods; what was not sent is `None`.
struct Links {
    answer: LinkChange,
    hangup: LinkChange,
    fallback: LinkChange,
    message: LinkChange,
    registration: LinkChange,
    sip_transfer: LinkChange,
}

impl Links {
    fn read(caller: &Caller, fields: &Fields, details: &mut Map<String, Value>) -> Self {
        let mut read = |url: &'static str, method: &'static str| -> LinkChange {
            (
                url_of(caller, fields, url, details),
                method_of(fields, method, details),
            )
        };
        Self {
            answer: read("answer_url", "answer_method"),
            hangup: read("hangup_url", "hangup_method"),
            fallback: read("fallback_answer_url", "fallback_method"),
            message: read("message_url", "message_method"),
            registration: read("registration_url", "registration_method"),
            sip_transfer: read("sip_transfer_url", "sip_transfer_method"),
        }
    }
}

fn url_of(
    caller: &Caller,
    fields: &Fields,
    name: &'static str,
    details: &mut Map<String, Value>,
) -> Option<Option<String>> {
    match fields.text(name) {
        Ok(None) => None,
        // The answer URL is required; the others can be unset.
        Ok(Some(url)) if url.is_empty() && name != "answer_url" => Some(None),
        Ok(Some(url)) if crate::http::may_be_asked(&caller.core.settings.egress, &url) => {
            Some(Some(url))
        }
        Ok(Some(_)) | Err(_) => {
            details
                .entry(name)
                .or_insert_with(|| json!("Enter a valid URL"));
            None
        }
    }
}

fn method_of(
    fields: &Fields,
    name: &'static str,
    details: &mut Map<String, Value>,
) -> Option<HttpMethod> {
    match fields
        .text(name)
        .map(|method| method.map(|method| method.to_ascii_uppercase()))
    {
        Ok(None) => None,
        Ok(Some(method)) if method == "GET" => Some(HttpMethod::Get),
        Ok(Some(method)) if method == "POST" => Some(HttpMethod::Post),
        Ok(Some(_)) | Err(_) => {
            details.insert(name.to_owned(), json!(NOT_VALID));
            None
        }
    }
}

fn method_name(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    }
}

fn log_incoming(fields: &Fields) -> Result<Option<bool>, Refusal> {
    Ok(fields.flag_of(&["log_incoming_message", "log_incoming_messages"])?)
}
