//! Settings: what a service reads, what its README says, and what the local stack gives agree.

use std::collections::BTreeSet;

use crate::tree::{self, SERVICES};

/// Returns the names in a text that begin with the service's prefix.
fn names(text: &str, service: &str) -> BTreeSet<String> {
    let prefix = format!("{}_", service.to_uppercase());
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with(&prefix) && word.len() > prefix.len())
        .filter(|word| {
            word.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
        .map(str::to_owned)
        .collect()
}

/// Returns what the service's own configuration reads.
pub(crate) fn own(service: &str) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    let mut sources = tree::files(&format!("services/{service}/src/config"), ".rs");
    sources.push(tree::file(&format!("services/{service}/src/config.rs")));
    for source in sources {
        for (_, line) in source.code() {
            own.extend(names(line, service));
        }
    }
    own
}

/// Returns what every process reads, under this service's prefix.
pub(crate) fn shared(service: &str) -> BTreeSet<String> {
    let prefix = service.to_uppercase();
    let process = tree::file("services/chassis/src/config/process.rs");
    process
        .code()
        .flat_map(|(_, line)| line.split("name(\"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .chain(["LOG", "LOG_FORMAT"])
        .map(|setting| format!("{prefix}_{setting}"))
        .collect()
}

#[test]
fn the_readme_lists_what_the_service_reads() {
    let mut broken = Vec::new();
    for service in SERVICES {
        let readme = tree::file(&format!("services/{service}/README.md"));
        let listed = names(&readme.text, service);
        let (own, shared) = (own(service), shared(service));
        for missing in own.difference(&listed) {
            broken.push(format!("{}: {missing} is not listed", readme.path));
        }
        for unknown in listed
            .iter()
            .filter(|n| !own.contains(*n) && !shared.contains(*n))
        {
            broken.push(format!("{}: {unknown} is not read", readme.path));
        }
    }
    tree::none(broken);
}

#[test]
fn the_local_stack_gives_only_what_is_read() {
    let given = tree::file("tests/src/cluster/settings.rs");
    let words: BTreeSet<_> = given
        .code()
        .flat_map(|(_, line)| line.split('"').skip(1).step_by(2))
        .filter(|word| {
            word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .collect();
    let mut broken = Vec::new();
    for word in words {
        let read = SERVICES.iter().any(|service| {
            let name = format!("{}_{word}", service.to_uppercase());
            own(service).contains(&name) || shared(service).contains(&name)
        });
        if !read {
            broken.push(format!("{word} is read by no service"));
        }
    }
    tree::none(broken);
}
