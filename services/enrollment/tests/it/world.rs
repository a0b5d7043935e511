//! One enrollment with its peers, its callers, and the ways to a batch in any state.

use chassis::{
    Clock,
    client::{Peer, TokenSource, channel},
    config::{Env, ProcessConfig, Secret},
    health::Readiness,
    names,
    server::Server,
    task::Tasks,
    testing::TestTokens,
};
use enrollment::{
    app::{App, Parts, peers::Peers as PeerCalls},
    domain::time_zone::TimeZone,
    events::Events,
    keys::Keys,
};
use messaging::{Event, Relay};
use proto::{
    enrollment::v1::{
        self as pb, application_service_client::ApplicationServiceClient,
        batch_service_client::BatchServiceClient, campaign_service_client::CampaignServiceClient,
        learning_service_client::LearningServiceClient,
        participation_service_client::ParticipationServiceClient,
        scheme_service_client::SchemeServiceClient,
    },
    payout::v1::ParticipationsFunded,
};
use sqlx::PgPool;
use time::{OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::peers::{FakeRun, Peers, person};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 02:00 UTC);
pub(crate) const SCHEME_2023: &str = include_str!("../../../../deploy/schemes/prakerja-2023.toml");
pub(crate) const TRUSTEES: [&str; 2] = ["trustees/notary", "trustees/university"];

pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) peers: Peers,
    pub(crate) events: Events,
    _tasks: Tasks,
    channel: Channel,
    tokens: TestTokens,
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

/// A participant and the account behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Participant {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
}

impl World {
    pub(crate) async fn start(db: PgPool) -> World {
        let clock = Clock::fixed_at(NOW);
        let (peers, address) = Peers::start().await;
        World::replica(db, clock, peers, &address).await
    }

    async fn replica(db: PgPool, clock: Clock, peers: Peers, address: &str) -> World {
        let connected = channel(address).unwrap();
        let token = TokenSource::new(
            connected.clone(),
            "enrollment",
            Secret::new("s".repeat(32)),
            clock.clone(),
        );
        let peer = Peer::new(connected, token);
        let hex = |digit: &str| digit.repeat(64).parse().unwrap();
        let parts = Parts {
            keys: Keys::new(&hex("a"), hex("b")),
            peers: PeerCalls::new(peer.clone(), peer.clone(), peer),
            campaign_zone: TimeZone::find("Asia/Jakarta").unwrap(),
        };
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(&shutdown);
        let app = App::start(db.clone(), clock.clone(), Relay::detached(), parts, &tasks);

        let tokens = TestTokens::new(clock.clone());
        let server = Server::new(
            &process_config(),
            tokens.key_store(),
            clock.clone(),
            Readiness::new(),
        );
        let server = enrollment::mount(server, &app);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        chassis::task::spawn("server", async move {
            server.serve(listener, shutdown).await.unwrap()
        });
        World {
            events: Events::new(app.clone()),
            db,
            clock,
            app,
            peers,
            _tasks: tasks,
            channel: Channel::from_shared(address).unwrap().connect_lazy(),
            tokens,
        }
    }

    // === callers ===

    fn caller(&self, token: Option<String>) -> Caller {
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }

    /// A service account that may do everything in enrollment.
    pub(crate) fn operator(&self) -> Caller {
        self.service_account("operator")
    }

    pub(crate) fn service_account(&self, id: &str) -> Caller {
        self.caller(Some(self.tokens.service_account(id, &["enrollment.*"])))
    }

    pub(crate) fn powerless(&self) -> Caller {
        self.caller(Some(self.tokens.service_account("nobody", &["catalog.*"])))
    }

    pub(crate) fn account(&self, id: Uuid) -> Caller {
        self.caller(Some(self.tokens.account(id)))
    }

    pub(crate) fn anonymous(&self) -> Caller {
        self.caller(None)
    }

    pub(crate) fn schemes(&self) -> SchemeServiceClient<Caller> {
        SchemeServiceClient::new(self.operator())
    }

