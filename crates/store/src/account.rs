//! Accounts: who may use the interface, with which tokens, and which SIP domain is theirs.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Id;
use crate::column;
use crate::domain::{self, Domain};
use crate::engine::Store;
use crate::error::Result;
use crate::page::{Page, Paged};
use crate::seal::{Place, SealKey, Secret};

/// A customer.
#[derive(Clone, Debug)]
pub struct Account {
    /// Internal key.
    pub id: Id,
    /// `MA` and 18 of `[A-Z0-9]`.
    pub auth_id: String,
    /// The password of the first two faces; it signs callbacks too.
    pub auth_token: Secret,
    /// `u-…`, in the paths of the third face.
    pub bandwidth_user: String,
    /// `t-…`, its user name.
    pub bandwidth_token: Secret,
    /// Its password.
    pub bandwidth_secret: Secret,
    /// What people call it.
    pub name: String,
    /// The account it belongs to, for a sub-account.
    pub parent: Option<Id>,
    /// Its own SIP domain.
    pub domain: Id,
    /// Where phone numbers are sent, as a SIP URI.
    pub trunk: Option<String>,
    /// The country whose numbers its people dial without an international prefix, as calling code: `44`.
    pub country_code: Option<String>,
    /// Whether strangers may ring its endpoints.
    pub allow_external_callers: bool,
    /// Off: nothing of it authenticates.
    pub enabled: bool,
    /// When it was made.
    pub created: Timestamp,
}

const TABLE: &str = "account";

impl Store {
    /// Inserts an account and its own domain.
    pub async fn insert_account(&self, account: Account, domain: Domain) -> Result<()> {
        let key = self.key().clone();
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO account (id, auth_id, sealed_auth_token, bandwidth_user, bandwidth_token_hash, \
                     sealed_bandwidth_token, sealed_bandwidth_secret, name, parent, domain, trunk, allow_external_callers, \
                     enabled, created, country_code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                )
                .bind(account.id)
                .bind(&account.auth_id)
                .bind(key.seal(place(account.id, "auth_token"), &account.auth_token)?)
                .bind(&account.bandwidth_user)
                .bind(key.lookup("bandwidth_token", account.bandwidth_token.expose()))
                .bind(key.seal(place(account.id, "bandwidth_token"), &account.bandwidth_token)?)
                .bind(key.seal(place(account.id, "bandwidth_secret"), &account.bandwidth_secret)?)
                .bind(&account.name)
                .bind(account.parent)
                .bind(account.domain)
                .bind(&account.trunk)
                .bind(account.allow_external_callers)
                .bind(account.enabled)
                .bind(account.created.as_microsecond())
                .bind(&account.country_code)
                .execute(&mut *connection)
                .await?;
                domain::insert(connection, &domain).await
            })
        })
        .await
    }

    /// Changes what may be changed of an account: tokens, name, trunk, country, permission of strangers, enabled.
    pub async fn update_account(&self, account: Account) -> Result<bool> {
        let key = self.key().clone();
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE account SET sealed_auth_token = $2, bandwidth_token_hash = $3, sealed_bandwidth_token = $4, \
                     sealed_bandwidth_secret = $5, name = $6, trunk = $7, allow_external_callers = $8, enabled = $9, \
                     country_code = $10 WHERE id = $1",
                )
                .bind(account.id)
                .bind(key.seal(place(account.id, "auth_token"), &account.auth_token)?)
                .bind(key.lookup("bandwidth_token", account.bandwidth_token.expose()))
                .bind(key.seal(place(account.id, "bandwidth_token"), &account.bandwidth_token)?)
                .bind(key.seal(place(account.id, "bandwidth_secret"), &account.bandwidth_secret)?)
                .bind(&account.name)
                .bind(&account.trunk)
                .bind(account.allow_external_callers)
                .bind(account.enabled)
                .bind(&account.country_code)
                .execute(connection)
                .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// The account with this key.
    pub async fn account(&self, id: Id) -> Result<Option<Account>> {
        let row = sqlx::query("SELECT * FROM account WHERE id = $1")
            .bind(id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The account with this `auth_id`.
    pub async fn account_by_auth_id(&self, auth_id: &str) -> Result<Option<Account>> {
        let row = sqlx::query("SELECT * FROM account WHERE auth_id = $1")
            .bind(auth_id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The account that has this `t-…` token; the token is hashed to find it.
    pub async fn account_by_bandwidth_token(&self, token: &str) -> Result<Option<Account>> {
        let hash = self.key().lookup("bandwidth_token", token);
        let row = sqlx::query("SELECT * FROM account WHERE bandwidth_token_hash = $1")
            .bind(hash)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The accounts, newest first.
    pub async fn accounts(&self, page: Page) -> Result<Paged<Account>> {
        let rows = sqlx::query("SELECT * FROM account ORDER BY seq DESC LIMIT $1 OFFSET $2")
            .bind(i64::from(page.limit))
            .bind(i64::try_from(page.offset).unwrap_or(i64::MAX))
            .fetch_all(self.read())
            .await?;
        let items = rows
            .iter()
            .map(|row| read(row, self.key()))
            .collect::<Result<_>>()?;
        Ok(Paged {
            items,
            total: self.count_accounts().await?,
        })
    }

    /// How many accounts there are.
    pub async fn count_accounts(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM account")
            .fetch_one(self.read())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Reads all accounts, oldest first.
    pub async fn load_accounts(&self, mut each: impl FnMut(Account)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM account ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row, self.key())?);
        }
        Ok(())
    }
}

fn place(row: Id, column: &str) -> Place<'_> {
    Place {
        table: TABLE,
        column,
        row,
    }
}

fn read(row: &SqliteRow, key: &SealKey) -> Result<Account> {
    let id: Id = row.try_get("id")?;
    let open = |column, sealed| key.open(place(id, column), row.try_get(sealed)?);
    Ok(Account {
        id,
        auth_id: row.try_get("auth_id")?,
        auth_token: open("auth_token", "sealed_auth_token")?,
        bandwidth_user: row.try_get("bandwidth_user")?,
        bandwidth_token: open("bandwidth_token", "sealed_bandwidth_token")?,
        bandwidth_secret: open("bandwidth_secret", "sealed_bandwidth_secret")?,
        name: row.try_get("name")?,
        parent: row.try_get("parent")?,
        domain: row.try_get("domain")?,
        trunk: row.try_get("trunk")?,
        country_code: row.try_get("country_code")?,
        allow_external_callers: row.try_get("allow_external_callers")?,
        enabled: row.try_get("enabled")?,
        created: column::time(row, "created")?,
    })
}
