//! For the tests of services: an issuer of tokens that needs no identity.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;

use crate::{
    Clock,
    auth::{AUDIENCE, Claims, ISSUER, KeyStore},
    names,
};

const KEY_ID: &str = "test";

/// Issues tokens that [`TestTokens::key_store`] accepts.
pub struct TestTokens {
    signing: EncodingKey,
    document: Vec<u8>,
    clock: Clock,
}

impl TestTokens {
    /// Makes an issuer with a fresh key.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new(clock: Clock) -> TestTokens {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())
            .expect("the system gives random bytes");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("the key was just made");
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let document = serde_json::json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": public }
        ]});
        TestTokens {
            signing: EncodingKey::from_ed_der(pkcs8.as_ref()),
            document: document.to_string().into_bytes(),
            clock,
        }
    }

    /// Returns the store that accepts these tokens.
    ///
    /// # Panics
    /// Never: the document is this issuer's own.
    pub fn key_store(&self) -> KeyStore {
        KeyStore::fixed(&self.document, self.clock.clone()).expect("the document is a key set")
    }

    /// Returns the key set, as identity would publish it.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Issues a token to a service account, such as `operator`, with permissions; worth an hour.
    pub fn service_account(&self, id: &str, permissions: &[&str]) -> String {
        let mut claims = self.claims(names::format("serviceAccounts", id));
        claims.permissions = permissions.iter().map(|&text| text.to_owned()).collect();
        self.sign(&claims)
    }

    /// Issues a token to an account; worth an hour.
    pub fn account(&self, account: Uuid) -> String {
        self.sign(&self.claims(names::format("accounts", account)))
    }

    /// Returns the claims of a token that is worth an hour.
    pub fn claims(&self, subject: String) -> Claims {
        let now = self.clock.now().unix_timestamp();
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject,
            iat: now,
            exp: now + 3600,
            jti: Uuid::now_v7().to_string(),
            permissions: Vec::new(),
        }
    }

    /// Signs claims.
    ///
    /// # Panics
    /// Never: claims can be encoded.
    pub fn sign(&self, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, claims, &self.signing).expect("claims can be encoded")
    }
}
