//! The logs of a run: every warning and error that nobody announced fails it.

use std::{fs, path::Path};

use serde_json::Value;

/// Returns the lines of a log that are warnings, errors or panics and hold none of the allowed texts.
pub fn complaints(log: &Path, allowed: &[String]) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .filter(|line| is_complaint(line) && !allowed.iter().any(|text| line.contains(text)))
        .map(str::to_owned)
        .collect()
}

fn is_complaint(line: &str) -> bool {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) => {
            let level = fields.get("level").and_then(Value::as_str);
            matches!(level, Some("WARN" | "ERROR"))
        }
        // A panic's text goes past the log's form.
        Ok(_) | Err(_) => line.contains("panicked at"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_errors_and_panics_are_complaints() {
        assert!(is_complaint(r#"{"level":"WARN","fields":{"message":"x"}}"#));
        assert!(is_complaint(r#"{"level":"ERROR","message":"x"}"#));
        assert!(is_complaint("thread 'main' panicked at src/main.rs:1:1:"));
        assert!(!is_complaint(r#"{"level":"INFO","message":"ERROR"}"#));
        assert!(!is_complaint("plain text"));
    }
}
