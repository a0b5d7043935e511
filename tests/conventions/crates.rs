//! Which crate may depend on which, and where versions stand.

use std::process::Command;

use serde_json::Value;
use tests::stack::checkout;

use crate::tree::{self, SERVICES};

/// What each crate may use of ours; a service may use the shared crates, its neighbours never.
fn may_use(crate_name: &str) -> &'static [&'static str] {
    match crate_name {
        "proto" | "draw" => &[],
        // For money, the clock's service and identity's tokens; see "Decisions" in README.md.
        "chassis" => &["proto"],
        // The load of the relay works with the crate itself.
        "tests" => &["chassis", "messaging", "proto"],
        "messaging" => &["chassis"],
        "enrollment" => &["chassis", "draw", "messaging", "proto"],
        _ => &["chassis", "messaging", "proto"],
    }
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(checkout())
        .output()
        .expect("cargo can be started");
    let metadata = serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    list(&metadata, "packages").to_vec()
}

fn dependencies(package: &Value) -> &[Value] {
    list(package, "dependencies")
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let mut broken = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in dependencies(&package) {
            let other = dependency["name"].as_str().unwrap();
            let ours = !dependency["path"].is_null();
            if ours && other != name && !may_use(name).contains(&other) {
                broken.push(format!("{name} depends on {other}"));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn every_crate_is_one_that_the_layout_knows() {
    let known = ["proto", "chassis", "messaging", "draw", "tests"];
    let unknown = packages()
        .iter()
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .filter(|name| !known.contains(&name.as_str()) && !SERVICES.contains(&name.as_str()))
        .collect();
    tree::none(unknown);
}

#[test]
fn the_broker_is_named_in_messaging_alone() {
    let mut broken: Vec<_> = packages()
        .iter()
        // The load of the relay has bare publishing for its yardstick.
        .filter(|package| package["name"] != "messaging" && package["name"] != "tests")
        .filter(|package| dependencies(package).iter().any(|d| d["name"] == "lapin"))
        .map(|package| format!("{} depends on lapin", package["name"]))
        .collect();
    for source in tree::files("services", ".rs") {
        // The default filter of the log says what is not logged.
        let is_free = source.path.starts_with("services/messaging/")
            || source.path == "services/chassis/src/telemetry.rs";
        if !is_free && source.has("lapin") {
            broken.push(format!("{} names lapin", source.path));
        }
    }
    tree::none(broken);
}

#[test]
fn versions_stand_in_the_root_manifest_alone() {
    let mut broken = Vec::new();
    for manifest in tree::files("", "Cargo.toml") {
        if manifest.path == "Cargo.toml" {
            continue;
        }
        let document: toml::Table = toml::from_str(&manifest.text).unwrap();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = document.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, wish) in table {
                if wish.get("workspace") != Some(&toml::Value::Boolean(true)) {
                    broken.push(format!(
                        "{}: {name} without workspace = true",
                        manifest.path
                    ));
                }
            }
        }
        if document
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .is_none()
        {
            broken.push(format!("{}: no [lints] workspace = true", manifest.path));
        }
    }
    tree::none(broken);
}
