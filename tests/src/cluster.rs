//! A cluster: the real binaries as processes, with databases, a virtual host and outside systems of their own.
//!
//! A test starts one, calls the services as their users do, and ends it with [`Cluster::finish`], which fails when events
//! are left over, when a dead letter lies anywhere, when a process does not drain, or when a log holds a warning or an
//! error that the test did not announce.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use prost_types::Timestamp;
use proto::clock::v1::{
    AdvanceClockRequest, GetClockRequest, clock_service_client::ClockServiceClient,
};
use time::OffsetDateTime;
use tokio::{task::JoinSet, time::sleep};
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use self::{settings::Keys, tokens::Tokens};
use crate::{
    accounts::{Caller, Secrets},
    broker::VirtualHost,
    fakes::{FakeBank, FakeRegistry},
    keys::{random_hex, write_ed25519_key},
    logs,
    ports::Port,
    postgres::Databases,
    process::{Process, Service},
    proxy::Proxy,
    stack::{Stack, binaries},
};

mod settings;
mod tokens;

pub use tokens::Bearer;

/// The channel that a generated client takes: it carries the caller's token.
pub type Client = InterceptedService<Channel, Bearer>;

/// How long a process may take to become ready, and a cluster to come to rest: generous, for a busy machine with two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that a proxy can be put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From a service to its database.
    Database(Service),
    /// From a service to the broker.
    Broker(Service),
    /// From a service to another one.
    Peer {
        /// Who calls.
        from: Service,
        /// Who is called.
        to: Service,
    },
    /// From identity to the civil registry.
    Registry,
    /// From payout to the bank.
    Rail,
}

/// What a cluster shall be, before it is started.
#[derive(Debug, Default)]
pub struct ClusterBuilder {
    services: Vec<Service>,
    extra: Vec<(String, String)>,
    links: Vec<Link>,
    allowed: Vec<String>,
    folder: Option<PathBuf>,
    seed: u64,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    world: World,
    processes: BTreeMap<Service, Process>,
    tokens: Tokens,
    /// Where the clock was moved to, and when that was.
    clock: Option<(OffsetDateTime, Instant)>,
    allowed: Vec<String>,
    finished: bool,
}

/// What the processes stand on.
#[derive(Debug)]
struct World {
    services: Vec<Service>,
    folder: PathBuf,
    ports: BTreeMap<Service, Port>,
    /// Where payout takes the bank's notices.
    callback: Port,
    databases: Databases,
    host: VirtualHost,
    registry: FakeRegistry,
    bank: FakeBank,
    secrets: Arc<Secrets>,
    keys: Keys,
    proxies: BTreeMap<Link, Proxy>,
    extra: Vec<(String, String)>,
}

// === impl ClusterBuilder ===

impl ClusterBuilder {
    /// Starts only these services, identity among them; all five otherwise.
    #[must_use]
    pub fn services(mut self, services: &[Service]) -> ClusterBuilder {
        assert!(
            services.contains(&Service::Identity),
            "no call passes without identity's tokens"
        );
        self.services = services.to_vec();
        self
    }

    /// Adds a setting by its full name, such as `PAYOUT_…`; it wins over the harness' own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> ClusterBuilder {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a proxy into a connection; [`Cluster::proxy`] gives it.
    #[must_use]
    pub fn proxied(mut self, link: Link) -> ClusterBuilder {
        self.links.push(link);
        self
    }

    /// Announces warnings or errors that contain this text.
    #[must_use]
    pub fn allow_log(mut self, text: &str) -> ClusterBuilder {
        self.allowed.push(text.to_owned());
        self
    }

