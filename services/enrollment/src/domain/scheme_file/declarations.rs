//! The facts that rules may use.

use std::collections::BTreeMap;

use crate::domain::{
    facts::{BUILT_IN, FactKind, FactValue, Facts},
    rule::is_free_name,
    toml_reader::Table,
};

/// Reads the types of the facts, and the defaults of those that have one.
pub(super) fn read(root: &Table<'_, '_>) -> (BTreeMap<String, FactKind>, Facts) {
    let mut kinds: BTreeMap<String, FactKind> = BUILT_IN
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
    let mut defaults = Facts::default();
    let Some(table) = root.table("facts") else {
        return (kinds, defaults);
    };
    for name in table.keys() {
        let declared = if table.is_table(&name) {
            table.table(&name).and_then(|fact| {
                let kind = kind(&fact, "kind");
                let default = kind.and_then(|kind| default(&fact, kind));
                fact.refuse_unknown();
                Some((kind?, default))
            })
        } else {
            kind(&table, &name).map(|kind| (kind, None))
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let is_name = table.check(
            is_name,
            &name,
            "is not a name of lower-case letters, digits and underscores",
        ) && table.check(
            is_free_name(&name),
            &name,
            "is a word of the rules' language",
        );
        let is_new = !BUILT_IN.iter().any(|(built_in, _)| *built_in == name);
        let is_new = table.check(is_new, &name, "is a fact that every scheme has");
        if let Some((kind, default)) = declared.filter(|_| is_name && is_new) {
            if let Some(default) = default {
                defaults.insert(name.clone(), default);
            }
            kinds.insert(name, kind);
        }
    }
    (kinds, defaults)
}

fn kind(table: &Table<'_, '_>, key: &str) -> Option<FactKind> {
    let word = table.text(key, 1..=10)?;
    let kind = [FactKind::Bool, FactKind::Int, FactKind::Text]
        .into_iter()
        .find(|kind| kind.to_string() == word);
    table.require(kind, key, "is none of bool, int, string")
}

fn default(fact: &Table<'_, '_>, kind: FactKind) -> Option<FactValue> {
    const KEY: &str = "default";
    if !fact.has(KEY) {
        return None;
    }
    match kind {
        FactKind::Bool => fact.boolean(KEY).map(FactValue::Bool),
        FactKind::Int => {
            let number = fact.integer(KEY, i32::MIN..=i32::MAX)?;
            Some(FactValue::Int(number.into()))
        }
        FactKind::Text => fact.text(KEY, 0..=100).map(FactValue::Text),
    }
}
