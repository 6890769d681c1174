//! Secrets at rest: AES-256-GCM with a random nonce and the row's identity as associated data; keyed hashes for look-up.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};

/// First byte of every sealed value, so that a later format can be told apart.
const VERSION: u8 = 1;

/// A text that must not be seen: a password, a token. Shows itself as `***`.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a clear text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The clear text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares with a text that a stranger sent; the time taken does not depend on where they differ.
    pub fn matches(&self, given: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), given.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The installation's key. Clones share it.
#[derive(Clone)]
pub struct SealKey(Arc<Keys>);

struct Keys {
    seal: LessSafeKey,
    lookup: hmac::Key,
    root: hmac::Key,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(***)")
    }
}

impl SealKey {
    /// Makes the key from 32 bytes; what seals and what hashes are derived from them.
    pub fn new(bytes: &[u8; 32]) -> Result<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let mut seal = derived(&root, "seal");
        let unbound = UnboundKey::new(&AES_256_GCM, &seal)
            .map_err(|_| unusable("(bytes)", "refused by the cipher"))?;
        seal.zeroize();
        let lookup = hmac::Key::new(hmac::HMAC_SHA256, &derived(&root, "lookup"));
        Ok(SealKey(Arc::new(Keys {
            seal: LessSafeKey::new(unbound),
            lookup,
            root,
        })))
    }

    /// Makes a key that dies with the process, for stores in memory.
    pub fn random() -> Result<Self> {
        SealKey::new(&*fresh()?)
    }

    /// Reads 32 bytes spelled as 64 hexadecimal digits or as base64 (both alphabets, padded or not).
    pub fn from_text(text: &str) -> Result<Self> {
        parse(text.trim()).map_or_else(
            || {
                Err(unusable(
                    "(configuration)",
                    "must be 32 bytes as 64 hexadecimal digits or base64",
                ))
            },
            |bytes| SealKey::new(&bytes),
        )
    }

    /// Reads the key from a file, or makes the file with a new key and mode 0600 when there is none.
    pub fn from_file_or_create(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        match std::fs::File::open(path) {
            Ok(mut file) => {
                let mode = file
                    .metadata()
                    .map_err(|e| unusable(&shown, &e.to_string()))?
                    .permissions()
                    .mode();
                if mode & 0o077 != 0 {
                    tracing::warn!(path = %shown, "the key file can be read by others; its mode should be 0600");
                }
                let mut text = Zeroizing::new(String::new());
                file.read_to_string(&mut text)
                    .map_err(|e| unusable(&shown, &e.to_string()))?;
                let bytes = parse(text.trim()).ok_or_else(|| {
                    unusable(&shown, "is not 32 bytes as hexadecimal digits or base64")
                })?;
                SealKey::new(&bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = fresh()?;
                create(path, &hex::encode(*bytes)).map_err(|e| unusable(&shown, &e.to_string()))?;
                SealKey::new(&bytes)
            }
            Err(error) => Err(unusable(&shown, &error.to_string())),
        }
    }

    /// Derives 32 bytes for another purpose that must survive a restart (nonces, for instance).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        derived(&self.0.root, &format!("purpose {purpose}"))
    }

    /// Seals a text for one column of one row: it opens nowhere else.
    pub(crate) fn seal(&self, place: Place<'_>, clear: &Secret) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| unusable("(seal)", "no randomness"))?;
        let mut text = clear.expose().as_bytes().to_vec();
        let sealed = self.0.seal.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            place.aad(),
            &mut text,
        );
        sealed.map_err(|_| unusable("(seal)", "refused by the cipher"))?;
        let mut out = Vec::with_capacity(1 + NONCE_LEN + text.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.append(&mut text);
        Ok(out)
    }

    /// Opens what `seal` made for the same place.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret> {
        let (VERSION, rest) = sealed
            .split_first()
            .map(|(v, rest)| (*v, rest))
            .ok_or(Error::WrongKey)?
        else {
            return Err(Error::Corrupt { column: "sealed" });
        };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Error::WrongKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::WrongKey)?;
        let mut buffer = Zeroizing::new(text.to_vec());
        let clear = self
            .0
            .seal
            .open_in_place(nonce, place.aad(), &mut buffer)
            .map_err(|_| Error::WrongKey)?;
        let clear = std::str::from_utf8(clear).map_err(|_| Error::WrongKey)?;
        Ok(Secret::new(clear))
    }

    /// Hashes a token with the installation's key, so that a row is found by it without holding it.
    pub(crate) fn lookup(&self, kind: &str, token: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0.lookup);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(token.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

/// Where a sealed value stands: table, column and row are bound into it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub table: &'a str,
    pub column: &'a str,
    pub row: i64,
}

