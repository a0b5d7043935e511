//! The deployment: each service has one page with all that a cluster needs of it, pages and settings agree, overlays
//! change no structure, and every alert asks for a metric that exists and is explained to whoever it calls.

use std::{collections::BTreeSet, fmt::Display};

use serde_json::{Value, json};

use crate::{
    settings::{own, shared},
    tree::{self, SERVICES, Source},
};

/// What a page holds, each once, in the order of their names.
const KINDS: [&str; 6] = [
    "Deployment",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
];

/// The kinds with pods.
const WORKLOADS: [&str; 2] = ["Job", "Deployment"];

const OVERLAYS: [&str; 3] = ["dev", "staging", "production"];

/// Who calls whom; the front page says why the calls form no cycle.
const CALLS: [(&str, &[&str]); 5] = [
    ("identity", &[]),
    ("catalog", &["identity"]),
    ("enrollment", &["identity", "catalog", "payout"]),
    ("payout", &["identity"]),
    ("jobs", &["identity"]),
];

/// The services that reach a system outside.
const OUTGOING: [&str; 2] = ["identity", "payout"];

/// The service that an outside system calls by itself, and where.
const CALLED_BACK: &str = "payout";
const CALLBACK_PORT: u16 = 8_080;

/// Where every service listens. The services are headless, which translates no port.
const PORT: u64 = 50051;

/// Whom the image and the pods run as.
const USER: u64 = 65532;

/// Variables of a page that the libraries read, and no setting of a service.
const RUNTIME: [&str; 4] = [
    "OTEL_RESOURCE_ATTRIBUTES",
    "POD_NAME",
    "SSL_CERT_DIR",
    "TOKIO_WORKER_THREADS",
];

/// Settings that no page gives, each with the reason.
const NOT_GIVEN: [(&str, &str); 4] = [
    ("IDENTITY_IDENTITY_ADDRESS", "identity does not call itself"),
    ("IDENTITY_SERVICE_ACCOUNT_SECRET", "identity calls nobody"),
    ("CATALOG_SERVICE_ACCOUNT_SECRET", "catalog calls nobody"),
    ("JOBS_SERVICE_ACCOUNT_SECRET", "jobs calls nobody"),
];

/// How names of secret settings end.
const SECRET_ENDINGS: [&str; 5] = ["_KEY", "_PASSWORD", "_SECRET", "_SEED", "_URL"];

/// Metrics of RabbitMQ's plugin and of the PostgreSQL exporter that the alerts and the dashboard use.
const OUTSIDE_METRICS: [&str; 5] = [
    "pg_settings_max_connections",
    "pg_stat_activity_count",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_detailed_queue_messages",
];

/// Words with an underscore in the alerts' expressions that are no metrics: labels and functions.
const QUERY_WORDS: [&str; 4] = [
    "label_replace",
    "messaging_destination_name",
    "rpc_grpc_status_code",
    "rpc_method",
];

static NOTHING: Value = Value::Null;

/// All of one service.
struct Page {
    service: &'static str,
    path: String,
    documents: Vec<Value>,
}

impl Page {
    fn all() -> impl Iterator<Item = Page> {
        SERVICES.into_iter().map(|service| {
            let source = tree::file(&format!("deploy/base/{service}.yaml"));
            Page {
                service,
                documents: documents(&source),
                path: source.path,
            }
        })
    }

    /// Returns what the page says of a kind. When that is nothing, whatever is asked of it is null.
    fn one(&self, kind: &str) -> &Value {
        let mut documents = self.documents.iter();
        let found = documents.find(|document| document["kind"] == kind);
        found.unwrap_or(&NOTHING)
    }

    fn pod(&self, kind: &str) -> &Value {
        &self.one(kind)["spec"]["template"]["spec"]
    }

    fn container(&self, kind: &str) -> &Value {
        &self.pod(kind)["containers"][0]
    }

    fn environment(&self, kind: &str) -> &[Value] {
        list(&self.container(kind)["env"])
    }

    /// Returns a setting of the process that serves, by its name without the service's.
    fn seconds(&self, name: &str) -> u64 {
        let name = format!("{}_{name}", self.service.to_uppercase());
        let mut entries = self.environment("Deployment").iter();
        let entry = entries.find(|entry| text(&entry["name"]) == name);
        entry.map_or(0, |entry| text(&entry["value"]).parse().unwrap_or(0))
    }

    fn fault(&self, what: impl Display) -> String {
        format!("{}: {what}", self.path)
    }
}

