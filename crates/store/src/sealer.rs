//! Tokens that only this installation can read and make: what they say is hidden, and two of the same look different.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::seal::SealKey;

/// Seals octets into tokens for one purpose, with a key derived from the installation's. Clones share it.
#[derive(Clone)]
pub struct Sealer(Arc<LessSafeKey>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

impl SealKey {
    /// Makes what seals tokens for `purpose`; those of another purpose do not open with it.
    pub fn sealer(&self, purpose: &str) -> Result<Sealer> {
        let mut key = self.derive(purpose);
        let unbound = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| Error::WrongKey)?;
        key.zeroize();
        Ok(Sealer(Arc::new(LessSafeKey::new(unbound))))
    }
}

impl Sealer {
    /// Seals octets: letters, digits, `-` and `_`, four for every three octets and 38 more. Nothing without randomness.
    pub fn seal(&self, clear: &[u8]) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut text = clear.to_vec();
        let fresh = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(fresh, Aad::empty(), &mut text)
            .ok()?;
        let mut token = nonce.to_vec();
        token.append(&mut text);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens what [`Sealer::seal`] made; anything else is nothing.
    pub fn open(&self, token: &str) -> Option<Vec<u8>> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, text) = token.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = text.to_vec();
        let clear = self
            .0
            .open_in_place(nonce, Aad::empty(), &mut buffer)
            .ok()?;
        Some(clear.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_purpose_only_and_two_of_the_same_differ() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let sealer = key.sealer("gruu").unwrap();
        let (one, two) = (sealer.seal(b"abc").unwrap(), sealer.seal(b"abc").unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 42);
        assert_eq!(sealer.open(&one).as_deref(), Some(&b"abc"[..]));
        assert_eq!(key.sealer("other").unwrap().open(&one), None);
        let mut forged = one.clone();
        forged.replace_range(20..21, if &one[20..21] == "A" { "B" } else { "A" });
        for bad in ["", "abc", "ä", forged.as_str()] {
            assert_eq!(sealer.open(bad), None, "{bad}");
        }
    }
}
