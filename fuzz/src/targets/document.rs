//! Customers' documents in each dialect: read or refused with words, without a fetch and without a panic (hard cases X03, X04).

use dialects::bandwidth::Bandwidth;
use dialects::plivo::Plivo;
use dialects::vobiz::Vobiz;
use offhook_core::{Dialect, DocumentError};

use crate::trace::Trace;

const BASE: &str = "https://app.example/voice/start?x=1";

/// A document.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let dialects: [&dyn Dialect; 3] = [&Plivo, &Vobiz, &Bandwidth];
    for dialect in dialects {
        for kind in [None, Some("application/xml; charset=utf-8")] {
            match dialect.document(bytes, kind, BASE) {
                Ok(document) => {
                    assert!(document.verbs.len() <= 1_000, "bounded");
                    trace.note_size(document.verbs.len());
                    for verb in &document.verbs {
                        trace.note(std::mem::discriminant(verb));
                    }
                }
                Err(DocumentError::Xml(why)) => trace.note(("xml", why.len())),
                Err(DocumentError::Url(_)) => trace.note("url"),
                Err(DocumentError::Method(_)) => trace.note("method"),
            }
        }
    }
    trace.finish()
}
