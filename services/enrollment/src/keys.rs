//! The service's secrets: the key that signs commitments and receipts, and the key of the pseudonyms.

use std::{fmt, str::FromStr};

use draw::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::domain::code;

/// 32 secret bytes, written as 64 hexadecimal digits.
#[derive(Clone)]
pub struct SecretBytes([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("is not 64 hexadecimal digits")]
pub struct NotHex;

/// The keys in use.
pub struct Keys {
    signing: SigningKey,
    pseudonym: SecretBytes,
}

/// The system gives no randomness: no code can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

impl FromStr for SecretBytes {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<SecretBytes, NotHex> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotHex);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotHex)?;
        }
        Ok(SecretBytes(bytes))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Keys {
    /// Makes the keys from their secrets.
    pub fn new(signing_seed: &SecretBytes, pseudonym: SecretBytes) -> Keys {
        Keys {
            signing: SigningKey::from_seed(&signing_seed.0),
            pseudonym,
        }
    }

    /// Returns the key that signs commitments and receipts.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Returns the name under which an account stands in a batch's public list. Who has not the key cannot tell whose it
    /// is, nor that two batches list the same person.
    pub fn pseudonym(&self, batch_name: &str, account_id: Uuid) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.pseudonym.0)
            .expect("a key of any length is taken");
        mac.update(batch_name.as_bytes());
        // A name holds no zero byte: no two pairs give one text.
        mac.update(&[0]);
        mac.update(account_id.as_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut pseudonym = [0; 16];
        pseudonym.copy_from_slice(&tag[..16]);
        pseudonym
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?})", self.signing)
    }
}

/// Makes a code that nobody can guess.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_code() -> Result<String, NoRandomness> {
    let mut bytes = [0; code::CODE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(code::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pseudonym: u8) -> Keys {
        Keys::new(&SecretBytes([1; 32]), SecretBytes([pseudonym; 32]))
    }

    #[test]
    fn a_pseudonym_is_of_one_batch_one_account_and_one_key() {
        let account = Uuid::from_u128(7);
        let one = keys(2).pseudonym("batches/48", account);

        assert_eq!(one, keys(2).pseudonym("batches/48", account));
        assert_ne!(one, keys(2).pseudonym("batches/49", account));
        assert_ne!(one, keys(2).pseudonym("batches/48", Uuid::from_u128(8)));
        assert_ne!(one, keys(3).pseudonym("batches/48", account));
    }

    #[test]
    fn secrets_are_64_hexadecimal_digits_and_never_shown() {
        let text = "00ff".repeat(16);
        let secret: SecretBytes = text.parse().unwrap();

        assert_eq!(format!("{secret:?}"), "[secret]");
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<SecretBytes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_differ() {
        assert_ne!(random_code().unwrap(), random_code().unwrap());
    }
}
