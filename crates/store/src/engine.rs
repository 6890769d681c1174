//! SQLite as one writer and many readers.
//!
//! One task owns the only connection that writes. Jobs wait in a bounded queue and travel in batches: a batch takes what
//! the queue holds until it is empty, or 1,000 jobs, or 3 ms, is one transaction, and nobody hears of its outcome before
//! COMMIT. Each job of a caller runs in a SAVEPOINT of its own, so that one refusal does not undo its neighbours;
//! the rows of calls are gathered into statements of many rows (`call.rs`). Bindings have a journal of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::binding::Bindings;
use crate::call::{self, Put};
use crate::checkpoint::{self, Checkpoints};
use crate::error::{Error, Result};
use crate::seal::{Place, SealKey, Secret};

/// Jobs that may wait; the next one is refused with [`Error::Busy`].
const QUEUE: usize = 8192;
/// Jobs of one transaction.
const BATCH: usize = 1000;
/// How long one transaction takes in more jobs.
const BATCH_TIME: Duration = Duration::from_millis(3);
/// A batch of so many shows that there is much to write; then the next one waits for company.
const BUSY: usize = 4;
/// As long. A commit costs more than all that one call writes.
const COMPANY: Duration = Duration::from_millis(2);

static MEMORY_STORES: AtomicU64 = AtomicU64::new(0);

/// What survives: see `docs/configuration.md`, `store.durability`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// What was acknowledged survives a power cut: the log is synced at each commit.
    #[default]
    Power,
    /// What was acknowledged survives the death of the process, not of the machine.
    Process,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Config {
    /// `sqlite://path`, a plain path, or `sqlite::memory:`.
    pub url: String,
    /// What survives.
    pub durability: Durability,
    /// What seals secrets.
    pub key: SealKey,
}

/// Called once with the outcome of a change, after COMMIT.
pub type Completion = Box<dyn FnOnce(Result<()>) + Send>;

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<Job>,
    read: SqlitePool,
    key: SealKey,
    writer: Mutex<JoinSet<()>>,
    bindings: Bindings,
}

type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Ran> + Send>;

/// What a job leaves behind: whether its savepoint stays, and whom to tell when the batch is committed or not.
struct Ran {
    keep: bool,
    tell: Completion,
}

enum Job {
    Calls { put: Put, tell: Completion },
    Write(Work),
    Close(oneshot::Sender<()>),
}

impl Store {
    /// Opens the database, makes or migrates its tables, and checks that the key fits.
    pub async fn open(config: Config) -> Result<Store> {
        let options = options(&config.url, config.durability)?;
        let writing = options.clone().statement_cache_capacity(256);
        let mut connection = writing.connect().await?;
        sqlx::migrate!().run(&mut connection).await?;
        check_key(&mut connection, &config.key).await?;
        let bindings = open_bindings(&config).await?;
        bindings.adopt(&mut connection).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        let read = pool
            .connect_with(
                options
                    .create_if_missing(false)
                    .read_only(!in_memory(&config.url)),
            )
            .await?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let mut writer = JoinSet::new();
        let checkpoints =
            database(&config.url).map(|path| Checkpoints::start(writing.clone(), path.into()));
        writer.spawn(write_batches(connection, writing, jobs, checkpoints));
        Ok(Store(Arc::new(Inner {
            queue,
            read,
            key: config.key,
            writer: Mutex::new(writer),
            bindings,
        })))
    }

    pub(crate) fn bindings_ref(&self) -> &Bindings {
        &self.0.bindings
    }

