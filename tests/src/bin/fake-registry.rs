//! A civil registry for tests: it owns a made-up population, compares what is told with what it knows, and is slow, down
//! or overloaded on demand. `tests/README.md` describes its protocol. It listens on loopback only.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::tests::fakes::{RegisteredPerson, RegistryBehaviour, RegistryMode, RegistryStatistics};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

/// A civil registry for tests.
#[derive(Parser)]
struct Arguments {
    /// Where it listens; loopback only.
    #[arg(long)]
    listen: SocketAddr,
    /// What callers present as their bearer token.
    #[arg(long)]
    key: String,
    /// The people that it knows, one JSON object a line.
    #[arg(long)]
    population: Option<PathBuf>,
    /// Decides which requests fail when some shall.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

struct Registry {
    key: String,
    seed: u64,
    people: RwLock<HashMap<String, RegisteredPerson>>,
    behaviour: Mutex<RegistryBehaviour>,
    requests: AtomicU64,
    answered: AtomicU64,
    in_flight: AtomicU64,
    in_flight_max: AtomicU64,
}

/// What is asked: is this so?
#[derive(Deserialize)]
struct Question {
    national_id: String,
    household_id: String,
    full_name: String,
    birth_date: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() {
        return Err("a fake listens on loopback only".into());
    }
    let mut people = HashMap::new();
    if let Some(path) = &arguments.population {
        for (index, line) in fs::read_to_string(path)?.lines().enumerate() {
            let person: RegisteredPerson = serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?;
            people.insert(person.national_id.clone(), person);
        }
    }
    let registry = Arc::new(Registry {
        key: arguments.key,
        seed: arguments.seed,
        people: RwLock::new(people),
        behaviour: Mutex::default(),
        requests: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        in_flight: AtomicU64::new(0),
        in_flight_max: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(arguments.listen).await?;
    axum::serve(listener, routes(registry)).await?;
    Ok(())
}

fn routes(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/v1/persons/verify", post(verify))
        .route("/control/persons", post(add_people))
        .route("/control/behaviour", post(behave))
        .route("/control/statistics", get(statistics))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(registry)
}

async fn verify(
    State(registry): State<Arc<Registry>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let expected = format!("Bearer {}", registry.key);
    let presented = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    if presented != Some(expected.as_bytes()) {
        return problem(StatusCode::UNAUTHORIZED, "the key is wrong");
    }
    let number = registry.requests.fetch_add(1, Ordering::Relaxed);
    let place = Place::take(&registry);
    let behaviour = registry.behaviour.lock().expect("no holder panics").clone();
    sleep(Duration::from_millis(behaviour.delay_ms)).await;
    if let Some(refusal) = misbehave(&registry, &behaviour, number, place.taken).await {
        return refusal;
    }
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    registry.answered.fetch_add(1, Ordering::Relaxed);
    Json(registry.answer(&question)).into_response()
}

/// What the behaviour of the hour does to a request, if anything.
async fn misbehave(
    registry: &Registry,
    behaviour: &RegistryBehaviour,
    number: u64,
    in_flight: u64,
) -> Option<Response> {
    let overloaded = behaviour.in_flight_limit > 0 && in_flight > behaviour.in_flight_limit;
    match behaviour.mode {
        RegistryMode::Down => Some(problem(StatusCode::SERVICE_UNAVAILABLE, "maintenance")),
        RegistryMode::TooManyRequests => Some(problem(StatusCode::TOO_MANY_REQUESTS, "slower")),
        RegistryMode::Timeout => {
            sleep(Duration::from_secs(3600)).await;
            Some(problem(StatusCode::GATEWAY_TIMEOUT, "too late"))
        }
        RegistryMode::Ok if overloaded => Some(problem(StatusCode::TOO_MANY_REQUESTS, "slower")),
        RegistryMode::Ok => behaviour
            .fail_ratio
            .hits(registry.seed, &number.to_string())
            .then(|| problem(StatusCode::SERVICE_UNAVAILABLE, "bad luck")),
    }
}

fn problem(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({ "error": text }))).into_response()
}

/// A request in flight, counted while it lives.
struct Place<'a> {
    registry: &'a Registry,
    taken: u64,
}

impl Place<'_> {
    fn take(registry: &Registry) -> Place<'_> {
        let taken = registry.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        registry.in_flight_max.fetch_max(taken, Ordering::Relaxed);
        Place { registry, taken }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.registry.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    fn answer(&self, question: &Question) -> Value {
        let people = self.people.read().expect("no writer panics");
        let Some(person) = people.get(&question.national_id) else {
            return json!({ "result": "NOT_FOUND" });
        };
        let mut fields = Vec::new();
        if question.household_id != person.household_id {
            fields.push("household_id");
        }
        if plain(&question.full_name) != plain(&person.full_name) {
            fields.push("full_name");
        }
        if question.birth_date != person.birth_date {
            fields.push("birth_date");
        }
        if !fields.is_empty() {
            return json!({ "result": "MISMATCH", "fields": fields });
        }
        json!({
            "result": "MATCH",
            "person": {
                "sex": person.sex,
                "birth_date": person.birth_date,
                "region_code": person.region_code,
                "occupation": person.occupation,
                "household_id": person.household_id,
                "citizenship": person.citizenship,
                "deceased": person.deceased,
            },
        })
    }
}

/// A name without case and repeated blanks.
fn plain(name: &str) -> String {
    let words: Vec<_> = name.split_whitespace().map(str::to_uppercase).collect();
    words.join(" ")
}

async fn add_people(
    State(registry): State<Arc<Registry>>,
    Json(people): Json<Vec<RegisteredPerson>>,
) -> Json<Value> {
    let count = people.len();
    let mut known = registry.people.write().expect("no writer panics");
    for person in people {
        known.insert(person.national_id.clone(), person);
    }
    Json(json!({ "added": count, "known": known.len() }))
}

async fn behave(
    State(registry): State<Arc<Registry>>,
    Json(behaviour): Json<RegistryBehaviour>,
) -> Json<RegistryBehaviour> {
    let mut current = registry.behaviour.lock().expect("no holder panics");
    current.clone_from(&behaviour);
    Json(behaviour)
}

async fn statistics(State(registry): State<Arc<Registry>>) -> Json<RegistryStatistics> {
    Json(RegistryStatistics {
        requests: registry.requests.load(Ordering::Relaxed),
        answered: registry.answered.load(Ordering::Relaxed),
        in_flight_max: registry.in_flight_max.load(Ordering::Relaxed),
    })
}
