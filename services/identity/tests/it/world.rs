//! One identity, its registry and its callers.

use std::{str::FromStr, sync::Arc, time::Duration};

use chassis::{
    Clock,
    auth::KeyStore,
    config::{Env, ProcessConfig, Secret},
    health::Readiness,
    server::Server,
    task::Tasks,
};
use identity::{
    app::{App, Parts, verification::Verifier},
    domain::national_id::IdFormat,
    passwords::Passwords,
    registry::{Registry as RegistryClient, RegistryConfig},
    service_accounts::ServiceAccounts,
    tokens::{TokenKey, TokenKeys},
    vault::{Key, Vault},
};
use messaging::Relay;
use proto::{
    identity::v1::{
        self as pb, account_service_client::AccountServiceClient,
        exclusion_list_service_client::ExclusionListServiceClient,
        person_service_client::PersonServiceClient, token_service_client::TokenServiceClient,
    },
    r#type::v1::Date,
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::registry::{self, Registry};

/// The signing key of the tests.
pub(crate) const TOKEN_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// Another one.
pub(crate) const OTHER_TOKEN_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEICWmf8kxiFFjrQ7oqM9gdf8b8Y4alO8KN5S5QSf1Mkx/\n\
    -----END PRIVATE KEY-----\n";

pub(crate) const SECRET: &str = "canary-secret-of-the-demo-service-account";

const TIMEOUT: Duration = Duration::from_millis(500);
pub(crate) const CONCURRENCY_MAX: usize = 8;

pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    channel: Channel,
    token_keys: TokenKeys,
}

/// Adds a bearer token to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Ok(request)
    }
}

pub(crate) type Caller = InterceptedService<Channel, Bearer>;

impl World {
    pub(crate) async fn start(db: PgPool) -> World {
        World::with_keys(db, TOKEN_KEY, &[]).await
    }

    /// Starts an identity that signs with one key and accepts others.
    pub(crate) async fn with_keys(db: PgPool, signing: &str, previous: &[&str]) -> World {
        let registry = Registry::start().await;
        let country = IdFormat::Indonesia;
        World::replica(db, registry, Clock::movable(), country, signing, previous).await
    }

    /// Starts an identity of another country.
    pub(crate) async fn in_country(db: PgPool, country: IdFormat) -> World {
        let registry = Registry::start().await;
        World::replica(db, registry, Clock::movable(), country, TOKEN_KEY, &[]).await
    }

