//! Endpoints: vobiz-rest.md §2.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use offhook_core::directory::{EndpointChange, EndpointFilter, EndpointView, Key, NewEndpoint};
use offhook_core::{Binding, Error, Flavor, HttpMethod, Id, Permissions, Ring};
use serde_json::{Map, Value, json};

use crate::http::{Fields, Input};
use crate::ring;
use crate::vobiz::auth::{Caller, decimal};
use crate::vobiz::error::{NOT_VALID, REQUIRED, Refusal};
use crate::vobiz::page::{listed, page};

const LOCKED: &str = "This field cannot be changed";

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let mut checks = Checks(Map::new());
    let user = checks.take("username", required(&fields, "username").and_then(username));
    let password = checks.take(
        "password",
        required(&fields, "password").and_then(check_password),
    );
    let label = checks.take(
        "alias",
        text(&fields, "alias").and_then(|label| alias(label.unwrap_or_default())),
    );
    let application = checks.take("application", application(&fields));
    let mut permissions = PERMISSIONS;
    media_permissions(&mut checks, &fields, &mut permissions);
    for (name, slot) in [
        ("allow_same_domain", &mut permissions.same_domain),
        ("allow_other_domains", &mut permissions.other_domains),
        ("allow_phones", &mut permissions.phones),
        ("allow_apps", &mut permissions.apps),
    ] {
        if let Some(allowed) = checks.take(name, flag(&fields, name)).flatten() {
            *slot = allowed;
        }
    }
    // There are no sub-accounts yet, so none can be the caller's.
    if !text(&fields, "sub_account")
        .is_ok_and(|account| account.is_none_or(|account| account.is_empty()))
    {
        checks.refuse("sub_account", NOT_VALID);
    }
    let ring = checks.take("ring_policy", ring_policy(&fields));
    let (Some(user), Some(password), Some(label), Some(application)) =
        (user, password, label, application)
    else {
        return Err(checks.into_refusal());
    };
    checks.done()?;
    let new = NewEndpoint {
        flavor: Flavor::Vobiz,
        domain: None,
        user,
        append_digits: false,
        label,
        description: None,
        password,
        application: application.flatten(),
        default_application: true,
        enabled: true,
        ring: ring.flatten().unwrap_or(Ring::Latest),
        permissions,
    };
    let view = caller
        .core
        .directory
        .create_endpoint(&caller.account, new)
        .await?;
    let id = view.endpoint.id.to_string();
    let mut body =
        json!({ "alias": view.endpoint.label, "endpoint_id": id, "username": view.endpoint.user });
    if !caller.strict
        && let Some(body) = body.as_object_mut()
    {
        body.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
        body.insert("message".to_owned(), json!("created"));
        body.insert("sip_uri".to_owned(), json!(sip_uri(&view)));
        body.insert(
            "resource_uri".to_owned(),
            json!(caller.uri(&format!("Endpoint/{id}/"))),
        );
    }
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = page(&input)?;
    let fields = &input.fields;
    let one = |name: &'static str| {
        fields
            .text(name)
            .map(|text| text.filter(|text| !text.is_empty()))
    };
    if one("sub_account")?.is_some() {
        // There are no sub-accounts yet, so nothing belongs to one.
        return Ok(listed(&caller, &input, "Endpoint", page, 0, Vec::new()));
    }
    let application = match one("application_id__exact")? {
        None => None,
        Some(id) => Some(
            decimal(&id)
                .ok_or_else(|| Refusal::invalid_field("application_id__exact", NOT_VALID))?,
        ),
    };
    let filter = EndpointFilter {
        user_contains: one("username__contains")?,
        user_is: one("username__exact")?,
        user_starts: one("username__startswith")?,
        label_contains: one("alias__contains")?,
        label_is: one("alias__exact")?,
        application,
        has_application: fields
            .flag("application_id__isnull")?
            .map(|without| !without),
        ..EndpointFilter::default()
    };
    let found = caller
        .core
        .directory
        .endpoints(&caller.account, &filter, page)
        .await?;
    let objects = found
        .items
        .iter()
        .map(|view| Value::Object(object(&caller, view, false)))
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

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let view = find(&caller).await?.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "Endpoint not found")
            .with("endpoint_id", caller.path("endpoint_id"))
    })?;
    let mut object = object(&caller, &view, true);
    if !caller.strict {
        object.insert("api_id".to_owned(), json!(caller.api_id.to_string()));
    }
    Ok(Json(Value::Object(object)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let view = find(&caller)
        .await?
        .ok_or_else(Refusal::gone_without_words)?;
    let mut checks = Checks(Map::new());
    let password = checks.take(
        "password",
        text(&fields, "password").and_then(|password| password.map(check_password).transpose()),
    );
    let label = checks.take(
        "alias",
        text(&fields, "alias").and_then(|label| label.map(alias).transpose()),
    );
    let application = checks.take("application", application(&fields));
    let mut permissions = view.endpoint.permissions;
    media_permissions(&mut checks, &fields, &mut permissions);
    locked(&mut checks, &caller, &fields, &view);
    let ring = checks.take("ring_policy", ring_policy(&fields));
    checks.done()?;
    let change = EndpointChange {
        password: password.flatten(),
        label: label.flatten(),
        application: application.flatten(),
        ring: ring.flatten(),
        permissions: (permissions != view.endpoint.permissions).then_some(permissions),
        ..EndpointChange::default()
    };
    match caller
        .core
        .directory
        .update_endpoint(&caller.account, &Key::Number(view.endpoint.id), change)
        .await
    {
        Err(Error::NotFound { .. }) => return Err(Refusal::gone_without_words()),
        other => other?,
    };
    Ok(match caller.strict {
        true => (
            StatusCode::ACCEPTED,
            [(header::CONTENT_TYPE, "application/json")],
            "\"\"",
        )
            .into_response(),
        false => StatusCode::ACCEPTED.into_response(),
    })
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller
        .id("endpoint_id")
        .ok_or_else(Refusal::gone_without_words)?;
    match caller
        .core
        .directory
        .delete_endpoint(&caller.account, &Key::Number(id))
        .await
    {
        Err(Error::NotFound { .. }) => Err(Refusal::gone_without_words()),
        other => Ok(other.map(|_| StatusCode::NO_CONTENT.into_response())?),
    }
}

async fn find(caller: &Caller) -> Result<Option<EndpointView>, Refusal> {
    let Some(id) = caller.id("endpoint_id") else {
        return Ok(None);
    };
    match caller
        .core
        .directory
        .endpoint(&caller.account, &Key::Number(id))
        .await
    {
        Ok(view) => Ok(Some(view)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The endpoint as it is shown: eight keys in strict mode, else all of vobiz-rest.md §2.1.
fn object(caller: &Caller, view: &EndpointView, alone: bool) -> Map<String, Value> {
    let endpoint = &view.endpoint;
    let id = endpoint.id.to_string();
    let newest = view.bindings.first();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("alias", json!(endpoint.label));
    put("endpoint_id", json!(id));
    put(
        "resource_uri",
        json!(caller.uri(&format!("Endpoint/{id}/"))),
    );
    put(
        "sip_registered",
        json!(if newest.is_some() { "true" } else { "false" }),
    );
    put("sip_uri", json!(sip_uri(view)));
    put("sub_account", Value::Null);
    put("username", json!(endpoint.user));
    if caller.strict {
        let uri = endpoint
            .application
            .map(|id| caller.uri(&format!("Application/{id}/")));
        // The type of a single one demands a string.
        put(
            "application",
            if alone {
                json!(uri.unwrap_or_default())
            } else {
                json!(uri)
            },
        );
        return object;
    }
    put("application", application_object(view, alone));
    put("sip_contact", json!(newest.map(contact_address)));
    put(
        "sip_expires",
        json!(newest.map(|binding| zulu(binding.expires_at))),
    );
    put(
        "sip_user_agent",
        json!(newest.map(|binding| binding.user_agent.as_str())),
    );
    if let Some(binding) = newest.filter(|_| alone) {
        put(
            "sip_registration",
            json!({
                "contact": contact_address(binding),
                "expires": zulu(binding.expires_at),
                "user_agent": binding.user_agent,
                "received": binding.remote.to_string(),
                "path": binding.path,
            }),
        );
    }
    put("allow_voice", json!(endpoint.permissions.voice));
    put("allow_message", json!(endpoint.permissions.message));
    put("allow_video", json!(endpoint.permissions.video));
    put("allow_same_domain", json!(endpoint.permissions.same_domain));
    put(
        "allow_other_domains",
        json!(endpoint.permissions.other_domains),
    );
    put("allow_phones", json!(endpoint.permissions.phones));
    put("allow_apps", json!(endpoint.permissions.apps));
    put("created_at", json!(zulu(endpoint.created)));
    put("updated_at", json!(zulu(endpoint.updated)));
    ring::show(&mut object, "ring_policy", endpoint.ring, Ring::Latest);
    object
}

fn application_object(view: &EndpointView, alone: bool) -> Value {
    let Some(application) = &view.application else {
        return Value::Null;
    };
    let mut object = json!({ "app_id": application.id.to_string(), "app_name": application.name });
    if alone && let Some(object) = object.as_object_mut() {
        object.insert("answer_url".to_owned(), json!(application.answer_url));
        let method = match application.answer_method {
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
        };
        object.insert("answer_method".to_owned(), json!(method));
    }
    object
}

fn sip_uri(view: &EndpointView) -> String {
    format!("sip:{}@{}", view.endpoint.user, view.domain.sip_domain)
}

/// `host:port` of the Contact.
fn contact_address(binding: &Binding) -> String {
    let uri = binding.contact.trim_start_matches('<');
    let (scheme, rest) = uri.split_once(':').unwrap_or(("sip", uri));
    let rest = rest.split(['>', ';', '?']).next().unwrap_or_default();
    // A user part may hold `;` or `?` only before the `@`.
    let address = match binding.contact.split_once('@') {
        Some((_, address)) => address.split(['>', ';', '?']).next().unwrap_or_default(),
        None => rest,
    };
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']') && port.bytes().all(|c| c.is_ascii_digit()));
    match (has_port, scheme.eq_ignore_ascii_case("sips")) {
        (true, _) => address.to_owned(),
        (false, true) => format!("{address}:5061"),
        (false, false) => format!("{address}:5060"),
    }
}

fn zulu(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What an endpoint may do when nothing is said: vobiz-rest.md §2.1.
const PERMISSIONS: Permissions = Permissions {
    voice: true,
    message: true,
    video: false,
    same_domain: true,
    other_domains: false,
    phones: true,
    apps: true,
};

/// The faults found in a request, all of them told at once.
struct Checks(Map<String, Value>);

impl Checks {
    fn refuse(&mut self, name: &str, sentence: &str) {
        self.0.insert(name.to_owned(), json!(sentence));
    }

    fn take<T>(&mut self, name: &str, value: Result<T, &'static str>) -> Option<T> {
        value.map_err(|sentence| self.refuse(name, sentence)).ok()
    }

    fn into_refusal(self) -> Refusal {
        Refusal::invalid(self.0)
    }

    fn done(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_refusal())
        }
    }
}

fn text(fields: &Fields, name: &'static str) -> Result<Option<String>, &'static str> {
    fields.text(name).map_err(|_| NOT_VALID)
}

fn required(fields: &Fields, name: &'static str) -> Result<String, &'static str> {
    text(fields, name)?
        .filter(|text| !text.is_empty())
        .ok_or(REQUIRED)
}

fn flag(fields: &Fields, name: &'static str) -> Result<Option<bool>, &'static str> {
    fields.flag(name).map_err(|_| "Must be a valid boolean")
}

fn username(text: String) -> Result<String, &'static str> {
    // The examples hold underscores too.
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("Only alphanumeric characters are allowed");
    }
    if text.len() > 64 {
        Err("Ensure this field has no more than 64 characters")
    } else {
        Ok(text)
    }
}

fn check_password(text: String) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("Control characters are not allowed");
    }
    match text.chars().count() {
        ..8 => Err("Password must be at least 8 characters"),
        // Undocumented; chosen: what a SIP phone's form still takes.
        129.. => Err("Password must be at most 128 characters"),
        _ => Ok(text),
    }
}

