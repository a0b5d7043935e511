//! The keys that keep persons unreadable, and what is done with them.
//!
//! - Ids are compared by a keyed hash (HMAC-SHA-256 under the match key), with a label for each use, so that a hash of
//!   one kind says nothing about another kind.
//! - Values are encrypted (AES-256-GCM-SIV) under a key of the person's own, which is itself encrypted under the master
//!   key. Without its row in `person_keys` nothing of a person can be read again.
//!
//! Every ciphertext is bound to its account and its use: it cannot be moved to another row or column.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::domain::{
    facts::KnownFacts,
    national_id::{HouseholdId, NationalId},
    person::Submission,
};

const KEY_BYTES: usize = 32;

/// A 32-byte key, written as 64 hexadecimal digits.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("is not 64 hexadecimal digits")]
pub struct NotAKey;

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Key, NotAKey> {
        hex_bytes(text).map(Key).ok_or(NotAKey)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// Reads 64 hexadecimal digits.
pub(crate) fn hex_bytes(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A record that cannot be encrypted or decrypted: another key, or a damaged or moved ciphertext. Says no more, so that
/// nothing of a person can be in it.
#[derive(Debug, thiserror::Error)]
#[error("a person's record cannot be sealed or opened")]
pub struct SealError;

/// The keys of the service. Cheap to share behind an `Arc`.
pub struct Vault {
    master: RandomizedNonceKey,
    matching: hmac::Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

/// The key that one person's record is encrypted under.
pub struct PersonKey {
    account_id: Uuid,
    cipher: RandomizedNonceKey,
}

/// A person as it is stored: everything encrypted, and the key to it wrapped.
pub struct SealedPerson {
    /// The wrapped key.
    pub wrapped_key: Vec<u8>,
    /// What the registry is asked about.
    pub identity: Vec<u8>,
    /// What other services may know.
    pub facts: Vec<u8>,
}

impl Vault {
    /// Takes the keys.
    ///
    /// # Errors
    /// When the library has no such cipher, which no build of ours lacks.
    pub fn new(master: &Key, matching: &Key) -> Result<Vault, SealError> {
        Ok(Vault {
            master: cipher(&master.0)?,
            matching: hmac::Key::new(hmac::HMAC_SHA256, &matching.0),
        })
    }

    /// Returns the hash under which a national id is found again.
    pub fn national_id_hash(&self, id: &NationalId) -> [u8; 32] {
        self.keyed_hash(b"national id", id.expose().as_bytes())
    }

    /// Returns the pseudonym of a household, the same for all its members.
    pub fn household_pseudonym(&self, id: &HouseholdId) -> [u8; 16] {
        let hash = self.keyed_hash(b"household id", id.expose().as_bytes());
        let mut pseudonym = [0; 16];
        pseudonym.copy_from_slice(&hash[..16]);
        pseudonym
    }

    /// Returns a hash of a request with personal data, in place of the request, for its idempotency key: an unkeyed
    /// hash of a password or a national id would let whoever reads the table try all of them.
    pub fn request_hash(&self, encoded: &[u8]) -> [u8; 32] {
        self.keyed_hash(b"request", encoded)
    }

    fn keyed_hash(&self, label: &[u8], value: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.matching);
        context.update(label);
        context.update(&[0]);
        context.update(value);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Encrypts a submission under a new key. The key of an earlier submission is overwritten with its row.
    ///
    /// # Errors
    /// When encryption fails.
    pub fn seal_person(
        &self,
        account_id: Uuid,
        submission: &Submission,
        facts: &KnownFacts,
    ) -> Result<SealedPerson, SealError> {
        let mut bytes = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError)?;
        let key = PersonKey {
            account_id,
            cipher: cipher(&bytes)?,
        };
        Ok(SealedPerson {
            wrapped_key: seal(&self.master, b"person key", account_id, bytes.to_vec())?,
            identity: key.seal(b"identity", submission)?,
            facts: key.seal_facts(facts)?,
        })
    }

    /// Unwraps a person's key.
    ///
    /// # Errors
    /// When it was wrapped by another master key or for another account.
    pub fn person_key(&self, account_id: Uuid, wrapped_key: &[u8]) -> Result<PersonKey, SealError> {
        let bytes = open(&self.master, b"person key", account_id, wrapped_key)?;
        Ok(PersonKey {
            account_id,
            cipher: cipher(&bytes)?,
        })
    }
}

impl PersonKey {
    /// Decrypts what the registry is asked about.
    ///
    /// # Errors
    /// When it is not this person's.
    pub fn open_identity(&self, sealed: &[u8]) -> Result<Submission, SealError> {
        self.open(b"identity", sealed)
    }

    /// Decrypts what other services may know.
    ///
    /// # Errors
    /// When it is not this person's.
    pub fn open_facts(&self, sealed: &[u8]) -> Result<KnownFacts, SealError> {
        self.open(b"facts", sealed)
    }

    /// Encrypts what other services may know.
    ///
    /// # Errors
    /// When encryption fails.
    pub fn seal_facts(&self, facts: &KnownFacts) -> Result<Vec<u8>, SealError> {
        self.seal(b"facts", facts)
    }

    fn seal(&self, label: &[u8], value: &impl Serialize) -> Result<Vec<u8>, SealError> {
        let plain = serde_json::to_vec(value).map_err(|_| SealError)?;
        seal(&self.cipher, label, self.account_id, plain)
    }

    fn open<T: DeserializeOwned>(&self, label: &[u8], sealed: &[u8]) -> Result<T, SealError> {
        let plain = open(&self.cipher, label, self.account_id, sealed)?;
        // The parser's error may quote what it read.
        serde_json::from_slice(&plain).map_err(|_| SealError)
    }
}

fn cipher(key: &[u8]) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key).map_err(|_| SealError)
}