/// Returns the documents of a YAML file; none when it is empty or missing.
fn documents(source: &Source) -> Vec<Value> {
    let read = serde_saphyr::from_multiple(&source.text);
    let read = read.map_err(|error| format!("{}: {error}", source.path));
    read.expect("the file is YAML")
}

fn kustomization(folder: &str) -> (String, Value) {
    let source = tree::file(&format!("deploy/{folder}/kustomization.yaml"));
    let document = documents(&source).into_iter().next().unwrap_or_default();
    (source.path, document)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a field of each element of a list.
fn fields<'a>(value: &'a Value, field: &str) -> BTreeSet<&'a str> {
    list(value).iter().map(|it| text(&it[field])).collect()
}

/// Tells every place at which a value is not as expected. Fields that are not expected may be there.
fn differences(actual: &Value, expected: &Value, place: &str) -> Vec<String> {
    let Some(fields) = expected.as_object() else {
        let same = actual == expected;
        return Vec::from_iter((!same).then(|| format!("{place}: {actual}, not {expected}")));
    };
    fields
        .iter()
        .flat_map(|(name, expected)| {
            differences(&actual[name], expected, &format!("{place}.{name}"))
        })
        .collect()
}

/// Returns the settings that a service does not start without, also to migrate: those of its README's table, and those of
/// every process.
fn required(service: &str) -> BTreeSet<String> {
    let readme = tree::file(&format!("services/{service}/README.md"));
    let of_its_own = readme.text.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (name, default) = (cells.next()?, cells.next()?);
        (default == "required").then(|| name.trim_matches('`').to_owned())
    });
    let process = tree::file("services/chassis/src/config/process.rs");
    let of_every_process = process
        .code()
        .flat_map(|(_, line)| line.split("env.required(&name(\"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(|name| format!("{}_{name}", service.to_uppercase()));
    of_its_own
        .chain(of_every_process)
        .filter(|name| is_given(name))
        .collect()
}

/// Says whether a page has to give a setting that its service reads.
fn is_given(name: &str) -> bool {
    let is_exempt = NOT_GIVEN.iter().any(|(exempt, _)| *exempt == name);
    !is_exempt && !name.ends_with("_CLOCK_MOVABLE")
}

#[test]
fn each_service_has_one_page_with_one_of_each() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let mut kinds: Vec<_> = page.documents.iter().map(|it| text(&it["kind"])).collect();
        kinds.sort_unstable();
        if kinds != KINDS {
            broken.push(page.fault(format!("{kinds:?}")));
        }
        for document in &page.documents {
            let is_job = document["kind"] == "Job";
            let name = format!("{}{}", page.service, if is_job { "-migrate" } else { "" });
            let expected = json!({ "metadata": { "name": name } });
            broken.extend(differences(document, &expected, &page.path));
        }
    }
    let (path, base) = kustomization("base");
    let listed: BTreeSet<_> = list(&base["resources"]).iter().map(text).collect();
    let files = tree::files("deploy/base", ".yaml");
    let files = files.iter().filter(|file| file.path != path);
    let files = files.filter_map(|file| file.path.strip_prefix("deploy/base/"));
    for name in files.collect::<BTreeSet<_>>().symmetric_difference(&listed) {
        broken.push(format!("deploy/base/{name}: not a file, or not listed"));
    }
    tree::none(broken);
}

#[test]
fn a_page_gives_the_settings_that_are_read() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let read = own(page.service).into_iter().chain(shared(page.service));
        let mut read: BTreeSet<_> = read.filter(|name| is_given(name)).collect();
        read.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned());
        let mut given = BTreeSet::new();
        for entry in page.environment("Deployment") {
            let name = text(&entry["name"]);
            if text(&entry["value"]).is_empty() && entry["valueFrom"].is_null() {
                broken.push(page.fault(format!("{name} is empty")));
            }
            if !RUNTIME.contains(&name) && !given.insert(name.to_owned()) {
                broken.push(page.fault(format!("{name} stands twice")));
            }
        }
        for name in read.symmetric_difference(&given) {
            broken.push(page.fault(format!("{name} is not given, or not read")));
        }
    }
    tree::none(broken);
}

#[test]
fn a_migration_is_told_what_the_configuration_demands() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let told = fields(&page.container("Job")["env"], "name");
        let required = required(page.service);
        for name in required.iter().filter(|name| !told.contains(name.as_str())) {
            broken.push(page.fault(format!("{name} is not given to the migration")));
        }
        let serving = page.environment("Deployment");
        for entry in page
            .environment("Job")
            .iter()
            .filter(|it| !serving.contains(it))
        {
            broken.push(page.fault(format!("{} differs between the two", entry["name"])));
        }
    }
    tree::none(broken);
}

