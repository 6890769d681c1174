//! Applications: plivo-rest.md §7.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::directory::{ApplicationChange, ApplicationFilter, Key, NewApplication, Orphans};
use offhook_core::{Application, ApplicationKind, Error, Flavor, HttpMethod};
use serde_json::{Map, Value, json};

use crate::http::{Fields, Input};
use crate::plivo::auth::{Caller, decimal};
use crate::plivo::error::Refusal;
use crate::plivo::page::{listed, page};

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let name = fields
        .text("app_name")?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refusal::missing("app_name"))?;
    let new = NewApplication {
        flavor: Flavor::Plivo,
        name: app_name(name)?,
        kind: ApplicationKind::Xml,
        answer_url: link(&caller, &fields, "answer_url")?.flatten(),
        answer_method: method(&fields, "answer_method")?.unwrap_or(HttpMethod::Post),
        hangup_url: link(&caller, &fields, "hangup_url")?.flatten(),
        hangup_method: method(&fields, "hangup_method")?.unwrap_or(HttpMethod::Post),
        fallback_url: link(&caller, &fields, "fallback_answer_url")?.flatten(),
        fallback_method: method(&fields, "fallback_method")?.unwrap_or(HttpMethod::Post),
        message_url: link(&caller, &fields, "message_url")?.flatten(),
        message_method: method(&fields, "message_method")?.unwrap_or(HttpMethod::Post),
        registration_url: link(&caller, &fields, "registration_url")?.flatten(),
        registration_method: method(&fields, "registration_method")?.unwrap_or(HttpMethod::Post),
        default_number_app: fields.flag("default_number_app")?.unwrap_or(false),
        default_endpoint_app: fields.flag("default_endpoint_app")?.unwrap_or(false),
        public_uri: fields.flag("public_uri")?.unwrap_or(false),
        log_incoming: log_incoming(&fields)?.unwrap_or(true),
        enabled: true,
        extra: json!({}),
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
    let application = caller
        .core
        .directory
        .application_by_key(&caller.account, &key(&caller)?)
        .await?;
    let mut object = object(&caller, &application);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let filter = ApplicationFilter {
        name_starts: input
            .fields
            .text("app_name")?
            .filter(|name| !name.is_empty()),
    };
    let found = caller
        .core
        .directory
        .applications(&caller.account, &filter, page)
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

/// `app_name` cannot be changed and is ignored.
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = key(&caller)?;
    let change = ApplicationChange {
        answer_url: link(&caller, &fields, "answer_url")?,
        answer_method: method(&fields, "answer_method")?,
        hangup_url: link(&caller, &fields, "hangup_url")?,
        hangup_method: method(&fields, "hangup_method")?,
        fallback_url: link(&caller, &fields, "fallback_answer_url")?,
        fallback_method: method(&fields, "fallback_method")?,
        message_url: link(&caller, &fields, "message_url")?,
        message_method: method(&fields, "message_method")?,
        registration_url: link(&caller, &fields, "registration_url")?,
        registration_method: method(&fields, "registration_method")?,
        default_number_app: fields.flag("default_number_app")?,
        default_endpoint_app: fields.flag("default_endpoint_app")?,
        public_uri: fields.flag("public_uri")?,
        log_incoming: log_incoming(&fields)?,
        ..ApplicationChange::default()
    };
    caller
        .core
        .directory
        .update_application(&caller.account, &key, change)
        .await?;
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed" });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Deletes the endpoints too unless `cascade` is false: destructive, and what callers who omit it expect.
pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = key(&caller)?;
    let heir = fields
        .text("new_endpoint_application")?
        .filter(|id| !id.is_empty());
    let orphans = match (fields.flag("cascade")?.unwrap_or(true), heir) {
        (true, _) => Orphans::Delete,
        (false, None) => Orphans::Move(None),
        (false, Some(id)) => Orphans::Move(Some(
            decimal(&id).ok_or_else(|| Refusal::not_valid("new_endpoint_application"))?,
        )),
    };
    match caller
        .core
        .directory
        .delete_application(&caller.account, &key, orphans)
        .await
    {
        Err(Error::Invalid { .. }) => return Err(Refusal::not_valid("new_endpoint_application")),
        other => other?,
    };
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn key(caller: &Caller) -> Result<Key, Refusal> {
    caller.id("app_id").map(Key::Number)
}

fn object(caller: &Caller, application: &Application) -> Map<String, Value> {
    let id = application.id.to_string();
    let answer_url = application.answer_url.clone().unwrap_or_default();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put(
        "answer_method",
        json!(method_name(application.answer_method)),
    );
    put("answer_url", json!(answer_url));
    put("app_id", json!(id));
    put("app_name", json!(application.name));
    put("application_type", json!("XML"));
    put("default_app", json!(application.default_number_app));
    put(
        "default_endpoint_app",
        json!(application.default_endpoint_app),
    );
    put("enabled", json!(application.enabled));
    put(
        "fallback_answer_url",
        json!(application.fallback_url.as_deref().unwrap_or_default()),
    );
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
        json!(application.hangup_url.as_ref().unwrap_or(&answer_url)),
    );
    // Node reads the singular, Go and the documentation the plural.
    put("log_incoming_message", json!(application.log_incoming));
    put("log_incoming_messages", json!(application.log_incoming));
    put(
        "message_method",
        json!(method_name(application.message_method)),
    );
    put(
        "message_url",
        json!(application.message_url.as_deref().unwrap_or_default()),
    );
    put("public_uri", json!(application.public_uri));
    // Ours: only shown where it is used.
    if let Some(url) = &application.registration_url {
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
        "sip_uri",
        json!(format!("sip:{id}@{}", caller.core.settings.app_domain)),
    );
    put("sub_account", Value::Null);
    object
}

/// The vendor's own samples hold spaces and dots.
fn app_name(name: String) -> Result<String, Refusal> {
    let plain = name
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'));
    match plain && name.chars().count() <= 100 {
        true => Ok(name),
        false => Err(Refusal::not_valid("app_name")),
    }
}

/// A URL that was sent; an empty one unsets.
fn link(
    caller: &Caller,
    fields: &Fields,
    name: &'static str,
) -> Result<Option<Option<String>>, Refusal> {
    match fields.text(name)? {
        None => Ok(None),
        Some(url) if url.is_empty() => Ok(Some(None)),
        Some(url) if crate::http::may_be_asked(&caller.core.settings.egress, &url) => {
            Ok(Some(Some(url)))
        }
        Some(_) => Err(Refusal::not_valid(name)),
    }
}

fn method(fields: &Fields, name: &'static str) -> Result<Option<HttpMethod>, Refusal> {
    match fields.text(name)?.filter(|method| !method.is_empty()) {
        None => Ok(None),
        Some(method) if method.eq_ignore_ascii_case("GET") => Ok(Some(HttpMethod::Get)),
        Some(method) if method.eq_ignore_ascii_case("POST") => Ok(Some(HttpMethod::Post)),
        Some(_) => Err(Refusal::not_valid(name)),
    }
}

fn method_name(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    }
}

fn log_incoming(fields: &Fields) -> Result<Option<bool>, Refusal> {
    Ok(fields.flag_of(&["log_incoming_messages", "log_incoming_message"])?)
}
