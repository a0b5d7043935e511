//! Ed25519 keys and signatures (RFC 8032). Every signed byte string begins with its own domain, so that a
//! signature of one kind is never valid as another.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::{Invalid, codec::hex};

/// A private key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl SigningKey {
    /// Derives the key from 32 secret random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_key().id())
    }
}

impl PublicKey {
    /// Returns the key with these bytes; whether they are a point is seen when a signature is checked.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// Refuses other texts and bytes that are not a public key.
    pub fn from_hex(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Invalid::KeyInvalid);
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * i..2 * i + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Invalid::KeyInvalid)?;
        }
        VerifyingKey::from_bytes(&bytes).map_err(|_| Invalid::KeyInvalid)?;
        Ok(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the short identifier: the first 8 bytes of the key's SHA-256, in hexadecimal.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(self.0)[..8])
    }

    /// Tells whether the signature holds, by the strict rules: canonical, no point of small order.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(message, &Signature::from_bytes(signature))
                .is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, TEST 2.
    const SEED: [u8; 32] = [
        0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e,
        0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8,
        0xa6, 0xfb,
    ];
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    #[test]
    fn key_and_signature_are_those_of_the_rfc() {
        let key = SigningKey::from_seed(&SEED);

        assert_eq!(key.public_key().to_string(), PUBLIC);
        assert_eq!(
            hex(&key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn a_changed_message_signature_or_key_does_not_verify() {
        let key = SigningKey::from_seed(&SEED);
        let signature = key.sign(b"message");
        let mut changed = signature;
        changed[0] ^= 1;

        assert!(key.public_key().verifies(b"message", &signature));
        assert!(!key.public_key().verifies(b"massage", &signature));
        assert!(!key.public_key().verifies(b"message", &changed));
        let other = SigningKey::from_seed(&[7; 32]).public_key();
        assert!(!other.verifies(b"message", &signature));
    }

    #[test]
    fn a_key_is_read_from_hexadecimal_digits_only() {
        assert!(PublicKey::from_hex(PUBLIC).is_ok());
        assert_eq!(PublicKey::from_hex(&PUBLIC[1..]), Err(Invalid::KeyInvalid));
        assert_eq!(
            PublicKey::from_hex(&format!("+{}", &PUBLIC[1..])),
            Err(Invalid::KeyInvalid)
        );
        assert_eq!(
            PublicKey::from_hex(&"é".repeat(32)),
            Err(Invalid::KeyInvalid)
        );
    }
}
