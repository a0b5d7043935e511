//! The guides: one in each folder that governs something, short enough to be read.

use crate::tree;

const LINES_MAX: usize = 150;

#[test]
fn every_folder_has_its_guide() {
    let folders = [
        "",
        "proto/",
        "services/",
        "services/chassis/",
        "services/messaging/",
        "services/draw/",
        "services/identity/",
        "services/catalog/",
        "services/enrollment/",
        "services/payout/",
        "services/jobs/",
        "deploy/",
        "deploy/local/",
        "tests/",
    ];
    let missing = folders
        .iter()
        .map(|folder| tree::file(&format!("{folder}README.md")))
        .filter(|readme| readme.text.is_empty())
        .map(|readme| readme.path);
    tree::none(missing.collect());
}

#[test]
fn guides_are_short() {
    let long = tree::files("", "README.md")
        .into_iter()
        .filter(|readme| readme.text.lines().count() > LINES_MAX)
        .map(|readme| format!("{}: {} lines", readme.path, readme.text.lines().count()));
    tree::none(long.collect());
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in tree::files("", ".md") {
        let folder = document
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        for link in document
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://");
            let path = tests::stack::checkout().join(folder).join(target);
            if !outside && !path.exists() {
                broken.push(format!("{}: {link}", document.path));
            }
        }
    }
    tree::none(broken);
}
