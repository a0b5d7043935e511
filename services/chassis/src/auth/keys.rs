//! The public keys of tokens: fetched from identity, fetched again on an unknown `kid`, kept while identity is away.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, JwkSet},
};
use proto::identity::v1::{GetJsonWebKeySetRequest, token_service_client::TokenServiceClient};
use tokio::{sync::Mutex, time::Instant};
use tonic::transport::Channel;

use super::{AUDIENCE, Claims, ISSUER, cache::VerifiedTokens, token_invalid};
use crate::{Clock, status::Refusal};

/// A stranger's token with an invented `kid` must not make us ask identity again and again.
const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The keys by `kid`. Clones hold the same keys.
#[derive(Clone)]
pub struct KeyStore(Arc<Inner>);

struct Inner {
    clock: Clock,
    keys: RwLock<HashMap<String, DecodingKey>>,
    verified: VerifiedTokens,
    validation: Validation,
    /// Where the keys come from; `None` when they are given.
    identity: Option<Channel>,
    last_fetch: Mutex<Option<Fetch>>,
}

#[derive(Clone, Copy)]
struct Fetch {
    time: Instant,
    succeeded: bool,
}

impl KeyStore {
    /// Makes a store that asks identity, for the first time when the first token is shown.
    pub fn fetched(identity: Channel, clock: Clock) -> KeyStore {
        KeyStore::with(Some(identity), HashMap::new(), clock)
    }

    /// Makes a store of given keys (a JSON Web Key Set), for identity itself and for tests.
    ///
    /// # Errors
    /// When the document is no key set.
    pub fn fixed(document: &[u8], clock: Clock) -> Result<KeyStore, Refusal> {
        Ok(KeyStore::with(None, read(document)?, clock))
    }

    fn with(
        identity: Option<Channel>,
        keys: HashMap<String, DecodingKey>,
        clock: Clock,
    ) -> KeyStore {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library would ask the machine's clock; ours is asked below.
        validation.validate_exp = false;
        KeyStore(Arc::new(Inner {
            clock,
            keys: RwLock::new(keys),
            verified: VerifiedTokens::new(),
            validation,
            identity,
            last_fetch: Mutex::new(None),
        }))
    }

    /// Replaces the keys, when identity has made or withdrawn one.
    ///
    /// # Errors
    /// When the document is no key set.
    pub fn replace(&self, document: &[u8]) -> Result<(), Refusal> {
        self.put(read(document)?);
        Ok(())
    }

    /// Fetches the keys now, so that the first call need not wait.
    ///
    /// # Errors
    /// When identity is away.
    pub async fn refresh(&self) -> Result<(), Refusal> {
        let mut last_fetch = self.0.last_fetch.lock().await;
        self.fetch(&mut last_fetch).await
    }

    /// Checks a token and returns its claims.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it does not count; `UNAVAILABLE` when its key is not known and identity is away.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, Refusal> {
        let now = self.0.clock.now().unix_timestamp();
        let claims = match self.0.verified.find(token) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.check(token).await?);
                // `iat` is no "not before": clocks differ, and a test stack moves them one after the other.
                self.0.verified.insert(token, Arc::clone(&claims), now);
                claims
            }
        };
        if claims.exp <= now {
            return Err(token_invalid("the token has expired"));
        }
        Ok(claims)
    }

    async fn check(&self, token: &str) -> Result<Claims, Refusal> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| token_invalid("the token is not a JWT"))?;
        let kid = header
            .kid
            .ok_or_else(|| token_invalid("the token names no key"))?;
        let key = match self.find(&kid) {
            Some(key) => key,
            None => self.fetch_key(&kid).await?,
        };
        let checked = jsonwebtoken::decode::<Claims>(token, &key, &self.0.validation)
            .map_err(|error| token_invalid("the token is not valid").because(error))?;
        Ok(checked.claims)
    }

    fn find(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(kid).cloned()
    }

    async fn fetch_key(&self, kid: &str) -> Result<DecodingKey, Refusal> {
        let unknown = || token_invalid("the token's key is unknown");
        if self.0.identity.is_none() {
            return Err(unknown());
        }
        // One asks, the others wait for what comes.
        let mut last_fetch = self.0.last_fetch.lock().await;
        if let Some(key) = self.find(kid) {
            return Ok(key);
        }
        match *last_fetch {
            Some(fetch) if fetch.time.elapsed() < FETCH_INTERVAL_MIN => {
                if !fetch.succeeded {
                    return Err(Refusal::unavailable(
                        "identity",
                        "the keys were not fetched",
                    ));
                }
            }
            Some(_) | None => self.fetch(&mut last_fetch).await?,
        }
        self.find(kid).ok_or_else(unknown)
    }

    async fn fetch(&self, last_fetch: &mut Option<Fetch>) -> Result<(), Refusal> {
        let Some(identity) = &self.0.identity else {
            return Ok(());
        };
        let fetched = ask(identity).await;
        *last_fetch = Some(Fetch {
            time: Instant::now(),
            succeeded: fetched.is_ok(),
        });
        self.put(fetched?);
        Ok(())
    }

    fn put(&self, keys: HashMap<String, DecodingKey>) {
        let mut held = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if held.keys().any(|kid| !keys.contains_key(kid)) {
            self.0.verified.clear();
        }
        *held = keys;
    }
}

async fn ask(identity: &Channel) -> Result<HashMap<String, DecodingKey>, Refusal> {
    let answer = TokenServiceClient::new(identity.clone())
        .get_json_web_key_set(GetJsonWebKeySetRequest {})
        .await
        .map_err(|status| Refusal::unavailable("identity", status))?;
    read(&answer.into_inner().document)
}

fn read(document: &[u8]) -> Result<HashMap<String, DecodingKey>, Refusal> {
    let set: JwkSet = serde_json::from_slice(document).map_err(Refusal::internal)?;
    let key = |jwk: &Jwk| {
        let kid = jwk.common.key_id.clone().unwrap_or_default();
        Ok((kid, DecodingKey::from_jwk(jwk).map_err(Refusal::internal)?))
    };
    set.keys.iter().map(key).collect()
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("KeyStore")
            .field(&keys.keys().collect::<Vec<_>>())
            .finish()
    }
}
