//! The service in this process, and the words of the tests.

use chassis::{
    Clock,
    config::{Env, ProcessConfig},
    health::Readiness,
    server::Server,
    task,
    testing::TestTokens,
};
use jobs::app::App;
use proto::{
    jobs::v1::{
        self as pb, region_service_client::RegionServiceClient,
        vacancy_service_client::VacancyServiceClient,
    },
    r#type::v1::import_row_result::State,
};
use sqlx::PgPool;
use time::{OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::feed::{Fields, fields, import, import_regions, row, states};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

/// The running service.
pub(crate) struct Jobs {
    pub(crate) clock: Clock,
    pub(crate) tokens: TestTokens,
    channel: Channel,
    _shutdown: DropGuard,
}

type Authorized = InterceptedService<Channel, Bearer>;
pub(crate) type Vacancies = VacancyServiceClient<Authorized>;
pub(crate) type Regions = RegionServiceClient<Authorized>;

#[derive(Clone)]
pub(crate) struct Bearer(Option<String>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Jobs {
    pub(crate) async fn start(db: PgPool) -> Jobs {
        let clock = Clock::fixed_at(NOW);
        let tokens = TestTokens::new(clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(
            &process_config(),
            tokens.key_store(),
            clock.clone(),
            Readiness::new(),
        );
        let server = jobs::mount(server, &App::new(db, clock.clone()));
        let shutdown = CancellationToken::new();
        task::spawn("server", server.serve(listener, shutdown.clone()));
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Jobs {
            clock,
            tokens,
            channel,
            _shutdown: shutdown.drop_guard(),
        }
    }

    /// The client of an operator who may do everything here.
    pub(crate) fn operator(&self) -> Vacancies {
        self.vacancies(Some(self.tokens.service_account("operator", &["jobs.*"])))
    }

    pub(crate) fn account(&self, account: Uuid) -> Vacancies {
        self.vacancies(Some(self.tokens.account(account)))
    }

    pub(crate) fn vacancies(&self, token: Option<String>) -> Vacancies {
        VacancyServiceClient::with_interceptor(self.channel.clone(), Bearer(token))
    }

    pub(crate) fn regions(&self) -> Regions {
        self.regions_as(Some(self.tokens.service_account("operator", &["jobs.*"])))
    }

    pub(crate) fn regions_as(&self, token: Option<String>) -> Regions {
        RegionServiceClient::with_interceptor(self.channel.clone(), Bearer(token))
    }

    /// Imports the regions that the tests speak of.
    pub(crate) async fn with_regions(self) -> Jobs {
        let rows = [
            ("31", "DKI Jakarta"),
            ("31.74", "Kota Administrasi Jakarta Selatan"),
            ("32", "Jawa Barat"),
            ("32.04", "Kabupaten Bandung"),
            ("32.73", "Kota Bandung"),
            ("35", "Jawa Timur"),
            ("35.78", "Kota Surabaya"),
        ];
        let rows: Vec<Fields> = rows
            .iter()
            .map(|(code, name)| fields(&[("code", code), ("name", name)]))
            .collect();
        let results = import_regions(&self, Uuid::now_v7(), &rows).await.unwrap();
        assert_eq!(states(&results), vec![State::Created; 7]);
        self
    }

    /// Imports adverts of a portal, each as (title, company, location, salary).
    pub(crate) async fn with_adverts(self, portal: &str, adverts: &[[&str; 4]]) -> Jobs {
        let rows: Vec<Fields> = adverts.iter().map(row).collect();
        let results = import(&self, Uuid::now_v7(), portal, &rows).await.unwrap();
        assert!(
            results
                .iter()
                .all(|result| result.state() != State::Refused),
            "{results:?}"
        );
        self
    }

    pub(crate) async fn get(&self, name: &str) -> pb::Vacancy {
        let request = pb::GetVacancyRequest {
            name: name.to_owned(),
        };
        self.operator()
            .get_vacancy(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn search(&self, query: &str, region: &str) -> Vec<String> {
        let request = pb::SearchVacanciesRequest {
            query: query.to_owned(),
            region: region.to_owned(),
            ..Default::default()
        };
        let found = self
            .operator()
            .search_vacancies(request)
            .await
            .unwrap()
            .into_inner();
        found
            .vacancies
            .into_iter()
            .map(|vacancy| vacancy.title)
            .collect()
    }
}

fn process_config() -> ProcessConfig {
    let mut env = Env::from_pairs([
        ("JOBS_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("JOBS_DATABASE_URL", "postgres://unused"),
        ("JOBS_BROKER_URL", "amqp://unused"),
        ("JOBS_IDENTITY_ADDRESS", "http://unused:1"),
    ]);
    let config = ProcessConfig::read(&mut env, "jobs");
    env.finish(config).unwrap()
}

pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// The fields that a refusal lists, with what is wrong with each.
pub(crate) fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_details_bad_request();
    let violations = details
        .map(|details| details.field_violations)
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| (violation.field, violation.description))
        .collect()
}

/// The companies of the vacancies that are recommended to an account, best first.
pub(crate) async fn recommended_companies(jobs: &Jobs, account: Uuid) -> Vec<String> {
    let request = pb::RecommendVacanciesRequest {
        account: format!("accounts/{account}"),
        page_size: 0,
    };
    let answer = jobs
        .account(account)
        .recommend_vacancies(request)
        .await
        .unwrap()
        .into_inner();
    answer
        .recommendations
        .into_iter()
        .filter_map(|fit| fit.vacancy)
        .map(|vacancy| vacancy.company)
        .collect()
}
