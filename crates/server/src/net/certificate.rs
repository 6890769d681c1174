//! The certificate that the TLS listeners show. Handshakes take the one that is current when they begin; connections that
//! are open keep theirs. Files are read again when they change, and files that cannot be used change nothing.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// The largest file that is read; a chain with its comments has some 10 kB.
const LARGEST: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// What is in a file.
    #[error("{path}: {why}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two do not belong together, or the key is of a kind that is not supported.
    #[error("{certificate} with {key}: {source}")]
    Pair {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// A self-signed certificate cannot be made.
    #[error("a self-signed certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
}

/// What the listeners show at the moment.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    /// Begins with this one.
    pub fn new(first: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(first))))
    }

    /// Shows another one from the next handshake on.
    pub fn replace(&self, next: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// The one that is shown.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for Shown {
    /// The same for every name: a phone that asks for another one, or for none, decides by itself what it makes of it.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// A chain and its key, as PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// What tells that a file changed: a file that is replaced has another inode, one that is overwritten another time.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

impl Files {
    /// Reads both and sees that they belong together.
    pub fn load(&self) -> Result<CertifiedKey, CertificateError> {
        let chain = CertificateDer::pem_reader_iter(open(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| content(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(content(&self.certificate, "no certificate in it".into()));
        }
        let key = PrivateKeyDer::from_pem_reader(open(&self.key)?)
            .map_err(|error| content(&self.key, error.to_string()))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
            CertificateError::Pair {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source,
            }
        })
    }

    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        })
    }
}

/// Shows what the files hold, whenever they change, until the end. Two files cannot be replaced at one instant: what does
/// not fit together is tried again at the next change, and until then the one before is shown.
pub async fn follow(files: Files, shown: Arc<Shown>, stop: CancellationToken) {
    let mut known = files.stamp();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        let stamp = files.stamp();
        if stamp == known {
            continue;
        }
        known = stamp;
        let certificate = files.certificate.display();
        match files.load() {
            Ok(next) => {
                shown.replace(next);
                tracing::info!(%certificate, "new TLS connections take the new certificate");
            }
            Err(error) => {
                tracing::error!(%error, "the changed certificate cannot be used; the one before stays");
            }
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, CertificateError> {
    let failed = |source| CertificateError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > LARGEST {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    Ok(BufReader::new(file))
}

fn content(path: &Path, why: String) -> CertificateError {
    CertificateError::Content {
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateError, Files};
    use crate::net::self_signed;

    #[test]
    fn a_chain_and_a_key_that_do_not_belong_together_are_refused() {
        let folder = std::env::temp_dir().join(format!("offhook-pair-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let names = ["one.example".to_owned()];
        let one = self_signed::find_or_make(&folder.join("one"), &names).unwrap();
        let two = self_signed::find_or_make(&folder.join("two"), &names).unwrap();
        assert!(one.load().is_ok());
        let mixed = Files {
            certificate: one.certificate.clone(),
            key: two.key,
        };
        assert!(matches!(mixed.load(), Err(CertificateError::Pair { .. })));
        std::fs::write(&one.certificate, "nothing").unwrap();
        let error = one.load().unwrap_err().to_string();
        assert!(error.ends_with("no certificate in it"), "{error}");
        let before = one.stamp();
        std::fs::remove_file(&one.certificate).unwrap();
        assert_ne!(one.stamp(), before);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
