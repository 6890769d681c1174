//! The outbox: what a customer's server has still to be told. A row goes when it was told, or given up.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::application::HttpMethod;
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::Result;
use crate::{Flavor, Id};

/// One thing to tell.
#[derive(Clone, PartialEq, Debug)]
pub struct CallbackRow {
    /// The key; 0 until it is in the table.
    pub id: i64,
    /// Whose token signs it.
    pub account: Id,
    /// The call it is about.
    pub call: Option<Uuid>,
    /// How it is signed and retried.
    pub flavor: Flavor,
    /// Whom to tell.
    pub url: String,
    /// How.
    pub method: HttpMethod,
    /// What: an object of form fields in order (an array of pairs), or the JSON document itself.
    pub body: serde_json::Value,
    /// How often it has been tried.
    pub attempts: u32,
    /// When to try (again).
    pub next_at: Timestamp,
    /// When it was written.
    pub created: Timestamp,
}

/// What is under way already: callbacks that belong to it wait.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Busy {
    /// Callbacks that are being told.
    pub rows: Vec<i64>,
    /// Calls of which something is being told.
    pub calls: Vec<Uuid>,
    /// Accounts, each with the beginning of the URLs that wait.
    pub receivers: Vec<(Id, String)>,
}

impl Store {
    /// Puts a callback into the outbox; returns its key. One that belongs to a CDR goes with it: [`Store::put_calls`].
    pub async fn insert_callback(&self, row: CallbackRow) -> Result<i64> {
        self.write(move |connection| Box::pin(async move { insert(connection, &row).await }))
            .await
    }

    /// The callbacks whose time has come, oldest first.
    pub async fn due_callbacks(&self, now: Timestamp, limit: u32) -> Result<Vec<CallbackRow>> {
        self.due_callbacks_beside(now, limit, &Busy::default())
            .await
    }

    /// The callbacks whose time has come, oldest first, without those that have to wait for others.
    pub async fn due_callbacks_beside(
        &self,
        now: Timestamp,
        limit: u32,
        busy: &Busy,
    ) -> Result<Vec<CallbackRow>> {
        let calls: Vec<String> = busy.calls.iter().map(Uuid::to_string).collect();
        let rows = sqlx::query(
            "SELECT * FROM callback WHERE next_at <= $1 \
             AND id NOT IN (SELECT value FROM json_each($3)) \
             AND (call IS NULL OR call NOT IN (SELECT value FROM json_each($4))) \
             AND NOT EXISTS (SELECT 1 FROM json_each($5) WHERE json_extract(value, '$[0]') = account \
             AND substr(url, 1, length(json_extract(value, '$[1]'))) = json_extract(value, '$[1]')) \
             ORDER BY next_at, id LIMIT $2",
        )
        .bind(now.as_microsecond())
        .bind(i64::from(limit))
        .bind(serde_json::json!(busy.rows).to_string())
        .bind(serde_json::json!(calls).to_string())
        .bind(serde_json::json!(busy.receivers).to_string())
        .fetch_all(self.read())
        .await?;
        rows.iter().map(read).collect()
    }

    /// When, after this moment, the next callback falls due.
    pub async fn next_callback(&self, after: Timestamp) -> Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT min(next_at) AS next_at FROM callback WHERE next_at > $1")
            .bind(after.as_microsecond())
            .fetch_one(self.read())
            .await?;
        column::optional_time(&row, "next_at")
    }

    /// Notes of a callback how often it was tried and when to try again.
    pub async fn update_callback(&self, row: CallbackRow) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                let text = "UPDATE callback SET attempts = $2, next_at = $3 WHERE id = $1";
                sqlx::query(text)
                    .bind(row.id)
                    .bind(row.attempts)
                    .bind(row.next_at.as_microsecond())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes a callback out: it was told, or given up.
    pub async fn delete_callback(&self, id: i64) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM callback WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// How many callbacks wait.
    pub async fn count_callbacks(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM callback")
            .fetch_one(self.read())
            .await?;
        Ok(count.unsigned_abs())
    }
}

pub(crate) async fn insert(connection: &mut SqliteConnection, row: &CallbackRow) -> Result<i64> {
    let done = sqlx::query(
        "INSERT INTO callback (account, call, flavor, url, method, body, attempts, next_at, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(row.account)
    .bind(row.call.map(|call| call.to_string()))
    .bind(row.flavor.word())
    .bind(&row.url)
    .bind(row.method.word())
    .bind(row.body.to_string())
    .bind(row.attempts)
    .bind(row.next_at.as_microsecond())
    .bind(row.created.as_microsecond())
    .execute(connection)
    .await?;
    Ok(done.last_insert_rowid())
}

fn read(row: &SqliteRow) -> Result<CallbackRow> {
    Ok(CallbackRow {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        call: column::optional_parsed(row, "call")?,
        flavor: Flavor::read(row, "flavor")?,
        url: row.try_get("url")?,
        method: HttpMethod::read(row, "method")?,
        body: column::json(row, "body")?,
        attempts: column::number(row, "attempts")?,
        next_at: column::time(row, "next_at")?,
        created: column::time(row, "created")?,
    })
}
