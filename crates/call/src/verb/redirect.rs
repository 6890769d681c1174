//! Redirect: voice-xml.md §4.10.

use crate::about::{FetchFailure, FetchId, Occasion};
use crate::cdr::{Cause, HangupSource};
use crate::context::Context;
use crate::leg::End;
use crate::verb::{Event, Link, Step, too_many_documents};

/// Goes on with another document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// Where it is.
    pub link: Link,
}

/// A Redirect that waits for its document.
#[derive(Debug)]
pub(crate) struct Redirecting {
    fetch: FetchId,
}

impl Redirecting {
    pub(crate) fn start(redirect: Redirect, ctx: &mut Context) -> Result<Self, Step> {
        match ctx.fetch_document(redirect.link, Occasion::Redirect) {
            Some(fetch) => Ok(Self { fetch }),
            None => Err(Step::End(too_many_documents())),
        }
    }

    pub(crate) fn on_event(&mut self, event: Event) -> Step {
        match event {
            Event::Fetched { fetch, outcome } if fetch == self.fetch => match outcome {
                Ok(document) => Step::Replace(document),
                Err(failure) => Step::End(End::new(cause(failure), HangupSource::Error)),
            },
            _ => Step::Continue,
        }
    }
}

/// voice-xml.md §1.3.
const fn cause(failure: FetchFailure) -> Cause {
    match failure {
        FetchFailure::Unreachable => Cause::RedirectUnreachable,
        FetchFailure::BadXml => Cause::InvalidRedirectXml,
        FetchFailure::BadUrl => Cause::InvalidRedirectUrl,
        FetchFailure::BadMethod => Cause::InvalidRedirectMethod,
    }
}
