//! Applying through gRPC, durable, against pgbench writing the same rows by one statement a transaction.

use std::time::{Duration, Instant};

use proto::enrollment::v1::{
    CreateApplicationRequest, application_service_client::ApplicationServiceClient,
};
use tests::{
    accounts::Caller,
    cluster::{Bearer, Client, Cluster},
    process::Service,
    programme::{Programme, quota_plan},
    regions::Regions,
    stack::checkout,
};
use tokio::task::JoinSet;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use uuid::Uuid;

use crate::{
    Fault,
    pgbench::Pgbench,
    report::{Aim, Figure, Line, Size, median},
    seed::Seed,
    selection::end,
    sql::{self, YARDSTICK},
    tell,
};

/// Calls at 64 streams, in all rounds.
pub(crate) const SIZE: u64 = 120_000;
/// Calls at one stream are a twentieth of them, and so are those that warm everything up.
const FEW: u64 = 20;
const ROUNDS: u64 = 3;
const STREAMS: u64 = 64;

const BATCH: &str = "batches/48";

/// A running enrollment, and who may still apply.
struct Bench {
    cluster: Cluster,
    seed: Seed,
    next: u64,
}

/// What some calls took.
pub(crate) struct Calls {
    pub(crate) took: Duration,
    latencies: Vec<Duration>,
}

/// Lets applicants apply, one by one and many at once.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let (many, few) = (size.wanted / ROUNDS, size.wanted / FEW / ROUNDS);
    let mut bench = Bench::start().await?;
    let outcome = rounds(&mut bench, many, few).await;
    end(bench.cluster, outcome).await
}

async fn rounds(bench: &mut Bench, many: u64, few: u64) -> Result<Vec<Line>, Fault> {
    let warm = few.max(STREAMS);
    bench.set_up(ROUNDS * (many + few) + warm).await?;
    bench.apply(warm, STREAMS).await?;
    let pgbench = bench.pgbench().await?;
    pgbench.run(STREAMS, few).await?;

    let (mut rates, mut tails, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bench_rates, mut bench_latencies) = (Vec::new(), Vec::new());
    let (mut lone_rates, mut lone_bench_rates) = (Vec::new(), Vec::new());
    let mut echo_times = Vec::new();
    for _ in 0..ROUNDS {
        let before = bench.processor_time()?;
        let mut calls = bench.apply(many, STREAMS).await?;
        times.push(Figure::each(many, bench.processor_time()? - before));
        rates.push(Figure::rate(many, calls.took));
        tails.push(Figure::Time(calls.percentile(99)));

        let outcome = pgbench.run(STREAMS, many).await?;
        bench_rates.push(outcome.rate);
        bench_latencies.push(outcome.average_latency);

        let before = bench.processor_time()?;
        bench.echo(many, STREAMS).await?;
        echo_times.push(Figure::each(many, bench.processor_time()? - before));

        lone_rates.push(Figure::rate(few, bench.apply(few, 1).await?.took));
        lone_bench_rates.push(pgbench.run(1, few).await?.rate);
    }
    bench.check().await?;

    let line = |name: &str, figures, yardstick: &str, yardsticks, aim| {
        let (figure, other) = median(figures).zip(median(yardsticks)).ok_or("no round")?;
        Ok::<Line, Fault>(Line {
            name: name.to_owned(),
            figure,
            yardstick: Some((yardstick.to_owned(), other)),
            aim,
        })
    };
    Ok(vec![
        line(
            "apply, 64 streams",
            rates,
            "pgbench, 64 clients",
            bench_rates,
            Aim::ShareMin(1_500),
        )?,
        line(
            "apply, 64 streams, p99",
            tails,
            "pgbench, average",
            bench_latencies,
            Aim::ShareMax(1_000),
        )?,
        line(
            "apply, 1 stream",
            lone_rates,
            "pgbench, 1 client",
            lone_bench_rates,
            Aim::ShareMin(600),
        )?,
        line(
            "apply, CPU of the server",
            times,
            "an empty call",
            echo_times,
            Aim::ShareMax(2_500),
        )?,
    ])
}

// === impl Bench ===

impl Bench {
    async fn start() -> Result<Bench, Fault> {
        let services = [Service::Identity, Service::Enrollment];
        let cluster = Cluster::builder().services(&services).start().await;
        match Seed::of(&cluster).await {
            Ok(seed) => Ok(Bench {
                cluster,
                seed,
                next: 0,
            }),
            Err(fault) => end(cluster, Err(fault)).await,
        }
    }

    /// Opens a batch for so many people.
    async fn set_up(&mut self, people: u64) -> Result<(), Fault> {
        let programme = Programme::of(&self.cluster).await;
        let file = checkout().join("deploy/schemes/prakerja-2023.toml");
        let scheme = programme.import_scheme(&file).await?;
        let plan = quota_plan(1_000, 0, &Regions::sample()?.regions);
        let id = BATCH.trim_start_matches("batches/");
        programme.create_batch(id, &scheme, plan).await?;
        programme.open_batch(BATCH).await?;
        let start = Instant::now();
        self.seed.persons(&self.cluster, 0..people).await?;
        tell(&format!(
            "{people} persons are there after {} s",
            start.elapsed().as_secs()
        ));
        Ok(())
    }