impl Place<'_> {
    fn aad(&self) -> Aad<Vec<u8>> {
        Aad::from(format!("{}.{}.{}", self.table, self.column, self.row).into_bytes())
    }
}

fn derived(root: &hmac::Key, purpose: &str) -> [u8; 32] {
    let tag = hmac::sign(root, format!("offhook 1 {purpose}").as_bytes());
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

fn fresh() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| unusable("(new)", "no randomness"))?;
    Ok(bytes)
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let bytes = Zeroizing::new(
        hex::decode(text)
            .ok()
            .filter(|bytes| bytes.len() == 32)
            .or_else(|| STANDARD.decode(text).ok())
            .or_else(|| STANDARD_NO_PAD.decode(text).ok())
            .or_else(|| URL_SAFE.decode(text).ok())
            .or_else(|| URL_SAFE_NO_PAD.decode(text).ok())?,
    );
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

/// Writes the file whole and synced under another name first: a crash leaves either no key or the key, never half of one.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    // A link, not a rename: it fails when somebody else was quicker, and his key stays.
    let placed = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    placed?;
    std::fs::File::open(parent)?.sync_all()
}

fn unusable(path: &str, why: &str) -> Error {
    Error::Key {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        table: "endpoint",
        column: "password",
        row: 7,
    };

    #[test]
    fn what_is_sealed_opens_only_in_its_own_row_and_column() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let sealed = key.seal(PLACE, &Secret::new("secret")).unwrap();
        assert_eq!(key.open(PLACE, &sealed).unwrap().expose(), "secret");
        for other in [
            Place { row: 8, ..PLACE },
            Place {
                column: "token",
                ..PLACE
            },
            Place {
                table: "account",
                ..PLACE
            },
        ] {
            assert!(matches!(key.open(other, &sealed), Err(Error::WrongKey)));
        }
        assert!(matches!(
            SealKey::new(&[8; 32]).unwrap().open(PLACE, &sealed),
            Err(Error::WrongKey)
        ));
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let once = key.seal(PLACE, &Secret::new("secret")).unwrap();
        assert_ne!(once, key.seal(PLACE, &Secret::new("secret")).unwrap());
        assert_eq!(once.len(), 1 + NONCE_LEN + 6 + 16);
    }

    #[test]
    fn a_key_is_read_as_hexadecimal_and_as_base64_and_nothing_shorter() {
        let bytes = [0xa5; 32];
        let hex = SealKey::from_text(&hex::encode(bytes)).unwrap();
        let base64 =
            SealKey::from_text(&base64::engine::general_purpose::STANDARD.encode(bytes)).unwrap();
        assert_eq!(hex.derive("nonces"), base64.derive("nonces"));
        assert_ne!(hex.derive("nonces"), hex.derive("other"));
        assert!(SealKey::from_text("a5a5").is_err());
        assert!(SealKey::from_text("").is_err());
    }

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Secret::new("secret")), "***");
        assert!(Secret::new("secret").matches("secret"));
        assert!(!Secret::new("secret").matches("Secret"));
    }
}
