//! Plivo's voice documents: voice-xml.md.

use call::Document;

use crate::voice::document::{self, Manner};
use crate::xml::Fault;

/// Reads a document that was fetched from `base`.
pub(crate) fn document(body: &[u8], base: &str) -> Result<Document, Fault> {
    document::document(
        body,
        base,
        &Manner {
            header_prefix: "X-PH-",
            early_media: false,
        },
    )
}
