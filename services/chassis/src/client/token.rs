//! The process' own token, fetched from identity with the service account's secret and renewed before it ends.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use proto::identity::v1::{
    IssueTokenRequest, ServiceAccountCredentials, issue_token_request::Credentials,
    token_service_client::TokenServiceClient,
};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use tonic::{Status, transport::Channel};

use crate::{Clock, config::Secret, names, status::Refusal};

/// A token is renewed so long before its end that no call arrives with one that has just ended.
const MARGIN: Duration = Duration::seconds(60);

/// Gives the token of a service account. Clones share it.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

struct Inner {
    identity: Channel,
    name: String,
    secret: Secret,
    clock: Clock,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: HeaderValue,
    expire_time: OffsetDateTime,
}

impl TokenSource {
    /// Makes the source of `serviceAccounts/<service>`; it asks identity over this channel when a token is first needed.
    pub fn new(identity: Channel, service: &str, secret: Secret, clock: Clock) -> TokenSource {
        TokenSource(Arc::new(Inner {
            identity,
            name: names::format("serviceAccounts", service),
            secret,
            clock,
            token: Mutex::new(None),
        }))
    }

    /// Returns the value of the header `authorization`. Callers that arrive while one is fetched wait for it.
    pub(super) async fn get(&self) -> Result<HeaderValue, Status> {
        let mut token = self.0.token.lock().await;
        let now = self.0.clock.now();
        if let Some(token) = token
            .as_ref()
            .filter(|token| now + MARGIN < token.expire_time)
        {
            return Ok(token.header.clone());
        }
        let fetched = self.fetch().await?;
        let header = fetched.header.clone();
        *token = Some(fetched);
        Ok(header)
    }

    /// Forgets a token that a peer refused, unless it has been replaced already.
    pub(super) async fn forget(&self, refused: &HeaderValue) {
        let mut token = self.0.token.lock().await;
        if token.as_ref().is_some_and(|token| token.header == *refused) {
            *token = None;
        }
    }

    async fn fetch(&self) -> Result<Token, Status> {
        let credentials = ServiceAccountCredentials {
            name: self.0.name.clone(),
            secret: self.0.secret.expose().to_owned(),
        };
        let request = IssueTokenRequest {
            credentials: Some(Credentials::ServiceAccount(credentials)),
        };
        let issued = TokenServiceClient::new(self.0.identity.clone())
            .issue_token(request)
            .await
            .map_err(|status| Refusal::peer("identity", status))?
            .into_inner();
        let mut header = HeaderValue::try_from(format!("Bearer {}", issued.access_token))
            .map_err(Refusal::internal)?;
        header.set_sensitive(true);
        let expire_time = issued.expire_time.unwrap_or_default().seconds;
        Ok(Token {
            header,
            expire_time: OffsetDateTime::from_unix_timestamp(expire_time)
                .map_err(Refusal::internal)?,
        })
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource({})", self.0.name)
    }
}
