//! What SIP must know of endpoints, read without the rest of their rows.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::column::Word;
use crate::endpoint::{Endpoint, Permissions, Ring, place};
use crate::engine::Store;
use crate::error::Result;
use crate::seal::{SealKey, Secret};
use crate::{Flavor, Id};

/// The columns, in the order in which they are read.
const COLUMNS: &str =
    "id, account, flavor, domain, user, sealed_password, application, enabled, ring, permissions";

/// As much of an [`Endpoint`] as a login needs.
#[derive(Clone, Debug)]
pub struct EndpointLogin {
    /// The endpoint.
    pub id: Id,
    /// Whose it is.
    pub account: Id,
    /// Which face made it.
    pub flavor: Flavor,
    /// In which domain.
    pub domain: Id,
    /// The user part of its SIP URI.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Its application.
    pub application: Option<Id>,
    /// Off: it neither registers nor calls nor rings.
    pub enabled: bool,
    /// Which of its bindings a call rings.
    pub ring: Ring,
    /// What it may do.
    pub permissions: Permissions,
}

impl From<&Endpoint> for EndpointLogin {
    fn from(endpoint: &Endpoint) -> Self {
        EndpointLogin {
            id: endpoint.id,
            account: endpoint.account,
            flavor: endpoint.flavor,
            domain: endpoint.domain,
            user: endpoint.user.clone(),
            password: endpoint.password.clone(),
            application: endpoint.application,
            enabled: endpoint.enabled,
            ring: endpoint.ring,
            permissions: endpoint.permissions,
        }
    }
}

impl Store {
    /// The number of the newest endpoint; those that exist have numbers from 1 to it, with gaps.
    pub async fn last_login(&self) -> Result<i64> {
        let last: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM endpoint")
            .fetch_one(self.read())
            .await?;
        Ok(last.unwrap_or_default())
    }

    /// Reads the logins whose numbers are above `after` and not above `to`, one after the other.
    pub async fn load_logins(
        &self,
        after: i64,
        to: i64,
        mut each: impl FnMut(EndpointLogin) + Send,
    ) -> Result<()> {
        let text = format!("SELECT {COLUMNS} FROM endpoint WHERE seq > $1 AND seq <= $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(after).bind(to);
        let mut rows = query.fetch(self.read());
        while let Some(row) = rows.try_next().await? {
            each(read(&row, self.key())?);
        }
        Ok(())
    }

    /// The login with this name in this domain.
    pub async fn login(&self, domain: Id, user: &str) -> Result<Option<EndpointLogin>> {
        let text = format!("SELECT {COLUMNS} FROM endpoint WHERE domain = $1 AND user = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(domain)
            .bind(user)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }
}

fn read(row: &SqliteRow, key: &SealKey) -> Result<EndpointLogin> {
    let id: Id = row.try_get(0)?;
    Ok(EndpointLogin {
        id,
        account: row.try_get(1)?,
        flavor: Flavor::read(row, "flavor")?,
        domain: row.try_get(3)?,
        user: row.try_get(4)?,
        password: key.open(place(id), row.try_get(5)?)?,
        application: row.try_get(6)?,
        enabled: row.try_get(7)?,
        ring: Ring::read(row, "ring")?,
        permissions: Permissions::from_bits(row.try_get(9)?),
    })
}
