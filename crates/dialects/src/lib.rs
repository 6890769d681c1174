//! The faces: Plivo, Vobiz and Bandwidth v1. They translate at the edge and decide nothing that the core decides.
//!
//! Each folder has the same file list; a missing file is a resource that is not offered. A dialect reads its vendor's
//! requests and documents, calls the core, and spells answers, refusals and callbacks as its vendor does. What all three
//! need and what has no shape of its own is in `http.rs` (paths, bodies, URLs) and `xml.rs` (limits, attributes); the voice
//! documents that two vendors share are in `voice.rs`.

pub mod bandwidth;
mod http;
pub mod plivo;
pub mod vobiz;
mod voice;
mod xml;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use offhook_core::{Core, Dialect, Flavor};

pub use crate::http::Route;

/// All faces on one router. It answers every path, so it belongs behind the other routes of a listener.
pub fn router(core: Arc<Core>) -> Router {
    let routes = plivo::matched(Arc::clone(&core))
        .merge(vobiz::matched(Arc::clone(&core)))
        .merge(bandwidth::spelled(core))
        .fallback(elsewhere);
    crate::http::normalized(routes)
}

/// A path that is no operation, in the words of the face that it looks like.
async fn elsewhere(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v1/users") {
        return bandwidth::unknown_path(request).await;
    }
    match path.starts_with("/api/") {
        true => vobiz::not_found().await.into_response(),
        false => plivo::not_found().await.into_response(),
    }
}

/// The dialect of a flavour, for the core.
pub fn dialect(flavor: Flavor) -> Arc<dyn Dialect> {
    match flavor {
        Flavor::Plivo => Arc::new(plivo::Plivo),
        Flavor::Vobiz => Arc::new(vobiz::Vobiz),
        Flavor::Bandwidth => Arc::new(bandwidth::Bandwidth),
    }
}
