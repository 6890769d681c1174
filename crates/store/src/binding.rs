//! Bindings: where an endpoint is reached. They are held in memory above; this is what survives a restart.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::Id;
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::Result;

/// Rows of one statement.
const ROWS: usize = 100;

/// What carries the messages of a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
    /// RFC 7118 §3.
    Ws,
    /// RFC 7118 §3 over TLS.
    Wss,
}

impl Transport {
    /// Its name in lower case, as REST and the table spell it.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// One contact of one endpoint (RFC 3261 §10.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Whose.
    pub endpoint: Id,
    /// What tells it from the endpoint's others: the contact's URI, or instance and registration id.
    pub key: String,
    /// The contact's URI as it was sent.
    pub contact: String,
    /// Of the REGISTER that made or refreshed it.
    pub call_id: String,
    /// Of the same.
    pub cseq: u32,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When it was made; a refresh does not move it.
    pub logged_in: Timestamp,
    /// What carries its messages.
    pub transport: Transport,
    /// Our address on that flow.
    pub local: SocketAddr,
    /// The phone's address as we see it.
    pub remote: SocketAddr,
    /// The number of the stream connection; 0 for datagrams.
    pub flow: u64,
    /// RFC 3327 §5.3.
    pub path: Option<String>,
    /// As the phone calls itself.
    pub user_agent: String,
    /// Preference in thousandths.
    pub q: u16,
    /// RFC 5626 §4.1.
    pub instance: Option<String>,
}

/// One change of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all changes are of the large variant"
)]
pub enum BindingChange {
    /// Makes or replaces a binding.
    Put(Binding),
    /// Removes one.
    Delete {
        /// Whose.
        endpoint: Id,
        /// Which.
        key: String,
    },
    /// Removes all of an endpoint.
    DeleteAll {
        /// Whose.
        endpoint: Id,
    },
}

impl Store {
    /// Reads all bindings, lapsed ones too, one after the other.
    pub async fn load_bindings(&self, mut each: impl FnMut(Binding)) -> Result<()> {
        let mut rows = sqlx::query("SELECT * FROM binding").fetch(self.read());
        while let Some(row) = rows.try_next().await? {
            each(read(&row)?);
        }
        Ok(())
    }

    /// Removes bindings that lapsed before `now`; returns how many.
    pub async fn sweep_bindings(&self, now: Timestamp) -> Result<u64> {
        self.write_after_bindings(move |connection| {
            Box::pin(async move {
                let text = "DELETE FROM binding WHERE expires_at <= $1";
                Ok(sqlx::query(text)
                    .bind(now.as_microsecond())
                    .execute(connection)
                    .await?
                    .rows_affected())
            })
        })
        .await
    }

    /// How many rows the table has, lapsed ones included.
    pub async fn count_bindings(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM binding")
            .fetch_one(self.read())
            .await?;
        Ok(count.unsigned_abs())
    }
}

/// The changes of a batch, reduced to what each endpoint's rows end up as.
#[derive(Default)]
pub(crate) struct Gathered(BTreeMap<Id, Changes>);

#[derive(Default)]
struct Changes {
    cleared: bool,
    keys: BTreeMap<String, Option<Binding>>,
}

impl Gathered {
    /// Adds changes; later ones win.
    pub fn take(&mut self, changes: Vec<BindingChange>) {
        for change in changes {
            match change {
                BindingChange::Put(binding) => {
                    let entry = self.0.entry(binding.endpoint).or_default();
                    entry.keys.insert(binding.key.clone(), Some(binding));
                }
                BindingChange::Delete { endpoint, key } => {
                    self.0.entry(endpoint).or_default().keys.insert(key, None);
                }
                BindingChange::DeleteAll { endpoint } => {
                    self.0.insert(
                        endpoint,
                        Changes {
                            cleared: true,
                            keys: BTreeMap::new(),
                        },
                    );
                }
            }
        }
    }

    /// Writes them in as few statements as possible.
    pub async fn write(self, connection: &mut SqliteConnection) -> Result<()> {
        let mut cleared = Vec::new();
        let mut removed = Vec::new();
        let mut put = Vec::new();
        for (endpoint, changes) in self.0 {
            if changes.cleared {
                cleared.push(endpoint);
            }
            for (key, binding) in changes.keys {
                match binding {
                    Some(binding) => put.push(binding),
                    None if changes.cleared => {}
                    None => removed.push((endpoint, key)),
                }
            }
        }
        for rows in cleared.chunks(ROWS) {
            let mut query = QueryBuilder::new("DELETE FROM binding WHERE endpoint IN (");
            let mut list = query.separated(", ");
            for endpoint in rows {
                list.push_bind(*endpoint);
            }
            query.push(")").build().execute(&mut *connection).await?;
        }
        for rows in removed.chunks(ROWS) {
            let mut query = QueryBuilder::new("DELETE FROM binding WHERE (endpoint, key) IN (");
            query.push_values(rows, |mut row, (endpoint, key)| {
                row.push_bind(*endpoint).push_bind(key.as_str());
            });
            query.push(")").build().execute(&mut *connection).await?;
        }
        let mut rest = put.into_iter().peekable();
        while rest.peek().is_some() {
            upsert(rest.by_ref().take(ROWS))
                .build()
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

fn upsert(rows: impl Iterator<Item = Binding>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "INSERT INTO binding (endpoint, key, contact, call_id, cseq, expires_at, logged_in, transport, local, remote, flow, \
         path, user_agent, q, instance) ",
    );
    query.push_values(rows, |mut row, binding| {
        let Binding {
            endpoint,
            key,
            contact,
            call_id,
            cseq,
            expires_at,
            logged_in,
            ..
        } = binding;
        row.push_bind(endpoint)
            .push_bind(key)
            .push_bind(contact)
            .push_bind(call_id)
            .push_bind(cseq);
        row.push_bind(expires_at.as_microsecond())
            .push_bind(logged_in.as_microsecond());
        row.push_bind(binding.transport.word())
            .push_bind(binding.local.to_string())
            .push_bind(binding.remote.to_string());
        row.push_bind(binding.flow.cast_signed())
            .push_bind(binding.path)
            .push_bind(binding.user_agent);
        row.push_bind(binding.q).push_bind(binding.instance);
    });
    query.push(
        " ON CONFLICT (endpoint, key) DO UPDATE SET contact = excluded.contact, call_id = excluded.call_id, cseq = excluded.cseq, \
         expires_at = excluded.expires_at, logged_in = excluded.logged_in, transport = excluded.transport, local = excluded.local, \
         remote = excluded.remote, flow = excluded.flow, path = excluded.path, user_agent = excluded.user_agent, q = excluded.q, \
         instance = excluded.instance",
    );
    query
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
    })
}
