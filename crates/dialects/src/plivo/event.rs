//! The stream of registration events, an extension of ours; docs/compatibility.md.

use axum::extract::Request;
use axum::response::Response;

use crate::extension::{Spelling, event};
use crate::http::Input;
use crate::plivo::auth::Caller;
use crate::plivo::error::Refusal;

pub(crate) async fn stream(caller: Caller, request: Request) -> Result<Response, Refusal> {
    Input::read(request).await?;
    Ok(event::stream(
        &caller.core,
        caller.account.id,
        Spelling::Snake,
    )?)
}
