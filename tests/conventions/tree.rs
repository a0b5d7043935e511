//! Reading the working tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::stack::checkout;

/// The five services.
pub(crate) const SERVICES: [&str; 5] = ["identity", "catalog", "enrollment", "payout", "jobs"];

/// A file of the tree.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Returns the lines with their numbers, without comments and without tests: what follows `#[cfg(test)]`, and files
    /// that hold nothing else.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let only_tests = self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs");
        let text = if only_tests { "" } else { &self.text };
        text.lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.code().any(|(_, line)| holds_word(line, word))
    }
}

/// Returns the files with an ending below a folder of the checkout, in order; none when there is no such folder.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&checkout().join(folder), ending, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap_or_default(),
            path: below_checkout(&path),
        })
        .collect()
}

/// Returns one file; empty when it is missing, so that the rule about it fails and not the reading.
pub(crate) fn file(path: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: fs::read_to_string(checkout().join(path)).unwrap_or_default(),
    }
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&path, ending, found);
        } else if path.is_file() && name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn below_checkout(path: &Path) -> String {
    let below = path.strip_prefix(checkout()).unwrap_or(path);
    below.to_string_lossy().into_owned()
}

/// Says whether a word stands in a line, not as a part of a longer one.
pub(crate) fn holds_word(line: &str, word: &str) -> bool {
    let part_of_word =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    line.match_indices(word).any(|(start, _)| {
        let (head, tail) = (
            &line.as_bytes()[..start],
            &line.as_bytes()[start + word.len()..],
        );
        !part_of_word(head.last()) && !part_of_word(tail.first())
    })
}

/// Fails with all that breaks a rule, one a line.
pub(crate) fn none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
