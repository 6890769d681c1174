//! SIP domains: each account has one of its own, and may make more through the third face.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::Id;
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::page::{self, Page, Paged};

/// How a domain came to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DomainKind {
    /// The account's own; lives as long as the account.
    Account,
    /// Made and deleted by the customer.
    Bandwidth,
}

/// A SIP domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Internal key.
    pub id: Id,
    /// `rd-…`
    pub public_id: String,
    /// Whose it is.
    pub account: Id,
    /// As the customer wrote it.
    pub name: String,
    /// The host of its SIP URIs: lower case, unique in the installation.
    pub sip_domain: String,
    /// The realm of its digests; fixed when it is made.
    pub realm: String,
    /// Free text.
    pub description: Option<String>,
    /// How it came to be.
    pub kind: DomainKind,
    /// When it was made.
    pub created: Timestamp,
}

/// Which domains a list shows.
#[derive(Clone, Default, Debug)]
pub struct DomainFilter {
    /// Whose.
    pub account: Id,
    /// Only those of this kind.
    pub kind: Option<DomainKind>,
}

impl Store {
    /// Inserts a domain; `limit` is the most of its kind that the account may have.
    pub async fn insert_domain(&self, domain: Domain, limit: u64) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                let count: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM domain WHERE account = $1 AND kind = $2",
                )
                .bind(domain.account)
                .bind(domain.kind.word())
                .fetch_one(&mut *connection)
                .await?;
                if count.unsigned_abs() >= limit {
                    return Err(Error::Limit { limit });
                }
                insert(connection, &domain).await
            })
        })
        .await
    }

    /// Changes the description of a domain.
    pub async fn update_domain(&self, id: Id, description: Option<String>) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                let text = "UPDATE domain SET description = $2 WHERE id = $1";
                let done = sqlx::query(text)
                    .bind(id)
                    .bind(description)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes a domain with its endpoints; returns their keys, or none if it is unknown. Their bindings are the caller's.
    pub async fn delete_domain(&self, id: Id) -> Result<Option<Vec<Id>>> {
        self.write(move |connection| {
            Box::pin(async move {
                let endpoints: Vec<Id> =
                    sqlx::query_scalar("SELECT id FROM endpoint WHERE domain = $1")
                        .bind(id)
                        .fetch_all(&mut *connection)
                        .await?;
                let done = sqlx::query("DELETE FROM domain WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok((done.rows_affected() > 0).then_some(endpoints))
            })
        })
        .await
    }

    /// The domain with this key.
    pub async fn domain(&self, id: Id) -> Result<Option<Domain>> {
        let row = sqlx::query("SELECT * FROM domain WHERE id = $1")
            .bind(id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The domain with this `rd-…` id.
    pub async fn domain_by_public_id(&self, public_id: &str) -> Result<Option<Domain>> {
        let row = sqlx::query("SELECT * FROM domain WHERE public_id = $1")
            .bind(public_id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The domains that the filter lets through, newest first.
    pub async fn domains(&self, filter: &DomainFilter, page: Page) -> Result<Paged<Domain>> {
        let mut query = QueryBuilder::new("SELECT *");
        filter.push(&mut query);
        query.push(" ORDER BY seq DESC");
        page::paged(&mut query, page);
        let rows = query.build().fetch_all(self.read()).await?;
        let mut count = QueryBuilder::new("SELECT count(*)");
        filter.push(&mut count);
        let total: i64 = count.build_query_scalar().fetch_one(self.read()).await?;
        Ok(Paged {
            items: rows.iter().map(read).collect::<Result<_>>()?,
            total: total.unsigned_abs(),
        })
    }

    /// Reads all domains, oldest first.
    pub async fn load_domains(&self, mut each: impl FnMut(Domain)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM domain ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row)?);
        }
        Ok(())
    }
}

impl DomainFilter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push(" FROM domain WHERE account = ")
            .push_bind(self.account);
        if let Some(kind) = self.kind {
            query.push(" AND kind = ").push_bind(kind.word());
        }
    }
}

pub(crate) async fn insert(connection: &mut SqliteConnection, domain: &Domain) -> Result<()> {
    sqlx::query(
        "INSERT INTO domain (id, public_id, account, name, sip_domain, realm, description, kind, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(domain.id)
    .bind(&domain.public_id)
    .bind(domain.account)
    .bind(&domain.name)
    .bind(&domain.sip_domain)
    .bind(&domain.realm)
    .bind(&domain.description)
    .bind(domain.kind.word())
    .bind(domain.created.as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Domain> {
    Ok(Domain {
        id: row.try_get("id")?,
        public_id: row.try_get("public_id")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        sip_domain: row.try_get("sip_domain")?,
        realm: row.try_get("realm")?,
        description: row.try_get("description")?,
        kind: DomainKind::read(row, "kind")?,
        created: column::time(row, "created")?,
    })
}
