//! Applications: what a call asks, and where.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::page::{self, Page, Paged};
use crate::{Flavor, Id};

/// What an application does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ApplicationKind {
    /// Asks its answer URL for a document.
    Xml,
    /// Dials what the caller dialled, without asking anybody.
    DirectDial,
}

/// How a customer's server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum HttpMethod {
    /// Parameters in the query.
    Get,
    /// Parameters in the body.
    #[default]
    Post,
}

/// An application of an account.
#[derive(Clone, PartialEq, Debug)]
pub struct Application {
    /// The key, and `app_id` for customers.
    pub id: Id,
    /// `a-…`
    pub public_id: String,
    /// Whose it is.
    pub account: Id,
    /// Which face made it.
    pub flavor: Flavor,
    /// What people call it.
    pub name: String,
    /// What it does.
    pub kind: ApplicationKind,
    /// Asked when a call comes.
    pub answer_url: Option<String>,
    /// How.
    pub answer_method: HttpMethod,
    /// Told when a call ends; none means the answer URL.
    pub hangup_url: Option<String>,
    /// How.
    pub hangup_method: HttpMethod,
    /// Asked when the answer URL fails.
    pub fallback_url: Option<String>,
    /// How.
    pub fallback_method: HttpMethod,
    /// Told of messages.
    pub message_url: Option<String>,
    /// How.
    pub message_method: HttpMethod,
    /// Given to numbers that are made without one.
    pub default_number_app: bool,
    /// Given to endpoints that are made without one.
    pub default_endpoint_app: bool,
    /// Whether strangers may call it by its SIP URI.
    pub public_uri: bool,
    /// Whether the content of messages is logged.
    pub log_incoming: bool,
    /// Off: calls that reach it are refused.
    pub enabled: bool,
    /// Fields that only one face knows.
    pub extra: serde_json::Value,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Which applications a list shows.
#[derive(Clone, Default, Debug)]
pub struct ApplicationFilter {
    /// Whose.
    pub account: Id,
    /// Only those whose name begins so.
    pub name_prefix: Option<String>,
    /// Only those that this face made.
    pub flavor: Option<Flavor>,
}

/// What becomes of the endpoints of an application that is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithEndpoints {
    /// They are deleted too.
    Delete,
    /// They stay, with another application or none.
    Move(Option<Id>),
}

