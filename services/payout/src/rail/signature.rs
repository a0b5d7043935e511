//! SNAP's signatures: `SHA256withRSA` for a token, HMAC-SHA512 for a transaction; and `SHA256withRSA` by the rail's own key
//! for its notices.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use chassis::config::Secret;

use super::notices::SignedNotice;

/// Signs in the name of one client.
pub(super) struct Signer {
    client_id: String,
    private_key: RsaKeyPair,
    secret: hmac::Key,
}

/// A key that is none.
#[derive(Debug, thiserror::Error)]
pub enum NotARailKey {
    /// Not one to sign with.
    #[error("is not an RSA private key (PKCS#8, PEM)")]
    Private,
    /// Not one to verify with.
    #[error("is not an RSA public key (SPKI, PEM)")]
    Public,
}

/// The client's RSA key, from a PEM text.
pub struct RailKey(RsaKeyPair);

impl RailKey {
    /// Reads a PKCS#8 key.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<RailKey, NotARailKey> {
        let der = read_pem(pem).ok_or(NotARailKey::Private)?;
        RsaKeyPair::from_pkcs8(&der)
            .map(RailKey)
            .map_err(|_| NotARailKey::Private)
    }
}

/// The rail's own RSA key, which its notices are signed with.
#[derive(Debug)]
pub struct RailPublicKey(UnparsedPublicKey<Vec<u8>>);

impl RailPublicKey {
    /// Reads an SPKI key.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<RailPublicKey, NotARailKey> {
        let der = read_pem(pem).ok_or(NotARailKey::Public)?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der);
        match key.parse() {
            Ok(_) => Ok(RailPublicKey(key)),
            Err(_) => Err(NotARailKey::Public),
        }
    }

    /// Says whether the rail has signed a notice.
    pub(super) fn has_signed(&self, notice: &SignedNotice<'_>) -> bool {
        let message = notice_string_to_sign(notice);
        STANDARD
            .decode(notice.signature)
            .is_ok_and(|signature| self.0.verify(message.as_bytes(), &signature).is_ok())
    }
}

fn read_pem(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}

impl std::fmt::Debug for RailKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

impl Signer {
    pub(super) fn new(client_id: String, key: RailKey, secret: &Secret) -> Signer {
        Signer {
            client_id,
            private_key: key.0,
            secret: hmac::Key::new(hmac::HMAC_SHA512, secret.expose().as_bytes()),
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Signs a request for a token; `None` when the key cannot sign.
    pub(super) fn sign_token_request(&self, timestamp: &str) -> Option<String> {
        let message = token_string_to_sign(&self.client_id, timestamp);
        let mut signature = vec![0; self.private_key.public_modulus_len()];
        self.private_key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .ok()?;
        Some(STANDARD.encode(signature))
    }

    /// Signs a transaction.
    pub(super) fn sign_transaction(
        &self,
        path: &str,
        token: &str,
        body: &[u8],
        timestamp: &str,
    ) -> String {
        let message = string_to_sign("POST", path, token, body, timestamp);
        STANDARD.encode(hmac::sign(&self.secret, message.as_bytes()))
    }
}

fn token_string_to_sign(client_id: &str, timestamp: &str) -> String {
    format!("{client_id}|{timestamp}")
}

/// The body must be minified JSON, as `serde_json` writes it; its keys are not reordered.
fn string_to_sign(method: &str, path: &str, token: &str, body: &[u8], timestamp: &str) -> String {
    format!("{method}:{path}:{token}:{}:{timestamp}", hash_of(body))
}

/// As of a transaction, without a token.
fn notice_string_to_sign(notice: &SignedNotice<'_>) -> String {
    let SignedNotice {
        path, timestamp, ..
    } = notice;
    format!("POST:{path}:{}:{timestamp}", hash_of(&minify(notice.body)))
}

fn hash_of(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Takes out the blanks between the parts of a JSON text; keys stay in their order.
fn minify(json: &[u8]) -> Vec<u8> {
    let mut minified = Vec::with_capacity(json.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in json {
        if in_text || !byte.is_ascii_whitespace() {
            minified.push(*byte);
        }
        if *byte == b'"' && !is_escaped {
            in_text = !in_text;
        }
        is_escaped = in_text && *byte == b'\\' && !is_escaped;
    }
    minified
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMESTAMP: &str = "2026-11-24T10:00:00+07:00";

    #[test]
    fn the_string_to_sign_is_made_as_snap_says() {
        assert_eq!(
            token_string_to_sign("client-7", TIMESTAMP),
            "client-7|2026-11-24T10:00:00+07:00"
        );
        // The hash is `printf '%s' '{"partnerReferenceNo":"r-1"}' | sha256sum`.
        assert_eq!(
            string_to_sign(
                "POST",
                "/openapi/v1.0/transfer-interbank",
                "token-1",
                br#"{"partnerReferenceNo":"r-1"}"#,
                TIMESTAMP
            ),
            "POST:/openapi/v1.0/transfer-interbank:token-1:\
             fd38cd9d2f48f5a99bc0dda906f03191a9dba9c9d1a3727c03cc84490bf40a9f:2026-11-24T10:00:00+07:00"
        );
    }

    #[test]
    fn a_transaction_is_signed_by_hmac_sha512() {
        let key = hmac::Key::new(hmac::HMAC_SHA512, b"secret-1");
        let message = string_to_sign(
            "POST",
            "/openapi/v1.0/transfer-interbank",
            "token-1",
            br#"{"partnerReferenceNo":"r-1"}"#,
            TIMESTAMP,
        );

        // `printf '%s' "$message" | openssl dgst -sha512 -hmac secret-1 -binary | base64 -w0`
        assert_eq!(
            STANDARD.encode(hmac::sign(&key, message.as_bytes())),
            "yYAA/OQBRW0F0gABmnYuMtc6z6HDDlMkEUs1luPHRYLdwm2sf5nTujyMVWukcVW06XFks7ju5ngp4h7cluDEUg=="
        );
    }

    #[test]
    fn the_string_of_a_notice_covers_the_body_without_its_blanks() {
        let notice = SignedNotice {
            path: "/openapi/v1.0/transfer/notify",
            timestamp: TIMESTAMP,
            partner_id: "client-7",
            signature: "",
            body: b"{ \"partnerReferenceNo\" :\n\"r-1\" }",
        };

        assert_eq!(
            notice_string_to_sign(&notice),
            "POST:/openapi/v1.0/transfer/notify:\
             fd38cd9d2f48f5a99bc0dda906f03191a9dba9c9d1a3727c03cc84490bf40a9f:2026-11-24T10:00:00+07:00"
        );
        assert_eq!(
            minify(br#"{ "a" : "x \" y\\" , "b": 1 }"#),
            br#"{"a":"x \" y\\","b":1}"#
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for pem in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "?",
        ] {
            assert!(RailKey::from_pem(pem).is_err(), "{pem}");
            assert!(RailPublicKey::from_pem(pem).is_err(), "{pem}");
        }
    }
}