    pub(crate) fn batches(&self) -> BatchServiceClient<Caller> {
        BatchServiceClient::new(self.operator())
    }

    pub(crate) fn applications(&self) -> ApplicationServiceClient<Caller> {
        ApplicationServiceClient::new(self.operator())
    }

    pub(crate) fn participations(&self) -> ParticipationServiceClient<Caller> {
        ParticipationServiceClient::new(self.operator())
    }

    pub(crate) fn learning(&self) -> LearningServiceClient<Caller> {
        LearningServiceClient::new(self.operator())
    }

    pub(crate) fn campaigns(&self) -> CampaignServiceClient<Caller> {
        CampaignServiceClient::new(self.operator())
    }

    // === the ways ===

    pub(crate) async fn import(&self, content: &str) -> Result<pb::Scheme, Status> {
        let request = pb::ImportSchemeRequest {
            request_id: request_id(),
            file_name: "scheme.toml".to_owned(),
            content: content.to_owned(),
        };
        Ok(self.schemes().import_scheme(request).await?.into_inner())
    }

    /// Creates a batch with the given places, and opens it.
    pub(crate) async fn open_batch(&self, id: &str, places: i64) -> String {
        self.open_batch_with(id, plan(places)).await
    }

    pub(crate) async fn open_batch_with(&self, id: &str, quota_plan: pb::QuotaPlan) -> String {
        self.open_batch_of(SCHEME_2023, id, quota_plan).await
    }

    /// Creates a batch with the given places under a scheme, and opens it.
    pub(crate) async fn open_batch_of(
        &self,
        scheme: &str,
        id: &str,
        quota_plan: pb::QuotaPlan,
    ) -> String {
        let batch = pb::Batch {
            quota_plan: Some(quota_plan),
            trustees: TRUSTEES.map(str::to_owned).to_vec(),
            ..pb::Batch::default()
        };
        self.open_new(scheme, id, batch).await
    }

    /// Loads a scheme, creates a batch of it, and opens it.
    pub(crate) async fn open_new(&self, scheme: &str, id: &str, batch: pb::Batch) -> String {
        let scheme = self.import(scheme).await.unwrap().name;
        let request = pb::CreateBatchRequest {
            request_id: request_id(),
            batch_id: id.to_owned(),
            batch: Some(pb::Batch { scheme, ..batch }),
        };
        let name = self
            .batches()
            .create_batch(request)
            .await
            .unwrap()
            .into_inner()
            .name;
        let request = pb::OpenBatchRequest {
            request_id: request_id(),
            name: name.clone(),
        };
        self.batches().open_batch(request).await.unwrap();
        name
    }

    pub(crate) async fn apply(
        &self,
        batch: &str,
        account: Uuid,
    ) -> Result<pb::Application, Status> {
        let request = application_request(batch, account);
        Ok(self
            .applications()
            .create_application(request)
            .await?
            .into_inner())
    }

    /// Lets so many people apply at once, each with these facts.
    pub(crate) async fn applicants(&self, batch: &str, count: usize) -> Vec<Uuid> {
        let accounts: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        for account in &accounts {
            self.peers.add_person(*account, person());
        }
        self.apply_all(batch, &accounts).await;
        accounts
    }

    pub(crate) async fn apply_all(&self, batch: &str, accounts: &[Uuid]) {
        let calls = accounts.iter().map(|account| self.apply(batch, *account));
        for answer in futures::future::join_all(calls).await {
            answer.unwrap();
        }
    }

    pub(crate) async fn close(&self, batch: &str) {
        let request = pb::CloseBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        self.batches().close_batch(request).await.unwrap();
    }

    /// Lets all trustees commit.
    pub(crate) async fn commit(&self, batch: &str) {
        for trustee in TRUSTEES {
            self.commit_as(batch, trustee).await.unwrap();
        }
    }

