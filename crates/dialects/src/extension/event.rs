//! Events of registrations and trunks: as an object, and as a stream of them (server-sent events, WHATWG HTML §9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, header};
use offhook_core::{AccountEvent, Core, Error, Id, RegistrationEvent, TrunkEvent};
use serde_json::{Map, Value};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Object, Spelling};

/// How often a silent stream says that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Shows an event; what it does not have is left out.
pub(crate) fn object(event: &RegistrationEvent, spelling: Spelling) -> Map<String, Value> {
    let mut object = Object::new(spelling);
    object.put(("event", "event"), event.kind.name());
    object.put(("time", "time"), spelling.time(event.at));
    let endpoint = match spelling {
        Spelling::Snake => event.endpoint.to_string(),
        Spelling::Camel => event.public_id.clone(),
    };
    object.put(("endpoint_id", "endpointId"), endpoint);
    object.put(("username", "username"), event.user.clone());
    let uri = format!("sip:{}@{}", event.user, event.domain);
    object.put(("sip_uri", "sipUri"), uri);
    object.put(
        ("source_address", "sourceAddress"),
        event.source.to_string(),
    );
    object.put(("transport", "transport"), event.transport.name());
    object.put(("user_agent", "userAgent"), event.user_agent.clone());
    if let Some(registration) = &event.registration {
        object.put(("registration_id", "registrationId"), registration.clone());
    }
    if let Some(contact) = &event.contact {
        object.put(("contact", "contact"), contact.clone());
    }
    if let Some(expires) = event.expires_at {
        object.put(("expires_at", "expiresAt"), spelling.time(expires));
    }
    if let Some(reason) = event.reason {
        object.put(("reason", "reason"), reason.name());
    }
    object.done()
}

/// Shows what happened to a trunk.
pub(crate) fn of_trunk(event: &TrunkEvent, spelling: Spelling) -> Map<String, Value> {
    let mut object = Object::new(spelling);
    object.put(("event", "event"), event.kind.name());
    object.put(("time", "time"), spelling.time(event.at));
    object.put(("trunk_id", "trunkId"), event.public_id.clone());
    object.put(("name", "name"), event.name.clone());
    if let Some(reason) = &event.reason {
        object.put(("reason", "reason"), reason.clone());
    }
    object.done()
}

/// Answers with the account's events from now on. A reader that falls behind hears `lagged` with how many it missed.
pub(crate) fn stream(core: &Core, account: Id, spelling: Spelling) -> Result<Response, Error> {
    let receiver = core.events.subscribe(account)?;
    let events = stream::unfold(receiver, move |mut receiver| async move {
        let event = next(&mut receiver, spelling).await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let keep = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep).into_response();
    // Proxies that collect answers would hold events back.
    let unbuffered = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    let uncached = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, uncached);
    Ok(response)
}

async fn next(receiver: &mut Receiver<Arc<AccountEvent>>, spelling: Spelling) -> Option<Event> {
    match receiver.recv().await {
        Ok(event) => {
            let object = match &*event {
                AccountEvent::Registration(event) => object(event, spelling),
                AccountEvent::Trunk(event) => of_trunk(event, spelling),
            };
            let data = Value::Object(object).to_string();
            Some(Event::default().event(event.name()).data(data))
        }
        Err(RecvError::Lagged(missed)) => {
            let data = serde_json::json!({ "missed": missed }).to_string();
            Some(Event::default().event("lagged").data(data))
        }
        Err(RecvError::Closed) => None,
    }
}
