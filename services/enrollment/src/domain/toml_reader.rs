//! Reads a TOML document key by key and collects every mistake with its place: wrong syntax, wrong type, missing keys,
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

use super::time_zone::Day;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column in that line, from 1.
    pub column: usize,
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
        let before = self.content.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        self.mistakes.borrow_mut().push(Mistake {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: key.to_owned(),
            text: text.into(),
        });
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

    /// Says whether the table has a key.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
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

    /// Reads a day of the calendar, without a time.
    pub fn day(&self, key: &str) -> Option<Day> {
        let value = self.value(key)?.get_ref().as_datetime();
        let day = value
            .filter(|value| value.time.is_none())
            .and_then(|value| value.date);
        let day = self.typed(key, day, "a date such as 2026-12-31")?;
        Some(Day {
            year: i32::from(day.year),
            month: i32::from(day.month),
            day: i32::from(day.day),
        })
    }

    /// Reads an array of texts.
    pub fn texts(&self, key: &str, count: RangeInclusive<usize>) -> Option<Vec<String>> {
        let array = self.typed(
            key,
            self.value(key)?.get_ref().as_array(),
            "an array of texts",
        )?;
        let (least, most) = (*count.start(), *count.end());
        let fits = self.check(
            count.contains(&array.len()),
            key,
            &format!("does not have {least} to {most} entries"),
        );
        let text = |element: &Spanned<DeValue<'_>>| element.get_ref().as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = array.iter().map(text).collect();
        self.typed(key, texts, "an array of texts").filter(|_| fits)
    }

    /// Says whether a key's value is a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table
            .get(key)
            .is_some_and(|value| value.get_ref().is_table())
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

    /// Adds a mistake of a place inside a text's value, counted from 1; column 0 is the whole text.
    pub fn reject_inside(&self, key: &str, line: usize, column: usize, text: String) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        let written = self.document.content.get(span.clone());
        let inside = match column {
            0 => 0,
            _ => written.map_or(0, |written| offset_as_written(written, line, column)),
        };
        self.document
            .reject(span.start + inside, &self.path_of(key), text);
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

/// Returns where a place of a text's value stands in the text as it is written, with its quotes and escapes.
fn offset_as_written(written: &str, line: usize, column: usize) -> usize {
    let is_basic = written.starts_with('"');
    let is_multi_line = written.starts_with("\"\"\"") || written.starts_with("'''");
    let mut at = if is_multi_line { 3 } else { 1 };
    // The value begins on the line after the quotes.
    let breaks = ["\r\n", "\n"].into_iter().filter(|_| is_multi_line);
    at += breaks
        .filter(|line_break| written[at..].starts_with(line_break))
        .map(str::len)
        .next()
        .unwrap_or_default();

    let mut place = (1, 1);
    while place < (line, column) {
        let mut rest = written[at..].chars();
        let Some(first) = rest.next() else { break };
        let (length, value) = match rest.next() {
            Some(escape) if is_basic && first == '\\' => match escape {
                'n' => (2, Some('\n')),
                'x' => (4, Some(' ')),
                'u' => (6, Some(' ')),
                'U' => (10, Some(' ')),
                // A backslash at a line's end takes all blanks up to the next word.
                blank if blank.is_whitespace() => {
                    let after = &written[at + 1..];
                    (1 + after.len() - after.trim_start().len(), None)
                }
                _ => (2, Some(escape)),
            },
            Some(_) | None => (first.len_utf8(), Some(first)),
        };
        at += length;
        place = match value {
            Some('\n') => (place.0 + 1, 1),
            Some(_) => (place.0, place.1 + 1),
            None => place,
        };
    }
    at.min(written.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_value_is_found_in_the_file() {
        for (written, line, column, expected) in [
            ("key = 'a b'", 1, 3, (1, 10)),
            ("key = \"a b\"", 1, 3, (1, 10)),
            (r#"key = "\"a\" b""#, 1, 5, (1, 14)),
            (r#"key = "\u00e9\x41 b""#, 1, 4, (1, 19)),
            (r#"key = "a\nb c""#, 2, 3, (1, 13)),
            ("key = 'é b'", 1, 3, (1, 10)),
            ("key = \"\"\"\na\n b\"\"\"", 2, 2, (3, 2)),
            ("key = \"\"\"\r\na\r\n b\"\"\"", 2, 2, (3, 2)),
            ("key = '''a\\\n b'''", 2, 2, (2, 2)),
            ("key = \"\"\"\na \\\n   b\"\"\"", 1, 4, (3, 5)),
            // Beyond the value's end: the quotes.
            ("key = 'a'", 1, 2, (1, 9)),
            ("key = 'a'", 1, 0, (1, 7)),
        ] {
            let document = Document::parse(written);
            document
                .root()
                .reject_inside("key", line, column, String::new());

            let mistakes = document.into_mistakes();
            assert_eq!(
                (mistakes[0].line, mistakes[0].column),
                expected,
                "{written}"
            );
        }
    }
}
