//! Bearer tokens for the harness' own calls: asked from identity as any caller does, and renewed before they end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use proto::identity::v1::{
    IssueTokenRequest, PasswordCredentials, ServiceAccountCredentials,
    issue_token_request::Credentials, token_service_client::TokenServiceClient,
};
use tokio::{task::JoinSet, time::sleep};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::Channel,
};

use crate::accounts::{Caller, Secrets};

/// Puts a bearer token into every call. Clones share the token, so that a renewal reaches all of them.
#[derive(Clone, Debug, Default)]
pub struct Bearer {
    token: Arc<RwLock<Option<MetadataValue<Ascii>>>>,
}

impl Bearer {
    fn set(&self, access_token: &str) {
        let mut value: MetadataValue<Ascii> = format!("Bearer {access_token}")
            .parse()
            .expect("a token is visible ASCII");
        value.set_sensitive(true);
        *self.token.write().expect("no writer panics") = Some(value);
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &*self.token.read().expect("no writer panics") {
            let token = token.clone();
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

/// The tokens in use.
#[derive(Debug)]
pub(super) struct Tokens {
    shared: Arc<Shared>,
    /// Ends the renewal when dropped.
    _renewal: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    identity: Channel,
    secrets: Arc<Secrets>,
    by_caller: Mutex<BTreeMap<Caller, Bearer>>,
}

impl Tokens {
    /// Renews the tokens in use twice a minute from now on.
    pub(super) fn start(identity: Channel, secrets: Arc<Secrets>) -> Tokens {
        let shared = Arc::new(Shared {
            identity,
            secrets,
            by_caller: Mutex::default(),
        });
        let mut renewal = JoinSet::new();
        let renewed = Arc::clone(&shared);
        renewal.spawn(async move {
            loop {
                sleep(Duration::from_secs(30)).await;
                renewed.renew().await;
            }
        });
        Tokens {
            shared,
            _renewal: renewal,
        }
    }

    /// Returns a caller's token, asking for it the first time.
    pub(super) async fn of(&self, caller: Caller) -> Bearer {
        let known = self.shared.known().get(&caller).cloned();
        if let Some(bearer) = known {
            return bearer;
        }
        let bearer = Bearer::default();
        let token = self.shared.issue(self.shared.credentials(caller)).await;
        bearer.set(&token.expect("identity gives a known service account its token"));
        let mut known = self.shared.known();
        known.entry(caller).or_insert(bearer).clone()
    }

    /// Logs an account in.
    ///
    /// # Errors
    /// When identity refuses.
    pub(super) async fn log_in(&self, login: &str, password: &str) -> Result<Bearer, Status> {
        let credentials = Credentials::Password(PasswordCredentials {
            login: login.to_owned(),
            password: password.to_owned(),
        });
        let bearer = Bearer::default();
        bearer.set(&self.shared.issue(credentials).await?);
        Ok(bearer)
    }

    /// Asks for all tokens again, as after a jump of the clock.
    pub(super) async fn renew(&self) {
        self.shared.renew().await;
    }
}

impl Shared {
    /// A token that cannot be renewed now, as while a test keeps identity down, stays as it is.
    async fn renew(&self) {
        let all: Vec<_> = self.known().clone().into_iter().collect();
        for (caller, bearer) in all {
            if let Ok(token) = self.issue(self.credentials(caller)).await {
                bearer.set(&token);
            }
        }
    }

    async fn issue(&self, credentials: Credentials) -> Result<String, Status> {
        let request = IssueTokenRequest {
            credentials: Some(credentials),
        };
        let mut client = TokenServiceClient::new(self.identity.clone());
        let answer = client.issue_token(request).await?;
        Ok(answer.into_inner().access_token)
    }

    fn credentials(&self, caller: Caller) -> Credentials {
        Credentials::ServiceAccount(ServiceAccountCredentials {
            name: caller.name(),
            secret: self.secrets.of(caller).to_owned(),
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Caller, Bearer>> {
        self.by_caller.lock().expect("no holder panics")
    }
}