/// Gives the nonce and then the ciphertext with its tag.
fn seal(
    cipher: &RandomizedNonceKey,
    label: &[u8],
    account_id: Uuid,
    mut plain: Vec<u8>,
) -> Result<Vec<u8>, SealError> {
    let nonce = cipher
        .seal_in_place_append_tag(binding(label, account_id), &mut plain)
        .map_err(|_| SealError)?;
    let mut sealed = nonce.as_ref().to_vec();
    sealed.append(&mut plain);
    Ok(sealed)
}

fn open(
    cipher: &RandomizedNonceKey,
    label: &[u8],
    account_id: Uuid,
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
    let mut plain = ciphertext.to_vec();
    let length = cipher
        .open_in_place(Nonce::from(nonce), binding(label, account_id), &mut plain)
        .map_err(|_| SealError)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

fn binding(label: &[u8], account_id: Uuid) -> Aad<Vec<u8>> {
    Aad::from([label, &[0], account_id.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::domain::{national_id::IdFormat, person::FullName, personal::Personal};

    fn vault(master: char) -> Vault {
        let key = |digit: char| Key::from_str(&digit.to_string().repeat(64)).unwrap();
        Vault::new(&key(master), &key('b')).unwrap()
    }

    fn submission() -> Submission {
        Submission {
            national_id: IdFormat::Indonesia.national_id("3204010101900001").unwrap(),
            household_id: IdFormat::Indonesia
                .household_id("3204010101100007")
                .unwrap(),
            full_name: FullName::parse("Siti Aminah").unwrap(),
            birth_date: Personal::new(date!(1990 - 01 - 01)),
        }
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_wrapped_key() {
        let vault = vault('a');
        let account_id = Uuid::from_u128(7);

        let sealed = vault
            .seal_person(account_id, &submission(), &KnownFacts::default())
            .unwrap();
        let key = vault.person_key(account_id, &sealed.wrapped_key).unwrap();
        let opened = key.open_identity(&sealed.identity).unwrap();

        assert_eq!(opened.national_id, submission().national_id);
        assert_eq!(opened.birth_date, submission().birth_date);
        assert!(key.open_facts(&sealed.facts).unwrap().registry.is_none());
    }

    #[test]
    fn a_moved_or_damaged_ciphertext_is_not_opened() {
        let vault_a = vault('a');
        let account_id = Uuid::from_u128(7);
        let sealed = vault_a
            .seal_person(account_id, &submission(), &KnownFacts::default())
            .unwrap();
        let key = vault_a.person_key(account_id, &sealed.wrapped_key).unwrap();

        assert!(key.open_facts(&sealed.identity).is_err(), "another column");
        assert!(
            vault_a
                .person_key(Uuid::from_u128(8), &sealed.wrapped_key)
                .is_err(),
            "another row"
        );
        assert!(
            vault('c')
                .person_key(account_id, &sealed.wrapped_key)
                .is_err(),
            "another master key"
        );
        let mut damaged = sealed.identity.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(key.open_identity(&damaged).is_err());
        assert!(key.open_identity(&[]).is_err());
    }

    #[test]
    fn hashes_of_different_uses_differ() {
        let vault = vault('a');
        let national_id = submission().national_id;
        let household_id = IdFormat::Indonesia
            .household_id(national_id.expose())
            .unwrap()
            .unwrap();

        let hash = vault.national_id_hash(&national_id);

        assert_eq!(hash, vault.national_id_hash(&national_id));
        assert_ne!(hash[..16], vault.household_pseudonym(&household_id));
    }

    #[test]
    fn a_key_is_64_digits() {
        assert!(Key::from_str(&"0f".repeat(32)).is_ok());
        for text in [
            "",
            "0f",
            &"0g".repeat(32),
            &"0f".repeat(33),
            &"+f".repeat(32),
        ] {
            assert!(Key::from_str(text).is_err(), "{text}");
        }
        assert_eq!(
            format!("{:?}", Key::from_str(&"0f".repeat(32)).unwrap()),
            "[key]"
        );
    }
}
