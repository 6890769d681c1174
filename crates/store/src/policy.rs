//! Policies: what an account, a domain or an endpoint asks of registrations beside the installation's settings.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Id;
use crate::application::HttpMethod;
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::{Error, Result};

/// What a policy belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyScope {
    /// All endpoints of an account.
    Account,
    /// All endpoints of a domain.
    Domain,
    /// One endpoint.
    Endpoint,
}

/// What is asked; `None`: what is above says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Policy {
    /// The shortest registration, in seconds.
    pub min_expires: Option<u32>,
    /// The registration of a phone that does not say for how long, in seconds.
    pub default_expires: Option<u32>,
    /// The longest registration, in seconds.
    pub max_expires: Option<u32>,
    /// The most bindings of one endpoint.
    pub max_bindings: Option<u32>,
    /// The weakest digest algorithm that is taken, as its token is spelled (RFC 8760 §2.1).
    pub digest_algorithm: Option<String>,
    /// Whether a nonce is good for the address only that it was made for.
    pub bind_nonces: Option<bool>,
    /// User agents that are refused: alternatives divided by `|`.
    pub refused_user_agents: Option<String>,
    /// Seconds between two pings of a binding; 0: none.
    pub ping: Option<u32>,
    /// Told of registrations.
    pub registration_url: Option<String>,
    /// How.
    pub registration_method: Option<HttpMethod>,
    /// Whether refreshes are told too.
    pub registration_refreshed: Option<bool>,
}

/// A policy and what it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyRow {
    /// What kind of thing it belongs to.
    pub scope: PolicyScope,
    /// The id of that thing.
    pub subject: Id,
    /// Whose it is.
    pub account: Id,
    /// What it asks.
    pub policy: Policy,
}

impl Store {
    /// Puts a policy in the place of what was there. What it belongs to must exist.
    pub async fn put_policy(&self, row: PolicyRow) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                let subject = match row.scope {
                    PolicyScope::Account => "SELECT count(*) FROM account WHERE id = $1",
                    PolicyScope::Domain => "SELECT count(*) FROM domain WHERE id = $1",
                    PolicyScope::Endpoint => "SELECT count(*) FROM endpoint WHERE id = $1",
                };
                let there: i64 = sqlx::query_scalar(subject)
                    .bind(row.subject)
                    .fetch_one(&mut *connection)
                    .await?;
                if there == 0 {
                    return Err(Error::Gone);
                }
                let text = "INSERT OR REPLACE INTO policy (scope, subject, account, min_expires, default_expires, \
                     max_expires, max_bindings, digest_algorithm, bind_nonces, refused_user_agents, ping, \
                     registration_url, registration_method, registration_refreshed) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
                let policy = row.policy;
                sqlx::query(text)
                    .bind(row.scope.word())
                    .bind(row.subject)
                    .bind(row.account)
                    .bind(policy.min_expires)
                    .bind(policy.default_expires)
                    .bind(policy.max_expires)
                    .bind(policy.max_bindings)
                    .bind(policy.digest_algorithm)
                    .bind(policy.bind_nonces)
                    .bind(policy.refused_user_agents)
                    .bind(policy.ping)
                    .bind(policy.registration_url)
                    .bind(policy.registration_method.map(HttpMethod::word))
                    .bind(policy.registration_refreshed)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Removes a policy; returns whether there was one.
    pub async fn delete_policy(&self, scope: PolicyScope, subject: Id) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query("DELETE FROM policy WHERE scope = $1 AND subject = $2")
                    .bind(scope.word())
                    .bind(subject)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Reads all policies.
    pub async fn load_policies(&self, mut each: impl FnMut(PolicyRow)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM policy")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row)?);
        }
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<PolicyRow> {
    Ok(PolicyRow {
        scope: PolicyScope::read(row, "scope")?,
        subject: row.try_get("subject")?,
        account: row.try_get("account")?,
        policy: Policy {
            min_expires: column::optional_number(row, "min_expires")?,
            default_expires: column::optional_number(row, "default_expires")?,
            max_expires: column::optional_number(row, "max_expires")?,
            max_bindings: column::optional_number(row, "max_bindings")?,
            digest_algorithm: row.try_get("digest_algorithm")?,
            bind_nonces: row.try_get("bind_nonces")?,
            refused_user_agents: row.try_get("refused_user_agents")?,
            ping: column::optional_number(row, "ping")?,
            registration_url: row.try_get("registration_url")?,
            registration_method: HttpMethod::read_optional(row, "registration_method")?,
            registration_refreshed: row.try_get("registration_refreshed")?,
        },
    })
}
