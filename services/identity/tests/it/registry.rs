//! A civil registry that answers as a test tells it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the registry expects as a bearer token.
pub(crate) const KEY: &str = "canary-registry-key";

/// How the registry behaves.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// It answers after this time.
    Answers(Duration),
    /// It answers with this status.
    Status(u16),
    /// It answers 200 with this text.
    Says(&'static str),
    /// It never answers.
    Hangs,
}

/// What it has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Calls so far.
    pub(crate) calls: usize,
    /// The most calls that were in work at once.
    pub(crate) concurrent_max: usize,
}

#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) address: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    behaviour: Behaviour,
    /// Answers by national id; without one, everything matches.
    answers: HashMap<String, Value>,
    seen: Seen,
    in_work: usize,
}

impl Registry {
    pub(crate) async fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Registry {
            address: format!("http://{}", listener.local_addr().unwrap()),
            inner: Arc::new(Mutex::new(Inner {
                behaviour: Behaviour::Answers(Duration::ZERO),
                answers: HashMap::new(),
                seen: Seen::default(),
                in_work: 0,
            })),
        };
        let router = Router::new()
            .route("/v1/persons/verify", post(verify))
            .with_state(registry.clone());
        chassis::task::spawn("registry", async move {
            axum::serve(listener, router).await.unwrap()
        });
        registry
    }

    pub(crate) fn behaves(&self, behaviour: Behaviour) {
        self.inner.lock().unwrap().behaviour = behaviour;
    }

    /// Sets the answer about a person.
    pub(crate) fn answers(&self, national_id: &str, answer: Value) {
        self.inner
            .lock()
            .unwrap()
            .answers
            .insert(national_id.to_owned(), answer);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.inner.lock().unwrap().seen
    }
}

/// A person as the registry describes a match.
pub(crate) fn matched(question: &Value) -> Value {
    json!({ "result": "MATCH", "person": {
        "sex": "FEMALE", "birth_date": question["birth_date"], "region_code": "32.04", "occupation": "JOB_SEEKER",
        "household_id": question["household_id"], "citizenship": "ID", "deceased": false,
    }})
}

async fn verify(
    State(registry): State<Registry>,
    headers: HeaderMap,
    Json(question): Json<Value>,
) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|value| value != &format!("Bearer {KEY}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let (behaviour, answer) = {
        let mut inner = registry.inner.lock().unwrap();
        inner.in_work += 1;
        inner.seen.calls += 1;
        inner.seen.concurrent_max = inner.seen.concurrent_max.max(inner.in_work);
        let known = inner
            .answers
            .get(question["national_id"].as_str().unwrap())
            .cloned();
        (
            inner.behaviour.clone(),
            known.unwrap_or_else(|| matched(&question)),
        )
    };
    let response = match behaviour {
        Behaviour::Answers(delay) => {
            tokio::time::sleep(delay).await;
            Json(answer).into_response()
        }
        Behaviour::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Behaviour::Says(text) => text.into_response(),
        Behaviour::Hangs => std::future::pending().await,
    };
    registry.inner.lock().unwrap().in_work -= 1;
    response
}
