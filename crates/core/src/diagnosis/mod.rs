//! The explainer: why a phone cannot log in, call, be called, or hear; each answer from evidence (`evidence`) of what was seen
//! of that endpoint: the attempts to get in (`attempts`, `cause`), its bindings, its last calls. The answers are `findings`.
//!
//! Nothing of one account is shown to another, and no secret is ever part of it.

mod attempts;
mod cause;
mod evidence;
mod findings;

use std::sync::Arc;

use store::{Account, Store};

use crate::directory::Key;
use crate::registrar::{LiveBinding, Location};
use crate::{Clock, Directory, Error, Guard};

pub use attempts::Attempt;
pub(crate) use attempts::{Attempts, Who};
pub use cause::Cause;
pub use findings::{Finding, Question, Verdict};

/// Answers why.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) guard: Guard,
    pub(crate) directory: Directory,
    pub(crate) location: Location,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

/// What is known of an endpoint, and what follows from it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The last attempts to get in, newest first, at most 16.
    pub attempts: Vec<Attempt>,
    /// Where it is registered, newest login first.
    pub bindings: Vec<LiveBinding>,
    /// What follows, in the order of the questions.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// What is known of an endpoint of the account.
    pub async fn of_endpoint(&self, account: &Account, key: &Key) -> Result<Report, Error> {
        let evidence = self.evidence(account, key).await?;
        Ok(Report {
            findings: findings::of(&evidence),
            attempts: evidence.attempts,
            bindings: evidence.bindings,
        })
    }

    /// The attempts of those whom the account does not have, newest first: user names that no endpoint has, and the account's
    /// own id.
    pub fn of_strangers(&self, account: &Account) -> Vec<Attempt> {
        self.attempts.of_strangers(account.id)
    }
}
