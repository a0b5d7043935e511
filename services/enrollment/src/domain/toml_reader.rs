//! Reads a TOML document key by key and collects every mistake with its line: wrong syntax, wrong type, missing keys,
//! and keys that nobody asked for.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::{Range, RangeInclusive},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The key with those above it, such as `rules[2].reason`; empty for a mistake of syntax.
    pub key: String,
    /// What is wrong.
    pub text: String,
}

/// A document that is being read.
pub struct Document<'i> {
    content: &'i str,
    root: Spanned<DeTable<'i>>,
    mistakes: RefCell<Vec<Mistake>>,
}

/// A table of it.
pub struct Table<'d, 'i> {
    document: &'d Document<'i>,
    table: &'d DeTable<'i>,
    path: String,
    /// Where it stands, for keys that are missing.
    span: Range<usize>,
    asked: RefCell<BTreeSet<String>>,
}

// === impl Document ===

impl<'i> Document<'i> {
    /// Parses a document; what the syntax lacks is a mistake like others.
    pub fn parse(content: &'i str) -> Document<'i> {
        let (root, errors) = DeTable::parse_recoverable(content);
        let document = Document {
            content,
            root,
            mistakes: RefCell::default(),
        };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            document.reject(at, "", error.message());
        }
        document
    }

    /// Returns the whole document as a table.
    pub fn root(&self) -> Table<'_, 'i> {
        Table {
            document: self,
            table: self.root.get_ref(),
            path: String::new(),
            span: 0..0,
            asked: RefCell::default(),
        }
    }

    /// Returns all mistakes, in the order of the document.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }

    fn reject(&self, at: usize, key: &str, text: impl Into<String>) {
        self.reject_line(self.line_of(at), key, text.into());
    }

    fn reject_line(&self, line: usize, key: &str, text: String) {
        let key = key.to_owned();
        self.mistakes.borrow_mut().push(Mistake { line, key, text });
    }

    fn line_of(&self, at: usize) -> usize {
        let before = self.content.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

// === impl Table ===

impl<'d, 'i> Table<'d, 'i> {
    /// Returns the table's keys in the order of their names.
    pub fn keys(&self) -> Vec<String> {
        self.table
            .keys()
            .map(|key| key.get_ref().to_string())
            .collect()
    }

    /// Reads a text of so many bytes.
    pub fn text(&self, key: &str, bytes: RangeInclusive<usize>) -> Option<String> {
        let value = self.value(key)?;
        let text = self.typed(key, value.get_ref().as_str(), "a text")?;
        let fits = bytes.contains(&text.len());
        let (least, most) = bytes.into_inner();
        self.check(fits, key, &format!("is not {least} to {most} bytes long"))
            .then(|| text.to_owned())
    }

    /// Reads a whole number within limits.
    pub fn integer(&self, key: &str, limits: RangeInclusive<i32>) -> Option<i32> {
        let value = self.value(key)?;
        let digits = self.typed(key, value.get_ref().as_integer(), "a whole number")?;
        let number = i32::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|number| limits.contains(number));
        let (least, most) = limits.into_inner();
        self.require(number, key, &format!("is not within {least} and {most}"))
    }

    /// Reads a yes or no.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        self.typed(key, value.get_ref().as_bool(), "true or false")
    }

    /// Reads a table.
    pub fn table(&self, key: &str) -> Option<Table<'d, 'i>> {
        let value = self.value(key)?;
        let table = self.typed(key, value.get_ref().as_table(), "a table")?;
        Some(self.below(self.path_of(key), table, self.key_span(key)))
    }

    /// Reads an array of tables; absent counts as empty.
    pub fn tables(&self, key: &str, count: RangeInclusive<usize>) -> Vec<Table<'d, 'i>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let Some(value) = self.table.get(key) else {
            self.check(*count.start() == 0, key, "is missing");
            return Vec::new();
        };
        let Some(array) = self.typed(key, value.get_ref().as_array(), "an array of tables") else {
            return Vec::new();
        };
        let (least, most) = (*count.start(), *count.end());
        self.check(
            count.contains(&array.len()),
            key,
            &format!("does not have {least} to {most} entries"),
        );
        let mut tables = Vec::new();
        for (i, element) in array.iter().enumerate() {
            let path = format!("{}[{i}]", self.path_of(key));
            match element.get_ref().as_table() {
                Some(table) => tables.push(self.below(path, table, element.span())),
                None => self
                    .document
                    .reject(element.span().start, &path, "is not a table"),
            }
        }
        tables
    }

    /// Adds a mistake of the key's line unless the condition holds, which is returned.
    pub fn check(&self, holds: bool, key: &str, text: &str) -> bool {
        if !holds {
            self.document
                .reject(self.key_span(key).start, &self.path_of(key), text);
        }
        holds
    }

    /// Returns what was made of a key's value, or adds a mistake.
    pub fn require<T>(&self, made: Option<T>, key: &str, text: &str) -> Option<T> {
        self.check(made.is_some(), key, text);
        made
    }

    /// Adds a mistake of a line inside the value, counted from 1.
    pub fn reject_line(&self, key: &str, line_in_value: usize, text: String) {
        let start = self
            .table
            .get(key)
            .map_or(self.span.start, |value| value.span().start);
        // The text of a multi-line value begins on the line after its quotes.
        let is_multi_line = self.document.content[start..].starts_with("\"\"\"\n")
            || self.document.content[start..].starts_with("'''\n");
        let line = self.document.line_of(start) + line_in_value - 1 + usize::from(is_multi_line);
        self.document.reject_line(line, &self.path_of(key), text);
    }

    /// Adds a mistake for each key that was not asked for.
    pub fn refuse_unknown(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !asked.contains(name) {
                self.document.reject(
                    key.span().start,
                    &self.path_of(name),
                    "is not a key of a scheme",
                );
            }
        }
    }

    fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let value = self.table.get(key);
        self.require(value, key, "is missing")
    }

    fn typed<T>(&self, key: &str, value: Option<T>, kind: &str) -> Option<T> {
        self.require(value, key, &format!("is not {kind}"))
    }

    fn below(&self, path: String, table: &'d DeTable<'i>, span: Range<usize>) -> Table<'d, 'i> {
        Table {
            document: self.document,
            table,
            path,
            span,
            asked: RefCell::default(),
        }
    }

    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .map_or(self.span.clone(), |(key, _)| key.span())
    }
}