impl Store {
    /// Inserts an application and takes the default flags it claims from the others; with `unique_name` the account may
    /// have no other of its name and flavour.
    pub async fn insert_application(
        &self,
        application: Application,
        unique_name: bool,
    ) -> Result<()> {
        self.write(move |connection| {
            Box::pin(async move {
                if unique_name {
                    refuse_same_name(connection, &application).await?;
                }
                take_flags(connection, &application).await?;
                let text = "INSERT INTO application (account, flavor, kind, created, public_id, name, answer_url, answer_method, \
                     hangup_url, hangup_method, fallback_url, fallback_method, message_url, message_method, default_number_app, \
                     default_endpoint_app, public_uri, log_incoming, enabled, extra, updated, id) VALUES ($1, $2, $3, $4, $5, $6, \
                     $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";
                let query = sqlx::query(text)
                    .bind(application.account)
                    .bind(application.flavor.word())
                    .bind(application.kind.word())
                    .bind(application.created.as_microsecond())
                    .bind(&application.public_id);
                bind_changeable(query, &application).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes an application and takes the default flags it claims from the others.
    pub async fn update_application(
        &self,
        application: Application,
        unique_name: bool,
    ) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                if unique_name {
                    refuse_same_name(connection, &application).await?;
                }
                take_flags(connection, &application).await?;
                let text = "UPDATE application SET name = $1, answer_url = $2, answer_method = $3, hangup_url = $4, \
                     hangup_method = $5, fallback_url = $6, fallback_method = $7, message_url = $8, message_method = $9, \
                     default_number_app = $10, default_endpoint_app = $11, public_uri = $12, log_incoming = $13, enabled = $14, \
                     extra = $15, updated = $16, kind = $18 WHERE id = $17";
                let query = bind_changeable(sqlx::query(text), &application).bind(application.kind.word());
                let done = query.execute(connection).await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes an application; returns the keys of the endpoints that had it, or none if it is unknown.
    pub async fn delete_application(
        &self,
        id: Id,
        endpoints: WithEndpoints,
    ) -> Result<Option<Vec<Id>>> {
        self.write(move |connection| {
            Box::pin(async move {
                let had: Vec<Id> =
                    sqlx::query_scalar("SELECT id FROM endpoint WHERE application = $1")
                        .bind(id)
                        .fetch_all(&mut *connection)
                        .await?;
                match endpoints {
                    WithEndpoints::Delete => {
                        sqlx::query("DELETE FROM endpoint WHERE application = $1")
                            .bind(id)
                            .execute(&mut *connection)
                            .await?;
                    }
                    WithEndpoints::Move(to) => {
                        let text = "UPDATE endpoint SET application = $2 WHERE application = $1";
                        sqlx::query(text)
                            .bind(id)
                            .bind(to)
                            .execute(&mut *connection)
                            .await?;
                    }
                }
                let done = sqlx::query("DELETE FROM application WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok((done.rows_affected() > 0).then_some(had))
            })
        })
        .await
    }

    /// The application with this key.
    pub async fn application(&self, id: Id) -> Result<Option<Application>> {
        let row = sqlx::query("SELECT * FROM application WHERE id = $1")
            .bind(id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The application with this `a-…` id.
    pub async fn application_by_public_id(&self, public_id: &str) -> Result<Option<Application>> {
        let row = sqlx::query("SELECT * FROM application WHERE public_id = $1")
            .bind(public_id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The applications that the filter lets through, newest first.
    pub async fn applications(
        &self,
        filter: &ApplicationFilter,
        page: Page,
    ) -> Result<Paged<Application>> {
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

    /// Reads all applications, oldest first.
    pub async fn load_applications(&self, mut each: impl FnMut(Application)) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM application ORDER BY seq")
            .fetch_all(self.read())
            .await?;
        for row in &rows {
            each(read(row)?);
        }
        Ok(())
    }
}

impl ApplicationFilter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push(" FROM application WHERE account = ")
            .push_bind(self.account);
        if let Some(prefix) = &self.name_prefix {
            page::and_match(query, "name", &page::Match::StartsWith(prefix.clone()));
        }
        if let Some(flavor) = self.flavor {
            query.push(" AND flavor = ").push_bind(flavor.word());
        }
    }
}

async fn refuse_same_name(
    connection: &mut SqliteConnection,
    application: &Application,
) -> Result<()> {
    let other: Option<Id> = sqlx::query_scalar(
        "SELECT id FROM application WHERE account = $1 AND name = $2 AND id <> $3 AND flavor = $4 LIMIT 1",
    )
    .bind(application.account)
    .bind(&application.name)
    .bind(application.id)
    .bind(application.flavor.word())
    .fetch_optional(connection)
    .await?;
    match other {
        Some(_) => Err(Error::Taken {
            columns: "application.account, application.name".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Only one application of an account holds each default flag.
async fn take_flags(connection: &mut SqliteConnection, application: &Application) -> Result<()> {
    if application.default_number_app {
        let text = "UPDATE application SET default_number_app = 0 WHERE account = $1 AND id <> $2 AND default_number_app = 1";
        sqlx::query(text)
            .bind(application.account)
            .bind(application.id)
            .execute(&mut *connection)
            .await?;
    }
    if application.default_endpoint_app {
        let text = "UPDATE application SET default_endpoint_app = 0 WHERE account = $1 AND id <> $2 AND default_endpoint_app = 1";
        sqlx::query(text)
            .bind(application.account)
            .bind(application.id)
            .execute(connection)
            .await?;
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds the columns that both statements set, and the key.
fn bind_changeable<'q>(query: Query<'q>, application: &Application) -> Query<'q> {
    query
        .bind(application.name.clone())
        .bind(application.answer_url.clone())
        .bind(application.answer_method.word())
        .bind(application.hangup_url.clone())
        .bind(application.hangup_method.word())
        .bind(application.fallback_url.clone())
        .bind(application.fallback_method.word())
        .bind(application.message_url.clone())
        .bind(application.message_method.word())
        .bind(application.default_number_app)
        .bind(application.default_endpoint_app)
        .bind(application.public_uri)
        .bind(application.log_incoming)
        .bind(application.enabled)
        .bind(application.extra.to_string())
        .bind(application.updated.as_microsecond())
        .bind(application.id)
}

fn read(row: &SqliteRow) -> Result<Application> {
    Ok(Application {
        id: row.try_get("id")?,
        public_id: row.try_get("public_id")?,
        account: row.try_get("account")?,
        flavor: Flavor::read(row, "flavor")?,
        name: row.try_get("name")?,
        kind: ApplicationKind::read(row, "kind")?,
        answer_url: row.try_get("answer_url")?,
        answer_method: HttpMethod::read(row, "answer_method")?,
        hangup_url: row.try_get("hangup_url")?,
        hangup_method: HttpMethod::read(row, "hangup_method")?,
        fallback_url: row.try_get("fallback_url")?,
        fallback_method: HttpMethod::read(row, "fallback_method")?,
        message_url: row.try_get("message_url")?,
        message_method: HttpMethod::read(row, "message_method")?,
        default_number_app: row.try_get("default_number_app")?,
        default_endpoint_app: row.try_get("default_endpoint_app")?,
        public_uri: row.try_get("public_uri")?,
        log_incoming: row.try_get("log_incoming")?,
        enabled: row.try_get("enabled")?,
        extra: column::json(row, "extra")?,
        created: column::time(row, "created")?,
        updated: column::time(row, "updated")?,
    })
}
