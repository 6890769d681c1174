//! Vobiz's voice documents: voice-xml.md, the column of differences, and §6.

use call::Document;

use crate::voice::document::{self, Manner};
use crate::xml::Fault;

/// Reads a document that was fetched from `base`.
pub(crate) fn document(body: &[u8], base: &str) -> Result<Document, Fault> {
    document::document(
        body,
        base,
        &Manner {
            header_prefix: "X-VH-",
            early_media: true,
        },
    )
}
