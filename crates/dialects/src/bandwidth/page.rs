//! Pages of lists: bandwidth-v1.md §1.3.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use offhook_core::directory::Page;
use serde_json::Value;

use crate::bandwidth::auth::Caller;
use crate::bandwidth::error::Refusal;
use crate::http::Input;

const SIZE: u64 = 25;

/// Which page was asked for.
pub(crate) struct Asked {
    number: u64,
    size: u64,
}

impl Asked {
    /// Reads `page`, from 0, and `size`, which is moved below `most`.
    pub(crate) fn read(input: &Input, most: u64) -> Result<Self, Refusal> {
        let read = |name: &'static str, default: u64| match input.fields.integer(name) {
            Ok(None) => Ok(default),
            Ok(Some(value)) => {
                u64::try_from(value).map_err(|_| Refusal::not_valid(name, "it is negative"))
            }
            Err(_) => Err(Refusal::not_valid(name, "it is not a number")),
        };
        Ok(Self {
            number: read("page", 0)?,
            size: read("size", SIZE)?.clamp(1, most),
        })
    }

    /// The same for the core.
    pub(crate) fn rows(&self) -> Page {
        Page {
            limit: u32::try_from(self.size).unwrap_or(u32::MAX),
            offset: self.number.saturating_mul(self.size),
        }
    }

    /// Makes the answer of a list: a bare array, and links that are absolute because two libraries need that.
    pub(crate) fn listed(
        &self,
        caller: &Caller,
        path: &str,
        total: u64,
        items: Vec<Value>,
    ) -> Response {
        let link = |page: u64, rel: &str| {
            format!(
                "<{}{}?page={page}&size={}>; rel=\"{rel}\"",
                caller.origin,
                caller.below(path),
                self.size
            )
        };
        let mut links = vec![link(0, "first")];
        if let Some(previous) = self.number.checked_sub(1) {
            links.push(link(previous, "previous"));
        }
        if self.number.saturating_add(1).saturating_mul(self.size) < total {
            links.push(link(self.number + 1, "next"));
        }
        let mut response = Json(items).into_response();
        if let Ok(links) = HeaderValue::try_from(links.join(", ")) {
            response.headers_mut().insert(header::LINK, links);
        }
        response
    }
}
