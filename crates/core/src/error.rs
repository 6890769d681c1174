//! Why something was refused or failed: reasons, never statuses. Each dialect says it in its own words.

use std::time::Duration;

use uuid::Uuid;

/// How long a caller is asked to wait when the store is behind.
const BACK_OFF: Duration = Duration::from_secs(1);

/// One reason per thing that a caller can do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it belongs to somebody else: the two are not told apart.
    #[error("{what} not found")]
    NotFound {
        /// `account`, `domain`, `application`, `endpoint`, `call`, `trunk` or `number`.
        what: &'static str,
    },
    /// A field is missing or does not hold what it must.
    #[error("{field}: {why}")]
    Invalid {
        /// The field, in core's spelling.
        field: &'static str,
        /// What is wrong.
        why: Why,
    },
    /// Something with the same name exists.
    #[error("a {what} with the name {value} exists")]
    Conflict {
        /// What there is already.
        what: &'static str,
        /// The name.
        value: String,
    },
    /// The credentials are missing or wrong.
    #[error("wrong credentials")]
    Unauthorized,
    /// The credentials are right and yet it may not be.
    #[error("not allowed: {why}")]
    Forbidden {
        /// Why not.
        why: Barred,
    },
    /// Too many requests.
    #[error("too many requests")]
    TooMany {
        /// When to come again.
        retry_after: Duration,
    },
    /// Something that is needed is behind or away.
    #[error("not available at the moment")]
    Unavailable {
        /// When to come again.
        retry_after: Duration,
    },
    /// Our fault; the log has it under this id.
    #[error("internal error {id}")]
    Internal {
        /// Under which the log has it.
        id: Uuid,
    },
}

/// What is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// It must be there.
    #[error("missing")]
    Missing,
    /// Its value cannot be taken; the text says why.
    #[error("{0}")]
    NotValid(String),
}

/// Why something is barred to right credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Barred {
    /// The account has as many domains as it may.
    #[error("limit of domains reached")]
    DomainLimit,
    /// The account has as many trunks as it may.
    #[error("limit of trunks reached")]
    TrunkLimit,
    /// The account is switched off.
    #[error("account disabled")]
    AccountDisabled,
}

impl Error {
    /// Logs a fault of ours and gives the id under which the log has it.
    pub fn internal(source: &(dyn std::error::Error + 'static)) -> Self {
        let id = Uuid::from_u128(rand::Rng::random(&mut rand::rng()));
        tracing::error!(%id, error = source, "internal error");
        Error::Internal { id }
    }

    /// Asks to come again soon.
    pub fn busy() -> Self {
        Error::Unavailable {
            retry_after: BACK_OFF,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy | store::Error::Closed => Error::busy(),
            other => Error::internal(&other),
        }
    }
}