fn alias(text: String) -> Result<String, &'static str> {
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | ' ' | '-'))
    {
        return Err(
            "Only letters, digits, spaces, apostrophes, hyphens and underscores are allowed",
        );
    }
    if text.len() > 100 {
        Err("Ensure this field has no more than 100 characters")
    } else {
        Ok(text)
    }
}

/// `application`, or `app_id` as the live service wants it; a number or a numeric string. `null` detaches.
fn application(fields: &Fields) -> Result<Option<Option<Id>>, &'static str> {
    let text = match fields.raw_of(&["application", "app_id"]) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(NOT_VALID),
    };
    if text.is_empty() {
        return Ok(Some(None));
    }
    decimal(&text)
        .map(|id| Some(Some(id)))
        .ok_or("Application not found")
}

fn ring_policy(fields: &Fields) -> Result<Option<Ring>, &'static str> {
    ring::read(fields).map_err(|_| NOT_VALID)
}

fn media_permissions(checks: &mut Checks, fields: &Fields, permissions: &mut Permissions) {
    for (name, slot) in [
        ("allow_voice", &mut permissions.voice),
        ("allow_message", &mut permissions.message),
        ("allow_video", &mut permissions.video),
    ] {
        if let Some(allowed) = checks.take(name, flag(fields, name)).flatten() {
            *slot = allowed;
        }
    }
}

/// A locked field may repeat what is stored, and nothing else.
fn locked(checks: &mut Checks, caller: &Caller, fields: &Fields, view: &EndpointView) {
    let endpoint = &view.endpoint;
    let id = endpoint.id.to_string();
    let texts = [
        ("endpoint_id", id.clone()),
        ("username", endpoint.user.clone()),
        ("sip_uri", sip_uri(view)),
        ("domain", view.domain.sip_domain.clone()),
        ("resource_uri", caller.uri(&format!("Endpoint/{id}/"))),
        ("sub_account", String::new()),
    ];
    for (name, stored) in texts {
        if !text(fields, name).is_ok_and(|sent| sent.is_none_or(|sent| sent == stored)) {
            checks.refuse(name, LOCKED);
        }
    }
    let flags = [
        ("allow_same_domain", endpoint.permissions.same_domain),
        ("allow_other_domains", endpoint.permissions.other_domains),
        ("allow_phones", endpoint.permissions.phones),
        ("allow_apps", endpoint.permissions.apps),
    ];
    for (name, stored) in flags {
        if !flag(fields, name).is_ok_and(|sent| sent.is_none_or(|sent| sent == stored)) {
            checks.refuse(name, LOCKED);
        }
    }
}
