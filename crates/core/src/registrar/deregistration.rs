//! The operator's view of an endpoint's bindings, and their end by his hand.

use md5::{Digest, Md5};
use store::{Binding, Id};

use crate::error::Error;
use crate::registrar::Registrar;
use crate::registrar::location::{Location, flow_of};

/// A binding as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveBinding {
    /// Its name in REST: the same as long as the phone keeps its contact or instance.
    pub id: String,
    /// The binding.
    pub binding: Binding,
    /// Whether requests can be sent to it: its connection is up, or it has none.
    pub reachable: bool,
}

/// The name of a binding in REST: 16 hexadecimal digits that its key makes, so that it stays over refreshes and restarts.
pub fn binding_id(binding: &Binding) -> String {
    id_of(&binding.key)
}

fn id_of(key: &str) -> String {
    let digest = Md5::digest(key.as_bytes());
    hex::encode(digest.get(..8).unwrap_or_default())
}

impl Location {
    /// Gives the live bindings of an endpoint as an operator sees them, newest login first.
    pub fn live_bindings(&self, endpoint: Id, now: jiff::Timestamp) -> Vec<LiveBinding> {
        let reach = self.reach(endpoint, now);
        let bindings = self.bindings(endpoint, now).into_iter();
        bindings
            .map(|binding| LiveBinding {
                id: binding_id(&binding),
                reachable: reach.iter().any(|way| {
                    way.contact == binding.contact && way.flow == flow_of(&binding.view())
                }),
                binding,
            })
            .collect()
    }
}

impl Registrar {
    /// Ends all registrations of an endpoint, or the one with this name; returns the bindings that went, once that is on
    /// disk.
    pub async fn unregister(
        &self,
        endpoint: Id,
        now: jiff::Timestamp,
        only: Option<&str>,
    ) -> Result<Vec<Binding>, Error> {
        let goes = |key: &str| only.is_none_or(|id| id_of(key) == id);
        self.location().end(endpoint, now, goes).await
    }
}