    /// Keeps keys and logs in this folder instead of one of its own below `target/`.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> ClusterBuilder {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Sets the seed of the bank's chance.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> ClusterBuilder {
        self.seed = seed;
        self
    }

    /// Starts the cluster and returns when all services are ready.
    ///
    /// # Panics
    /// When anything cannot be started; the text says what and shows the end of its log.
    pub async fn start(self) -> Cluster {
        let world = World::make(&self).await;
        world.migrate().await;
        let identity = world.channel(Service::Identity);
        let tokens = Tokens::start(identity, Arc::clone(&world.secrets));
        let mut cluster = Cluster {
            processes: BTreeMap::new(),
            tokens,
            clock: None,
            allowed: self.allowed,
            finished: false,
            world,
        };
        for service in cluster.world.services.clone() {
            cluster.spawn(service);
        }
        for service in cluster.world.services.clone() {
            cluster.await_ready(service).await;
        }
        cluster
    }
}

// === impl World ===

impl World {
    async fn make(wish: &ClusterBuilder) -> World {
        let stack = Stack::find().unwrap_or_else(|missing| panic!("{missing}"));
        let services = match wish.services.as_slice() {
            [] => Service::ALL.to_vec(),
            some => some.to_vec(),
        };
        let id = format!("t{}_{}", std::process::id(), &random_hex()[..6]);
        let own_folder = || binaries().join("clusters").join(&id);
        let folder = wish.folder.clone().unwrap_or_else(own_folder);
        fs::create_dir_all(&folder).expect("the cluster's folder can be made");

        let secrets = Arc::new(Secrets::generate());
        let keys = Keys {
            accounts_file: folder.join("service-accounts.toml"),
            token_key_file: folder.join("token-key.pem"),
            master_key: random_hex(),
            match_key: random_hex(),
            signing_seed: random_hex(),
            pseudonym_key: random_hex(),
            account_key: random_hex(),
        };
        fs::write(&keys.accounts_file, secrets.to_toml()).expect("the cluster's folder is ours");
        write_ed25519_key(&keys.token_key_file);

        let callback = Port::reserve();
        let (databases, host, registry, bank) = tokio::join!(
            Databases::create(&stack.database_url, &id, &services),
            VirtualHost::create(&stack.broker_url, &stack.broker_management_url, &id),
            FakeRegistry::start(&folder),
            FakeBank::start(&folder, wish.seed, callback.address()),
        );
        let mut world = World {
            // Ports for all five: one that is not started is a peer that is away.
            ports: Service::ALL
                .map(|service| (service, Port::reserve()))
                .into(),
            callback,
            services,
            folder,
            databases,
            host,
            registry,
            bank,
            secrets,
            keys,
            proxies: BTreeMap::new(),
            extra: wish.extra.clone(),
        };
        for link in &wish.links {
            let proxy = Proxy::start(world.target(*link)).await;
            world.proxies.insert(*link, proxy);
        }
        world
    }

    /// Migrates all databases, side by side.
    async fn migrate(&self) {
        let mut runs = JoinSet::new();
        for service in self.services.clone() {
            let settings = settings::of(service, self);
            let folder = self.folder.clone();
            runs.spawn_blocking(move || {
                Process::run(service.name(), &["migrate"], &settings, &folder);
            });
        }
        // A failed migration's panic goes on from here.
        runs.join_all().await;
    }

    fn listen_address(&self, service: Service) -> SocketAddr {
        self.ports[&service].address()
    }

    fn channel(&self, service: Service) -> Channel {
        let address = format!("http://{}", self.listen_address(service));
        let endpoint = Endpoint::from_shared(address).expect("a socket address makes a URL");
        endpoint.connect_timeout(PATIENCE).connect_lazy()
    }

    /// Returns `host:port` of what a link leads to.
    fn target(&self, link: Link) -> String {
        let url = match link {
            Link::Database(service) => self.databases.url(service),
            Link::Broker(_) => self.host.url(),
            Link::Peer { to, .. } => format!("http://{}", self.listen_address(to)),
            Link::Registry => self.registry.address(),
            Link::Rail => self.bank.address(),
        };
        authority(&url).to_owned()
    }

    /// Returns the URL, led through the link's proxy where there is one.
    fn through(&self, link: Link, url: &str) -> String {
        match self.proxies.get(&link) {
            None => url.to_owned(),
            Some(proxy) => url.replacen(authority(url), &proxy.address().to_string(), 1),
        }
    }
}