    pub(crate) async fn commit_as(&self, batch: &str, trustee: &str) -> Result<pb::Batch, Status> {
        let request = pb::CommitRandomnessRequest {
            request_id: request_id(),
            name: batch.to_owned(),
            trustee: trustee.to_owned(),
            commitment: draw::secret_commitment(batch, trustee, &secret(trustee)).to_vec(),
        };
        let caller = self.service_account(trustee.strip_prefix("trustees/").unwrap());
        Ok(BatchServiceClient::new(caller)
            .commit_randomness(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn freeze(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::FreezeBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        Ok(self.batches().freeze_batch(request).await?.into_inner())
    }

    /// Closes, commits and freezes.
    pub(crate) async fn frozen(&self, batch: &str) -> pb::Batch {
        self.close(batch).await;
        self.commit(batch).await;
        self.freeze(batch).await.unwrap()
    }

    pub(crate) async fn reveal(&self, batch: &str) {
        for trustee in TRUSTEES {
            self.reveal_as(batch, trustee, secret(trustee))
                .await
                .unwrap();
        }
    }

    pub(crate) async fn reveal_as(
        &self,
        batch: &str,
        trustee: &str,
        secret: [u8; 32],
    ) -> Result<pb::Batch, Status> {
        let request = pb::RevealRandomnessRequest {
            request_id: request_id(),
            name: batch.to_owned(),
            trustee: trustee.to_owned(),
            secret: secret.to_vec(),
        };
        let caller = self.service_account(trustee.strip_prefix("trustees/").unwrap());
        Ok(BatchServiceClient::new(caller)
            .reveal_randomness(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn draw(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::DrawBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        Ok(self.batches().draw_batch(request).await?.into_inner())
    }

    /// Closes, commits, freezes, reveals and draws.
    pub(crate) async fn drawn(&self, batch: &str) -> pb::Batch {
        self.frozen(batch).await;
        self.reveal(batch).await;
        self.draw(batch).await.unwrap()
    }

    pub(crate) async fn award(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::AwardBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        Ok(self.batches().award_batch(request).await?.into_inner())
    }

    pub(crate) async fn get_batch(&self, batch: &str) -> pb::Batch {
        let request = pb::GetBatchRequest {
            name: batch.to_owned(),
        };
        self.batches()
            .get_batch(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Makes so many participants whose money is booked, all of one batch.
    pub(crate) async fn participants(&self, count: usize) -> Vec<Participant> {
        let participants = self.unfunded_participants(count).await;
        let ids: Vec<Uuid> = participants
            .iter()
            .map(|participant| participant.id)
            .collect();
        self.fund(&ids).await;
        participants
    }

    pub(crate) async fn unfunded_participants(&self, count: usize) -> Vec<Participant> {
        let id = format!("b{}", Uuid::now_v7().simple());
        let batch = self
            .open_batch(&id[..20], i64::try_from(count).unwrap())
            .await;
        self.applicants(&batch, count).await;
        self.drawn(&batch).await;
        self.award(&batch).await.unwrap();
        let request = pb::ListParticipationsRequest {
            batch,
            page_size: 1000,
            ..pb::ListParticipationsRequest::default()
        };
        let listed = self
            .participations()
            .list_participations(request)
            .await
            .unwrap()
            .into_inner();
        let participants = listed
            .participations
            .iter()
            .map(|participation| Participant {
                id: names::parse_uuid(&participation.name, "participations").unwrap(),
                account: names::parse_uuid(&participation.account, "accounts").unwrap(),
            });
        participants.collect()
    }

    /// Books the money: the balance at payout, and the event that tells of it.
    pub(crate) async fn fund(&self, participations: &[Uuid]) {
        for id in participations {
            self.peers.set_balance(*id, 3_500_000);
        }
        let event = self.funded_event(participations);
        messaging::consumer::take_in(&self.db, "enrollment.payout-events", &event, &self.events)
            .await
            .unwrap();
    }

    pub(crate) fn funded_event(&self, participations: &[Uuid]) -> Event {
        let funded = ParticipationsFunded {
            batch: "batches/any".to_owned(),
            participations: participations
                .iter()
                .map(|id| names::format("participations", id))
                .collect(),
        };
        Event::of("batches/any", self.clock.now(), &funded)
    }

    /// Adds a run with seats at a price, which starts in a week.
    pub(crate) fn run(&self, seats: i64, price_units: i64) -> Uuid {
        self.peers.add_run(FakeRun {
            course: Uuid::now_v7(),
            provider: Uuid::now_v7(),
            seats,
            price_units,
            start: self.clock.now() + time::Duration::days(7),
        })
    }

    pub(crate) async fn buy(&self, participation: Uuid, run: Uuid) -> Result<pb::Purchase, Status> {
        let request = purchase_request(participation, run);
        Ok(self
            .participations()
            .create_purchase(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn get_purchase(&self, name: &str) -> pb::Purchase {
        let request = pb::GetPurchaseRequest {
            name: name.to_owned(),
        };
        self.participations()
            .get_purchase(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn get_participation(&self, id: Uuid) -> pb::Participation {
        let request = pb::GetParticipationRequest {
            name: names::format("participations", id),
        };
        self.participations()
            .get_participation(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Takes the outbox' events of one type, in their order.
    pub(crate) async fn told<M: prost::Message + prost::Name + Default>(&self) -> Vec<M> {
        let bodies = sqlx::query_scalar!(
            "SELECT body FROM outbox WHERE type = $1 ORDER BY sequence",
            M::full_name()
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        bodies
            .into_iter()
            .map(|body| M::decode(body.as_slice()).unwrap())
            .collect()
    }

    /// Lets time pass until this moment.
    pub(crate) fn wait_until(&self, time: OffsetDateTime) {
        self.clock.advance_to(time);
    }
}

pub(crate) fn plan(places: i64) -> pb::QuotaPlan {
    pb::QuotaPlan {
        place_count: places,
        ..pb::QuotaPlan::default()
    }
}

pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn application_request(batch: &str, account: Uuid) -> pb::CreateApplicationRequest {
    pb::CreateApplicationRequest {
        request_id: request_id(),
        batch: batch.to_owned(),
        account: names::format("accounts", account),
    }
}

pub(crate) fn purchase_request(participation: Uuid, run: Uuid) -> pb::CreatePurchaseRequest {
    pb::CreatePurchaseRequest {
        request_id: request_id(),
        participation: names::format("participations", participation),
        run: names::format("runs", run),
    }
}

/// The secret of a trustee.
pub(crate) fn secret(trustee: &str) -> [u8; 32] {
    let mut secret = [7; 32];
    secret[..trustee.len().min(32)].copy_from_slice(&trustee.as_bytes()[..trustee.len().min(32)]);
    secret
}

/// Asserts the code and reason of a refusal and returns its metadata.
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> std::collections::HashMap<String, String> {
    let status = answer.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no reason in {status:?}"));
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (code, reason),
        "{status:?}"
    );
    info.metadata
}

/// Returns the fields that a refusal is about.
pub(crate) fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    let violations = status
        .get_details_bad_request()
        .unwrap_or_else(|| panic!("no violations in {status:?}"));
    violations
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn process_config() -> ProcessConfig {
    let mut env = Env::from_pairs([
        ("ENROLLMENT_LISTEN_ADDRESS", "127.0.0.1:1"),
        ("ENROLLMENT_DATABASE_URL", "postgres://unused"),
        ("ENROLLMENT_BROKER_URL", "amqp://unused"),
        ("ENROLLMENT_IDENTITY_ADDRESS", "http://unused:1"),
        ("ENROLLMENT_CONCURRENCY_MAX", "5000"),
    ]);
    let config = ProcessConfig::read(&mut env, "enrollment");
    env.finish(config).unwrap()
}
