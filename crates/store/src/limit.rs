//! What an account or an endpoint may use of the telephone network, and what it has used today.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Id;
use crate::engine::Store;
use crate::error::{Error, Result};

/// Whom limits bind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitOwner {
    /// All calls of an account.
    Account(Id),
    /// The calls that an endpoint makes.
    Endpoint(Id),
}

/// Limits of calls; an absent one limits nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Limit {
    /// Calls at a time.
    pub concurrent_calls: Option<u32>,
    /// New calls in a second, with a burst of as many.
    pub calls_per_second: Option<u32>,
    /// Minutes of talk in a day of UTC.
    pub minutes_per_day: Option<u32>,
    /// Beginnings of the numbers that may be called, digits only; none: every number may.
    pub prefixes: Vec<String>,
}

impl Limit {
    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LimitOwner {
    const fn key(self) -> (&'static str, Id) {
        match self {
            Self::Account(id) => ("account", id),
            Self::Endpoint(id) => ("endpoint", id),
        }
    }
}

impl Store {
    /// Puts the limits of an owner in the place of the former ones; those that limit nothing are taken away.
    pub async fn put_limit(&self, owner: LimitOwner, limit: Limit) -> Result<()> {
        let (kind, id) = owner.key();
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM limits WHERE kind = $1 AND owner = $2")
                    .bind(kind)
                    .bind(id)
                    .execute(&mut *connection)
                    .await?;
                if limit.is_empty() {
                    return Ok(());
                }
                sqlx::query(
                    "INSERT INTO limits (kind, owner, concurrent_calls, calls_per_second, minutes_per_day, prefixes) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(kind)
                .bind(id)
                .bind(limit.concurrent_calls)
                .bind(limit.calls_per_second)
                .bind(limit.minutes_per_day)
                .bind(limit.prefixes.join(" "))
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Reads all limits, one after the other.
    pub async fn load_limits(&self, mut each: impl FnMut(LimitOwner, Limit)) -> Result<()> {
        let mut rows = sqlx::query("SELECT * FROM limits").fetch(self.read());
        while let Some(row) = rows.try_next().await? {
            let (owner, limit) = read(&row)?;
            each(owner, limit);
        }
        Ok(())
    }

    /// Seconds from answer to end of the callers' legs of an account, or of those that one endpoint made, that ended since.
    pub async fn talked(&self, owner: LimitOwner, since: Timestamp) -> Result<u64> {
        let (account, endpoint) = match owner {
            LimitOwner::Account(account) => (Some(account), None),
            LimitOwner::Endpoint(endpoint) => (None, Some(endpoint)),
        };
        let total: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(bill_duration), 0) FROM call \
             WHERE account = coalesce($1, (SELECT account FROM endpoint WHERE id = $3)) AND ended >= $2 AND parent IS NULL \
             AND ($3 IS NULL OR endpoint = $3)",
        )
        .bind(account)
        .bind(since.as_microsecond())
        .bind(endpoint)
        .fetch_one(self.read())
        .await?;
        Ok(total.unsigned_abs())
    }
}

fn read(row: &SqliteRow) -> Result<(LimitOwner, Limit)> {
    let (kind, owner): (&str, Id) = (row.try_get("kind")?, row.try_get("owner")?);
    let owner = match kind {
        "account" => LimitOwner::Account(owner),
        "endpoint" => LimitOwner::Endpoint(owner),
        _ => return Err(Error::Corrupt { column: "kind" }),
    };
    let prefixes: &str = row.try_get("prefixes")?;
    let limit = Limit {
        concurrent_calls: row.try_get("concurrent_calls")?,
        calls_per_second: row.try_get("calls_per_second")?,
        minutes_per_day: row.try_get("minutes_per_day")?,
        prefixes: prefixes.split_whitespace().map(str::to_owned).collect(),
    };
    Ok((owner, limit))
}
