//! Numbers: bandwidth-v1.md §6.3, `/phoneNumbers`. Nothing is rented here: numbers that a carrier sends are added.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::directory::Key;
use offhook_core::{Error, Id, NewNumbers, Number, NumberChange, NumberFilter};
use serde_json::{Map, Value, json};

use crate::bandwidth::auth::{Caller, done};
use crate::bandwidth::error::Refusal;
use crate::bandwidth::page::Asked;
use crate::extension::trunk::optional;
use crate::http::{Fields, Input};

/// The largest page of this list.
const PAGE: u64 = 1000;

pub(crate) async fn create(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let number = fields
        .text("number")?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::missing("number"))?;
    let new = NewNumbers {
        numbers: vec![number],
        application: application(&caller, &fields).await?,
        alias: fields.text("name")?,
        ..NewNumbers::default()
    };
    let made = caller
        .core
        .directory
        .create_numbers(&caller.account, new)
        .await?;
    let id = made.first().map(|number| number.public_id.clone());
    Ok(caller.created(&format!("phoneNumbers/{}", id.unwrap_or_default())))
}

pub(crate) async fn list(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let input = Input::read(request).await?;
    let page = Asked::read(&input, PAGE)?;
    let filter = NumberFilter {
        application: application(&caller, &input.fields).await?.flatten(),
        alias: input.fields.text("name")?.filter(|text| !text.is_empty()),
        ..NumberFilter::default()
    };
    let found = caller
        .core
        .directory
        .numbers(&caller.account, &filter, page.rows())
        .await?;
    let items = found
        .items
        .iter()
        .map(|number| object(&caller, number))
        .collect();
    Ok(page.listed(&caller, "phoneNumbers", found.total, items))
}

/// By its id, or by the number itself.
pub(crate) async fn retrieve(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("number_id");
    let number = caller.core.directory.number(&caller.account, id);
    let number = number.map_err(|error| Refusal::of(error, id))?;
    Ok(Json(object(&caller, &number)).into_response())
}

pub(crate) async fn update(caller: Caller, request: Request) -> Result<Response, Refusal> {
    let Input { fields, .. } = Input::read(request).await?;
    let id = caller.path("number_id");
    let change = NumberChange {
        application: application(&caller, &fields).await?,
        alias: optional(&fields, "name")?,
    };
    let changed = caller
        .core
        .directory
        .update_number(&caller.account, id, change)
        .await;
    changed.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

pub(crate) async fn delete(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    let id = caller.path("number_id");
    let gone = caller
        .core
        .directory
        .delete_number(&caller.account, id)
        .await;
    gone.map_err(|error| Refusal::of(error, id))?;
    Ok(done())
}

async fn application(caller: &Caller, fields: &Fields) -> Result<Option<Option<Id>>, Refusal> {
    let Some(id) = fields.text("applicationId")? else {
        return Ok(None);
    };
    if id.is_empty() {
        return Ok(Some(None));
    }
    let key = Key::Public(id.clone());
    let found = caller
        .core
        .directory
        .application_by_key(&caller.account, &key)
        .await;
    match found {
        Ok(application) => Ok(Some(Some(application.id))),
        Err(Error::NotFound { .. }) => Err(Refusal::unknown("application", &id)),
        Err(error) => Err(error.into()),
    }
}

fn object(caller: &Caller, number: &Number) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(number.public_id));
    put("number", json!(format!("+{}", number.number)));
    put("nationalNumber", json!(national(&number.number)));
    if let Some(name) = &number.alias {
        put("name", json!(name));
    }
    let application = number
        .application
        .and_then(|id| caller.core.directory.application(id));
    if let Some(application) = application {
        let path = caller.below(&format!("applications/{}", application.public_id));
        put("application", json!(format!("{}{path}", caller.origin)));
        put("applicationId", json!(application.public_id));
    }
    put("price", json!("0.00"));
    put(
        "createdTime",
        json!(number.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    );
    put("numberState", json!("enabled"));
    Value::Object(object)
}

/// Numbers of country code 1 as people there write them; all others in full.
fn national(number: &str) -> String {
    let parts = number
        .strip_prefix('1')
        .filter(|rest| rest.len() == 10)
        .and_then(|rest| Some((rest.get(..3)?, rest.get(3..6)?, rest.get(6..)?)));
    match parts {
        Some((area, office, line)) => format!("({area}) {office}-{line}"),
        None => format!("+{number}"),
    }
}