    /// Lets the next people apply over one connection.
    async fn apply(&mut self, count: u64, streams: u64) -> Result<Calls, Fault> {
        let client = self
            .cluster
            .client(Service::Enrollment, Caller::Frontend)
            .await;
        let client = ApplicationServiceClient::new(client);
        let (first, end) = (self.next, self.next + count);
        self.next = end;
        let seed = self.seed.clone();
        each_stream(streams, move |stream| {
            let (mut client, seed) = (client.clone(), seed.clone());
            async move {
                let mut latencies = Vec::new();
                for index in (first + stream..end).step_by(step(streams)) {
                    let request = CreateApplicationRequest {
                        request_id: Uuid::new_v4().to_string(),
                        batch: BATCH.to_owned(),
                        account: format!("accounts/{}", seed.account_id(index)),
                    };
                    let start = Instant::now();
                    client.create_application(request).await?;
                    latencies.push(start.elapsed());
                }
                Ok(latencies)
            }
        })
        .await
    }

    /// Makes as many calls of the emptiest method of the same server.
    async fn echo(&self, count: u64, streams: u64) -> Result<Calls, Fault> {
        let client: Client = self
            .cluster
            .client_with(Service::Enrollment, Bearer::default());
        let client = HealthClient::new(client);
        each_stream(streams, move |stream| {
            let mut client = client.clone();
            async move {
                let mut latencies = Vec::new();
                for _ in (stream..count).step_by(step(streams)) {
                    let start = Instant::now();
                    client.check(HealthCheckRequest::default()).await?;
                    latencies.push(start.elapsed());
                }
                Ok(latencies)
            }
        })
        .await
    }

    fn processor_time(&self) -> Result<Duration, Fault> {
        let process = self.cluster.process(Service::Enrollment);
        Ok(process.processor_time().ok_or("enrollment has died")?)
    }

    /// Makes copies of the tables, and a script that writes what one call writes: of what repeats, the values are those
    /// of a call that was made.
    async fn pgbench(&self) -> Result<Pgbench, Fault> {
        let mut connection = sql::connect(&self.cluster, Service::Enrollment).await?;
        for table in ["applications", "decisions", "request_ids"] {
            sql::copy_table(&mut connection, table).await?;
            let sample = match table {
                "request_ids" => {
                    "SELECT * FROM request_ids WHERE method LIKE '%/CreateApplication'"
                }
                "decisions" => "SELECT * FROM decisions WHERE eligible",
                _ => "SELECT * FROM applications",
            };
            let sample = format!("CREATE TABLE {YARDSTICK}.one_of_{table} AS {sample} LIMIT 1");
            sql::execute(&mut connection, sample).await?;
        }
        // Ids that ascend, as those of the services do.
        sql::execute(&mut connection, format!("CREATE SEQUENCE {YARDSTICK}.ids")).await?;
        let but = ["application_id", "account_id", "pseudonym"];
        let applications = sql::columns(&mut connection, "applications", &but)
            .await?
            .join(", ");
        let decisions = sql::columns(&mut connection, "decisions", &but)
            .await?
            .join(", ");
        let requests = sql::columns(&mut connection, "request_ids", &["request_id"]).await?;
        let requests = requests.join(", ");
        let script = format!(
            "WITH new AS (
                 SELECT lpad(to_hex(nextval('{YARDSTICK}.ids')), 32, '0')::uuid AS id
             ), request AS (
                 INSERT INTO {YARDSTICK}.request_ids (request_id, {requests})
                 SELECT gen_random_uuid(), {requests} FROM {YARDSTICK}.one_of_request_ids
             ), application AS (
                 INSERT INTO {YARDSTICK}.applications (application_id, account_id, pseudonym, {applications})
                 SELECT id, id, uuid_send(gen_random_uuid()), {applications} FROM new, {YARDSTICK}.one_of_applications
             )
             INSERT INTO {YARDSTICK}.decisions (application_id, {decisions})
             SELECT id, {decisions} FROM new, {YARDSTICK}.one_of_decisions;\n"
        );
        let file = self.cluster.folder().join("apply.sql");
        let url = self.cluster.databases().url(Service::Enrollment);
        Pgbench::new(file, &script, url)
    }

    /// A quick call that leaves nothing behind would be none.
    async fn check(&self) -> Result<(), Fault> {
        let mut connection = sql::connect(&self.cluster, Service::Enrollment).await?;
        let query = "SELECT count(*) FROM applications JOIN decisions USING (application_id)";
        let count: i64 = sql::value(&mut connection, query).await?;
        if count.unsigned_abs() == self.next {
            Ok(())
        } else {
            Err(format!("{} calls left {count} applications", self.next).into())
        }
    }
}

// === impl Calls ===

impl Calls {
    fn percentile(&mut self, percent: usize) -> Duration {
        self.latencies.sort_unstable();
        let place = self.latencies.len() * percent / 100;
        self.latencies.get(place).copied().unwrap_or_default()
    }
}

/// Runs streams of calls side by side until all have ended.
pub(crate) async fn each_stream<F>(streams: u64, call: impl Fn(u64) -> F) -> Result<Calls, Fault>
where
    F: Future<Output = Result<Vec<Duration>, Fault>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let start = Instant::now();
    for stream in 0..streams {
        running.spawn(call(stream));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.extend(ended??);
    }
    Ok(Calls {
        took: start.elapsed(),
        latencies,
    })
}

pub(crate) fn step(streams: u64) -> usize {
    usize::try_from(streams).unwrap_or(1)
}
