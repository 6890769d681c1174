//! Trunks: the ways to and from the telephone network.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Id;
use crate::binding::Transport;
use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::page::{Page, Paged};
use crate::seal::{Place, SealKey, Secret};

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Which called numbers a trunk takes, and what it is told instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// How the number begins, in E.164 digits; empty takes all.
    pub prefix: String,
    /// Digits taken away from its front, 0 to 15.
    pub strip: u8,
    /// What is put there.
    pub prepend: String,
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share of calls among routes of the same prefix and priority; 0 takes some only when the others are 0 too.
    pub weight: u16,
}

/// A trunk of an account.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// The key.
    pub id: Id,
    /// `tr-…`
    pub public_id: String,
    /// Whose it is.
    pub account: Id,
    /// What people call it; unique in the account.
    pub name: String,
    /// Whether we register with it, so that its calls find us.
    pub register: bool,
    /// SIP URIs of its hosts, in the order in which they are tried.
    pub hosts: Vec<String>,
    /// The transport to its hosts; none leaves it to their URIs and to DNS.
    pub transport: Option<Transport>,
    /// How we prove who we are to it.
    pub login: Option<Login>,
    /// How it proves who it is to us.
    pub inbound_login: Option<Login>,
    /// The networks that its calls come from, as CIDR.
    pub inbound_networks: Vec<String>,
    /// Which called numbers it takes; none means that calls only come from it.
    pub routes: Vec<Route>,
    /// Beginnings of numbers that may be shown to it besides the account's own; an empty text allows all.
    pub shown_prefixes: Vec<String>,
    /// The number shown in place of one that may not be.
    pub default_caller_id: Option<String>,
    /// Whether numbers are written to it with a plus.
    pub plus: bool,
    /// Whether identities are asserted to it and believed from it.
    pub trusted: bool,
    /// The domain of addresses that are shown to it; none means that of its host.
    pub from_domain: Option<String>,
    /// The most calls at a time over it, both ways; 0 sets no limit.
    pub max_calls: u32,
    /// Seconds between two questions whether it is alive; 0 asks never.
    pub options_interval: u32,
    /// Seconds for which we ask to be registered.
    pub expires: u32,
    /// Off: no call goes or comes over it.
    pub enabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Store {
    /// Inserts a trunk; `limit` is the most that the account may have.
    pub async fn insert_trunk(&self, trunk: Trunk, limit: u64) -> Result<()> {
        let key = self.key().clone();
        self.write(move |connection| {
            Box::pin(async move {
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM trunk WHERE account = $1")
                    .bind(trunk.account)
                    .fetch_one(&mut *connection)
                    .await?;
                if count.unsigned_abs() >= limit {
                    return Err(Error::Limit { limit });
                }
                let text = "INSERT INTO trunk (id, name, register, hosts_json, transport, username, sealed_password, \
                     inbound_username, sealed_inbound_password, inbound_networks_json, routes_json, shown_prefixes_json, \
                     default_caller_id, plus, trusted, from_domain, max_calls, options_interval, expires, enabled, updated, \
                     public_id, account, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                     $16, $17, $18, $19, $20, $21, $22, $23, $24)";
                bind(sqlx::query(text), &trunk, &key)?
                    .bind(&trunk.public_id)
                    .bind(trunk.account)
                    .bind(trunk.created.as_microsecond())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes everything of a trunk but its ids and its owner.
    pub async fn update_trunk(&self, trunk: Trunk) -> Result<bool> {
        let key = self.key().clone();
        self.write(move |connection| {
            Box::pin(async move {
                let text = "UPDATE trunk SET name = $2, register = $3, hosts_json = $4, transport = $5, username = $6, \
                     sealed_password = $7, inbound_username = $8, sealed_inbound_password = $9, inbound_networks_json = $10, \
                     routes_json = $11, shown_prefixes_json = $12, default_caller_id = $13, plus = $14, trusted = $15, \
                     from_domain = $16, max_calls = $17, options_interval = $18, expires = $19, enabled = $20, updated = $21 \
                     WHERE id = $1";
                let done = bind(sqlx::query(text), &trunk, &key)?
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes a trunk.
    pub async fn delete_trunk(&self, id: Id) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query("DELETE FROM trunk WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// The trunk with this `tr-…` id.
    pub async fn trunk_by_public_id(&self, public_id: &str) -> Result<Option<Trunk>> {
        let row = sqlx::query("SELECT * FROM trunk WHERE public_id = $1")
            .bind(public_id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The trunks of an account, newest first.
    pub async fn trunks(&self, account: Id, page: Page) -> Result<Paged<Trunk>> {
        let rows = sqlx::query(
            "SELECT * FROM trunk WHERE account = $1 ORDER BY seq DESC LIMIT $2 OFFSET $3",
        )
        .bind(account)
        .bind(page.limit)
        .bind(i64::try_from(page.offset).unwrap_or(i64::MAX))
        .fetch_all(self.read())
        .await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM trunk WHERE account = $1")
            .bind(account)
            .fetch_one(self.read())
            .await?;
        Ok(Paged {
            items: rows
                .iter()
                .map(|row| read(row, self.key()))
                .collect::<Result<_>>()?,
            total: total.unsigned_abs(),
        })
    }

    /// Reads all trunks, oldest first.
    pub async fn load_trunks(&self, mut each: impl FnMut(Trunk)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM trunk ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row, self.key())?);
        }
        Ok(())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds what an insertion and a change have in common: $1 to $21.
fn bind<'q>(query: Query<'q>, trunk: &'q Trunk, key: &SealKey) -> Result<Query<'q>> {
    let seal = |column, login: &Option<Login>| {
        login
            .as_ref()
            .map(|login| key.seal(place(trunk.id, column), &login.password))
            .transpose()
    };
    let user = |login: &'q Option<Login>| login.as_ref().map(|login| login.user.as_str());
    let routes: Vec<Value> = trunk.routes.iter().map(route_json).collect();
    Ok(query
        .bind(trunk.id)
        .bind(&trunk.name)
        .bind(trunk.register)
        .bind(json!(trunk.hosts).to_string())
        .bind(trunk.transport.map(Transport::word))
        .bind(user(&trunk.login))
        .bind(seal("password", &trunk.login)?)
        .bind(user(&trunk.inbound_login))
        .bind(seal("inbound_password", &trunk.inbound_login)?)
        .bind(json!(trunk.inbound_networks).to_string())
        .bind(Value::Array(routes).to_string())
        .bind(json!(trunk.shown_prefixes).to_string())
        .bind(&trunk.default_caller_id)
        .bind(trunk.plus)
        .bind(trunk.trusted)
        .bind(&trunk.from_domain)
        .bind(trunk.max_calls)
        .bind(trunk.options_interval)
        .bind(trunk.expires)
        .bind(trunk.enabled)
        .bind(trunk.updated.as_microsecond()))
}

fn route_json(route: &Route) -> Value {
    json!([
        route.prefix,
        route.strip,
        route.prepend,
        route.priority,
        route.weight
    ])
}

fn place(row: Id, column: &'static str) -> Place<'static> {
    Place {
        table: "trunk",
        column,
        row,
    }
}

fn read(row: &SqliteRow, key: &SealKey) -> Result<Trunk> {
    let id: Id = row.try_get("id")?;
    let login = |user: &'static str, column: &'static str, sealed: &'static str| -> Result<_> {
        let user: Option<String> = row.try_get(user)?;
        let sealed: Option<Vec<u8>> = row.try_get(sealed)?;
        match (user, sealed) {
            (Some(user), Some(sealed)) => Ok(Some(Login {
                user,
                password: key.open(place(id, column), &sealed)?,
            })),
            _ => Ok(None),
        }
    };
    Ok(Trunk {
        id,
        public_id: row.try_get("public_id")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        register: row.try_get("register")?,
        hosts: texts(row, "hosts_json")?,
        transport: match row.try_get::<Option<&str>, _>("transport")? {
            Some(_) => Some(Transport::read(row, "transport")?),
            None => None,
        },
        login: login("username", "password", "sealed_password")?,
        inbound_login: login(
            "inbound_username",
            "inbound_password",
            "sealed_inbound_password",
        )?,
        inbound_networks: texts(row, "inbound_networks_json")?,
        routes: routes(row)?,
        shown_prefixes: texts(row, "shown_prefixes_json")?,
        default_caller_id: row.try_get("default_caller_id")?,
        plus: row.try_get("plus")?,
        trusted: row.try_get("trusted")?,
        from_domain: row.try_get("from_domain")?,
        max_calls: column::number(row, "max_calls")?,
        options_interval: column::number(row, "options_interval")?,
        expires: column::number(row, "expires")?,
        enabled: row.try_get("enabled")?,
        created: column::time(row, "created")?,
        updated: column::time(row, "updated")?,
    })
}

/// A column that holds a list of texts.
fn texts(row: &SqliteRow, column: &'static str) -> Result<Vec<String>> {
    let corrupt = Error::Corrupt { column };
    let Value::Array(list) = column::json(row, column)? else {
        return Err(corrupt);
    };
    let texts: Option<Vec<String>> = list
        .into_iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect();
    texts.ok_or(corrupt)
}

fn routes(row: &SqliteRow) -> Result<Vec<Route>> {
    let column = "routes_json";
    let Value::Array(list) = column::json(row, column)? else {
        return Err(Error::Corrupt { column });
    };
    let routes: Option<Vec<Route>> = list.iter().map(route).collect();
    routes.ok_or(Error::Corrupt { column })
}

fn route(value: &Value) -> Option<Route> {
    let [prefix, strip, prepend, priority, weight] = value.as_array()?.as_slice() else {
        return None;
    };
    Some(Route {
        prefix: prefix.as_str()?.to_owned(),
        strip: strip.as_u64()?.try_into().ok()?,
        prepend: prepend.as_str()?.to_owned(),
        priority: priority.as_u64()?.try_into().ok()?,
        weight: weight.as_u64()?.try_into().ok()?,
    })
}