#[test]
fn secrets_come_from_secrets() {
    let mut broken = Vec::new();
    for page in Page::all() {
        for kind in WORKLOADS {
            let folders = mounted_secrets(&page, kind);
            for entry in page.environment(kind) {
                let name = text(&entry["name"]);
                let is_secret = SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
                if is_secret && entry["valueFrom"]["secretKeyRef"]["key"].is_null() {
                    broken.push(page.fault(format!("{name} is no secretKeyRef")));
                }
                let path = text(&entry["value"]);
                let is_mounted = folders.iter().any(|it| path.starts_with(&format!("{it}/")));
                if name.ends_with("_FILE") && !is_mounted {
                    broken.push(page.fault(format!("{name} lies in no mounted secret")));
                }
            }
        }
    }
    for file in tree::files("deploy", ".yaml") {
        for document in documents(&file) {
            if document["kind"] == "Secret" || !document["secretGenerator"].is_null() {
                broken.push(format!("{}: a secret in the repository", file.path));
            }
        }
    }
    tree::none(broken);
}

/// Returns the folders of a pod that are secrets and cannot be written to.
fn mounted_secrets<'a>(page: &'a Page, kind: &str) -> Vec<&'a str> {
    let volumes = list(&page.pod(kind)["volumes"]).iter();
    let secrets: BTreeSet<_> = volumes
        .filter(|volume| !volume["secret"].is_null())
        .map(|volume| text(&volume["name"]))
        .collect();
    list(&page.container(kind)["volumeMounts"])
        .iter()
        .filter(|mount| mount["readOnly"] == true && secrets.contains(text(&mount["name"])))
        .map(|mount| text(&mount["mountPath"]))
        .collect()
}

#[test]
fn no_deployment_moves_the_clock() {
    let files = tree::files("deploy", ".yaml").into_iter();
    let files = files.chain([tree::file("deploy/Dockerfile")]);
    let moving = files.filter(|file| file.text.contains("CLOCK_MOVABLE"));
    tree::none(moving.map(|file| file.path).collect());
}

#[test]
fn probes_ask_what_they_are_for() {
    // The name is the code's.
    let health = tree::file("services/chassis/src/health.rs").text;
    let liveness = health.split("LIVENESS: &str = \"").nth(1);
    let liveness = liveness.and_then(|rest| rest.split('"').next()).unwrap();

    let mut broken = Vec::new();
    for page in Page::all() {
        let expected = json!({
            "startupProbe": { "grpc": { "port": PORT, "service": "" } },
            "readinessProbe": { "grpc": { "port": PORT, "service": "" } },
            "livenessProbe": { "grpc": { "port": PORT, "service": liveness } },
        });
        broken.extend(differences(
            page.container("Deployment"),
            &expected,
            &page.path,
        ));
    }
    tree::none(broken);
}

#[test]
fn a_pod_may_take_as_long_to_end_as_its_process() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let grace = page.seconds("GRACE_SECONDS");
        // The grace period is given twice: to the calls, then to the tasks.
        let end = page.seconds("DRAIN_DELAY_SECONDS") + 2 * grace;
        let allowed = page.pod("Deployment")["terminationGracePeriodSeconds"].as_u64();
        if allowed.unwrap_or(0) <= end {
            broken.push(page.fault(format!("may take {allowed:?} s to end, and takes {end}")));
        }
        if grace <= page.seconds("REQUEST_TIMEOUT_SECONDS") {
            broken.push(page.fault("a call may take longer than the grace period"));
        }
    }
    tree::none(broken);
}

#[test]
fn pods_may_do_little() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let pod = json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "initContainers": null,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "serviceAccountName": page.service,
        });
        for kind in WORKLOADS {
            let container = json!({
                "args": [if kind == "Job" { "migrate" } else { "serve" }],
                "image": format!("bekal/{}", page.service),
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                },
            });
            let place = page.fault(kind);
            broken.extend(differences(page.pod(kind), &pod, &place));
            broken.extend(differences(page.container(kind), &container, &place));
            if list(&page.pod(kind)["containers"]).len() != 1 {
                broken.push(format!("{place}: not one container"));
            }
            let resources = &page.container(kind)["resources"];
            for place in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                if resources.pointer(place).is_none() {
                    broken.push(page.fault(format!("{kind}: no resources{place}")));
                }
            }
        }
        let account = json!({ "automountServiceAccountToken": false });
        broken.extend(differences(
            page.one("ServiceAccount"),
            &account,
            &page.path,
        ));
    }
    tree::none(broken);
}

