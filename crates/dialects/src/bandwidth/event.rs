//! The stream of registration events, an extension of ours; docs/compatibility.md.

use axum::extract::Request;
use axum::response::Response;

use crate::bandwidth::auth::Caller;
use crate::bandwidth::error::Refusal;
use crate::extension::{Spelling, event};
use crate::http::Input;

pub(crate) async fn stream(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    Ok(event::stream(
        &caller.core,
        caller.account.id,
        Spelling::Camel,
    )?)
}
