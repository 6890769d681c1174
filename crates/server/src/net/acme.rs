//! Certificates for public names from an authority that speaks ACME (RFC 8555), proved by http-01 (§8.3). Account and
//! certificate are kept in a folder beside the database; the certificate is renewed when two thirds of its life are over.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use dashmap::DashMap;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use offhook_core::Clock;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::certificate::{Files, Shown};
use super::self_signed::{self, write};
use super::validity;

/// For one attempt with all that the authority lets us wait for.
const ATTEMPT: Duration = Duration::from_secs(300);

/// Between the authority's answers that the order is not ready yet.
const POLLING: Duration = Duration::from_secs(90);

/// After a failed attempt; doubled with each further one, up to the longest. Authorities allow five failures an hour.
const RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3600);

/// Between two looks at the clock: a machine that slept must not sleep on.
const LOOK: Duration = Duration::from_secs(3600);

/// Challenges that wait for the authority; one for each name.
type Challenges = Arc<DashMap<String, String>>;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum AcmeError {
    #[error("the authority: {0}")]
    Protocol(#[from] instant_acme::Error),
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("what the authority sent cannot be used: {0}")]
    Certificate(#[from] super::certificate::CertificateError),
    #[error("the account's file cannot be read: {0}")]
    Account(#[from] serde_json::Error),
    #[error("the authority does not offer http-01 for {0}")]
    NoChallenge(String),
    #[error("the authority refused: the order is {0:?}")]
    Refused(OrderStatus),
    #[error("no end after {} s", ATTEMPT.as_secs())]
    Late,
}

/// What to ask for, and of whom.
pub struct Acme {
    /// DNS names.
    pub names: Vec<String>,
    /// URL of the authority's directory.
    pub directory: String,
    /// How the authority reaches the operator, as `mailto:` URL; empty for not at all.
    pub contact: String,
    /// A PEM file with the authority that signed the authority's own web certificate; empty for those of the system.
    pub authorities: String,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
    challenges: Challenges,
}

/// The account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Acme {
    /// Makes it; nothing is asked for yet.
    pub fn new(
        names: Vec<String>,
        directory: String,
        contact: String,
        authorities: String,
        folder: PathBuf,
    ) -> Self {
        Self {
            names,
            directory,
            contact,
            authorities,
            folder,
            challenges: Challenges::default(),
        }
    }

    /// What the listener for challenges serves, and nothing else.
    pub fn routes(&self) -> Router {
        let path = "/.well-known/acme-challenge/{token}";
        let answer = async |State(challenges): State<Challenges>, Path(token): Path<String>| {
            let found = challenges.get(&token).map(|found| found.clone());
            found.ok_or(StatusCode::NOT_FOUND)
        };
        Router::new()
            .route(path, get(answer))
            .with_state(self.challenges.clone())
    }

    /// The certificate of an earlier start, or a self-signed one until there is a better.
    pub fn first(&self) -> Result<CertifiedKey, super::certificate::CertificateError> {
        let files = self.files();
        if files.certificate.exists() {
            match files.load() {
                Ok(kept) => return Ok(kept),
                Err(error) => tracing::error!(%error, "the kept certificate cannot be used"),
            }
        }
        self_signed::find_or_make(&self.folder.join("until-then"), &self.names)?.load()
    }

    /// One file for both, so that they are replaced at one instant.
    fn files(&self) -> Files {
        let both = self.folder.join("certificate.pem");
        Files {
            certificate: both.clone(),
            key: both,
        }
    }

    /// Keeps the certificate good until the end.
    pub async fn keep(self, shown: Arc<Shown>, clock: Clock, stop: CancellationToken) {
        let mut wait = RETRY;
        loop {
            let now = clock.now().wall;
            let due = due(&shown.current(), &self.names);
            let pause = match due {
                Some(due) if due > now => {
                    let left = Duration::try_from(due.duration_since(now)).unwrap_or(LOOK);
                    left.min(LOOK)
                }
                _ => match tokio::time::timeout(ATTEMPT, self.attempt()).await {
                    Ok(Ok(next)) => {
                        shown.replace(next);
                        wait = RETRY;
                        tracing::info!(names = ?self.names, "a new certificate from the authority is in use");
                        continue;
                    }
                    failed => {
                        let error = match failed {
                            Ok(Err(error)) => error,
                            _ => AcmeError::Late,
                        };
                        let seconds = wait.as_secs();
                        tracing::error!(%error, names = ?self.names, seconds, "no new certificate; the next attempt is later");
                        let pause = wait;
                        wait = (wait * 2).min(LONGEST_RETRY);
                        pause
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// RFC 8555 §7.4: order, prove, finalize, fetch.
    async fn attempt(&self) -> Result<CertifiedKey, AcmeError> {
        let account = self.account().await?;
        let identifiers: Vec<_> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let proved = self.prove(&mut order).await;
        self.challenges.clear();
        proved?;
        let policy = RetryPolicy::new().timeout(POLLING);
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&policy).await?;
        let files = self.files();
        write(&files.certificate, &format!("{chain}\n{key}"), 0o600)?;
        Ok(files.load()?)
    }

    async fn prove(&self, order: &mut instant_acme::Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or(AcmeError::NoChallenge(name))?;
            let answer = challenge.key_authorization().as_str().to_owned();
            self.challenges.insert(challenge.token.clone(), answer);
            challenge.set_ready().await?;
        }
        let policy = RetryPolicy::new().timeout(POLLING);
        match order.poll_ready(&policy).await? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(()),
            other => Err(AcmeError::Refused(other)),
        }
    }

    /// The account of an earlier start with the same authority, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = match self.authorities.as_str() {
            "" => Account::builder()?,
            file => Account::builder_with_root(file)?,
        };
        let file = self.folder.join("account.json");
        match std::fs::read(&file) {
            Ok(text) => {
                let kept: Kept = serde_json::from_slice(&text)?;
                if kept.directory == self.directory {
                    return Ok(builder.from_credentials(kept.credentials).await?);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let contact = [self.contact.as_str()];
        let new = NewAccount {
            contact: if self.contact.is_empty() {
                &[]
            } else {
                &contact
            },
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await?;
        let kept = Kept {
            directory: self.directory.clone(),
            credentials,
        };
        write(&file, &serde_json::to_string(&kept)?, 0o600)?;
        Ok(account)
    }
}

/// When a certificate is to be replaced: at two thirds of its life; nothing when it should be now, because it is not for
/// these names, or signed by nobody but itself.
fn due(shown: &CertifiedKey, names: &[String]) -> Option<jiff::Timestamp> {
    let own: &CertificateDer<'_> = shown.cert.first()?;
    let parsed = ParsedCertificate::try_from(own).ok()?;
    let is_for = |name: &String| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| rustls::client::verify_server_name(&parsed, &name).is_ok())
    };
    // A self-signed one stands alone; an authority sends what it was signed with.
    if shown.cert.len() < 2 || !names.iter().all(is_for) {
        return None;
    }
    let (from, to) = validity::of(own)?;
    let life = to.duration_since(from);
    Some(from + life * 2 / 3)
}

#[cfg(test)]
mod tests {
    use super::{Acme, due};
    use crate::net::certificate::Files;
    use crate::net::self_signed;

    #[test]
    fn a_certificate_is_due_at_two_thirds_of_its_life_and_at_once_for_other_names() {
        let folder = std::env::temp_dir().join(format!("offhook-due-{}", std::process::id()));
        let names = ["a.example".to_owned()];
        let files = self_signed::find_or_make(&folder, &names).unwrap();
        let alone = files.load().unwrap();
        assert_eq!(due(&alone, &names), None);
        // The chain of an authority has more than one certificate.
        let text = std::fs::read_to_string(&files.certificate).unwrap();
        let chain = folder.join("chain.pem");
        std::fs::write(&chain, format!("{text}{text}")).unwrap();
        let two = Files {
            certificate: chain,
            key: files.key,
        };
        let two = two.load().unwrap();
        // 2025-01-01 to 2049-12-31 are 9,130 days.
        let expected = "2041-08-31T16:00:00Z".parse().unwrap();
        assert_eq!(due(&two, &names), Some(expected));
        assert_eq!(due(&two, &["b.example".to_owned()]), None);
        let acme = Acme::new(
            names.to_vec(),
            String::new(),
            String::new(),
            String::new(),
            folder.clone(),
        );
        assert!(acme.first().is_ok());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