/// Returns `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('/').map_or(rest, |(head, _)| head);
    rest.rsplit_once('@').map_or(rest, |(_, address)| address)
}

// === impl Cluster ===

impl Cluster {
    /// Starts all five services with nothing out of the ordinary.
    pub async fn start() -> Cluster {
        Cluster::builder().start().await
    }

    /// Begins a cluster that is out of the ordinary.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    // Calls

    /// Returns what a generated client needs to call a service as somebody:
    /// `CourseServiceClient::new(cluster.client(Service::Catalog, Caller::Operator1).await)`.
    pub async fn client(&self, service: Service, caller: Caller) -> Client {
        let bearer = self.tokens.of(caller).await;
        self.client_with(service, bearer)
    }

    /// Returns what a generated client needs to call a service with a token from [`Cluster::log_in`], or without one
    /// (`Bearer::default()`).
    pub fn client_with(&self, service: Service, bearer: Bearer) -> Client {
        InterceptedService::new(self.world.channel(service), bearer)
    }

    /// Logs an account in with e-mail or phone and password. Its token is not renewed.
    ///
    /// # Errors
    /// When identity refuses.
    pub async fn log_in(&self, login: &str, password: &str) -> Result<Bearer, Status> {
        self.tokens.log_in(login, password).await
    }

    /// Returns a service's address, `http://host:port`.
    pub fn address(&self, service: Service) -> String {
        format!("http://{}", self.world.listen_address(service))
    }

    /// Returns a service account's secret, for callers other than the harness.
    pub fn secret(&self, caller: Caller) -> &str {
        self.world.secrets.of(caller)
    }

