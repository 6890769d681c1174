//! Bindings of an earlier version, which kept them in SQLite: they move to the journal once.

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tokio::sync::oneshot;

use super::{Binding, BindingChange, Bindings, Transport};
use crate::column::{self, Word};
use crate::error::{Error, Result};

/// Bindings that are put before their commit is awaited.
const ROWS: usize = 10_000;

impl Bindings {
    /// Takes what the table holds and empties it, once it is in the journal. A crash in between does it again: nothing
    /// registers meanwhile.
    pub(crate) async fn adopt(&self, connection: &mut SqliteConnection) -> Result<()> {
        loop {
            let mut taken = Vec::new();
            {
                let text = format!("SELECT * FROM binding ORDER BY endpoint, key LIMIT {ROWS}");
                let mut rows = sqlx::query(sqlx::AssertSqlSafe(text)).fetch(&mut *connection);
                while let Some(row) = rows.try_next().await? {
                    taken.push(read(&row)?);
                }
            }
            let Some(last) = taken.last() else {
                return Ok(());
            };
            let (told, committed) = oneshot::channel();
            let mut told = Some(told);
            let end = (last.endpoint, last.key.clone());
            let count = taken.len();
            for (number, binding) in taken.into_iter().enumerate() {
                let told = told.take_if(|_| number + 1 == count);
                self.replay(
                    binding.endpoint,
                    vec![BindingChange::Put(binding)],
                    Box::new(move |outcome| {
                        if let Some(told) = told {
                            // It is awaited below.
                            let _: std::result::Result<(), _> = told.send(outcome);
                        }
                    }),
                )?;
            }
            self.flush();
            committed.await.map_err(|_| Error::Closed)??;
            // The rows came in the order of their key.
            sqlx::query("DELETE FROM binding WHERE (endpoint, key) <= ($1, $2)")
                .bind(end.0)
                .bind(end.1)
                .execute(&mut *connection)
                .await?;
            tracing::info!(count, "bindings were moved to the journal");
        }
    }
}

fn read(row: &SqliteRow) -> Result<Binding> {
    let flow: i64 = row.try_get("flow")?;
    Ok(Binding {
        endpoint: row.try_get("endpoint")?,
        key: row.try_get("key")?,
        contact: row.try_get("contact")?,
        call_id: row.try_get("call_id")?,
        cseq: column::number(row, "cseq")?,
        expires_at: column::time(row, "expires_at")?,
        logged_in: column::time(row, "logged_in")?,
        transport: Transport::read(row, "transport")?,
        local: column::parsed(row, "local")?,
        remote: column::parsed(row, "remote")?,
        flow: flow.cast_unsigned(),
        path: row.try_get("path")?,
        user_agent: row.try_get("user_agent")?,
        q: column::number(row, "q")?,
        instance: row.try_get("instance")?,
        reg_id: None,
    })
}