#[test]
fn replicas_go_one_by_one() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let labels = json!({
            "app.kubernetes.io/component": "serve",
            "app.kubernetes.io/name": page.service,
        });
        let deployment = json!({ "spec": {
            "selector": { "matchLabels": labels },
            // Both zero is refused by the API server.
            "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": { "metadata": { "labels": labels } },
        } });
        let mut service_ports = vec![json!({ "name": "grpc", "port": PORT, "targetPort": "grpc" })];
        let mut container_ports = vec![json!({ "name": "grpc", "containerPort": PORT })];
        if page.service == CALLED_BACK {
            let port =
                json!({ "name": "callbacks", "port": CALLBACK_PORT, "targetPort": "callbacks" });
            service_ports.push(port);
            container_ports.push(json!({ "name": "callbacks", "containerPort": CALLBACK_PORT }));
        }
        let service = json!({ "spec": {
            "clusterIP": "None",
            "ports": service_ports,
            "selector": labels,
        } });
        let budget =
            json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } } });
        let ports = json!({ "ports": container_ports });
        // Not found by the service, which would send it calls.
        let job = json!({ "spec": { "template": { "metadata": { "labels": {
            "app.kubernetes.io/component": "migrate",
            "app.kubernetes.io/name": page.service,
        } } } } });
        for (kind, expected) in [
            ("Deployment", deployment),
            ("Service", service),
            ("PodDisruptionBudget", budget),
            ("Job", job),
        ] {
            broken.extend(differences(page.one(kind), &expected, &page.fault(kind)));
        }
        broken.extend(differences(
            page.container("Deployment"),
            &ports,
            &page.path,
        ));
        let entries = page.environment("Deployment").iter();
        let mut addresses = entries.filter(|it| text(&it["name"]).ends_with("_LISTEN_ADDRESS"));
        if !addresses.all(|it| text(&it["value"]).ends_with(&format!(":{PORT}"))) {
            broken.push(page.fault("listens on another port than its own"));
        }
        if list(&page.pod("Deployment")["topologySpreadConstraints"]).is_empty() {
            broken.push(page.fault("replicas are not spread"));
        }
    }
    tree::none(broken);
}

#[test]
fn the_network_lets_through_the_calls_of_the_design() {
    let mut broken = Vec::new();
    for page in Page::all() {
        let callees = CALLS.iter().find(|(service, _)| *service == page.service);
        let (_, callees) = callees.expect("every service is in the table");
        let expected = json!({
            "egress": egress(page.service, callees),
            "ingress": ingress(page.service),
            "podSelector": { "matchLabels": { "app.kubernetes.io/name": page.service } },
            "policyTypes": ["Ingress", "Egress"],
        });
        let policy = &page.one("NetworkPolicy")["spec"];
        broken.extend(differences(policy, &expected, &page.path));

        let values = page.environment("Deployment").iter();
        let addresses = values.filter_map(|it| text(&it["value"]).strip_prefix("http://"));
        let expected: Vec<_> = callees.iter().map(|it| format!("{it}:{PORT}")).collect();
        if addresses.collect::<Vec<_>>() != expected {
            broken.push(page.fault(format!("not the addresses {expected:?}")));
        }
    }
    tree::none(broken);
}

fn peer(service: &str) -> Value {
    json!({ "podSelector": { "matchLabels": { "app.kubernetes.io/name": service } } })
}

/// Those who call the service, and strangers who were let in twice: their namespace, and they themselves.
fn ingress(service: &str) -> Value {
    let callers = CALLS
        .iter()
        .filter(|(_, callees)| callees.contains(&service));
    let stranger = json!({
        "namespaceSelector": { "matchLabels": { "bekal/callers": "true" } },
        "podSelector": { "matchLabels": { format!("bekal/calls-{service}"): "true" } },
    });
    let from: Vec<_> = callers
        .map(|(caller, _)| peer(caller))
        .chain([stranger])
        .collect();
    let mut rules = vec![json!({ "from": from, "ports": [{ "port": PORT }] })];
    if service == CALLED_BACK {
        let forwarder = json!({
            "namespaceSelector": { "matchLabels": { "bekal/callers": "true" } },
            "podSelector": { "matchLabels": { "bekal/forwards-rail-callbacks": "true" } },
        });
        rules.push(json!({ "from": [forwarder], "ports": [{ "port": CALLBACK_PORT }] }));
    }
    Value::Array(rules)
}

