//! One payout, its bank, its identity, its callers, and the words that the tests share. Amounts are whole rupiah.

use std::time::Duration;

use chassis::{
    Clock,
    client::{self, Peer, TokenSource},
    config::{Env, ProcessConfig, Secret},
    health::Readiness,
    server::Server,
    task::Tasks,
    testing::TestTokens,
};
use messaging::{Event, HandleError, Relay, consumer::Taken};
use payout::{
    app::{App, Parts, PaymentsConfig},
    domain::disbursement::InquiryPlan,
    events::Events,
    rail::{Rail, RailConfig, RailKey, RailPublicKey},
    vault::Vault,
};
use proto::{
    identity::v1::person_service_client::PersonServiceClient,
    payout::v1::{
        self as pb, disbursement_service_client::DisbursementServiceClient,
        funds_service_client::FundsServiceClient, ledger_service_client::LedgerServiceClient,
        treasury_service_client::TreasuryServiceClient,
    },
    r#type::v1::Money,
};
use sqlx::PgPool;
use time::macros::datetime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use uuid::Uuid;

use crate::{
    bank,
    bank::Bank,
    identity::Identity,
    words::{
        approval, awarded, batch_request, certificate, frozen, link_request, new_allotment,
        new_appropriation, request_id, review, revoked, unfrozen, units,
    },
};

pub(crate) const BATCH: &str = "batches/48";
/// What each participation is given: 3,500,000 for courses, 600,000 for job search, 50,000 for each of two surveys.
pub(crate) const TRAINING: i64 = 3_500_000;
pub(crate) const JOB_SEARCH: i64 = 600_000;
pub(crate) const INCENTIVES: i64 = 700_000;
pub(crate) const AWARD: i64 = 4_200_000;

pub(crate) const RAIL_CONCURRENCY_MAX: usize = 4;

pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) bank: Bank,
    pub(crate) identity: Identity,
    pub(crate) tokens: TestTokens,
    /// Keeps the gatherer alive.
    _tasks: Tasks,
    channel: Channel,
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

/// A funded participation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Participation {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
}

