//! Endpoints: what a phone logs in as.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::column::{self, Word};
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::page::{self, Match, Page, Paged};
use crate::seal::{Place, SealKey, Secret};
use crate::{Flavor, Id};

/// Which of its bindings a call rings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ring {
    /// The newest login.
    Latest,
    /// All; the first to answer wins.
    All,
    /// One after the other in the order of their q; those of equal q at once.
    Sequential,
}

/// What an endpoint may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Permissions {
    /// Carry audio.
    pub voice: bool,
    /// Send and receive messages.
    pub message: bool,
    /// Carry video.
    pub video: bool,
    /// Call endpoints of its own domain.
    pub same_domain: bool,
    /// Call foreign SIP addresses.
    pub other_domains: bool,
    /// Call telephone numbers.
    pub phones: bool,
    /// Call applications by their SIP address.
    pub apps: bool,
}

impl Default for Permissions {
    /// All: two of the three faces know no limits.
    fn default() -> Self {
        Permissions::from_bits(0x7f)
    }
}

impl Permissions {
    fn bits(self) -> i64 {
        let all = [
            self.voice,
            self.message,
            self.video,
            self.same_domain,
            self.other_domains,
            self.phones,
            self.apps,
        ];
        all.iter()
            .enumerate()
            .map(|(place, on)| i64::from(*on) << place)
            .sum()
    }

    pub(crate) fn from_bits(bits: i64) -> Self {
        let on = |place: u32| bits >> place & 1 == 1;
        Permissions {
            voice: on(0),
            message: on(1),
            video: on(2),
            same_domain: on(3),
            other_domains: on(4),
            phones: on(5),
            apps: on(6),
        }
    }
}

/// An endpoint of an account.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The key, and `endpoint_id` for customers.
    pub id: Id,
    /// `re-…`
    pub public_id: String,
    /// Whose it is.
    pub account: Id,
    /// Which face made it.
    pub flavor: Flavor,
    /// In which domain.
    pub domain: Id,
    /// The user part of its SIP URI; never changes.
    pub user: String,
    /// What the customer asked for.
    pub submitted_user: String,
    /// Its alias.
    pub label: String,
    /// Free text.
    pub description: Option<String>,
    /// Its password.
    pub password: Secret,
    /// Its application.
    pub application: Option<Id>,
    /// Off: it neither registers nor calls nor rings.
    pub enabled: bool,
    /// Which of its bindings a call rings.
    pub ring: Ring,
    /// What it may do.
    pub permissions: Permissions,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Which endpoints a list shows.
#[derive(Clone, Default, Debug)]
pub struct EndpointFilter {
    /// Whose.
    pub account: Id,
    /// Only those of this domain.
    pub domain: Option<Id>,
    /// Only those whose user name fits all of these.
    pub user: Vec<Match>,
    /// Only those whose label fits all of these.
    pub label: Vec<Match>,
    /// Only those with this application.
    pub application: Option<Id>,
    /// Only those without any (true) or with one (false).
    pub without_application: Option<bool>,
    /// Only those that this face made.
    pub flavor: Option<Flavor>,
}

