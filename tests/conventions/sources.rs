//! How sources are laid out: layers, purity, the only places of SQL and of statuses, openings.

use crate::tree::{self, SERVICES, Source, holds_word};

/// The modules that a layer may not name.
fn forbidden_in(layer: &str) -> &'static [&'static str] {
    match layer {
        "app" => &["rpc"],
        "storage" => &["rpc", "app", "events"],
        "domain" => &["rpc", "app", "storage", "events", "error", "config"],
        _ => &[],
    }
}

fn service_sources(service: &str) -> Vec<Source> {
    tree::files(&format!("services/{service}/src"), ".rs")
}

/// Returns the layer of a service's file: the first part of its path below `src`.
fn layer(source: &Source) -> &str {
    let below = source
        .path
        .split_once("/src/")
        .map_or("", |(_, below)| below);
    let first = below.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn imports_point_down() {
    let mut broken = Vec::new();
    for source in SERVICES.iter().flat_map(|service| service_sources(service)) {
        for module in forbidden_in(layer(&source)) {
            for (number, line) in source.code() {
                // `crate::{app, …}` and `crate::app::…` alike.
                let imported = line.contains(&format!("crate::{module}"))
                    || (line.contains("crate::{") && holds_word(line, module));
                if imported {
                    broken.push(format!("{}:{number}: uses {module}", source.path));
                }
            }
        }
    }
    tree::none(broken);
}

#[test]
fn the_domain_is_pure() {
    let foreign = [
        "sqlx",
        "tonic",
        "tokio",
        "prost",
        "proto",
        "async",
        "chassis::Clock",
    ];
    let mut broken = Vec::new();
    for source in SERVICES.iter().flat_map(|service| service_sources(service)) {
        if layer(&source) != "domain" {
            continue;
        }
        for (number, line) in source.code() {
            for word in foreign.iter().filter(|word| holds_word(line, word)) {
                broken.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn sql_stands_under_storage() {
    let mut broken = Vec::new();
    for source in tree::files("services", ".rs") {
        let shared = source.path.starts_with("services/chassis/")
            || source.path.starts_with("services/messaging/");
        if shared || layer(&source) == "storage" || source.path.contains("/tests/") {
            continue;
        }
        for (number, line) in source.code() {
            if line.contains("sqlx::query") {
                broken.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn a_status_is_built_in_one_place() {
    let mut broken = Vec::new();
    for source in tree::files("services", ".rs") {
        if source.path.starts_with("services/chassis/src/status") || source.path.contains("/tests/")
        {
            continue;
        }
        for (number, line) in source.code() {
            let made = line.split("Status::").skip(1).any(|rest| {
                // `Status::from(refusal)` is the way; variants of other enums begin with a capital.
                rest.starts_with(|letter: char| letter.is_lowercase()) && !rest.starts_with("from")
            });
            if made && !line.contains("StatusCode::") {
                broken.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn every_file_opens_with_what_is_in_it() {
    let mut broken = Vec::new();
    for folder in ["proto", "services", "tests"] {
        for source in tree::files(folder, ".rs") {
            if !source.text.starts_with("//! ") {
                broken.push(source.path);
            }
        }
    }
    tree::none(broken);
}

#[test]
fn no_file_hides_its_module_in_mod_rs() {
    let found = tree::files("services", "mod.rs");
    tree::none(found.into_iter().map(|source| source.path).collect());
}

#[test]
fn main_is_three_acts() {
    let mut broken = Vec::new();
    for service in SERVICES {
        let main = tree::file(&format!("services/{service}/src/main.rs"));
        let length = main.text.lines().count();
        if length == 0 || length > 40 {
            broken.push(format!("{}: {length} lines", main.path));
        }
    }
    tree::none(broken);
}

#[test]
fn scripts_stop_at_the_first_failure() {
    let scripts = [
        "tests/run",
        "tests/load/run",
        "deploy/local/up",
        "deploy/local/down",
        "deploy/local/demo",
    ];
    let mut broken = Vec::new();
    for path in scripts {
        let script = tree::file(path);
        let right = script.text.starts_with("#!/usr/bin/env bash\n")
            && script.text.lines().any(|line| line == "set -euo pipefail");
        if !right {
            broken.push(script.path);
        }
    }
    tree::none(broken);
}
