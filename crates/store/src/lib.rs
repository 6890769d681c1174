//! The nouns and their tables, on SQLite; bindings in memory, with a journal (`journal/`).
//!
//! A [`Store`] has one writer task that owns the only connection which writes: jobs from everywhere are collected into one
//! transaction (group commit, `engine.rs`) and told of their outcome only after COMMIT. Reads go through a pool. No rule
//! lives here: who may do what, and what a name may look like, is decided above. Secrets are sealed (`seal.rs`).

mod account;
mod application;
mod binding;
mod block;
mod call;
mod callback;
mod checkpoint;
mod column;
mod domain;
mod endpoint;
mod engine;
mod error;
mod journal;
mod limit;
mod login;
mod number;
mod page;
mod policy;
mod seal;
mod sealer;
mod trunk;

pub use account::Account;
pub use application::{Application, ApplicationFilter, ApplicationKind, HttpMethod, WithEndpoints};
pub use binding::{Binding, BindingChange, Bindings, Change, Packed, Transport, Undo, View};
pub use block::Block;
pub use call::{CallDirection, CallFilter, CallRow};
pub use callback::{Busy, CallbackRow};
pub use domain::{Domain, DomainFilter, DomainKind};
pub use endpoint::{Endpoint, EndpointFilter, Permissions, Ring};
pub use engine::{Completion, Config, Durability, Store};
pub use error::{Error, Result};
pub use journal::{Entry, Outcome, Ticket, Watcher, examine};
pub use limit::{Limit, LimitOwner};
pub use login::EndpointLogin;
pub use number::{Number, NumberFilter};
pub use page::{Comparison, Match, Page, Paged};
pub use policy::{Policy, PolicyRow, PolicyScope};
pub use seal::{SealKey, Secret};
pub use sealer::Sealer;
pub use trunk::{Login, Route, Trunk};

/// Key of an account, a domain, an application or an endpoint; the last two show it to customers as a decimal number.
pub type Id = i64;

/// Which face of the interface made a thing: its naming, its document format and its delivery rules follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flavor {
    /// `/v1/Account/…`
    Plivo,
    /// `/api/v1/Account/…`
    Vobiz,
    /// `/v1/users/…`
    Bandwidth,
}
