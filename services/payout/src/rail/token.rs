//! The B2B token: fetched when needed, kept until shortly before its end, shared by all calls.

use std::{future::Future, time::Duration};

use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

pub(super) const PATH: &str = "/openapi/v1.0/access-token/b2b";
pub(super) const BODY: &str = r#"{"grantType":"client_credentials"}"#;

/// A token is renewed so long before its end that no call arrives with one that has just ended.
const MARGIN: Duration = Duration::from_secs(60);

/// The answer to a request for a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issued {
    access_token: String,
    /// Seconds, as digits.
    expires_in: String,
}

/// The token in force.
#[derive(Default)]
pub(super) struct Tokens(Mutex<Option<Token>>);

struct Token {
    text: String,
    /// The rail counts real seconds, also where our own clock is moved.
    end: Instant,
}

impl Tokens {
    /// Returns the token, a new one if need be. Callers that arrive while one is fetched wait for it.
    pub(super) async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<String, String>
    where
        F: Future<Output = Result<Issued, String>>,
    {
        let mut token = self.0.lock().await;
        if let Some(token) = token
            .as_ref()
            .filter(|token| Instant::now() + MARGIN < token.end)
        {
            return Ok(token.text.clone());
        }
        let issued = fetch().await?;
        let seconds = issued
            .expires_in
            .parse()
            .map_err(|_| "a token without an end")?;
        let text = issued.access_token;
        *token = Some(Token {
            text: text.clone(),
            end: Instant::now() + Duration::from_secs(seconds),
        });
        Ok(text)
    }

    /// Drops a token that the rail did not accept, unless it was replaced meanwhile.
    pub(super) async fn forget(&self, text: &str) {
        let mut token = self.0.lock().await;
        if token.as_ref().is_some_and(|token| token.text == text) {
            *token = None;
        }
    }
}
