//! Domains: bandwidth-v1.md §2.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::Domain;
use serde_json::{Map, Value, json};

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::error::Refusal;
use crate::bandwidth::page::Asked;
use crate::http::{Fields, Input};

/// The largest page of this list.
const PAGE: u64 = 100;
/// Undocumented; chosen: the longest description.
const DESCRIPTION: usize = 1_000;

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let name = fields
        .text("name")?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refusal::missing("name"))?;
    if !is_label(&name) {
        return Err(Refusal::not_valid(
            "name",
            "it must be 1 to 63 letters, digits, hyphens or underscores",
        ));
    }
    let description = description(&fields)?.flatten();
    let domain = caller
        .core
        .directory
        .create_domain(&caller.account, name, description)
        .await?;
    Ok(caller.created(&format!("domains/{}", domain.public_id)))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = Asked::read(&input, PAGE)?;
    let found = caller
        .core
        .directory
        .domains(&caller.account, page.rows())
        .await?;
    let items = found
        .items
        .iter()
        .map(|domain| object(&caller, domain))
        .collect();
    Ok(page.listed(&caller, "domains", found.total, items))
}

pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("domain_id");
    let found = caller.core.directory.domain(&caller.account, id).await;
    let domain = found.map_err(|error| Refusal::of(error, id))?;
    Ok(Json(object(&caller, &domain)).into_response())
}

/// The name cannot be changed; libraries send it back all the same.
pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let id = caller.path("domain_id");
    let found = caller.core.directory.domain(&caller.account, id).await;
    let domain = found.map_err(|error| Refusal::of(error, id))?;
    if fields.text("name")?.is_some_and(|name| name != domain.name) {
        return Err(Refusal::not_valid("name", "it cannot be changed"));
    }
    let description = description(&fields)?;
    let changed = caller
        .core
        .directory
        .update_domain(&caller.account, id, description)
        .await;
    changed.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

/// Its endpoints go with it.
pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("domain_id");
    let gone = caller
        .core
        .directory
        .delete_domain(&caller.account, id)
        .await;
    gone.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

/// Free text that was sent; an empty one unsets.
pub(crate) fn description(fields: &Fields) -> Result<Option<Option<String>>, Refusal> {
    match fields.text("description")? {
        Some(text) if text.chars().count() > DESCRIPTION => {
            Err(Refusal::not_valid("description", "it is too long"))
        }
        text => Ok(text.map(|text| Some(text).filter(|text| !text.is_empty()))),
    }
}

/// The reference names the link `endpoints`, the libraries read `endpointsUrl`.
fn object(caller: &Caller, domain: &Domain) -> Value {
    let endpoints = caller.below(&format!("domains/{}/endpoints", domain.public_id));
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(domain.public_id));
    object.insert("name".to_owned(), json!(domain.name));
    if let Some(description) = &domain.description {
        object.insert("description".to_owned(), json!(description));
    }
    object.insert("endpoints".to_owned(), json!(endpoints));
    object.insert(
        "endpointsUrl".to_owned(),
        json!(format!("{}{endpoints}", caller.origin)),
    );
    Value::Object(object)
}

/// One label of a DNS name; an underscore is in a documented example.
fn is_label(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.chars().next())
        && ends(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_dns_label() {
        for good in ["acme-lab", "Acme_Lab", "a", "7", &"x".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "_a",
            "a.b",
            "My Site",
            "ä",
            "a@b",
            &"x".repeat(64),
        ] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
