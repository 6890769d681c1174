//! Moves what SQLite's log holds into the database, beside the writer and not in its way.
//!
//! A checkpoint of thousands of pages takes as long as a dozen commits. Most of it is done on a connection of its own while commits
//! go on; the log begins anew only when all of it has been moved, so the writer moves the few pages that have come meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pages of 4 KiB that the log holds before the writer lets it begin anew: a page that changes often is moved seldom.
const PAGES: i64 = 8000;
/// Pages at which a commit moves them itself, whatever else goes on: the log's bound.
pub(crate) const MOST_PAGES: &str = "32000";
/// How often they are moved beside the writer, at most.
const PAUSE: Duration = Duration::from_millis(500);

/// The checkpoints of one database.
pub(crate) struct Checkpoints {
    due: mpsc::Sender<()>,
    last: Instant,
    /// Whether the writer has to move the rest.
    rest: Arc<AtomicBool>,
    task: JoinSet<()>,
}

impl Checkpoints {
    /// Checkpoints of the database in this file.
    pub(crate) fn start(options: SqliteConnectOptions, path: PathBuf) -> Self {
        // One waits while one is made: more are not needed.
        let (due, asked) = mpsc::channel(1);
        let rest = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(beside(options, path, asked, Arc::clone(&rest)));
        Self {
            due,
            last: Instant::now(),
            rest,
            task,
        }
    }

    /// Has the log moved when it is time; `writer` has just committed.
    pub(crate) async fn after_commit(&mut self, writer: &mut SqliteConnection) {
        if self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            // Full: the one before is still being made.
            let _: Result<(), mpsc::error::TrySendError<()>> = self.due.try_send(());
        }
        if self.rest.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(writer).await
        {
            tracing::warn!(%error, "the log of the database was not moved to its end");
        }
    }

    /// Returns when no checkpoint is on its way.
    pub(crate) async fn finish(self) {
        let Self { due, mut task, .. } = self;
        drop(due);
        while task.join_next().await.is_some() {}
    }
}

async fn beside(
    options: SqliteConnectOptions,
    path: PathBuf,
    mut asked: mpsc::Receiver<()>,
    rest: Arc<AtomicBool>,
) {
    let file = tokio::task::spawn_blocking(move || to_sync(&path)).await;
    let file = file.ok().flatten();
    let mut connection = None;
    while asked.recv().await.is_some() {
        let moved = match &mut connection {
            Some(connection) => checkpoint(connection).await,
            None => match options.connect().await {
                Ok(fresh) => checkpoint(connection.insert(fresh)).await,
                Err(error) => Err(error),
            },
        };
        if let Some(file) = file {
            // SQLite syncs only what it has moved to the end: that is the writer's part, and should not be much. What fails here
            // fails there again, and is told there.
            let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
        }
        match moved {
            Ok(pages) if pages >= PAGES => rest.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the log of the database was not moved");
                connection = None;
            }
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "a connection of the database did not close cleanly");
    }
}

/// The database's file, for nothing but its sync. It is never closed: that would release the locks that SQLite holds on it in
/// this process, and another process could take the log away.
fn to_sync(path: &Path) -> Option<&'static File> {
    match File::open(path) {
        Ok(file) => Some(Box::leak(Box::new(file))),
        Err(error) => {
            tracing::warn!(%error, "the file of the database does not open for its sync");
            None
        }
    }
}

/// Moves what no reader needs in the log; returns how many pages that holds.
async fn checkpoint(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let done = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await?;
    done.try_get(1)
}