    /// Hands rows of calls to the writer; returns after COMMIT.
    pub(crate) async fn put(&self, put: Put) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let tell: Completion = Box::new(move |committed| {
            // Nobody listens when the caller was cancelled: the rows stand all the same.
            let _: std::result::Result<(), _> = answer.send(committed);
        });
        self.enqueue(Job::Calls { put, tell })?;
        answered.await.map_err(|_| given_up())?
    }

    /// Runs a job on the writing connection, in a savepoint that stays only when the job says `Ok`; returns after COMMIT.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel::<Result<T>>();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let outcome = work(connection).await;
                let keep = outcome.is_ok();
                let tell: Completion = Box::new(move |committed| {
                    // Nobody listens when the caller was cancelled: the change stands all the same.
                    let _ = answer.send(committed.and(outcome));
                });
                Ran { keep, tell }
            })
        });
        self.enqueue(Job::Write(work))?;
        // Dropped unanswered: the batch failed before the job could say anything, or the store was closed.
        answered.await.map_err(|_| given_up())?
    }

    fn enqueue(&self, job: Job) -> Result<()> {
        self.0.queue.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })
    }

    /// Commits what waits, empties the log into the database and closes it. Later jobs are refused.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.queue.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        let mut writer = self.0.writer.lock().await;
        while writer.join_next().await.is_some() {}
        self.0.read.close().await;
        let bindings = self.0.bindings.clone();
        // It waits for the disk.
        let closed = tokio::task::spawn_blocking(move || bindings.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the journal did not close");
        }
    }

    /// The key that this store seals with.
    pub fn key(&self) -> &SealKey {
        &self.0.key
    }

    pub(crate) fn read(&self) -> &SqlitePool {
        &self.0.read
    }

    /// A value of the installation (its realm, for instance), or none.
    pub async fn meta(&self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(self.read())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let bytes: Vec<u8> = row.try_get("value")?;
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::Corrupt { column: "value" })
    }

    /// Keeps a value of the installation.
    pub async fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.as_bytes().to_vec());
        self.write(move |connection| {
            Box::pin(async move {
                let text = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                sqlx::query(text).bind(name).bind(value).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

fn given_up() -> Error {
    Error::NotCommitted {
        why: "the batch was given up".to_owned(),
    }
}

/// Opens the journal beside the database, off the runtime's threads: it reads all there is.
async fn open_bindings(config: &Config) -> Result<Bindings> {
    let path = database(&config.url).map(|path| path.with_extension("bindings"));
    let durability = config.durability;
    tokio::task::spawn_blocking(move || Bindings::open(path.as_deref(), durability))
        .await
        .map_err(|error| Error::Journal(std::io::Error::other(error)))?
}

/// The database's file; none for one in memory.
fn database(url: &str) -> Option<&Path> {
    let path = url
        .strip_prefix("sqlite:")
        .map_or(url, |rest| rest.strip_prefix("//").unwrap_or(rest));
    let path = path.split('?').next().unwrap_or(path);
    (!in_memory(url)).then(|| Path::new(path))
}

fn in_memory(url: &str) -> bool {
    url == "sqlite::memory:" || url == ":memory:"
}

fn options(url: &str, durability: Durability) -> Result<SqliteConnectOptions> {
    let options = SqliteConnectOptions::new()
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .synchronous(match durability {
            Durability::Power => SqliteSynchronous::Full,
            Durability::Process => SqliteSynchronous::Normal,
        })
        .disable_statement_logging();
    if in_memory(url) {
        // Connections of this process share what the memdb VFS holds under a name that begins with a slash.
        let name = format!("/offhook-{}", MEMORY_STORES.fetch_add(1, Ordering::Relaxed));
        return Ok(options.filename(name).vfs("memdb"));
    }
    let path = url
        .strip_prefix("sqlite:")
        .map_or(url, |rest| rest.strip_prefix("//").unwrap_or(rest));
    if let Some(parent) = Path::new(path)
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
    {
        std::fs::create_dir_all(parent).map_err(|error| Error::Database(sqlx::Error::Io(error)))?;
    }
    let options = options.filename(path);
    Ok(options
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", checkpoint::MOST_PAGES))
}

/// Fails when the database was sealed with another key.
async fn check_key(connection: &mut SqliteConnection, key: &SealKey) -> Result<()> {
    const PLACE: Place<'_> = Place {
        table: "meta",
        column: "value",
        row: 0,
    };
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'seal_check'")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        let sealed: Vec<u8> = row.try_get("value")?;
        return key.open(PLACE, &sealed).map(|_| ());
    }
    let sealed = key.seal(PLACE, &Secret::new("offhook"))?;
    sqlx::query("INSERT INTO meta (name, value) VALUES ('seal_check', $1)")
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

/// The writer: one batch after the other until the store is closed or dropped.
async fn write_batches(
    mut connection: SqliteConnection,
    options: SqliteConnectOptions,
    mut jobs: mpsc::Receiver<Job>,
    mut checkpoints: Option<Checkpoints>,
) {
    let (mut closing, mut busy) = (None, false);
    while closing.is_none() {
        let Some(first) = jobs.recv().await else {
            break;
        };
        if std::mem::take(&mut busy) {
            tokio::time::sleep(COMPANY).await;
        }
        let mut batch = Batch::default();
        let outcome = batch.run(&mut connection, first, &mut jobs).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "a batch was not committed");
            // SQLite may have rolled back by itself (disk full, for one): a new connection knows where it stands.
            match options.connect().await {
                Ok(fresh) => connection = fresh,
                Err(error) => tracing::error!(%error, "the database does not open"),
            }
        }
        busy = batch.count >= BUSY;
        closing = batch.closing.take();
        batch.tell_all(outcome.err().map(|error| error.to_string()));
        if let Some(checkpoints) = &mut checkpoints {
            checkpoints.after_commit(&mut connection).await;
        }
    }
    if let Some(checkpoints) = checkpoints {
        checkpoints.finish().await;
    }
    jobs.close();
    // Whoever still waits hears `Closed` when his sender is dropped here.
    while let Ok(job) = jobs.try_recv() {
        if let Job::Calls { tell, .. } = job {
            tell(Err(Error::Closed));
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database did not close cleanly");
    }
    if let Some(done) = closing {
        let _: std::result::Result<(), ()> = done.send(());
    }
}

/// One transaction on its way.
#[derive(Default)]
struct Batch {
    calls: call::Gathered,
    /// Who waits for the calls that are gathered.
    calling: Vec<Completion>,
    /// Who waits for COMMIT only, and why even a commit does not carry what he asked for.
    done: Vec<(Completion, Option<String>)>,
    closing: Option<oneshot::Sender<()>>,
    /// Jobs in it.
    count: usize,
}

impl Batch {
    async fn run(
        &mut self,
        connection: &mut SqliteConnection,
        first: Job,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Result<()> {
        let mut next = match first {
            Job::Close(done) => {
                self.closing = Some(done);
                return Ok(());
            }
            job => Some(job),
        };
        // IMMEDIATE takes the write lock now: a second process (`offhook account create`) is waited for, not failed on.
        let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => transaction,
            Err(error) => {
                if let Some(Job::Calls { tell, .. }) = next {
                    self.calling.push(tell);
                }
                return Err(error.into());
            }
        };
        let until = tokio::time::Instant::now() + BATCH_TIME;
        while let Some(job) = next.take() {
            self.count += 1;
            match job {
                Job::Calls { put, tell } => {
                    self.calls.take(put);
                    self.calling.push(tell);
                }
                Job::Write(work) => {
                    let mut savepoint = transaction.begin().await?;
                    let ran = work(&mut savepoint).await;
                    if ran.keep {
                        savepoint.commit().await
                    } else {
                        savepoint.rollback().await
                    }?;
                    self.done.push((ran.tell, None));
                }
                Job::Close(done) => {
                    self.closing = Some(done);
                    break;
                }
            }
            if self.count < BATCH && tokio::time::Instant::now() < until {
                next = jobs.try_recv().ok();
            }
        }
        self.flush_calls(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Writes the gathered calls; when that fails only their senders are told so, the rest of the batch goes on. Without a
    /// rest there is no savepoint: SQLite would copy every page that it changes.
    async fn flush_calls(&mut self, transaction: &mut SqliteConnection) -> Result<()> {
        if self.calling.is_empty() {
            return Ok(());
        }
        if self.done.is_empty() {
            return std::mem::take(&mut self.calls).write(transaction).await;
        }
        let mut savepoint = transaction.begin().await?;
        let gathered = std::mem::take(&mut self.calls);
        let outcome = gathered.write(&mut savepoint).await;
        let refusal = settle(savepoint, outcome).await?;
        self.done
            .extend(self.calling.drain(..).map(|tell| (tell, refusal.clone())));
        Ok(())
    }

    fn tell_all(self, failure: Option<String>) {
        let waiting = self.calling.into_iter().map(|tell| (tell, None));
        for (tell, refusal) in self.done.into_iter().chain(waiting) {
            tell(match failure.clone().or(refusal) {
                Some(why) => Err(Error::NotCommitted { why }),
                None => Ok(()),
            });
        }
    }
}

/// Keeps or undoes what was gathered; returns why it was undone.
async fn settle(
    savepoint: sqlx::Transaction<'_, sqlx::Sqlite>,
    outcome: Result<()>,
) -> Result<Option<String>> {
    match outcome {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(None)
        }
        Err(error) => {
            savepoint.rollback().await?;
            tracing::error!(%error, "gathered rows were not written");
            Ok(Some(error.to_string()))
        }
    }
}