/// The outside first, since overlays replace that rule by its place; then peers, surroundings, names.
fn egress(service: &str, callees: &[&str]) -> Vec<Value> {
    let outside = json!({
        "to": [{ "ipBlock": { "cidr": "192.0.2.0/24" } }],
        "ports": [{ "port": 443 }],
    });
    let peers: Vec<_> = callees.iter().map(|callee| peer(callee)).collect();
    let peers = json!({ "to": peers, "ports": [{ "port": PORT }] });
    let surroundings = [
        ("postgresql", json!([{ "port": 5432 }])),
        ("rabbitmq", json!([{ "port": 5672 }, { "port": 5671 }])),
        ("otlp", json!([{ "port": 4317 }])),
    ];
    let names = json!({
        "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } } }],
        "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
    });

    let outside = OUTGOING.contains(&service).then_some(outside);
    let peers = (!callees.is_empty()).then_some(peers);
    let surroundings = surroundings.map(|(provided, ports)| {
        let labels = json!({ "matchLabels": { "bekal/provides": provided } });
        json!({ "to": [{ "namespaceSelector": {}, "podSelector": labels }], "ports": ports })
    });
    outside
        .into_iter()
        .chain(peers)
        .chain(surroundings)
        .chain([names])
        .collect()
}

#[test]
fn overlays_change_no_structure() {
    let known = [
        "apiVersion",
        "configMapGenerator",
        "images",
        "kind",
        "namespace",
        "patches",
        "replicas",
        "resources",
    ];
    let named = SERVICES.map(|service| format!("bekal/{service}"));
    let named: BTreeSet<_> = named.iter().map(String::as_str).collect();
    let mut broken = Vec::new();
    for name in OVERLAYS {
        let (path, overlay) = kustomization(&format!("overlays/{name}"));
        let keys = overlay.as_object().into_iter().flat_map(|it| it.keys());
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            broken.push(format!("{path}: {key}"));
        }
        broken.extend(differences(
            &overlay,
            &json!({ "resources": ["../../base"] }),
            &path,
        ));
        let unpinned = |image: &&Value| {
            let is_tagged = !["", "latest"].contains(&text(&image["newTag"]));
            !is_tagged && image["digest"].is_null()
        };
        if fields(&overlay["images"], "name") != named {
            broken.push(format!("{path}: not the images of the five services"));
        }
        for image in list(&overlay["images"]).iter().filter(unpinned) {
            broken.push(format!("{path}: {} has no version", image["name"]));
        }
        if fields(&overlay["replicas"], "name") != BTreeSet::from(SERVICES) {
            broken.push(format!("{path}: not the replicas of the five services"));
        }
        for patch in list(&overlay["patches"]) {
            let addresses = json!({ "target": { "kind": "NetworkPolicy" } });
            broken.extend(differences(patch, &addresses, &path));
        }
    }
    let expected = OVERLAYS.map(|name| format!("deploy/overlays/{name}/kustomization.yaml"));
    for file in tree::files("deploy/overlays", "") {
        if !expected.contains(&file.path) {
            broken.push(format!("{}: not a part of an overlay", file.path));
        }
    }
    tree::none(broken);
}

/// Returns the keys that a kustomization gives the map `site`.
fn site_keys(kustomization: &Value) -> BTreeSet<&str> {
    let generators = list(&kustomization["configMapGenerator"]).iter();
    generators
        .filter(|generator| generator["name"] == "site")
        .flat_map(|generator| list(&generator["literals"]))
        .filter_map(|literal| text(literal).split('=').next())
        .collect()
}

#[test]
fn what_differs_from_place_to_place_is_known_to_the_base() {
    let (_, base) = kustomization("base");
    let known = site_keys(&base);
    let mut broken = Vec::new();
    for page in Page::all() {
        for entry in WORKLOADS.iter().flat_map(|kind| page.environment(kind)) {
            let reference = &entry["valueFrom"]["configMapKeyRef"];
            let is_known = reference["name"] == "site" && known.contains(text(&reference["key"]));
            if !reference.is_null() && !is_known {
                broken.push(page.fault(reference));
            }
        }
    }
    for name in OVERLAYS {
        let (path, overlay) = kustomization(&format!("overlays/{name}"));
        for key in site_keys(&overlay).difference(&known) {
            broken.push(format!("{path}: {key} is not known"));
        }
    }
    tree::none(broken);
}

