//! Why the store refused or failed, by reasons that a caller can act on.

/// Result of a store function.
pub type Result<T> = std::result::Result<T, Error>;

/// One reason per thing that a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue of the writer is full: refuse the request, the next one may pass.
    #[error("the store's queue is full")]
    Busy,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// A row with the same unique columns exists; the text names them as `table.column, …`.
    #[error("not unique: {columns}")]
    Taken {
        /// The columns, as SQLite names them.
        columns: String,
    },
    /// A row that the new one refers to does not exist, or no longer.
    #[error("a row that is referred to is gone")]
    Gone,
    /// A limit on the number of rows of an account is reached.
    #[error("limit of {limit} rows reached")]
    Limit {
        /// The most that there may be.
        limit: u64,
    },
    /// The key does not open what is in this database.
    #[error("the sealing key does not fit this database")]
    WrongKey,
    /// The sealing key cannot be read, made or understood.
    #[error("sealing key {path}: {why}")]
    Key {
        /// Where the key was looked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A column holds what this version does not understand.
    #[error("column {column} holds an unexpected value")]
    Corrupt {
        /// The column.
        column: &'static str,
    },
    /// The batch in which the job travelled was not committed.
    #[error("the batch was not committed: {why}")]
    NotCommitted {
        /// The text of the first error.
        why: String,
    },
    /// The journal of bindings cannot be opened or read.
    #[error("the journal of bindings: {0}")]
    Journal(#[source] std::io::Error),
    /// The migrations did not run.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Anything else that the database says.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Error::Database(error);
        };
        if database.is_unique_violation() {
            let message = database.message();
            let columns = message.rsplit("failed: ").next().unwrap_or(message);
            return Error::Taken {
                columns: columns.to_owned(),
            };
        }
        if database.is_foreign_key_violation() {
            return Error::Gone;
        }
        Error::Database(error)
    }
}
