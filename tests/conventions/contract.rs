//! The contract: who may call what, what can be repeated, and that events and reasons are not only declared.

use std::fmt::Write;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use tests::{accounts::CALLERS, stack};

use crate::tree::{self, SERVICES, holds_word};

/// Methods that only read, by the first word of their name.
const READING: &[&str] = &[
    "Get",
    "List",
    "BatchGet",
    "Search",
    "Recommend",
    "Download",
    "Audit",
    "Attest",
    "Trace",
    "Explain",
    "Replay",
    "Stream",
    "Verify",
];

/// Methods that change something and can be repeated without a `request_id`, each with the reason.
const REPEATABLE: &[(&str, &str)] = &[
    (
        "IssueToken",
        "a token is not state; a second one does no harm",
    ),
    (
        "AdvanceClock",
        "a time that has passed already changes nothing",
    ),
    (
        "HoldSeat",
        "the caller chooses the hold's name, which is its key",
    ),
    ("ConfirmSeat", "the hold's name is the key"),
    ("ReleaseSeat", "the hold's name is the key"),
    (
        "HoldFunds",
        "the caller chooses the hold's name, which is its key",
    ),
    ("CaptureFunds", "the hold's name is the key"),
    ("ReleaseFunds", "the hold's name is the key"),
    (
        "CreateLedgerAccounts",
        "the caller chooses each account's name, which is its key",
    ),
    (
        "CreateTransfers",
        "the caller chooses each transfer's name, which is its key",
    ),
];

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)
        .expect("the contract's descriptor set is whole")
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = pool();
    let ours = pool
        .services()
        .filter(|service| service.full_name().starts_with("bekal."));
    let mut all: Vec<_> = ours
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect();
    all.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    all
}

fn option(method: &MethodDescriptor, name: &str) -> Option<String> {
    let extension = pool().get_extension_by_name(&format!("bekal.type.v1.{name}"))?;
    let options = method.options();
    let value = options.get_extension(&extension);
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
}

#[test]
fn every_method_names_its_permission() {
    let mut broken = Vec::new();
    for method in methods() {
        let Some(permission) = option(&method, "permission") else {
            broken.push(format!("{}: no permission", method.full_name()));
            continue;
        };
        // bekal.<service>.v1.…
        let service = method.full_name().split('.').nth(1).unwrap_or_default();
        let parts: Vec<_> = permission.split('.').collect();
        if permission != "public" && (parts.len() != 3 || parts[0] != service) {
            broken.push(format!("{}: {permission}", method.full_name()));
        }
    }
    tree::none(broken);
}

#[test]
fn an_owner_is_a_field_of_the_request() {
    let mut broken = Vec::new();
    for method in methods() {
        let Some(owner) = option(&method, "owner") else {
            continue;
        };
        // `name` leads to the account through the resource; `any` lets every account call.
        let known = ["name", "any"].contains(&owner.as_str());
        if !known && method.input().get_field_by_name(&owner).is_none() {
            broken.push(format!("{}: no field {owner}", method.full_name()));
        }
    }
    tree::none(broken);
}

/// The list is read in reviews: a change of who may call what shows as a change of this file.
#[test]
fn the_list_of_methods_is_the_one_that_was_reviewed() {
    let mut list = String::from(
        "# Every method with its permission; `+` its owner may call it for themselves. Written by tests/conventions.\n",
    );
    for method in methods() {
        let permission = option(&method, "permission").unwrap_or_default();
        let owner = if option(&method, "owner").is_some() {
            " +"
        } else {
            ""
        };
        writeln!(list, "{} {permission}{owner}", method.full_name()).unwrap();
    }
    let path = stack::checkout().join("tests/conventions/methods.txt");
    if stack::setting("BEKAL_UPDATE").is_some() {
        std::fs::write(&path, &list).unwrap();
    }

    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();

    let changed: Vec<_> = list
        .lines()
        .filter(|line| !reviewed.lines().any(|known| known == *line))
        .map(|line| format!("not in the list: {line}"))
        .chain(
            reviewed
                .lines()
                .filter(|line| !list.lines().any(|known| known == *line))
                .map(|line| format!("no longer there: {line}")),
        )
        .collect();
    assert!(
        changed.is_empty(),
        "\n{}\nif that is meant: BEKAL_UPDATE=1 cargo nextest run -p tests --test conventions",
        changed.join("\n")
    );
}

