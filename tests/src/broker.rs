//! The virtual host of one cluster, through the broker's management API: made for it, looked into, deleted with it.

use std::collections::BTreeMap;

use reqwest::{Client, Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// A virtual host of its own.
#[derive(Debug)]
pub struct VirtualHost {
    name: String,
    broker_url: String,
    management_url: String,
    http: Client,
}

/// A message that no handler could take.
#[derive(Debug, Deserialize)]
pub struct DeadLetter {
    /// The event's full type, as its routing key says.
    pub routing_key: String,
    /// AMQP properties; the headers hold the reason.
    pub properties: Value,
    /// The queue that it lies in.
    #[serde(default)]
    pub queue: String,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    #[serde(default)]
    messages: u64,
}

impl VirtualHost {
    /// Makes the virtual host.
    pub async fn create(broker_url: &str, management_url: &str, name: &str) -> VirtualHost {
        let host = VirtualHost {
            name: name.to_owned(),
            broker_url: broker_url.to_owned(),
            management_url: management_url.to_owned(),
            http: Client::new(),
        };
        host.ask(Method::PUT, &format!("/api/vhosts/{name}"), json!({}))
            .await;
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let path = format!("/api/permissions/{name}/guest");
        host.ask(Method::PUT, &path, everything).await;
        host
    }

    /// Deletes it with all that it holds.
    pub async fn delete(&self) {
        let path = format!("/api/vhosts/{}", self.name);
        self.ask(Method::DELETE, &path, json!({})).await;
    }

    /// Returns the URL for the services.
    pub fn url(&self) -> String {
        let (server, _) = self.broker_url.rsplit_once('/').expect("a URL has a path");
        format!("{server}/{}", self.name)
    }

    /// Returns the queues that hold messages, with their counts. The broker counts once a second, so an empty answer means
    /// something only when it stands for longer than that.
    pub async fn waiting(&self) -> BTreeMap<String, u64> {
        let path = format!("/api/queues/{}?columns=name,messages", self.name);
        let answer = self.ask(Method::GET, &path, Value::Null).await;
        let queues: Vec<Queue> = answer.json().await.expect("the broker lists its queues");
        queues
            .into_iter()
            .filter(|queue| queue.messages > 0)
            .map(|queue| (queue.name, queue.messages))
            .collect()
    }

    /// Returns how many messages have been published so far, as of the broker's last count.
    pub async fn published(&self) -> u64 {
        let path = format!("/api/vhosts/{}", self.name);
        let answer = self.ask(Method::GET, &path, Value::Null).await;
        let host: Value = answer.json().await.expect("the broker tells of its hosts");
        host["message_stats"]["publish"]
            .as_u64()
            .unwrap_or_default()
    }

    /// Returns the dead letters, up to ten of each queue; they stay where they are.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let path = format!("/api/queues/{}?columns=name", self.name);
        let answer = self.ask(Method::GET, &path, Value::Null).await;
        let queues: Vec<Queue> = answer.json().await.expect("the broker lists its queues");
        let mut letters = Vec::new();
        for queue in queues.iter().filter(|queue| queue.name.ends_with(".dead")) {
            let path = format!("/api/queues/{}/{}/get", self.name, queue.name);
            let wish = json!({ "count": 10, "ackmode": "ack_requeue_true", "encoding": "base64" });
            let answer = self.ask(Method::POST, &path, wish).await;
            let found: Vec<DeadLetter> = answer.json().await.expect("the broker gives messages");
            letters.extend(found.into_iter().map(|letter| DeadLetter {
                queue: queue.name.clone(),
                ..letter
            }));
        }
        letters
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Response {
        let url = format!("{}{path}", self.management_url);
        let mut request = self.http.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await;
        let answer = answer.and_then(Response::error_for_status);
        answer.expect("the private RabbitMQ does what its management API is asked")
    }
}
