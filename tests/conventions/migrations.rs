//! The migrations: copies of the shared tables are equal, numbers have no gap, names say what happens.

use crate::tree::{self, SERVICES};

#[test]
fn the_shared_tables_are_copied_to_the_byte() {
    let canonical = [
        ("chassis", "0001_chassis.sql"),
        ("messaging", "0002_messaging.sql"),
    ];
    let mut broken = Vec::new();
    for (owner, name) in canonical {
        let original = tree::file(&format!("services/{owner}/migrations/{name}"));
        assert!(!original.text.is_empty(), "{} is missing", original.path);
        for service in SERVICES {
            let copy = tree::file(&format!("services/{service}/migrations/{name}"));
            if copy.text != original.text {
                broken.push(format!("{} differs from {}", copy.path, original.path));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let mut broken = Vec::new();
    for service in SERVICES {
        let files = tree::files(&format!("services/{service}/migrations"), ".sql");
        if files.is_empty() {
            broken.push(format!("{service} has no migrations"));
        }
        for (index, migration) in files.iter().enumerate() {
            let expected = format!("/migrations/{:04}_", index + 1);
            if !migration.path.contains(&expected) {
                broken.push(format!("{}: expected {expected}", migration.path));
            }
        }
    }
    tree::none(broken);
}

#[test]
fn migrations_say_why() {
    let silent = SERVICES
        .iter()
        .flat_map(|service| tree::files(&format!("services/{service}/migrations"), ".sql"))
        .filter(|migration| {
            !migration
                .text
                .lines()
                .any(|line| line.trim_start().starts_with("--"))
        })
        .map(|migration| migration.path);
    tree::none(silent.collect());
}