impl Store {
    /// Inserts an endpoint. Its application must belong to the same account.
    pub async fn insert_endpoint(&self, endpoint: Endpoint) -> Result<()> {
        let sealed = self.seal_password(&endpoint)?;
        self.write(move |connection| {
            Box::pin(async move {
                require_application(connection, &endpoint).await?;
                sqlx::query(
                    "INSERT INTO endpoint (id, public_id, account, flavor, domain, user, submitted_user, label, description, \
                     sealed_password, application, enabled, ring, permissions, created, updated) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
                )
                .bind(endpoint.id)
                .bind(&endpoint.public_id)
                .bind(endpoint.account)
                .bind(endpoint.flavor.word())
                .bind(endpoint.domain)
                .bind(&endpoint.user)
                .bind(&endpoint.submitted_user)
                .bind(&endpoint.label)
                .bind(&endpoint.description)
                .bind(sealed)
                .bind(endpoint.application)
                .bind(endpoint.enabled)
                .bind(endpoint.ring.word())
                .bind(endpoint.permissions.bits())
                .bind(endpoint.created.as_microsecond())
                .bind(endpoint.updated.as_microsecond())
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes what may be changed of an endpoint: label, description, password, application, enabled, permissions.
    pub async fn update_endpoint(&self, endpoint: Endpoint) -> Result<bool> {
        let sealed = self.seal_password(&endpoint)?;
        self.write(move |connection| {
            Box::pin(async move {
                require_application(connection, &endpoint).await?;
                let done = sqlx::query(
                    "UPDATE endpoint SET label = $2, description = $3, sealed_password = $4, application = $5, enabled = $6, \
                     ring = $7, permissions = $8, updated = $9 WHERE id = $1",
                )
                .bind(endpoint.id)
                .bind(&endpoint.label)
                .bind(&endpoint.description)
                .bind(sealed)
                .bind(endpoint.application)
                .bind(endpoint.enabled)
                .bind(endpoint.ring.word())
                .bind(endpoint.permissions.bits())
                .bind(endpoint.updated.as_microsecond())
                .execute(connection)
                .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes an endpoint. Its bindings are the caller's: [`Bindings::clear`](crate::Bindings::clear).
    pub async fn delete_endpoint(&self, id: Id) -> Result<bool> {
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query("DELETE FROM endpoint WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    /// The endpoint with this key.
    pub async fn endpoint(&self, id: Id) -> Result<Option<Endpoint>> {
        let row = sqlx::query("SELECT * FROM endpoint WHERE id = $1")
            .bind(id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The endpoint with this `re-…` id.
    pub async fn endpoint_by_public_id(&self, public_id: &str) -> Result<Option<Endpoint>> {
        let row = sqlx::query("SELECT * FROM endpoint WHERE public_id = $1")
            .bind(public_id)
            .fetch_optional(self.read())
            .await?;
        row.map(|row| read(&row, self.key())).transpose()
    }

    /// The endpoints that the filter lets through, newest first.
    pub async fn endpoints(&self, filter: &EndpointFilter, page: Page) -> Result<Paged<Endpoint>> {
        let mut query = QueryBuilder::new("SELECT *");
        filter.push(&mut query);
        query.push(" ORDER BY seq DESC");
        page::paged(&mut query, page);
        let rows = query.build().fetch_all(self.read()).await?;
        let items = rows
            .iter()
            .map(|row| read(row, self.key()))
            .collect::<Result<_>>()?;
        Ok(Paged {
            items,
            total: self.count_endpoints(filter).await?,
        })
    }

    /// How many endpoints the filter lets through.
    pub async fn count_endpoints(&self, filter: &EndpointFilter) -> Result<u64> {
        let mut count = QueryBuilder::new("SELECT count(*)");
        filter.push(&mut count);
        let total: i64 = count.build_query_scalar().fetch_one(self.read()).await?;
        Ok(total.unsigned_abs())
    }

    /// Reads all endpoints, oldest first, one after the other.
    pub async fn load_endpoints(&self, mut each: impl FnMut(Endpoint)) -> Result<()> {
        let mut rows = sqlx::query("SELECT * FROM endpoint ORDER BY seq").fetch(self.read());
        while let Some(row) = rows.try_next().await? {
            each(read(&row, self.key())?);
        }
        Ok(())
    }

    fn seal_password(&self, endpoint: &Endpoint) -> Result<Vec<u8>> {
        self.key().seal(place(endpoint.id), &endpoint.password)
    }
}

impl EndpointFilter {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        query
            .push(" FROM endpoint WHERE account = ")
            .push_bind(self.account);
        if let Some(domain) = self.domain {
            query.push(" AND domain = ").push_bind(domain);
        }
        for wanted in &self.user {
            page::and_match(query, "user", wanted);
        }
        for wanted in &self.label {
            page::and_match(query, "label", wanted);
        }
        if let Some(application) = self.application {
            query.push(" AND application = ").push_bind(application);
        }
        match self.without_application {
            Some(true) => query.push(" AND application IS NULL"),
            Some(false) => query.push(" AND application IS NOT NULL"),
            None => query,
        };
        if let Some(flavor) = self.flavor {
            query.push(" AND flavor = ").push_bind(flavor.word());
        }
    }
}

/// The application may have been deleted since it was looked up.
async fn require_application(connection: &mut SqliteConnection, endpoint: &Endpoint) -> Result<()> {
    let Some(application) = endpoint.application else {
        return Ok(());
    };
    let owner: Option<Id> = sqlx::query_scalar("SELECT account FROM application WHERE id = $1")
        .bind(application)
        .fetch_optional(connection)
        .await?;
    if owner == Some(endpoint.account) {
        Ok(())
    } else {
        Err(Error::Gone)
    }
}

pub(crate) fn place(row: Id) -> Place<'static> {
    Place {
        table: "endpoint",
        column: "password",
        row,
    }
}

fn read(row: &SqliteRow, key: &SealKey) -> Result<Endpoint> {
    let id: Id = row.try_get("id")?;
    Ok(Endpoint {
        id,
        public_id: row.try_get("public_id")?,
        account: row.try_get("account")?,
        flavor: Flavor::read(row, "flavor")?,
        domain: row.try_get("domain")?,
        user: row.try_get("user")?,
        submitted_user: row.try_get("submitted_user")?,
        label: row.try_get("label")?,
        description: row.try_get("description")?,
        password: key.open(place(id), row.try_get("sealed_password")?)?,
        application: row.try_get("application")?,
        enabled: row.try_get("enabled")?,
        ring: Ring::read(row, "ring")?,
        permissions: Permissions::from_bits(row.try_get("permissions")?),
        created: column::time(row, "created")?,
        updated: column::time(row, "updated")?,
    })
}
