//! The registrar: who may register what (`registrar`), where endpoints are (`location`), what is granted (`policy`), and
//! the digest check that REGISTER and INVITE share (`authentication`, `capability`, `replay`). Which flow of which device it
//! was and which proxies it came through: `outbound`, `path`. What is said back: `answer`. RFC 3261 §10, §22; RFC 7616;
//! RFC 5626, RFC 3327.

mod answer;
mod authentication;
mod capability;
mod deregistration;
mod events;
mod herald;
mod location;
mod outbound;
mod path;
mod ping;
mod policy;
#[expect(
    clippy::module_inception,
    reason = "the room and its noun share the name"
)]
mod registrar;
mod replay;
mod shortcut;
mod waiting;

pub(crate) use authentication::Authenticator;
pub use deregistration::{LiveBinding, binding_id};
pub use events::{AccountEvent, EventKind, Events, RegistrationEvent};
pub(crate) use herald::Herald;
pub(crate) use location::transport_of;
pub use location::{Location, Reach};
pub(crate) use path::{next_hop, route};
pub(crate) use ping::Pings;
pub use policy::RegistrationPolicy;
pub(crate) use policy::{ChallengePolicy, is_refused_user_agent};
pub use registrar::Registrar;
pub use shortcut::{Short, Shortcut};
pub use waiting::Answer;
