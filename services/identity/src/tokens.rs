//! Bearer tokens: the keys that sign them, the key set that they are checked with, and their claims.
//!
//! A key's id is its thumbprint (RFC 7638), so that the same key has the same id in every replica. To rotate: deploy the
//! new key as the signing key and the old one as a previous key, and drop the old one when its last token has ended.

use std::time::Duration;

use chassis::auth::{AUDIENCE, Claims, ISSUER};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// A private key that signs tokens, or did so until lately.
#[derive(Clone)]
pub struct TokenKey {
    private: EncodingKey,
    public: Jwk,
    id: String,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

/// The text is no Ed25519 key.
#[derive(Debug, thiserror::Error)]
#[error("is not an Ed25519 private key in PKCS#8 PEM")]
pub struct NotATokenKey;

impl TokenKey {
    /// Reads a private key.
    ///
    /// # Errors
    /// When it is not an Ed25519 key in PKCS#8 PEM.
    pub fn from_pem(pem: &[u8]) -> Result<TokenKey, NotATokenKey> {
        let private = EncodingKey::from_ed_pem(pem).map_err(|_| NotATokenKey)?;
        let mut public =
            Jwk::from_encoding_key(&private, Algorithm::EdDSA).map_err(|_| NotATokenKey)?;
        let id = public
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| NotATokenKey)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(TokenKey {
            private,
            public,
            id,
        })
    }
}

/// The keys of the tokens in force.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    signing: TokenKey,
    previous: Vec<TokenKey>,
    lifetime: Duration,
}

/// A token and when it ends.
#[derive(Debug)]
pub struct IssuedToken {
    /// The JWT.
    pub access_token: String,
    /// When it ends.
    pub expire_time: OffsetDateTime,
}

impl TokenKeys {
    /// Takes the signing key and those whose tokens are still accepted.
    pub fn new(signing: TokenKey, previous: Vec<TokenKey>, lifetime: Duration) -> TokenKeys {
        TokenKeys {
            signing,
            previous,
            lifetime,
        }
    }

    /// Signs a token for a caller.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(
        &self,
        subject: &str,
        permissions: &[String],
        now: OffsetDateTime,
    ) -> Result<IssuedToken, jsonwebtoken::errors::Error> {
        let lifetime_seconds = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let exp = now.unix_timestamp().saturating_add(lifetime_seconds);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            iat: now.unix_timestamp(),
            exp,
            jti: Uuid::now_v7().to_string(),
            permissions: permissions.to_vec(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.signing.id.clone());
        Ok(IssuedToken {
            access_token: jsonwebtoken::encode(&header, &claims, &self.signing.private)?,
            expire_time: OffsetDateTime::from_unix_timestamp(exp).unwrap_or(now),
        })
    }

    /// Returns the public keys.
    pub fn key_set(&self) -> JwkSet {
        JwkSet {
            keys: std::iter::once(&self.signing)
                .chain(&self.previous)
                .map(|key| key.public.clone())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// The private key of RFC 8037, appendix A.1, whose thumbprint stands in its appendix A.3.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    fn key() -> TokenKey {
        TokenKey::from_pem(PEM.as_bytes()).unwrap()
    }

    #[test]
    fn the_id_of_a_key_is_its_thumbprint() {
        assert_eq!(key().id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_key_set_has_public_parts_alone() {
        let keys = TokenKeys::new(key(), vec![key()], Duration::from_secs(900));

        let document = serde_json::to_value(keys.key_set()).unwrap();

        assert_eq!(
            document["keys"][1],
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            })
        );
    }

    #[test]
    fn a_token_has_the_claims_of_the_contract() {
        let keys = TokenKeys::new(key(), Vec::new(), Duration::from_secs(900));
        let now = datetime!(2026-11-24 10:00:00.5 UTC);

        let token = keys
            .issue("serviceAccounts/demo", &["catalog.*".to_owned()], now)
            .unwrap();

        let claims: serde_json::Value =
            jsonwebtoken::dangerous::insecure_decode(&token.access_token)
                .unwrap()
                .claims;
        assert_eq!(claims["iss"], "bekal.identity");
        assert_eq!(claims["aud"], "bekal");
        assert_eq!(claims["sub"], "serviceAccounts/demo");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            900
        );
        assert_eq!(claims["permissions"], serde_json::json!(["catalog.*"]));
        assert_eq!(token.expire_time, datetime!(2026-11-24 10:15 UTC));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let refused = TokenKey::from_pem(b"open sesame").unwrap_err();

        assert!(!refused.to_string().contains("sesame"));
        assert!(!format!("{:?}", key()).contains("nWGxne"));
    }
}