impl Participation {
    pub(crate) fn new() -> Participation {
        Participation {
            id: Uuid::now_v7(),
            account_id: Uuid::now_v7(),
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("participations/{}", self.id)
    }

    pub(crate) fn account(&self) -> String {
        format!("accounts/{}", self.account_id)
    }
}

impl World {
    pub(crate) async fn start(db: PgPool) -> World {
        let bank = Bank::start().await;
        let (identity, address) = Identity::start().await;
        let clock = Clock::fixed_at(datetime!(2026-02-03 02:00 UTC));
        let channel = client::channel(&address).unwrap();
        let secret = Secret::new("a-secret-of-payout-with-32-letters");
        let token = TokenSource::new(channel.clone(), "payout", secret, clock.clone());
        let rail = RailConfig {
            address: bank.address.clone(),
            client_id: bank::CLIENT_ID.to_owned(),
            client_secret: Secret::new(bank::CLIENT_SECRET),
            private_key: RailKey::from_pem(&bank.private_key_pem).unwrap(),
            source_account: "8877001".to_owned(),
            channel_id: "95051".to_owned(),
            timeout: Duration::from_millis(700),
            concurrency_max: RAIL_CONCURRENCY_MAX,
            rate_max: 10_000,
            retries_max: 1,
            public_key: RailPublicKey::from_pem(&bank.public_key_pem).unwrap(),
        };
        let parts = Parts {
            vault: Vault::new(&"ab".repeat(32).parse().unwrap()).unwrap(),
            rail: Rail::new(rail, clock.clone()).unwrap(),
            identity: PersonServiceClient::new(Peer::new(channel, token)),
            payments: PaymentsConfig {
                inquiry_plan: InquiryPlan {
                    first_delay: time::Duration::minutes(10),
                    resend_after: time::Duration::hours(1),
                },
                rail_concurrency_max: RAIL_CONCURRENCY_MAX,
            },
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
        let server = payout::mount(server, &app);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        chassis::task::spawn("server", async move {
            server.serve(listener, shutdown).await.unwrap()
        });
        let channel = client::channel(&address).unwrap();
        World {
            db,
            clock,
            app,
            bank,
            identity,
            tokens,
            _tasks: tasks,
            channel,
        }
    }

    /// Starts with an appropriation and a batch that has money for so many awards.
    pub(crate) async fn with_budget(db: PgPool, award_count: i64) -> World {
        let world = World::start(db).await;
        world.appropriate("dipa-2026", 1_000_000_000_000).await;
        world.allot("dipa-2026", BATCH, award_count * AWARD).await;
        world
    }

    // Callers

    pub(crate) fn caller(&self, token: Option<String>) -> Caller {
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }

    pub(crate) fn service_account(&self, id: &str) -> Caller {
        self.caller(Some(self.tokens.service_account(id, &["payout.*"])))
    }

    pub(crate) fn owner(&self, account_id: Uuid) -> Caller {
        self.caller(Some(self.tokens.account(account_id)))
    }

    pub(crate) fn treasury(&self) -> TreasuryServiceClient<Caller> {
        TreasuryServiceClient::new(self.service_account("operator"))
    }

    pub(crate) fn funds(&self) -> FundsServiceClient<Caller> {
        FundsServiceClient::new(self.service_account("enrollment"))
    }

    pub(crate) fn disbursements(&self) -> DisbursementServiceClient<Caller> {
        DisbursementServiceClient::new(self.service_account("operator"))
    }

    pub(crate) fn approver(&self) -> DisbursementServiceClient<Caller> {
        DisbursementServiceClient::new(self.service_account("approver"))
    }

    pub(crate) fn ledger(&self) -> LedgerServiceClient<Caller> {
        LedgerServiceClient::new(self.service_account("operator"))
    }

    // Money in

    pub(crate) async fn appropriate(&self, id: &str, units: i64) {
        self.treasury()
            .create_appropriation(new_appropriation(id, units))
            .await
            .unwrap();
    }

    pub(crate) async fn allot(&self, appropriation: &str, batch: &str, units: i64) {
        self.treasury()
            .create_allotment(new_allotment(appropriation, batch, units))
            .await
            .unwrap();
    }

    /// Takes in an event as the consumer does.
    pub(crate) async fn deliver<M: prost::Message + prost::Name>(
        &self,
        message: &M,
    ) -> Result<Taken, HandleError> {
        let event = Event::of("subject", self.clock.now(), message);
        self.take_in(&event).await
    }

    pub(crate) async fn take_in(&self, event: &Event) -> Result<Taken, HandleError> {
        let handler = Events::new(self.app.clone());
        messaging::consumer::take_in(&self.db, "payout.enrollment-events", event, &handler).await
    }

    /// Awards so many participations of the batch.
    pub(crate) async fn award(&self, count: usize) -> Vec<Participation> {
        let participations: Vec<Participation> = (0..count).map(|_| Participation::new()).collect();
        self.deliver(&awarded(BATCH, &participations))
            .await
            .unwrap();
        participations
    }

    pub(crate) async fn revoke(&self, participations: &[Participation]) {
        self.deliver(&revoked(participations)).await.unwrap();
    }

    /// Freezes participations a second after whatever was before.
    pub(crate) async fn freeze(&self, participations: &[Participation]) {
        self.clock.advance_by(time::Duration::seconds(1));
        self.deliver(&frozen(participations, self.clock.now()))
            .await
            .unwrap();
    }

    /// Unfreezes participations a second after whatever was before.
    pub(crate) async fn unfreeze(&self, participations: &[Participation]) {
        self.clock.advance_by(time::Duration::seconds(1));
        self.deliver(&unfrozen(participations, self.clock.now()))
            .await
            .unwrap();
    }

    // Holds

    pub(crate) async fn hold(
        &self,
        request: &pb::HoldFundsRequest,
    ) -> Result<pb::FundsHold, Status> {
        Ok(self.funds().hold_funds(request.clone()).await?.into_inner())
    }

    pub(crate) async fn capture(
        &self,
        hold: &pb::HoldFundsRequest,
    ) -> Result<pb::FundsHold, Status> {
        let request = pb::CaptureFundsRequest {
            name: hold.name.clone(),
        };
        Ok(self.funds().capture_funds(request).await?.into_inner())
    }

    pub(crate) async fn release(
        &self,
        hold: &pb::HoldFundsRequest,
    ) -> Result<pb::FundsHold, Status> {
        let request = pb::ReleaseFundsRequest {
            name: hold.name.clone(),
            participation: hold.participation.clone(),
            provider: hold.provider.clone(),
            amount: hold.amount.clone(),
        };
        Ok(self.funds().release_funds(request).await?.into_inner())
    }

    /// Returns available, held and committed in whole rupiah.
    pub(crate) async fn balance(&self, participation: &Participation) -> [i64; 3] {
        let request = pb::GetBalanceRequest {
            name: format!("{}/balance", participation.name()),
        };
        let balance = self
            .funds()
            .get_balance(request)
            .await
            .unwrap()
            .into_inner();
        [
            balance.training_available,
            balance.training_held,
            balance.incentive_committed,
        ]
        .map(units)
    }

    // Payments

    /// Lets a person have a wallet at the bank and a name at identity.
    pub(crate) fn open_wallet(&self, participation: &Participation, number: &str) {
        self.bank.open_account("DANA", number, "SITI AMINAH");
        self.identity.add(
            &participation.account(),
            "SITI AMINAH",
            &format!("+{number}"),
        );
    }

    pub(crate) async fn link(
        &self,
        participation: &Participation,
        number: &str,
    ) -> Result<pb::PayeeAccount, Status> {
        let request = link_request(&participation.account(), "DANA", number);
        Ok(self
            .disbursements()
            .link_payee_account(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn payee(&self, participation: &Participation) -> pb::PayeeAccount {
        let request = pb::GetPayeeAccountRequest {
            name: format!("{}/payeeAccount", participation.account()),
        };
        let answer = self.disbursements().get_payee_account(request).await;
        answer.unwrap().into_inner()
    }

    /// Returns the payee accounts that are held for review, read in pages of two.
    pub(crate) async fn reviews(&self) -> Vec<pb::PayeeAccountReview> {
        let mut reviews = Vec::new();
        let mut request = pb::ListPayeeAccountReviewsRequest {
            page_size: 2,
            ..Default::default()
        };
        loop {
            let mut client = self.disbursements();
            let page = client.list_payee_account_reviews(request.clone()).await;
            let page = page.unwrap().into_inner();
            reviews.extend(page.payee_account_reviews);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return reviews;
            }
        }
    }

    pub(crate) async fn review(
        &self,
        review: &pb::PayeeAccountReview,
        decision: pb::payee_account_review::Decision,
    ) -> Result<pb::PayeeAccountReview, Status> {
        let request = pb::ReviewPayeeAccountRequest {
            request_id: request_id(),
            name: review.name.clone(),
            decision: decision.into(),
            reason: "looked at the documents".to_owned(),
        };
        let answer = self.disbursements().review_payee_account(request).await?;
        Ok(answer.into_inner())
    }

    /// Ends the standing still of a participation's only payment.
    pub(crate) async fn resolve(
        &self,
        participation: &Participation,
        resolution: pb::resolve_disbursement_request::Resolution,
    ) -> Result<pb::Disbursement, Status> {
        let request = pb::ResolveDisbursementRequest {
            request_id: request_id(),
            name: self.payment(participation).await.name,
            resolution: resolution.into(),
            reason: "looked at the case".to_owned(),
        };
        let answer = self.disbursements().resolve_disbursement(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn complete(&self, participation: &Participation) {
        self.deliver(&certificate(participation)).await.unwrap();
        self.deliver(&review(participation)).await.unwrap();
    }

    /// Brings a participation to where its payment is READY, with a wallet of its own.
    pub(crate) async fn ready(&self, participation: &Participation, number: &str) {
        self.open_wallet(participation, number);
        self.complete(participation).await;
        self.link(participation, number).await.unwrap();
    }

    /// Makes so many participations whose payments are READY, with wallets `62811000000…`.
    pub(crate) async fn many_ready(&self, count: usize) -> Vec<Participation> {
        let participations = self.award(count).await;
        for (i, participation) in participations.iter().enumerate() {
            self.ready(participation, &format!("62811{i:07}")).await;
        }
        participations
    }

    pub(crate) async fn create_batch(&self) -> pb::DisbursementBatch {
        self.disbursements()
            .create_disbursement_batch(batch_request())
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn approve(
        &self,
        batch: &pb::DisbursementBatch,
    ) -> Result<pb::DisbursementBatch, Status> {
        Ok(self
            .approver()
            .approve_disbursement_batch(approval(batch))
            .await?
            .into_inner())
    }

    /// Puts all that is due into a batch and approves it.
    pub(crate) async fn approve_all(&self) -> pb::DisbursementBatch {
        let batch = self.create_batch().await;
        self.approve(&batch).await.unwrap()
    }

    /// Returns the payments of a participation.
    pub(crate) async fn payments(&self, participation: &Participation) -> Vec<pb::Disbursement> {
        let request = pb::ListDisbursementsRequest {
            account: participation.account(),
            ..Default::default()
        };
        self.disbursements()
            .list_disbursements(request)
            .await
            .unwrap()
            .into_inner()
            .disbursements
    }

    pub(crate) async fn payment_state(
        &self,
        participation: &Participation,
    ) -> pb::disbursement::State {
        self.payment(participation).await.state()
    }

    /// Returns the only payment of a participation.
    pub(crate) async fn payment(&self, participation: &Participation) -> pb::Disbursement {
        let mut payments = self.payments(participation).await;
        assert_eq!(payments.len(), 1);
        payments.remove(0)
    }

    // Looking

    /// Returns a batch's trace after checking that its parts are the whole.
    pub(crate) async fn trace(&self, batch: &str) -> pb::FundTrace {
        let request = pb::TraceFundsRequest {
            batch: batch.to_owned(),
        };
        let trace = self
            .treasury()
            .trace_funds(request)
            .await
            .unwrap()
            .into_inner();
        let part = |money: &Option<Money>| units(money.clone());
        assert_eq!(
            part(&trace.allotted),
            part(&trace.spent)
                + part(&trace.incentives)
                + part(&trace.returned)
                + part(&trace.reallocated)
                + part(&trace.outstanding),
            "{trace:?}"
        );
        trace
    }

    /// Waits until so many transactions of the test's database wait for a lock.
    pub(crate) async fn wait_for_locks(&self, count: i64) {
        let mut tries = 0;
        loop {
            let waiting = sqlx::query_scalar!(
                r#"SELECT count(*) AS "count!"
                   FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"#
            );
            if waiting.fetch_one(&self.db).await.unwrap() >= count {
                return;
            }
            tries += 1;
            assert!(tries < 500, "nobody waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Checks that the running sums of all accounts are those of the transfers, and that the books balance.
    pub(crate) async fn assert_sound(&self) {
        let audit = self
            .ledger()
            .audit_ledger(pb::AuditLedgerRequest {})
            .await
            .unwrap()
            .into_inner();
        assert!(audit.differing_accounts.is_empty(), "{audit:?}");
        assert!(audit.differing_batches.is_empty(), "{audit:?}");
        let difference = sqlx::query_scalar!(
            r#"SELECT sum(debits_posted + debits_pending - credits_posted - credits_pending)::bigint AS "sum!"
               FROM ledger_accounts"#
        );
        assert_eq!(difference.fetch_one(&self.db).await.unwrap(), 0);
    }

    /// Returns the events of a type that wait in the outbox, oldest first.
    pub(crate) async fn told<M: prost::Message + prost::Name + Default>(&self) -> Vec<M> {
        let bodies = sqlx::query_scalar!(
            "SELECT body FROM outbox WHERE type = $1 ORDER BY sequence",
            M::full_name()
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        bodies
            .iter()
            .map(|body| M::decode(body.as_slice()).unwrap())
            .collect()
    }
}

fn process_config() -> ProcessConfig {
    let mut env = Env::from_pairs([
        ("PAYOUT_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("PAYOUT_DATABASE_URL", "postgres://unused"),
        ("PAYOUT_BROKER_URL", "amqp://unused"),
        ("PAYOUT_IDENTITY_ADDRESS", "http://unused"),
    ]);
    let config = ProcessConfig::read(&mut env, "payout");
    env.finish(config).unwrap()
}
