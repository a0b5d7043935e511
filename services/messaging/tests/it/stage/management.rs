//! The broker's HTTP interface: virtual hosts come and go, queues vanish, connections are closed.

use std::collections::HashMap;

use uuid::Uuid;

/// The broker's HTTP interface, for one virtual host.
#[derive(Clone)]
pub(crate) struct Management {
    url: String,
    user: String,
    password: String,
    pub(super) vhost: String,
}

impl Management {
    pub(super) fn new(url: &str, broker_url: &str) -> Management {
        let credentials = broker_url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'));
        let (user, password) = credentials
            .and_then(|(it, _)| it.split_once(':'))
            .expect("BROKER_URL has credentials");
        // Credentials in both the URL and the header would make two headers, which the broker refuses.
        let (scheme, rest) = url
            .split_once("://")
            .expect("the management address is a URL");
        let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
        Management {
            url: format!("{scheme}://{}", address.trim_end_matches('/')),
            user: user.to_owned(),
            password: password.to_owned(),
            vhost: format!("test-{}", Uuid::now_v7().simple()),
        }
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> reqwest::Response {
        // A client of its own each time: each test has its own runtime.
        let request = reqwest::Client::new().request(method, format!("{}/api/{path}", self.url));
        let request = request.basic_auth(&self.user, Some(&self.password));
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        request
            .send()
            .await
            .expect("the management interface answers")
    }

    pub(super) async fn make_vhost(&self) {
        let answer = self
            .send(
                reqwest::Method::PUT,
                &format!("vhosts/{}", self.vhost),
                None,
            )
            .await;
        assert!(
            answer.status().is_success(),
            "no virtual host: {}",
            answer.status()
        );
        let all = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let path = format!("permissions/{}/{}", self.vhost, self.user);
        let answer = self.send(reqwest::Method::PUT, &path, Some(all)).await;
        assert!(
            answer.status().is_success(),
            "no permissions: {}",
            answer.status()
        );
    }

    pub(super) async fn drop_vhost(&self) {
        self.send(
            reqwest::Method::DELETE,
            &format!("vhosts/{}", self.vhost),
            None,
        )
        .await;
    }

    pub(super) async fn has_queue(&self, queue: &str) -> bool {
        let path = format!("queues/{}/{queue}", self.vhost);
        self.send(reqwest::Method::GET, &path, None)
            .await
            .status()
            .is_success()
    }

    pub(crate) async fn drop_queue(&self, queue: &str) {
        let answer = self
            .send(
                reqwest::Method::DELETE,
                &format!("queues/{}/{queue}", self.vhost),
                None,
            )
            .await;
        assert!(
            answer.status().is_success(),
            "{queue} stays: {}",
            answer.status()
        );
    }

    /// Closes every connection that is there, as a broker does that restarts, and returns how many it were.
    pub(crate) async fn close_connections(&self) -> usize {
        let answer = self
            .send(
                reqwest::Method::GET,
                &format!("vhosts/{}/connections", self.vhost),
                None,
            )
            .await;
        let connections: Vec<HashMap<String, serde_json::Value>> = answer.json().await.unwrap();
        let mut closed = 0;
        for connection in connections {
            let Some(name) = connection.get("name").and_then(|it| it.as_str()) else {
                continue;
            };
            let name = name.replace(' ', "%20").replace('>', "%3E");
            let answer = self
                .send(
                    reqwest::Method::DELETE,
                    &format!("connections/{name}"),
                    None,
                )
                .await;
            closed += usize::from(answer.status().is_success());
        }
        closed
    }
}
