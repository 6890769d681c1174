//! What a call does: an application's documents, the built-in direct dial, or nothing but being refused.

use call::{Cause, Dial, Document, Link, Script, Target, TargetKind, Verb};
use sip::{Status, Uri};
use store::{Application, ApplicationKind, HttpMethod};

use crate::Settings;
use crate::calls::record::call_method;

/// What an application does with a call to this address.
pub(crate) fn of(settings: &Settings, application: &Application, uri: &Uri) -> Script {
    match application.kind {
        ApplicationKind::DirectDial => Script::Document {
            document: direct_dial(settings, uri.to_string()),
            hangup: hangup(application),
        },
        ApplicationKind::Xml => Script::Application {
            hangup: hangup(application),
            fallback: link(&application.fallback_url, application.fallback_method),
            answer: link(&application.answer_url, application.answer_method),
        },
    }
}

/// A call that is refused; the application it would have reached is told of its end.
pub(crate) fn refused(cause: Cause, status: Status, application: Option<&Application>) -> Script {
    Script::Refused {
        cause,
        status: status.0,
        hangup: application.and_then(hangup),
    }
}

/// What an application that is asked for documents is asked first.
pub(crate) fn answer(application: &Application) -> Option<Link> {
    match application.kind {
        ApplicationKind::DirectDial => None,
        ApplicationKind::Xml => link(&application.answer_url, application.answer_method),
    }
}

/// Who is told of the end; without a URL of its own the answer URL (plivo-rest.md §7).
pub(crate) fn hangup(application: &Application) -> Option<Link> {
    let own = link(&application.hangup_url, application.hangup_method);
    match application.kind {
        ApplicationKind::DirectDial => own,
        ApplicationKind::Xml => {
            own.or_else(|| link(&application.answer_url, application.answer_method))
        }
    }
}

fn link(url: &Option<String>, method: HttpMethod) -> Option<Link> {
    let url = url.as_ref().filter(|url| !url.is_empty())?;
    Some(Link {
        url: url.clone(),
        method: call_method(method),
    })
}

/// The built-in application that dials what the caller dialled.
pub(crate) fn direct_dial(settings: &Settings, target: String) -> Document {
    let target = Target {
        kind: TargetKind::Any(target),
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    };
    Document {
        verbs: vec![Verb::Dial(Dial {
            targets: vec![target],
            timeout: settings.ring_timeout,
            time_limit: settings.time_limit,
            caller_id: None,
            caller_name: None,
            action: None,
            redirect: false,
            callback: None,
            sip_headers: Vec::new(),
            early_media: true,
            direct: true,
        })],
    }
}