    /// Starts an identity whose clock stands still.
    pub(crate) async fn standing(db: PgPool) -> World {
        let clock =
            Clock::fixed_at(time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
        let registry = Registry::start().await;
        World::replica(db, registry, clock, IdFormat::Indonesia, TOKEN_KEY, &[]).await
    }

    /// Starts another identity on the same database, registry and clock.
    pub(crate) async fn another(&self) -> World {
        World::replica(
            self.db.clone(),
            self.registry.clone(),
            self.clock.clone(),
            self.app.formats(),
            TOKEN_KEY,
            &[],
        )
        .await
    }

    async fn replica(
        db: PgPool,
        registry: Registry,
        clock: Clock,
        country: IdFormat,
        signing: &str,
        previous: &[&str],
    ) -> World {
        let key = |pem: &str| TokenKey::from_pem(pem.as_bytes()).unwrap();
        let token_keys = TokenKeys::new(
            key(signing),
            previous.iter().map(|pem| key(pem)).collect(),
            Duration::from_secs(900),
        );
        let parts = Parts {
            vault: Arc::new(Vault::new(&hex_key('a'), &hex_key('b')).unwrap()),
            passwords: Passwords::new(2).unwrap(),
            token_keys: Arc::new(token_keys.clone()),
            service_accounts: Arc::new(ServiceAccounts::from_toml(&service_accounts()).unwrap()),
            formats: country,
        };
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(&shutdown);
        let app = App::start(db.clone(), clock.clone(), Relay::detached(), parts, &tasks);

        let document = serde_json::to_vec(&app.key_set()).unwrap();
        let keys = KeyStore::fixed(&document, clock.clone()).unwrap();
        let server = Server::new(&process_config(), keys, clock.clone(), Readiness::new());
        let server = identity::mount(server, &app);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        chassis::task::spawn("server", async move {
            server.serve(listener, shutdown).await.unwrap()
        });
        World {
            db,
            clock,
            app,
            registry,
            tasks,
            channel: chassis::client::channel(&address).unwrap(),
            token_keys,
        }
    }

    /// Makes a worker that a test drives by hand.
    pub(crate) fn verifier(&self) -> Verifier {
        self.verifier_with_timeout(TIMEOUT)
    }

    pub(crate) fn verifier_with_timeout(&self, timeout: Duration) -> Verifier {
        let config = RegistryConfig {
            address: self.registry.address.clone(),
            key: Secret::new(registry::KEY),
            timeout,
            concurrency_max: CONCURRENCY_MAX,
        };
        let client = RegistryClient::new(&config, self.app.formats()).unwrap();
        Verifier::new(&self.app, client, &config)
    }

    /// Issues a token to a caller with permissions.
    pub(crate) fn token(&self, subject: &str, permissions: &[&str]) -> String {
        let permissions: Vec<String> = permissions.iter().map(|&text| text.to_owned()).collect();
        self.token_keys
            .issue(subject, &permissions, self.clock.now())
            .unwrap()
            .access_token
    }

    pub(crate) fn caller(&self, token: Option<String>) -> Caller {
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }

    fn operator(&self) -> Caller {
        self.caller(Some(
            self.token("serviceAccounts/operator", &["identity.*"]),
        ))
    }

    /// Returns a client with every permission.
    pub(crate) fn accounts(&self) -> AccountServiceClient<Caller> {
        AccountServiceClient::new(self.operator())
    }

    /// Returns a client with every permission.
    pub(crate) fn persons(&self) -> PersonServiceClient<Caller> {
        PersonServiceClient::new(self.operator())
    }

    /// Returns a client with every permission.
    pub(crate) fn exclusion_lists(&self) -> ExclusionListServiceClient<Caller> {
        ExclusionListServiceClient::new(self.operator())
    }

    /// Returns a client without a token.
    pub(crate) fn tokens(&self) -> TokenServiceClient<Caller> {
        TokenServiceClient::new(self.caller(None))
    }

    /// Creates an account with nothing but an address.
    pub(crate) async fn account(&self, email: &str) -> String {
        let created = self
            .accounts()
            .create_account(new_account(email, "", ""))
            .await;
        created.unwrap().into_inner().name
    }

    /// Creates an account whose person waits for the registry.
    pub(crate) async fn pending(&self, national_id: &str) -> String {
        let account = self.account(&format!("p{national_id}@contoh.id")).await;
        self.persons()
            .submit_identity(submission(&account, national_id))
            .await
            .unwrap();
        account
    }

    /// Creates an account whose person is verified.
    pub(crate) async fn verified(&self, national_id: &str) -> String {
        let account = self.pending(national_id).await;
        self.verifier().verify_round().await.unwrap();
        account
    }

    /// Returns what other services may know of these accounts.
    pub(crate) async fn facts(&self, accounts: &[&str]) -> Vec<pb::PersonFacts> {
        let request = pb::BatchGetFactsRequest {
            accounts: accounts.iter().map(|&name| name.to_owned()).collect(),
            as_of_date: Some(date(2026, 11, 24)),
        };
        let answer = self.persons().batch_get_facts(request).await.unwrap();
        answer.into_inner().persons
    }

    /// Returns the hash under which snapshots name a national id.
    pub(crate) fn hash(&self, national_id: &str) -> Vec<u8> {
        let id = self.app.formats().national_id(national_id).unwrap();
        self.app.vault().national_id_hash(&id).to_vec()
    }

    pub(crate) async fn person(&self, account: &str) -> pb::Person {
        let name = format!("{account}/person");
        self.persons()
            .get_person(pb::GetPersonRequest { name })
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn state(&self, account: &str) -> pb::person::State {
        self.person(account).await.state()
    }

    /// Returns the events that were told about an account, by their types.
    pub(crate) async fn events(&self, account: &str) -> Vec<String> {
        sqlx::query_scalar!(
            "SELECT type FROM outbox WHERE subject = $1 ORDER BY sequence",
            account
        )
        .fetch_all(&self.db)
        .await
        .unwrap()
    }
}

fn hex_key(digit: char) -> Key {
    Key::from_str(&digit.to_string().repeat(64)).unwrap()
}

fn service_accounts() -> String {
    // SHA-256 of `SECRET`.
    "[[service_account]]\nname = \"serviceAccounts/demo\"\n\
     secret_sha256 = \"0024b4c1cb51ee2ca3a9426a709fe66206c808559e9220c58dbe213a3e8f4778\"\npermissions = [\"identity.accounts.*\"]\n"
        .to_owned()
}

fn process_config() -> ProcessConfig {
    let mut env = Env::from_pairs([
        ("IDENTITY_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("IDENTITY_DATABASE_URL", "postgres://unused"),
        ("IDENTITY_BROKER_URL", "amqp://unused"),
    ]);
    let config = ProcessConfig::read(&mut env, "identity");
    env.finish(config).unwrap()
}

pub(crate) fn new_account(email: &str, phone: &str, password: &str) -> pb::CreateAccountRequest {
    pb::CreateAccountRequest {
        request_id: Uuid::new_v4().to_string(),
        account: Some(pb::Account {
            email: email.to_owned(),
            phone: phone.to_owned(),
            ..pb::Account::default()
        }),
        password: password.to_owned(),
    }
}

/// Returns a possible national id of its own for each number.
pub(crate) fn national_id(number: usize) -> String {
    format!(
        "320401{:02}0190{:04}",
        1 + number / 9_999 % 28,
        1 + number % 9_999
    )
}

pub(crate) fn date(year: i32, month: i32, day: i32) -> Date {
    Date { year, month, day }
}

pub(crate) fn submission(account: &str, national_id: &str) -> pb::SubmitIdentityRequest {
    pb::SubmitIdentityRequest {
        request_id: Uuid::new_v4().to_string(),
        account: account.to_owned(),
        submission: Some(pb::IdentitySubmission {
            national_id: national_id.to_owned(),
            household_id: "3204010101100007".to_owned(),
            full_name: "Siti Aminah".to_owned(),
            birth_date: Some(date(1990, 1, 1)),
            declared: Some(pb::DeclaredFacts {
                education: "DIPLOMA".to_owned(),
                disability: false,
                rural: true,
            }),
        }),
    }
}

/// Returns the reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Returns the fields that a refusal complains of.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|details| details.field_violations);
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Waits for a condition, and panics when it does not come true.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < limit,
            "not within 20 s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
