//! Telephone numbers that lead to applications.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::Id;
use crate::column;
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::page::{self, Match, Page, Paged};

/// A number of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number {
    /// The key.
    pub id: Id,
    /// `n-…`
    pub public_id: String,
    /// E.164 digits without a plus; unique in the installation.
    pub number: String,
    /// Whose it is.
    pub account: Id,
    /// What is asked when somebody calls it.
    pub application: Option<Id>,
    /// What people call it.
    pub alias: Option<String>,
    /// Whose network it comes from.
    pub carrier: Option<String>,
    /// Where it is at home.
    pub region: Option<String>,
    /// `local`, `tollfree`, …
    pub kind: String,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Which numbers a list shows.
#[derive(Clone, Default, Debug)]
pub struct NumberFilter {
    /// Whose.
    pub account: Id,
    /// Only those that fit.
    pub number: Option<Match>,
    /// Only those with this alias.
    pub alias: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those with this application.
    pub application: Option<Id>,
}

impl Store {
    /// Inserts numbers, all or none. Their application must belong to the same account.
    pub async fn insert_numbers(&self, numbers: Vec<Number>) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                for number in &numbers {
                    require_application(connection, number).await?;
                    sqlx::query(
                        "INSERT INTO number (id, public_id, number, account, application, alias, carrier, region, kind, \
                         created, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                    )
                    .bind(number.id)
                    .bind(&number.public_id)
                    .bind(&number.number)
                    .bind(number.account)
                    .bind(number.application)
                    .bind(&number.alias)
                    .bind(&number.carrier)
                    .bind(&number.region)
                    .bind(&number.kind)
                    .bind(number.created.as_microsecond())
                    .bind(number.updated.as_microsecond())
                    .execute(&mut *connection)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Changes the application and the alias of a number.
    pub async fn update_number(&self, number: Number) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                require_application(connection, &number).await?;
                let done = sqlx::query(
                    "UPDATE number SET application = $2, alias = $3, updated = $4 WHERE id = $1",
                )
                .bind(number.id)
                .bind(number.application)
                .bind(&number.alias)
                .bind(number.updated.as_microsecond())
                .execute(connection)
                .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes a number.
    pub async fn delete_number(&self, id: Id) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query("DELETE FROM number WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// The numbers that the filter lets through, newest first.
    pub async fn numbers(&self, filter: &NumberFilter, page: Page) -> Result<Paged<Number>> {
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

    /// Reads all numbers, oldest first.
    pub async fn load_numbers(&self, mut each: impl FnMut(Number)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM number ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row)?);
        }
        Ok(())
    }
}

impl NumberFilter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push(" FROM number WHERE account = ")
            .push_bind(self.account);
        if let Some(wanted) = &self.number {
            page::and_match(query, "number", wanted);
        }
        if let Some(alias) = &self.alias {
            query.push(" AND alias = ").push_bind(alias.clone());
        }
        if let Some(kind) = &self.kind {
            query.push(" AND kind = ").push_bind(kind.clone());
        }
        if let Some(application) = self.application {
            query.push(" AND application = ").push_bind(application);
        }
    }
}

/// The application may have been deleted since it was looked up.
async fn require_application(connection: &mut SqliteConnection, number: &Number) -> Result<()> {
    let Some(application) = number.application else {
        return Ok(());
    };
    let owner: Option<Id> = sqlx::query_scalar("SELECT account FROM application WHERE id = $1")
        .bind(application)
        .fetch_optional(connection)
        .await?;
    if owner == Some(number.account) {
        Ok(())
    } else {
        Err(Error::Gone)
    }
}

fn read(row: &SqliteRow) -> Result<Number> {
    Ok(Number {
        id: row.try_get("id")?,
        public_id: row.try_get("public_id")?,
        number: row.try_get("number")?,
        account: row.try_get("account")?,
        application: row.try_get("application")?,
        alias: row.try_get("alias")?,
        carrier: row.try_get("carrier")?,
        region: row.try_get("region")?,
        kind: row.try_get("kind")?,
        created: column::time(row, "created")?,
        updated: column::time(row, "updated")?,
    })
}