#[test]
fn the_image_is_built_by_the_workspace_s_rust_and_runs_alone() {
    let dockerfile = tree::file("deploy/Dockerfile").text;
    let manifest: toml::Table = toml::from_str(&tree::file("Cargo.toml").text).unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str();

    let lines = dockerfile.lines();
    let bases = lines.filter_map(|line| line.strip_prefix("FROM "));
    let bases: Vec<_> = bases.filter_map(|rest| rest.split(' ').next()).collect();

    // Plain names: one with a slash may name a host.
    let builder = format!("rust:{}-bookworm", rust.unwrap());
    assert_eq!(bases, [builder.as_str(), "scratch"]);
    assert!(dockerfile.contains(&format!("\nUSER {USER}:{USER}\n")));
    assert!(dockerfile.contains(" --locked "));
}

/// Returns the alert rules.
fn alerts() -> Vec<Value> {
    let file = documents(&tree::file("deploy/observability/alerts.yaml"));
    let groups = file.iter().flat_map(|it| list(&it["groups"]));
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules.cloned().collect()
}

#[test]
fn every_alert_is_tested_and_explained() {
    let guide = tree::file("deploy/README.md").text;
    let titles = guide.lines().filter_map(|line| line.strip_prefix("### "));
    let tests = tree::file("deploy/observability/alerts_test.yaml").text;
    let alerts = alerts();
    let names: BTreeSet<_> = alerts.iter().map(|rule| text(&rule["alert"])).collect();
    assert!(!names.is_empty(), "there are no alerts");

    let mut broken = Vec::new();
    for name in names.symmetric_difference(&titles.collect()) {
        broken.push(format!("{name}: no alert, or no text in deploy/README.md"));
    }
    for rule in &alerts {
        let name = text(&rule["alert"]);
        if !tests.contains(&format!("alertname: {name}\n")) {
            broken.push(format!("{name}: no test"));
        }
        let runbook = format!("deploy/README.md#{}", name.to_lowercase());
        let expected = json!({ "annotations": { "runbook": runbook } });
        broken.extend(differences(rule, &expected, name));
        if !["page", "ticket"].contains(&text(&rule["labels"]["severity"])) {
            broken.push(format!("{name}: no severity"));
        }
    }
    tree::none(broken);
}

/// Returns the metrics that the services export, as Prometheus sees them.
fn exported() -> BTreeSet<String> {
    let makers: [(&str, &[&str]); 4] = [
        ("u64_counter(\"", &["_total"]),
        ("u64_gauge(\"", &[""]),
        ("f64_gauge(\"", &[""]),
        // Of seconds, as all of ours are.
        (
            "f64_histogram(\"",
            &["_seconds_bucket", "_seconds_count", "_seconds_sum"],
        ),
    ];
    let mut found = BTreeSet::new();
    for source in tree::files("services", ".rs") {
        for (_, line) in source.code() {
            for (maker, endings) in makers {
                let made = line.split(maker).nth(1);
                let name = made.and_then(|rest| rest.split('"').next());
                let name = name.map(|name| name.replace('.', "_"));
                let seen = name
                    .iter()
                    .flat_map(|name| endings.iter().map(move |it| format!("{name}{it}")));
                found.extend(seen);
            }
        }
    }
    found
}

/// Returns the words of an expression that look like metrics; what is quoted is none.
fn metrics(expression: &str) -> Vec<&str> {
    expression
        .split('"')
        .step_by(2)
        .flat_map(|part| {
            part.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        })
        .filter(|word| word.contains('_') && !QUERY_WORDS.contains(word))
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let exported = exported();
    let alerts = alerts();
    let dashboard = tree::file("deploy/observability/dashboard.json").text;
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = list(&dashboard["panels"]).iter();
    let targets = panels.flat_map(|panel| list(&panel["targets"]));
    let alerts = alerts
        .iter()
        .map(|rule| (text(&rule["alert"]), &rule["expr"]));
    let expressions = alerts.chain(targets.map(|target| ("dashboard.json", &target["expr"])));

    let mut broken = Vec::new();
    for (name, expression) in expressions {
        let metrics = metrics(text(expression));
        if metrics.is_empty() {
            broken.push(format!("{name}: asks for no metric"));
        }
        for metric in metrics {
            if !exported.contains(metric) && !OUTSIDE_METRICS.contains(&metric) {
                broken.push(format!("{name}: {metric} is no metric"));
            }
        }
    }
    tree::none(broken);
}
