//! A server in this process, with services whose behaviour a test chooses by what it asks for.

use std::{sync::Arc, time::Duration};

use chassis::{
    Clock,
    auth::{KeyStore, Principal},
    client,
    config::{Env, ProcessConfig},
    deadline,
    health::Readiness,
    server::{ServeError, Server},
    status::Refusal,
    task,
    testing::TestTokens,
};
use proto::identity::v1::{
    GetJsonWebKeySetRequest, IssueTokenRequest, JsonWebKeySet, Token,
    issue_token_request::Credentials,
    token_service_server::{TokenService, TokenServiceServer},
};
use time::{OffsetDateTime, macros::datetime};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

/// A running server.
pub(crate) struct Stage {
    pub(crate) channel: Channel,
    pub(crate) clock: Clock,
    pub(crate) tokens: Arc<TestTokens>,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
    /// Opens the way for calls that wait at the gate.
    pub(crate) gate: Arc<Semaphore>,
    /// Tells of every call that has reached its handler.
    pub(crate) calls: mpsc::UnboundedReceiver<Call>,
}

/// What a handler has seen of a call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) subject: String,
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: tonic::metadata::MetadataMap,
}

impl Stage {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Stage {
        Stage::with_clock(settings, Clock::fixed_at(NOW)).await
    }

    pub(crate) async fn with_clock(settings: &[(&str, &str)], clock: Clock) -> Stage {
        let tokens = Arc::new(TestTokens::new(clock.clone()));
        let keys = tokens.key_store();
        Stage::with_keys(settings, clock, tokens, |_| keys).await
    }

    /// Starts a server whose keys come from `keys`, which may use the server's own address.
    pub(crate) async fn with_keys(
        settings: &[(&str, &str)],
        clock: Clock,
        tokens: Arc<TestTokens>,
        keys: impl FnOnce(Channel) -> KeyStore,
    ) -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let channel = client::channel(&format!("http://{address}")).unwrap();
        let readiness = Readiness::new();
        let shutdown = CancellationToken::new();
        let gate = Arc::new(Semaphore::new(0));
        let (told, calls) = mpsc::unbounded_channel();
        let service = Tokens {
            tokens: Arc::clone(&tokens),
            clock: clock.clone(),
            gate: Arc::clone(&gate),
            calls: told,
        };
        let server = Server::new(
            &process_config(settings),
            keys(channel.clone()),
            clock.clone(),
            readiness.clone(),
        )
        .add(TokenServiceServer::new(service));
        let served = task::spawn("server", server.serve(listener, shutdown.clone()));
        Stage {
            channel,
            clock,
            tokens,
            readiness,
            shutdown,
            served,
            gate,
            calls,
        }
    }

    pub(crate) fn as_caller(&self, token: &str) -> InterceptedService<Channel, Bearer> {
        InterceptedService::new(self.channel.clone(), Bearer(token.to_owned()))
    }
}

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

pub(crate) fn process_config(settings: &[(&str, &str)]) -> ProcessConfig {
    let basic = [
        ("STAGE_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("STAGE_DATABASE_URL", "postgres://unused"),
        ("STAGE_BROKER_URL", "amqp://unused"),
        ("STAGE_IDENTITY_ADDRESS", "http://unused"),
    ];
    let mut env = Env::from_pairs(basic.iter().chain(settings).copied());
    let config = ProcessConfig::read(&mut env, "stage");
    env.finish(config).unwrap()
}

/// What `IssueToken` is asked to do, as the login's text.
pub(crate) fn ask(text: &str) -> IssueTokenRequest {
    let credentials = proto::identity::v1::PasswordCredentials {
        login: text.to_owned(),
        password: String::new(),
    };
    IssueTokenRequest {
        credentials: Some(Credentials::Password(credentials)),
    }
}

struct Tokens {
    tokens: Arc<TestTokens>,
    clock: Clock,
    gate: Arc<Semaphore>,
    calls: mpsc::UnboundedSender<Call>,
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<Token>, Status> {
        let _ = self.calls.send(Call {
            subject: Principal::of(&request)?.subject.clone(),
            remaining: deadline::remaining(),
            metadata: request.metadata().clone(),
        });
        match request.into_inner().credentials {
            Some(Credentials::ServiceAccount(account)) => {
                let now = self.clock.now();
                Ok(Response::new(Token {
                    access_token: self
                        .tokens
                        .service_account("stage", &["clock.*", &account.secret]),
                    expire_time: Some(prost_types::Timestamp {
                        seconds: now.unix_timestamp() + 3600,
                        nanos: 0,
                    }),
                }))
            }
            Some(Credentials::Password(password)) => self.behave(&password.login).await,
            None => Ok(Response::new(Token::default())),
        }
    }

    async fn get_json_web_key_set(
        &self,
        _request: Request<GetJsonWebKeySetRequest>,
    ) -> Result<Response<JsonWebKeySet>, Status> {
        Ok(Response::new(JsonWebKeySet {
            document: self.tokens.document().to_vec(),
        }))
    }
}

impl Tokens {
    async fn behave(&self, wish: &str) -> Result<Response<Token>, Status> {
        match wish {
            "panic" => panic!("canary of the panic"),
            "fault" => return Err(Refusal::internal("canary of the fault").into()),
            "away" => {
                return Err(Refusal::unavailable("database", "canary").into());
            }
            "away once" => {
                if let Ok(permit) = self.gate.try_acquire() {
                    permit.forget();
                    return Err(Refusal::unavailable("database", "canary").into());
                }
            }
            "wait" => self.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        Ok(Response::new(Token {
            access_token: wish.to_owned(),
            expire_time: None,
        }))
    }
}

pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

pub(crate) fn metadata(status: &Status, key: &str) -> Option<String> {
    let info = status.get_details_error_info()?;
    info.metadata.get(key).cloned()
}
