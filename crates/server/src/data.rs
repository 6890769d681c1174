//! The database of this process: its directory, the lock that keeps a second server from it, the key that seals it.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use store::{SealKey, Store};

use crate::config::{Config, Durability};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The directory or the lock of the database.
    #[error("{path}: {source}")]
    Files {
        /// What could not be made or opened.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another server.
    #[error(
        "another offhook uses the database {0}. Stop it, or choose another directory with `--data-dir`"
    )]
    InUse(PathBuf),
    /// The database.
    #[error("the database {url}: {source}")]
    Store {
        /// Which.
        url: String,
        /// The cause.
        source: store::Error,
    },
}

/// The open database, and the lock that keeps a second server from it.
pub struct Data {
    /// The database.
    pub store: Store,
    _lock: Option<File>,
}

impl Data {
    /// Opens the database for this process alone.
    pub async fn open(config: &Config) -> Result<Self, DataError> {
        let lock = match database_file(config) {
            Some(file) => Some(lock(&file)?.ok_or(DataError::InUse(file))?),
            None => None,
        };
        Ok(Self {
            store: open_store(config).await?,
            _lock: lock,
        })
    }

    /// Opens the database, whoever else has it; answers whether a server is running on it.
    pub async fn open_beside(config: &Config) -> Result<(Self, bool), DataError> {
        let lock = match database_file(config) {
            Some(file) => lock(&file)?,
            None => None,
        };
        let running = lock.is_none();
        Ok((
            Self {
                store: open_store(config).await?,
                _lock: lock,
            },
            running,
        ))
    }
}

/// The directory that everything is kept in.
pub fn directory(config: &Config) -> PathBuf {
    let file = database_file(config).unwrap_or_default();
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    directory.canonicalize().unwrap_or(directory.to_path_buf())
}

/// The database's file; none for a database in memory.
fn database_file(config: &Config) -> Option<PathBuf> {
    let path = config
        .store
        .url
        .trim_start_matches("sqlite:")
        .trim_start_matches("//");
    let path = path.split('?').next().unwrap_or_default();
    (path != ":memory:").then(|| path.into())
}

/// Takes the lock beside the database; nothing when another process has it. The lock ends with the process.
fn lock(database: &Path) -> Result<Option<File>, DataError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DataError::Files { path, source }
    };
    if let Some(directory) = database
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed(directory))?;
    }
    let path = database.with_extension("lock");
    let file = File::create(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(&path)(source)),
    }
}

async fn open_store(config: &Config) -> Result<Store, DataError> {
    let failed = |source| DataError::Store {
        url: config.store.url.clone(),
        source,
    };
    let key = seal_key(config).map_err(failed)?;
    let durability = match config.store.durability {
        Durability::Power => store::Durability::Power,
        Durability::Process => store::Durability::Process,
    };
    Store::open(store::Config {
        url: config.store.url.clone(),
        durability,
        key,
    })
    .await
    .map_err(failed)
}

fn seal_key(config: &Config) -> Result<SealKey, store::Error> {
    if !config.store.key.is_empty() {
        return SealKey::from_text(&config.store.key);
    }
    match (config.store.key_file.as_str(), database_file(config)) {
        ("", Some(database)) => {
            SealKey::from_file_or_create(&database.with_file_name("offhook.key"))
        }
        ("", None) => SealKey::random(),
        (file, _) => SealKey::from_file_or_create(Path::new(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::{database_file, directory, lock};
    use crate::config::Layers;

    fn with_url(url: &str) -> crate::config::Config {
        let arguments = vec![("store.url", url.into())];
        Layers {
            arguments,
            ..Layers::default()
        }
        .load()
        .unwrap()
    }

    #[test]
    fn the_database_s_file_is_found_in_its_url() {
        assert_eq!(
            database_file(&with_url("sqlite:./a/b.db"))
                .unwrap()
                .to_str(),
            Some("./a/b.db")
        );
        assert_eq!(
            database_file(&with_url("sqlite:///a/b.db?mode=rwc"))
                .unwrap()
                .to_str(),
            Some("/a/b.db")
        );
        assert_eq!(database_file(&with_url("sqlite::memory:")), None);
        assert_eq!(
            directory(&with_url("sqlite:b.db")),
            std::env::current_dir().unwrap()
        );
    }

    #[test]
    fn a_database_serves_one_server_at_a_time() {
        let directory = std::env::temp_dir().join(format!("offhook-lock-{}", std::process::id()));
        let database = directory.join("offhook.db");
        let held = lock(&database).unwrap();
        assert!(held.is_some());
        assert!(lock(&database).unwrap().is_none());
        drop(held);
        assert!(lock(&database).unwrap().is_some());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
