//! Joins the pure crates with the store: directory, registrar, calls. No vendor word in it, no listening socket.
//!
//! [`Core::start`] makes it from its parts. Signalling threads ask [`Uas::request`] synchronously and report to [`Calls`];
//! what must wait (a commit, HTTP, a call) answers later through [`Signalling`]. [`Directory`] is what REST works on.

pub mod calls;
mod clock;
pub mod diagnosis;
pub mod directory;
pub mod error;
pub mod events;
pub mod guard;
mod handles;
pub mod messages;
mod overload;
pub mod registrar;
pub mod requests;
mod sender;
pub mod settings;
mod start;
mod trunks;
mod uas;

pub use calls::Calls;
pub use calls::dialect::{
    AccountFacts, DeliveryProfile, Dialect, Dialects, DocumentError, Payload,
};
pub use clock::Clock;
pub use diagnosis::Diagnosis;
pub use directory::LimitChange;
pub use directory::{
    AccountChange, ApplicationChange, ApplicationFilter, CallFilter, Directory, EndpointChange,
    EndpointFilter, EndpointView, Host, Key, Listed, NewAccount, NewApplication, NewEndpoint,
    NewNumbers, NumberChange, NumberFilter, Orphans, Page, PolicyChange, PolicyOf, PolicyView,
    Subscriber, TrunkChange,
};
pub use error::{Barred, Error, Why};
pub use events::Packages;
pub use guard::{Abuse, Guard, Offence};
pub use handles::{Closed, Dial, Dialer, MediaHandle, Signalling};
pub use messages::{MessageFacts, Messages};
pub use overload::{Gate, Load};
pub use registrar::{
    AccountEvent, Answer, EventKind, Events, LiveBinding, Location, Registrar, RegistrationEvent,
    RegistrationPolicy, Short, Shortcut, binding_id,
};
pub use requests::Requests;
pub use settings::{Egress, Redirects, Settings};
pub use start::Core;
pub use trunks::{Health, Registration, TrunkEvent, TrunkEventKind, TrunkState, TrunkStates};
pub use uas::{Decision, Uas};

pub use store::Limit;
pub use store::{
    Account, Application, ApplicationKind, Binding, CallDirection, CallRow, Domain, DomainKind,
    Endpoint, Flavor, HttpMethod, Id, Login, Number, Permissions, Policy, Ring, Route, Secret,
    Transport, Trunk,
};
