//! Endpoints: plivo-rest.md §6.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use offhook_core::directory::{EndpointChange, EndpointFilter, EndpointView, Key, NewEndpoint};
use offhook_core::{Flavor, Id, Permissions, Ring};
use serde_json::{Map, Value, json};

use crate::http::{Fields, Input};
use crate::plivo::auth::{Caller, decimal};
use crate::plivo::error::Refusal;
use crate::plivo::page::{listed, page};
use crate::ring;

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let user = required(&fields, "username")?;
    let password = required(&fields, "password")?;
    let label = required(&fields, "alias")?;
    let application = match application(&fields)? {
        Some(Some(id)) => Some(id),
        Some(None) | None => None,
    };
    let view = caller
        .core
        .directory
        .create_endpoint(
            &caller.account,
            NewEndpoint {
                flavor: Flavor::Plivo,
                domain: None,
                user: username(user)?,
                append_digits: true,
                label: alias(label)?,
                description: None,
                password: check_password(password)?,
                application,
                default_application: true,
                enabled: true,
                ring: ring::read(&fields)?.unwrap_or(Ring::Latest),
                permissions: Permissions::default(),
            },
        )
        .await?;
    let body = json!({
        "api_id": caller.api_id.to_string(),
        "message": "created",
        "endpoint_id": view.endpoint.id.to_string(),
        "username": view.endpoint.user,
        "alias": view.endpoint.label,
        "sip_uri": sip_uri(&view),
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let view = caller
        .core
        .directory
        .endpoint(&caller.account, &key(&caller)?)
        .await?;
    let mut object = object(&caller, &view);
    object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let found = caller
        .core
        .directory
        .endpoints(&caller.account, &EndpointFilter::default(), page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|view| Value::Object(object(&caller, view)))
        .collect();
    Ok(listed(
        &caller,
        &input,
        "Endpoint",
        page,
        found.total,
        objects,
    ))
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let key = key(&caller)?;
    let change = EndpointChange {
        label: fields
            .text("alias")?
            .filter(|text| !text.is_empty())
            .map(alias)
            .transpose()?,
        password: fields
            .text("password")?
            .filter(|text| !text.is_empty())
            .map(check_password)
            .transpose()?,
        application: application(&fields)?,
        ring: ring::read(&fields)?,
        ..EndpointChange::default()
    };
    let view = caller
        .core
        .directory
        .update_endpoint(&caller.account, &key, change)
        .await?;
    let body = json!({ "api_id": caller.api_id.to_string(), "message": "changed", "alias": view.endpoint.label });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    caller
        .core
        .directory
        .delete_endpoint(&caller.account, &key(&caller)?)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn key(caller: &Caller) -> Result<Key, Refusal> {
    caller.id("endpoint_id").map(Key::Number)
}

/// The endpoint as it is shown. The three `sip_*` keys are absent while nothing is registered.
fn object(caller: &Caller, view: &EndpointView) -> Map<String, Value> {
    let endpoint = &view.endpoint;
    let id = endpoint.id.to_string();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("alias", json!(endpoint.label));
    put(
        "application",
        json!(
            endpoint
                .application
                .map(|id| caller.uri(&format!("Application/{id}/")))
        ),
    );
    put("endpoint_id", json!(id));
    if let Some(md5) = caller.core.directory.password_md5(endpoint) {
        put("password", json!(md5));
    }
    put(
        "resource_uri",
        json!(caller.uri(&format!("Endpoint/{id}/"))),
    );
    put(
        "sip_registered",
        json!(if view.bindings.is_empty() {
            "false"
        } else {
            "true"
        }),
    );
    if let Some(newest) = view.bindings.first() {
        put("sip_contact", json!(newest.contact));
        put(
            "sip_expires",
            json!(newest.expires_at.strftime("%Y-%m-%d %H:%M:%S").to_string()),
        );
        put("sip_user_agent", json!(newest.user_agent));
    }
    put("sip_uri", json!(sip_uri(view)));
    put("sub_account", Value::Null);
    put("username", json!(endpoint.user));
    ring::show(&mut object, "ring_policy", endpoint.ring, Ring::Latest);
    object
}

fn sip_uri(view: &EndpointView) -> String {
    format!("sip:{}@{}", view.endpoint.user, view.domain.sip_domain)
}

fn required(fields: &Fields, name: &'static str) -> Result<String, Refusal> {
    fields
        .text(name)?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::missing(name))
}

fn username(text: String) -> Result<String, Refusal> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric());
    match plain && text.len() <= 25 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => Ok(text),
        false => Err(Refusal::not_valid("username")),
    }
}

fn check_password(text: String) -> Result<String, Refusal> {
    match (5..=32).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(Refusal::not_valid("password")),
    }
}

/// The vendor's own samples hold spaces and dots.
fn alias(text: String) -> Result<String, Refusal> {
    let plain = text
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'));
    match plain && text.chars().count() <= 50 {
        true => Ok(text),
        false => Err(Refusal::not_valid("alias")),
    }
}

/// `app_id`, or what look-alike clients send as `application`: an id, or a resource URI. Empty and `null` detach.
fn application(fields: &Fields) -> Result<Option<Option<Id>>, Refusal> {
    let text = match fields.raw_of(&["app_id", "application"]) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Refusal::not_valid("app_id")),
    };
    match text
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
    {
        "" => Ok(Some(None)),
        id => decimal(id)
            .map(|id| Some(Some(id)))
            .ok_or_else(|| Refusal::not_valid("app_id")),
    }
}
