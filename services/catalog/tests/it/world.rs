//! One catalog and its callers.

use catalog::app::App;
use chassis::{
    Clock,
    config::{Env, ProcessConfig},
    health::Readiness,
    server::Server,
    task::Tasks,
    testing::TestTokens,
};
use messaging::Relay;
use prost_types::Timestamp;
use proto::{
    catalog::v1::{
        self as pb, course::Mode, course_service_client::CourseServiceClient,
        provider_service_client::ProviderServiceClient, run_service_client::RunServiceClient,
    },
    r#type::v1::Money,
};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;
use uuid::Uuid;

/// When every test begins.
pub(crate) const START: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);

pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) tokens: TestTokens,
    channel: Channel,
    _tasks: Tasks,
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
        World::replica(db, Clock::fixed_at(START)).await
    }

    /// Starts another catalog on the same database and clock.
    pub(crate) async fn another(&self) -> World {
        World::replica(self.db.clone(), self.clock.clone()).await
    }

    async fn replica(db: PgPool, clock: Clock) -> World {
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(&shutdown);
        let app = App::start(db.clone(), clock.clone(), Relay::detached(), &tasks);
        // Tokens end by a clock of their own, so that a test may move the catalog's by days.
        let tokens = TestTokens::new(Clock::fixed_at(START));
        let server = Server::new(
            &process_config(),
            tokens.key_store(),
            clock.clone(),
            Readiness::new(),
        );
        let server = catalog::mount(server, &app);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        chassis::task::spawn("server", async move {
            server.serve(listener, shutdown).await.unwrap()
        });
        World {
            db,
            clock,
            app,
            tokens,
            channel: chassis::client::channel(&address).unwrap(),
            _tasks: tasks,
        }
    }

    pub(crate) fn caller(&self, token: Option<String>) -> Caller {
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }

    fn operator(&self) -> Caller {
        self.caller(Some(
            self.tokens.service_account("operator", &["catalog.*"]),
        ))
    }

    pub(crate) fn providers(&self) -> ProviderServiceClient<Caller> {
        ProviderServiceClient::new(self.operator())
    }

    pub(crate) fn courses(&self) -> CourseServiceClient<Caller> {
        CourseServiceClient::new(self.operator())
    }

    pub(crate) fn runs(&self) -> RunServiceClient<Caller> {
        RunServiceClient::new(self.operator())
    }

    pub(crate) async fn a_provider(&self, display_name: &str) -> pb::Provider {
        let request = new_provider(display_name);
        self.providers()
            .create_provider(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn a_course(&self, provider: &pb::Provider, title: &str) -> pb::Course {
        let request = pb::CreateCourseRequest {
            request_id: fresh_id(),
            course: Some(new_course(provider, title)),
        };
        self.courses()
            .create_course(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Creates a run of a course of its own that ends in a week.
    pub(crate) async fn a_run(&self, seat_count: i64) -> pb::Run {
        let provider = self.a_provider(&format!("Balai {}", fresh_id())).await;
        let course = self.a_course(&provider, "Dasar Barista untuk Pemula").await;
        let request = pb::CreateRunRequest {
            request_id: fresh_id(),
            run: Some(new_run(&course, seat_count)),
        };
        self.runs().create_run(request).await.unwrap().into_inner()
    }

    pub(crate) async fn taken_seats(&self, run: &pb::Run) -> i64 {
        let request = pb::GetRunRequest {
            name: run.name.clone(),
        };
        self.runs()
            .get_run(request)
            .await
            .unwrap()
            .into_inner()
            .taken_seat_count
    }

    /// Returns type and subject of what waits for the relay, in order.
    pub(crate) async fn outbox(&self) -> Vec<(String, String)> {
        let rows = sqlx::query!("SELECT type, subject FROM outbox ORDER BY sequence")
            .fetch_all(&self.db)
            .await;
        rows.unwrap()
            .into_iter()
            .map(|row| (row.r#type, row.subject))
            .collect()
    }
}

pub(crate) fn new_provider(display_name: &str) -> pb::CreateProviderRequest {
    pb::CreateProviderRequest {
        request_id: fresh_id(),
        provider: Some(pb::Provider {
            display_name: display_name.to_owned(),
            ..pb::Provider::default()
        }),
    }
}

pub(crate) fn new_course(provider: &pb::Provider, title: &str) -> pb::Course {
    pb::Course {
        provider: provider.name.clone(),
        title: title.to_owned(),
        category: "Makanan dan Minuman".to_owned(),
        mode: Mode::Webinar.into(),
        price: Some(rupiah(150_000)),
        public_price: Some(rupiah(300_000)),
        uri: "https://kursus.example.org/1".to_owned(),
        ..pb::Course::default()
    }
}

pub(crate) fn new_run(course: &pb::Course, seat_count: i64) -> pb::Run {
    pb::Run {
        course: course.name.clone(),
        seat_count,
        start_time: Some(timestamp(START + Duration::days(5))),
        end_time: Some(timestamp(START + Duration::days(7))),
        ..pb::Run::default()
    }
}

/// Asks for a seat until ten minutes after the start.
pub(crate) fn new_hold(run: &pb::Run) -> pb::HoldSeatRequest {
    pb::HoldSeatRequest {
        name: format!("seatHolds/{}", Uuid::now_v7()),
        run: run.name.clone(),
        account: format!("accounts/{}", Uuid::now_v7()),
        expire_time: Some(timestamp(START + Duration::minutes(10))),
    }
}

pub(crate) fn release_of(hold: &pb::HoldSeatRequest) -> pb::ReleaseSeatRequest {
    pb::ReleaseSeatRequest {
        name: hold.name.clone(),
        run: hold.run.clone(),
        account: hold.account.clone(),
    }
}

pub(crate) fn confirm_of(hold: &pb::HoldSeatRequest) -> pb::ConfirmSeatRequest {
    pb::ConfirmSeatRequest {
        name: hold.name.clone(),
    }
}

pub(crate) fn rupiah(units: i64) -> Money {
    Money {
        currency_code: "IDR".to_owned(),
        units,
        nanos: 0,
    }
}

pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: 0,
    }
}

pub(crate) fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}

/// Returns the reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Returns a metadata value of a refusal.
pub(crate) fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info();
    info.and_then(|info| info.metadata.get(key).cloned())
        .unwrap_or_default()
}

/// Returns the fields of a refusal's violations, in order.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|bad_request| bad_request.field_violations);
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn process_config() -> ProcessConfig {
    let mut env = Env::from_pairs([
        ("CATALOG_LISTEN_ADDRESS", "127.0.0.1:1"),
        ("CATALOG_DATABASE_URL", "postgres://nowhere"),
        ("CATALOG_BROKER_URL", "amqp://nowhere"),
        ("CATALOG_IDENTITY_ADDRESS", "http://127.0.0.1:1"),
    ]);
    let config = ProcessConfig::read(&mut env, "catalog");
    env.finish(config).unwrap()
}