    /// Returns a setting that a service was started with, by its full name.
    pub fn setting(&self, service: Service, name: &str) -> Option<String> {
        let settings = settings::of(service, &self.world);
        let found = settings.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Returns the services of this cluster.
    pub fn services(&self) -> &[Service] {
        &self.world.services
    }

    /// Returns the folder with keys and logs.
    pub fn folder(&self) -> &Path {
        &self.world.folder
    }

    /// Returns the civil registry.
    pub fn registry(&self) -> &FakeRegistry {
        &self.world.registry
    }

    /// Returns the bank.
    pub fn bank(&self) -> &FakeBank {
        &self.world.bank
    }

    /// Returns the broker's virtual host.
    pub fn broker(&self) -> &VirtualHost {
        &self.world.host
    }

    /// Returns the databases.
    pub fn databases(&self) -> &Databases {
        &self.world.databases
    }

    // Processes

    /// Returns a running service's process.
    pub fn process(&self, service: Service) -> &Process {
        let process = self.processes.get(&service);
        process.expect("the service has been started and not stopped")
    }

    /// Ends a service as Kubernetes does: SIGTERM, draining, exit code 0.
    pub async fn stop(&mut self, service: Service) {
        let process = self.processes.remove(&service);
        let mut process = process.expect("the service has been started and not stopped");
        match process.terminate(PATIENCE).await {
            Ok(status) => assert!(
                status.success(),
                "{service:?} drained and ended with {status}"
            ),
            Err(reason) => panic!("{reason}"),
        }
    }

    /// Kills a service: nothing is finished, nothing is flushed.
    pub fn kill(&mut self, service: Service) {
        let process = self.processes.remove(&service);
        process
            .expect("the service has been started and not stopped")
            .kill();
    }

    /// Starts a stopped or killed service again, at the same address and with the clock as far as it was.
    pub async fn start_service(&mut self, service: Service) {
        self.spawn(service);
        self.await_ready(service).await;
        if let Some((to, since)) = self.clock {
            self.advance_one(service, to + since.elapsed()).await;
        }
    }

    /// Kills a service and starts it again.
    pub async fn crash(&mut self, service: Service) {
        self.kill(service);
        self.start_service(service).await;
    }

    /// Returns the proxy of a link that was announced with [`ClusterBuilder::proxied`].
    pub fn proxy(&self, link: Link) -> &Proxy {
        let proxy = self.world.proxies.get(&link);
        proxy.expect("the link was announced to the builder")
    }

    /// Announces warnings or errors that contain this text.
    pub fn allow_log(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    fn spawn(&mut self, service: Service) {
        let settings = settings::of(service, &self.world);
        let process = Process::start(service.name(), &["serve"], &settings, &self.world.folder);
        let before = self.processes.insert(service, process);
        assert!(before.is_none(), "{service:?} runs already");
    }

    async fn await_ready(&mut self, service: Service) {
        let channel = self.world.channel(service);
        let start = Instant::now();
        loop {
            let process = self.processes.get_mut(&service);
            let running = process.expect("the service was spawned").check_running();
            running.unwrap_or_else(|reason| panic!("{reason}"));
            let mut health = HealthClient::new(channel.clone());
            let answer = health.check(HealthCheckRequest::default()).await;
            let seen = match answer {
                Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => return,
                Ok(answer) => format!("{:?}", answer.get_ref().status()),
                Err(status) => status.to_string(),
            };
            assert!(
                start.elapsed() < PATIENCE,
                "{service:?} is not ready within {PATIENCE:?}; last seen: {seen}\n{}",
                crate::process::tail(self.process(service).log())
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    // Time

    /// Returns the services' time.
    pub async fn now(&self) -> OffsetDateTime {
        let client = self.client(Service::Identity, Caller::Stack).await;
        let clock = ClockServiceClient::new(client)
            .get_clock(GetClockRequest {})
            .await;
        let clock = clock.expect("a movable clock tells its time").into_inner();
        to_time(clock.now.expect("a clock has a time"))
    }

    /// Moves the clocks of all services forward to a time, and renews the tokens, which may have ended on the way.
    /// identity goes first, so that the new tokens outlive the jump of the others.
    pub async fn advance_clock(&mut self, to: OffsetDateTime) {
        self.clock = Some((to, Instant::now()));
        for service in Service::ALL {
            if self.processes.contains_key(&service) {
                self.advance_one(service, to).await;
            }
            if service == Service::Identity {
                self.tokens.renew().await;
            }
        }
        self.world.bank.set_time(to).await;
    }

    /// Moves the clocks of all services forward by a span.
    pub async fn advance_clock_by(&mut self, span: Duration) {
        let now = self.now().await;
        self.advance_clock(now + span).await;
    }

    async fn advance_one(&self, service: Service, to: OffsetDateTime) {
        let client = self.client(service, Caller::Stack).await;
        let request = AdvanceClockRequest {
            to: Some(to_timestamp(to)),
        };
        let moved = ClockServiceClient::new(client).advance_clock(request).await;
        if let Err(status) = moved {
            panic!("the clock of {service:?} does not move: {status}");
        }
    }

    // The end

    /// Waits until no event is on its way: every outbox is empty, and so are all queues, for longer than the broker's
    /// counters lag behind.
    pub async fn settle(&self) {
        let mut quiet_since = None;
        let start = Instant::now();
        loop {
            let moving = self.moving().await;
            match (moving.is_empty(), quiet_since) {
                (true, None) => quiet_since = Some(Instant::now()),
                (true, Some(since)) if since.elapsed() > Duration::from_millis(2_500) => return,
                (true, Some(_)) => {}
                (false, _) => quiet_since = None,
            }
            assert!(
                start.elapsed() < PATIENCE,
                "events are still on their way after {PATIENCE:?}: {moving:?}"
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the outboxes and queues that are not empty; dead letters do not move.
    async fn moving(&self) -> BTreeMap<String, u64> {
        let mut moving = self.world.host.waiting().await;
        moving.retain(|queue, _| !queue.ends_with(".dead"));
        for service in self.processes.keys() {
            let count = self.world.databases.outbox_count(*service).await;
            let count = count.expect("a migrated database has an outbox");
            if count != 0 {
                moving.insert(
                    format!("outbox of {}", service.name()),
                    count.unsigned_abs(),
                );
            }
        }
        moving
    }

    /// Ends the cluster, and fails if it leaves anything behind that it should not.
    pub async fn finish(mut self) {
        self.inspect().await;
        for service in self.processes.keys().copied().collect::<Vec<_>>() {
            self.stop(service).await;
        }
        self.assert_no_complaint();
        self.world.databases.drop_all(&self.world.services).await;
        self.world.host.delete().await;
        self.finished = true;
        // Only a run that went well: the logs of the others are wanted.
        let _ = fs::remove_dir_all(&self.world.folder);
    }

    /// Waits until no event is on its way, and fails on a dead letter or on a log line that nobody announced.
    pub async fn inspect(&self) {
        self.settle().await;
        let letters = self.world.host.dead_letters().await;
        assert!(letters.is_empty(), "dead letters: {letters:#?}");
        self.assert_no_complaint();
    }

    fn assert_no_complaint(&self) {
        let complaints = self.complaints();
        assert!(
            complaints.is_empty(),
            "warnings and errors that nobody announced:\n{}",
            complaints.join("\n")
        );
    }

    /// Ends all processes at once and keeps databases and logs, for whoever looks for the reason of a failure.
    pub fn abandon(mut self) {
        self.finished = true;
    }

    /// Ends all processes at once and drops what they stood on, also events that nobody takes here; returns the warnings
    /// and errors that nobody announced.
    pub async fn discard(mut self) -> Vec<String> {
        let complaints = self.complaints();
        for process in self.processes.values_mut() {
            process.kill();
        }
        self.world.databases.drop_all(&self.world.services).await;
        self.world.host.delete().await;
        self.finished = true;
        let _ = fs::remove_dir_all(&self.world.folder);
        complaints
    }

    /// Lets everything run on after the harness has gone, for `deploy/local/down` to end.
    ///
    /// # Errors
    /// When the list of processes cannot be written.
    pub fn keep(mut self, processes_file: &Path) -> std::io::Result<()> {
        let World { registry, bank, .. } = &mut self.world;
        let fakes = [registry.process(), bank.process()];
        let lines: Vec<_> = self
            .processes
            .values_mut()
            .chain(fakes)
            .filter_map(Process::keep)
            .collect();
        self.finished = true;
        fs::write(processes_file, lines.join("\n") + "\n")
    }

    /// Returns the warnings and errors that nobody announced, with the service in front.
    fn complaints(&self) -> Vec<String> {
        let in_log = |service: &Service| {
            let log = self.world.folder.join(format!("{}.log", service.name()));
            let lines = logs::complaints(&log, &self.allowed);
            let name = service.name();
            lines.into_iter().map(move |line| format!("{name}: {line}"))
        };
        self.world.services.iter().flat_map(in_log).collect()
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "the failed test's reader needs it")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the logs are in {}", self.world.folder.display());
            for complaint in self.complaints() {
                eprintln!("{complaint}");
            }
        } else {
            assert!(self.finished, "a test ends its cluster with finish()");
        }
    }
}

/// Turns a protobuf time into one to reckon with.
pub fn to_time(timestamp: Timestamp) -> OffsetDateTime {
    let seconds = OffsetDateTime::from_unix_timestamp(timestamp.seconds);
    let seconds = seconds.expect("a service's time is within the calendar");
    seconds + time::Duration::nanoseconds(timestamp.nanos.into())
}

/// Turns a time into a protobuf one.
pub fn to_timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).expect("a second has 10^9 nanoseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_url_is_host_and_port() {
        assert_eq!(authority("postgres://bekal@127.0.0.1:5/x"), "127.0.0.1:5");
        assert_eq!(authority("amqp://guest:guest@127.0.0.1:6/v"), "127.0.0.1:6");
        assert_eq!(authority("http://127.0.0.1:7"), "127.0.0.1:7");
    }
}
