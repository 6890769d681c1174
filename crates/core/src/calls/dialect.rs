//! What the core asks of a dialect: the words of a callback and the verbs of an answer. The only arrow that is inverted:
//! core declares the trait, the dialects implement it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store::Flavor;

use crate::MessageFacts;
use crate::registrar::RegistrationEvent;
use crate::trunks::TrunkEvent;

/// A vendor's way of telling a customer about a call and of reading the answer.
pub trait Dialect: Send + Sync {
    /// Spells what a customer's URL is told on this occasion.
    fn payload(
        &self,
        account: &AccountFacts,
        about: &call::About,
        occasion: &call::Occasion,
    ) -> Payload;

    /// Spells what a customer's URL is told of a registration.
    fn registration(&self, account: &AccountFacts, event: &RegistrationEvent) -> Payload;

    /// Spells what a customer's URL is told of a trunk.
    fn trunk(&self, account: &AccountFacts, event: &TrunkEvent) -> Payload;

    /// Spells what a customer's message URL is told of a message.
    fn message(&self, account: &AccountFacts, message: &MessageFacts) -> Payload;

    /// Reads the document that a customer's URL answered with; `base` is its URL, against which links are resolved.
    fn document(
        &self,
        body: &[u8],
        content_type: Option<&str>,
        base: &str,
    ) -> Result<call::Document, DocumentError>;

    /// Tells which URL of an application is asked what becomes of a call that a phone transfers, where the vendor has one.
    fn transfer(&self, _application: &store::Application) -> Option<call::Link> {
        None
    }

    /// Tells how patient the vendor is with a customer's server, and its program's name.
    fn profile(&self) -> DeliveryProfile;
}

/// What a callback may say about the account, and what it is signed with.
#[derive(Clone, Debug)]
pub struct AccountFacts {
    /// The account's public id.
    pub auth_id: String,
    /// The public id of the account above, else its own.
    pub main_auth_id: String,
    /// The token that signs callbacks.
    pub auth_token: store::Secret,
    /// The user id that the account has where accounts are users.
    pub bandwidth_user: String,
    /// How customers reach the REST interface; no slash at the end.
    pub public_url: String,
    /// The application that the call runs.
    pub application: Option<Arc<store::Application>>,
}

/// The body of a callback.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload {
    /// Fields: a form for POST, the query for GET.
    Form(Vec<(String, String)>),
    /// A JSON body; with GET, the fields of its top level in the query.
    Json(serde_json::Value),
}

/// Why an answer holds no document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not the XML that the vendor documents.
    #[error("not a document: {0}")]
    Xml(String),
    /// A link in it is not one over http or https.
    #[error("a link that is none: {0}")]
    Url(String),
    /// A method in it is neither GET nor POST.
    #[error("a method that is none: {0}")]
    Method(String),
}

/// How patient to be with a customer's server, and who asks it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeliveryProfile {
    /// Time for the connection.
    pub connect: Duration,
    /// Time for the answer.
    pub read: Duration,
    /// Further tries of the same URL.
    pub retries: u8,
    /// The program that requests name (`User-Agent`).
    pub user_agent: &'static str,
}

/// The dialects by the flavour that chose them.
#[derive(Clone)]
pub struct Dialects(Arc<dyn Fn(Flavor) -> Arc<dyn Dialect> + Send + Sync>);

impl Dialects {
    /// Takes the function that picks a dialect.
    pub fn new(pick: impl Fn(Flavor) -> Arc<dyn Dialect> + Send + Sync + 'static) -> Self {
        Self(Arc::new(pick))
    }

    /// Gives the dialect of this flavour.
    pub fn of(&self, flavor: Flavor) -> Arc<dyn Dialect> {
        (self.0)(flavor)
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialects")
    }
}
