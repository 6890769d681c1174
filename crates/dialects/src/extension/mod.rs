//! What no vendor has and all faces offer: policies, registrations, their events, the diagnosis, trunks. Their shape is ours, so it
//! is made here once; each face hands in how it spells names and times, and wraps the answer as its vendor does.

pub(crate) mod policy;
pub(crate) mod registration;
pub(crate) mod trunk;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// How a face spells names and times.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spelling {
    /// `expires_at`, `2026-02-03 09:30:00+00:00`.
    Snake,
    /// `expiresAt`, `2026-02-03T09:30:00Z`.
    Camel,
}

/// A name in both spellings.
pub(crate) type Name = (&'static str, &'static str);

impl Spelling {
    /// Picks a name.
    pub(crate) fn of(self, name: Name) -> &'static str {
        match self {
            Self::Snake => name.0,
            Self::Camel => name.1,
        }
    }

    /// Spells a time, in whole seconds.
    pub(crate) fn time(self, time: Timestamp) -> String {
        let format = match self {
            Self::Snake => "%Y-%m-%d %H:%M:%S+00:00",
            Self::Camel => "%Y-%m-%dT%H:%M:%SZ",
        };
        time.strftime(format).to_string()
    }
}

/// An object that is being filled.
pub(crate) struct Object {
    spelling: Spelling,
    members: Map<String, Value>,
}

impl Object {
    pub(crate) fn new(spelling: Spelling) -> Self {
        Self {
            spelling,
            members: Map::new(),
        }
    }

    /// Puts a member in.
    pub(crate) fn put(&mut self, name: Name, value: impl Into<Value>) {
        let name = self.spelling.of(name).to_owned();
        self.members.insert(name, value.into());
    }

    pub(crate) fn done(self) -> Map<String, Value> {
        self.members
    }
}
