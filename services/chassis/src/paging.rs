//! Lists in pages: limits of the size, and an opaque token that holds the last key and is bound to its filter.
//!
//! Keyset paging: the query asks for rows after the cursor and one more than the size, which tells whether more follow.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use proto::r#type::v1::ErrorReason;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::status::{Refusal, Violations};

const SIZE_DEFAULT: i32 = 50;
const SIZE_MAX: i32 = 1000;

/// The seal in front of a token: enough against mix-ups; a token grants nothing that the filter would not.
const SEAL_BYTES: usize = 8;

/// The page that a caller asks for. `C` is the key of the last row seen, such as `(OffsetDateTime, Uuid)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<C> {
    /// How many rows the page may hold.
    pub size: i64,
    /// The key after which the page begins; `None` for the first page.
    pub after: Option<C>,
    filter: Vec<u8>,
}

/// Notes a wrong `page_size` beside the other violations of a List request, before [`PageRequest::parse`] reads it.
pub fn check_size(page_size: i32, violations: &mut Violations) {
    violations.check(page_size >= 0, "page_size", "is negative");
}

impl<C: Serialize + DeserializeOwned> PageRequest<C> {
    /// Reads the fields of a List request. `filter` is the request with its `page_size` and `page_token` cleared.
    ///
    /// # Errors
    /// When the size is negative, or the token is damaged or belongs to another filter.
    pub fn parse(
        page_size: i32,
        page_token: &str,
        filter: &impl Message,
    ) -> Result<PageRequest<C>, Refusal> {
        let mut violations = Violations::new();
        check_size(page_size, &mut violations);
        violations.into_result()?;

        let size = match page_size {
            0 => SIZE_DEFAULT,
            asked => asked.min(SIZE_MAX),
        };
        let filter = filter.encode_to_vec();
        let after = match page_token {
            "" => None,
            token => Some(open(token, &filter).ok_or_else(token_invalid)?),
        };
        Ok(PageRequest {
            size: i64::from(size),
            after,
            filter,
        })
    }

    /// Returns how many rows the query asks for: one more than the page holds.
    pub fn limit(&self) -> i64 {
        self.size + 1
    }

    /// Cuts the rows of [`PageRequest::limit`] to the page and makes the token of the next one, which is empty on the last.
    pub fn finish<R>(&self, mut rows: Vec<R>, cursor: impl FnOnce(&R) -> C) -> (Vec<R>, String) {
        let size = usize::try_from(self.size).expect("a size is between 1 and 1000");
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let token = rows
            .last()
            .map(|last| self.next_token(&cursor(last)))
            .unwrap_or_default();
        (rows, token)
    }

    /// Makes the token of the page after this key.
    pub fn next_token(&self, cursor: &C) -> String {
        let cursor = serde_json::to_vec(cursor).expect("a key of a row is plain data");
        let mut token = seal(&self.filter, &cursor).to_vec();
        token.extend(cursor);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }
}

fn open<C: DeserializeOwned>(token: &str, filter: &[u8]) -> Option<C> {
    let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (found, cursor) = token.split_at_checked(SEAL_BYTES)?;
    if found != seal(filter, cursor) {
        return None;
    }
    serde_json::from_slice(cursor).ok()
}

fn seal(filter: &[u8], cursor: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hash = Sha256::new();
    hash.update(
        u64::try_from(filter.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes(),
    );
    hash.update(filter);
    hash.update(cursor);
    let digest = hash.finalize();
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&digest[..SEAL_BYTES]);
    seal
}

fn token_invalid() -> Refusal {
    Refusal::shared(
        Code::InvalidArgument,
        ErrorReason::PageTokenInvalid,
        "page_token: is damaged, or belongs to a list with another filter",
    )
}

#[cfg(test)]
mod tests {
    use proto::r#type::v1::Money;
    use uuid::Uuid;

    use super::*;

    fn filter(text: &str) -> Money {
        Money {
            currency_code: text.to_owned(),
            ..Money::default()
        }
    }

    fn parse(size: i32, token: &str, text: &str) -> Result<PageRequest<(i64, Uuid)>, Refusal> {
        PageRequest::parse(size, token, &filter(text))
    }

    #[test]
    fn a_size_is_coerced_and_a_negative_one_refused() {
        assert_eq!(parse(0, "", "").unwrap().size, 50);
        assert_eq!(parse(7, "", "").unwrap().size, 7);
        assert_eq!(parse(5000, "", "").unwrap().size, 1000);
        assert_eq!(parse(-1, "", "").unwrap_err().reason(), "INVALID_REQUEST");
    }

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_list() {
        let first = parse(2, "", "IDR").unwrap();
        let rows = vec![1, 2, 3];

        let (page, token) = first.finish(rows, |row| (*row, Uuid::from_u128(9)));
        let second = parse(2, &token, "IDR").unwrap();

        assert_eq!(page, [1, 2]);
        assert_eq!(second.after, Some((2, Uuid::from_u128(9))));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = parse(3, "", "").unwrap();

        let (rows, token) = page.finish(vec![1, 2, 3], |row| (*row, Uuid::nil()));

        assert_eq!(rows, [1, 2, 3]);
        assert_eq!(token, "");
    }

    #[test]
    fn a_token_of_another_list_or_a_damaged_one_is_refused() {
        let token = parse(2, "", "IDR").unwrap().next_token(&(2, Uuid::nil()));
        let damaged = format!("{}A", &token[..token.len() - 1]);

        for (token, filter) in [
            (token.as_str(), "USD"),
            (&damaged, "IDR"),
            ("?", "IDR"),
            ("AA", "IDR"),
        ] {
            let refusal = parse(2, token, filter).unwrap_err();

            assert_eq!(refusal.reason(), "PAGE_TOKEN_INVALID", "{token} {filter}");
        }
    }
}
