//! The key that account numbers are kept under. Two keys come out of it: one encrypts (AES-256-GCM-SIV, bound to the row),
//! one hashes (HMAC-SHA-256), so that two persons with one account are seen without knowing the account.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    payee::{AccountNumber, Channel},
    rail::Holder,
};

const KEY_BYTES: usize = 32;

/// A 32-byte key, written as 64 hexadecimal digits.
#[derive(Clone)]
pub struct AccountKey([u8; KEY_BYTES]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("is not 64 hexadecimal digits")]
pub struct NotAKey;

/// Encrypts and hashes account numbers.
pub struct Vault {
    cipher: RandomizedNonceKey,
    hashing: hmac::Key,
}

/// A number that cannot be sealed or opened: another key, or a damaged or moved ciphertext. Says no more, so that no
/// number can be in it.
#[derive(Debug, thiserror::Error)]
#[error("an account number cannot be sealed or opened")]
pub struct SealError;

#[derive(Serialize, Deserialize)]
struct Sealed {
    number: String,
    holder: String,
}

impl Vault {
    /// Derives the keys.
    ///
    /// # Errors
    /// When the library has no such cipher, which no build of ours lacks.
    pub fn new(key: &AccountKey) -> Result<Vault, SealError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let derive = |label: &str| hmac::sign(&root, label.as_bytes());
        Ok(Vault {
            cipher: RandomizedNonceKey::new(&AES_256_GCM_SIV, derive("seal").as_ref())
                .map_err(|_| SealError)?,
            hashing: hmac::Key::new(hmac::HMAC_SHA256, derive("hash").as_ref()),
        })
    }

    /// Encrypts a number and its holder's name for the row of this id.
    ///
    /// # Errors
    /// When encryption fails.
    pub fn seal(
        &self,
        row_id: Uuid,
        number: &AccountNumber,
        holder: &Holder,
    ) -> Result<Vec<u8>, SealError> {
        let sealed = Sealed {
            number: number.expose().to_owned(),
            holder: holder.0.clone(),
        };
        let mut bytes = serde_json::to_vec(&sealed).map_err(|_| SealError)?;
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(*row_id.as_bytes()), &mut bytes);
        let mut stored = nonce.map_err(|_| SealError)?.as_ref().to_vec();
        stored.append(&mut bytes);
        Ok(stored)
    }

    /// Decrypts what was sealed for the row of this id.
    ///
    /// # Errors
    /// When it was sealed under another key or for another row.
    pub fn open(&self, row_id: Uuid, stored: &[u8]) -> Result<(AccountNumber, Holder), SealError> {
        let (nonce, ciphertext) = stored.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut bytes = ciphertext.to_vec();
        let aad = Aad::from(*row_id.as_bytes());
        let plain = self
            .cipher
            .open_in_place(Nonce::from(nonce), aad, &mut bytes)
            .map_err(|_| SealError)?;
        // The parser's error may quote what it read.
        let sealed: Sealed = serde_json::from_slice(plain).map_err(|_| SealError)?;
        Ok((
            AccountNumber::from_stored(sealed.number),
            Holder(sealed.holder),
        ))
    }

    /// Returns the hash under which an account is found again.
    pub fn number_hash(&self, channel: &Channel, number: &AccountNumber) -> [u8; 32] {
        self.keyed_hash(&["number", channel.bank_code, number.expose()])
    }

    /// Returns what stands for an account number in the fingerprint of a request: a plain hash could be tried out.
    pub fn request_hash(&self, text: &str) -> String {
        let hash = self.keyed_hash(&["request", text]);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn keyed_hash(&self, parts: &[&str]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.hashing);
        for part in parts {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

impl FromStr for AccountKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<AccountKey, NotAKey> {
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotAKey);
        }
        let mut bytes = [0; KEY_BYTES];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotAKey)?;
        }
        Ok(AccountKey(bytes))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(digit: char) -> Vault {
        Vault::new(&digit.to_string().repeat(64).parse().unwrap()).unwrap()
    }

    fn number() -> AccountNumber {
        AccountNumber::from_stored("6289912345678".to_owned())
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_own_row_alone() {
        let vault_a = vault('a');
        let row_id = Uuid::from_u128(7);

        let stored = vault_a
            .seal(row_id, &number(), &Holder("SITI AMINAH".to_owned()))
            .unwrap();

        assert_eq!(vault_a.open(row_id, &stored).unwrap().0, number());
        assert!(!String::from_utf8_lossy(&stored).contains("SITI"));
        assert!(
            vault_a.open(Uuid::from_u128(8), &stored).is_err(),
            "another row"
        );
        assert!(vault('b').open(row_id, &stored).is_err(), "another key");
        assert!(vault_a.open(row_id, &stored[..10]).is_err(), "cut");
    }

    #[test]
    fn one_account_has_one_hash_under_one_key() {
        let channel = |code| Channel::find(code).unwrap();
        let hash = vault('a').number_hash(channel("DANA"), &number());

        assert_eq!(hash, vault('a').number_hash(channel("DANA"), &number()));
        assert_ne!(hash, vault('a').number_hash(channel("OVO"), &number()));
        assert_ne!(hash, vault('b').number_hash(channel("DANA"), &number()));
    }

    #[test]
    fn a_key_is_64_digits() {
        assert!("0f".repeat(32).parse::<AccountKey>().is_ok());
        for text in [
            "",
            "0f",
            &"0g".repeat(32),
            &"0f".repeat(33),
            &"é".repeat(32),
        ] {
            assert!(text.parse::<AccountKey>().is_err(), "{text}");
        }
    }
}
