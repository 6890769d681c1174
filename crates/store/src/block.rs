//! Sources that are not answered for a while: attackers, as the guard above decides.

use jiff::Timestamp;
use sqlx::Row;

use crate::column;
use crate::engine::Store;
use crate::error::Result;

/// A source that is not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// An IPv4 address, or the first address of an IPv6 network of 64 bits.
    pub source: String,
    /// What it did, for people.
    pub reason: String,
    /// How often it was blocked in a row.
    pub strikes: u32,
    /// Until when.
    pub until: Timestamp,
}

impl Store {
    /// Puts a block in, in the place of the same source's former one, and removes those that ended before `now`.
    pub async fn put_block(&self, block: Block, now: Timestamp) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM block WHERE until < $1")
                    .bind(now.as_microsecond())
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(
                    "INSERT INTO block (source, reason, strikes, until) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (source) DO UPDATE SET reason = $2, strikes = $3, until = $4",
                )
                .bind(block.source)
                .bind(block.reason)
                .bind(i64::from(block.strikes))
                .bind(block.until.as_microsecond())
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The blocks that last beyond `now`, those that end last first, at most `limit`.
    pub async fn blocks(&self, now: Timestamp, limit: u32) -> Result<Vec<Block>> {
        let text = "SELECT * FROM block WHERE until > $1 ORDER BY until DESC LIMIT $2";
        let rows = sqlx::query(text)
            .bind(now.as_microsecond())
            .bind(i64::from(limit))
            .fetch_all(self.read())
            .await?;
        rows.iter()
            .map(|row| {
                let strikes: i64 = row.try_get("strikes")?;
                Ok(Block {
                    source: row.try_get("source")?,
                    reason: row.try_get("reason")?,
                    strikes: u32::try_from(strikes).unwrap_or(u32::MAX),
                    until: column::time(row, "until")?,
                })
            })
            .collect()
    }
}