#[test]
fn what_changes_something_can_be_repeated() {
    let mut broken = Vec::new();
    for method in methods() {
        let reads = READING.iter().any(|word| method.name().starts_with(word));
        let exempt = REPEATABLE.iter().any(|(name, _)| method.name() == *name);
        // An import's rows are their own keys: the same row again changes nothing.
        if reads || exempt || method.is_client_streaming() {
            continue;
        }
        if method.input().get_field_by_name("request_id").is_none() {
            broken.push(format!("{}: no request_id", method.full_name()));
        }
    }
    tree::none(broken);
}

#[test]
fn every_list_pages() {
    let mut broken = Vec::new();
    for method in methods() {
        if !method.name().starts_with("List") {
            continue;
        }
        let (input, output) = (method.input(), method.output());
        let pages = input.get_field_by_name("page_size").is_some()
            && input.get_field_by_name("page_token").is_some()
            && output.get_field_by_name("next_page_token").is_some();
        if !pages {
            broken.push(method.full_name().to_owned());
        }
    }
    tree::none(broken);
}

#[test]
fn each_permission_of_a_test_stack_is_held_and_means_something() {
    let permissions: Vec<_> = methods()
        .iter()
        .filter_map(|method| option(method, "permission"))
        .filter(|permission| permission != "public")
        .collect();
    let held: Vec<_> = CALLERS
        .iter()
        .flat_map(|caller| caller.permissions())
        .collect();
    let covers = |pattern: &str, permission: &str| match pattern.strip_suffix('*') {
        Some(head) => permission.starts_with(head),
        None => permission == pattern,
    };

    let mut broken = Vec::new();
    for permission in &permissions {
        if !held.iter().any(|pattern| covers(pattern, permission)) {
            broken.push(format!("nobody holds {permission}"));
        }
    }
    for pattern in held {
        if !permissions
            .iter()
            .any(|permission| covers(pattern, permission))
        {
            broken.push(format!("{pattern} is no permission"));
        }
    }
    tree::none(broken);
}

/// Returns the events of a service: the messages of its `events.proto` that carry news, with their comments.
fn events(service: &str) -> Vec<(String, String)> {
    let text = tree::file(&format!("proto/bekal/{service}/v1/events.proto")).text;
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("//") {
            comment.push_str(more);
        } else if let Some(rest) = line.strip_prefix("message ") {
            let name = rest.split_whitespace().next().unwrap_or_default();
            // A message without a subject is a part of an event.
            if comment.contains("Subject:") {
                found.push((name.to_owned(), comment.clone()));
            }
            comment.clear();
        } else {
            comment.clear();
        }
    }
    found
}

#[test]
fn every_event_is_produced_and_heard() {
    let mut broken = Vec::new();
    for producer in SERVICES {
        let sources = tree::files(&format!("services/{producer}/src"), ".rs");
        for (event, comment) in events(producer) {
            if !sources.iter().any(|source| source.has(&event)) {
                broken.push(format!("{producer}: {event} is not produced"));
            }
            let heard = SERVICES
                .iter()
                .filter(|other| **other != producer)
                .any(|other| {
                    let sources = tree::files(&format!("services/{other}/src"), ".rs");
                    sources.iter().any(|source| source.has(&event))
                });
            if !heard && !comment.contains("No subscriber") {
                broken.push(format!(
                    "{producer}: nobody hears {event}; if that is meant, its comment says `No subscriber yet: …`"
                ));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn every_reason_is_given_somewhere() {
    let mut broken = Vec::new();
    let owners = SERVICES
        .iter()
        .map(|service| (*service, *service))
        .chain([("type", "chassis")]);
    for (package, folder) in owners {
        let Some(reasons) = pool().get_enum_by_name(&format!("bekal.{package}.v1.ErrorReason"))
        else {
            broken.push(format!("bekal.{package}.v1 has no ErrorReason"));
            continue;
        };
        let sources = tree::files(&format!("services/{folder}/src"), ".rs");
        for reason in reasons.values().filter(|reason| reason.number() != 0) {
            let name = reason.name().trim_start_matches("ERROR_REASON_").to_owned();
            let variant = camel(&name);
            let given = sources.iter().any(|source| {
                source.code().any(|(_, line)| {
                    line.contains(&format!("\"{name}\""))
                        || (line.contains("Reason::") && holds_word(line, &variant))
                })
            });
            if !given {
                broken.push(format!("{package}: {name} is declared and never given"));
            }
        }
    }
    tree::none(broken);
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let (head, tail) = word.split_at(1);
            head.to_owned() + &tail.to_lowercase()
        })
        .collect()
}
