//! Endpoints: bandwidth-v1.md §3. Tokens (§3.5) are not offered.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::{EndpointChange, EndpointFilter, EndpointView, Key, NewEndpoint};
use offhook_core::{Domain, Error, Flavor, Id, Permissions, Ring};
use serde_json::{Map, Value, json};

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::domain::description;
use crate::bandwidth::error::Refusal;
use crate::bandwidth::page::Asked;
use crate::http::{Fields, Input};

/// The largest page of this list.
const PAGE: u64 = 1_000;
/// The shortest password of a create, and of an update: a documented example sets one of five characters.
const PASSWORD: (usize, usize) = (6, 5);

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let domain = domain(&caller).await?;
    let name = fields
        .text("name")?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refusal::missing("name"))?;
    if !is_user(&name) {
        return Err(Refusal::not_valid(
            "name",
            "it must be a user part of a SIP URI of 1 to 128 characters",
        ));
    }
    let password =
        password(&fields, PASSWORD.0)?.ok_or_else(|| Refusal::missing("credentials.password"))?;
    let new = NewEndpoint {
        flavor: Flavor::Bandwidth,
        domain: Some(domain.id),
        user: name,
        append_digits: false,
        label: String::new(),
        description: description(&fields)?.flatten(),
        password,
        application: application(&caller, &fields).await?.flatten(),
        // Without an application its calls are rejected; there is no default one.
        default_application: false,
        enabled: fields.flag("enabled")?.unwrap_or(true),
        ring: Ring::All,
        permissions: Permissions::default(),
    };
    let view = caller
        .core
        .directory
        .create_endpoint(&caller.account, new)
        .await?;
    Ok(caller.created(&format!(
        "domains/{}/endpoints/{}",
        domain.public_id, view.endpoint.public_id
    )))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let domain = domain(&caller).await?;
    let page = Asked::read(&input, PAGE)?;
    let filter = EndpointFilter {
        domain: Some(domain.id),
        ..EndpointFilter::default()
    };
    let found = caller
        .core
        .directory
        .endpoints(&caller.account, &filter, page.rows())
        .await?;
    let items = found.items.iter().map(object).collect();
    Ok(page.listed(
        &caller,
        &format!("domains/{}/endpoints", domain.public_id),
        found.total,
        items,
    ))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    Ok(Json(object(&find(&caller).await?)).into_response())
}

/// Only what may change is read; libraries send the rest back.
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let view = find(&caller).await?;
    let change = EndpointChange {
        description: description(&fields)?,
        password: password(&fields, PASSWORD.1)?,
        application: application(&caller, &fields).await?,
        enabled: fields.flag("enabled")?,
        ..EndpointChange::default()
    };
    let id = view.endpoint.public_id;
    let changed = caller
        .core
        .directory
        .update_endpoint(&caller.account, &Key::Public(id.clone()), change)
        .await;
    changed.map_err(|error| Refusal::of(error, &id))?;
    Ok(done())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = find(&caller).await?.endpoint.public_id;
    let gone = caller
        .core
        .directory
        .delete_endpoint(&caller.account, &Key::Public(id.clone()))
        .await;
    gone.map_err(|error| Refusal::of(error, &id))?;
    Ok(done())
}

async fn domain(caller: &Caller) -> Result<Arc<Domain>, Refusal> {
    let id = caller.path("domain_id");
    caller
        .core
        .directory
        .domain(&caller.account, id)
        .await
        .map_err(|error| Refusal::of(error, id))
}

/// Finds the endpoint in the domain of the path; in another one it does not exist.
pub(crate) async fn find(caller: &Caller) -> Result<EndpointView, Refusal> {
    let domain = domain(caller).await?;
    let id = caller.path("endpoint_id");
    let found = caller
        .core
        .directory
        .endpoint(&caller.account, &Key::Public(id.to_owned()))
        .await;
    match found.map_err(|error| Refusal::of(error, id))? {
        view if view.endpoint.domain == domain.id => Ok(view),
        _ => Err(Refusal::unknown("endpoint", id)),
    }
}

/// Keys without a value are left out.
fn object(view: &EndpointView) -> Value {
    let endpoint = &view.endpoint;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(endpoint.public_id));
    put("name", json!(endpoint.user));
    if let Some(description) = &endpoint.description {
        put("description", json!(description));
    }
    put("domainId", json!(view.domain.public_id));
    if let Some(application) = &view.application {
        put("applicationId", json!(application.public_id));
    }
    put("enabled", json!(endpoint.enabled));
    put(
        "sipUri",
        json!(format!("sip:{}@{}", endpoint.user, view.domain.sip_domain)),
    );
    put(
        "credentials",
        json!({ "realm": view.domain.realm, "username": endpoint.user }),
    );
    Value::Object(object)
}

fn password(fields: &Fields, shortest: usize) -> Result<Option<String>, Refusal> {
    let Some(credentials) = fields.object("credentials")? else {
        return Ok(None);
    };
    let bad = |why: &str| Err(Refusal::not_valid("credentials.password", why));
    match credentials.text("password")? {
        None => Ok(None),
        Some(password) if password.chars().any(|c| u32::from(c) > 0xff) => {
            bad("it has characters outside ISO 8859-1")
        }
        Some(password) if password.chars().any(char::is_control) => {
            bad("it has control characters")
        }
        Some(password) if password.chars().count() < shortest => bad("it is too short"),
        Some(password) if password.chars().count() > 128 => bad("it is too long"),
        Some(password) => Ok(Some(password)),
    }
}

/// An unknown application is a 404 here; so is somebody else's, which nobody is told about. An empty id detaches.
async fn application(caller: &Caller, fields: &Fields) -> Result<Option<Option<Id>>, Refusal> {
    match fields.text("applicationId")? {
        None => Ok(None),
        Some(id) if id.is_empty() => Ok(Some(None)),
        Some(id) => match caller
            .core
            .directory
            .application_by_key(&caller.account, &Key::Public(id.clone()))
            .await
        {
            Ok(application) => Ok(Some(Some(application.id))),
            Err(Error::NotFound { .. }) => Err(Refusal::unknown("application", &id)),
            Err(error) => Err(error.into()),
        },
    }
}

/// The user part of a SIP URI as RFC 3261 §25.1 allows it.
fn is_user(name: &str) -> bool {
    let mut rest = name.bytes();
    let mut valid = (1..=128).contains(&name.len());
    while let Some(octet) = rest.next() {
        valid &= match octet {
            b'%' => {
                rest.next().is_some_and(|c| c.is_ascii_hexdigit())
                    && rest.next().is_some_and(|c| c.is_ascii_hexdigit())
            }
            octet => octet.is_ascii_alphanumeric() || b"_.!~*'()&=+$,;?/-".contains(&octet),
        };
    }
    valid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_user_part() {
        for good in [
            "jsmith_mobile",
            "my-endpoint",
            "+1(500)555",
            "a%40b",
            "a;b=c?d/e&f$g,h!~*'",
        ] {
            assert!(is_user(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a@b",
            "a%4",
            "a%zz",
            "ä",
            "a:b",
            "a\"b",
            &"x".repeat(129),
        ] {
            assert!(!is_user(bad), "{bad}");
        }
    }
}
