//! The keys that tokens are checked with, fetched from identity, and the tokens that were found good.
//!
//! Keys are fetched when a token names an unknown one, at most every few seconds. While identity is away, the last keys
//! go on counting.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use proto::identity::v1::{GetJsonWebKeySetRequest, token_service_client::TokenServiceClient};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::transport::Channel;

use super::{AUDIENCE, Claims, ISSUER, token_invalid};
use crate::{Clock, status::Refusal};

/// How long a failed or useless fetch keeps the next one away: unknown keys must not become a flood of calls.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Good tokens that are remembered; each costs some hundred bytes. A full memory is emptied.
const REMEMBERED_MAX: usize = 100_000;
const TOKEN_BYTES_MAX: usize = 8_192;

/// Checks tokens. Clones share keys and memory.
#[derive(Clone)]
pub struct KeyStore(Arc<Inner>);

struct Inner {
    clock: Clock,
    source: Option<TokenServiceClient<Channel>>,
    keys: RwLock<HashMap<String, DecodingKey>>,
    remembered: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
    last_fetch: tokio::sync::Mutex<Option<Instant>>,
}

impl KeyStore {
    /// Makes a store that fetches its keys from identity over this channel.
    pub fn fetched(identity: Channel, clock: Clock) -> KeyStore {
        KeyStore::new(Some(TokenServiceClient::new(identity)), clock)
    }

    /// Makes a store of these keys alone (RFC 7517), for identity itself and for tests.
    ///
    /// # Errors
    /// When the document is not a key set, or holds a key that cannot check.
    pub fn fixed(document: &[u8], clock: Clock) -> Result<KeyStore, Refusal> {
        let store = KeyStore::new(None, clock);
        store.replace(document)?;
        Ok(store)
    }

    fn new(source: Option<TokenServiceClient<Channel>>, clock: Clock) -> KeyStore {
        KeyStore(Arc::new(Inner {
            clock,
            source,
            keys: RwLock::default(),
            remembered: Mutex::default(),
            last_fetch: tokio::sync::Mutex::default(),
        }))
    }

    /// Checks a token: signature, issuer, audience and end. One that was found good is not checked twice.
    ///
    /// # Errors
    /// UNAUTHENTICATED, TOKEN_INVALID; UNAVAILABLE when its key is unknown and identity cannot be asked.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(token_invalid("the token is too long"));
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let claims = match self.recall(&hash) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.check(token).await?);
                self.remember(hash, &claims);
                claims
            }
        };
        if claims.exp <= self.0.clock.now().unix_timestamp() {
            return Err(token_invalid("the token has expired"));
        }
        Ok(claims)
    }

    async fn check(&self, token: &str) -> Result<Claims, Refusal> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| token_invalid("the token is damaged"))?;
        let kid = header.kid.ok_or_else(|| token_invalid("the token names no key"))?;
        let key = match self.key(&kid) {
            Some(key) => key,
            None => {
                self.fetch().await?;
                self.key(&kid).ok_or_else(|| token_invalid("the token is signed by an unknown key"))?
            }
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        // The end is checked against the service's own clock, which a test stack may move.
        validation.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|_| token_invalid("the token is not valid"))?;
        Ok(decoded.claims)
    }

    fn key(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(kid).cloned()
    }

    /// Fetches the keys, unless that was done a moment ago. Callers that arrive meanwhile wait for the one fetch.
    async fn fetch(&self) -> Result<(), Refusal> {
        let Some(source) = &self.0.source else { return Ok(()) };
        let mut last_fetch = self.0.last_fetch.lock().await;
        if last_fetch.is_some_and(|last| last.elapsed() < FETCH_INTERVAL) {
            return Ok(());
        }
        let call = source.clone();
        let answer = tokio::time::timeout(FETCH_TIMEOUT, async move {
            let mut call = call;
            call.get_json_web_key_set(GetJsonWebKeySetRequest {}).await
        })
        .await;
        match answer {
            Ok(Ok(keys)) => {
                *last_fetch = Some(Instant::now());
                self.replace(&keys.into_inner().document)
            }
            Ok(Err(status)) => Err(Refusal::unavailable("identity", status)),
            Err(elapsed) => Err(Refusal::unavailable("identity", elapsed)),
        }
    }

    fn replace(&self, document: &[u8]) -> Result<(), Refusal> {
        let set: JwkSet = serde_json::from_slice(document).map_err(Refusal::internal)?;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            if let Some(kid) = &jwk.common.key_id {
                keys.insert(kid.clone(), DecodingKey::from_jwk(jwk).map_err(Refusal::internal)?);
            }
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Arc<Claims>> {
        let remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(hash).cloned()
    }

    fn remember(&self, hash: [u8; 32], claims: &Arc<Claims>) {
        let mut remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(hash, Arc::clone(claims));
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyStore")
    }
}
