//! Who is let in: the signature of a request for a token (RSA), and token, signature (HMAC) and X-EXTERNAL-ID of every
//! transaction. Nothing is compared with the wall clock, because a stack's clock may have been moved.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ::tests::keys::{hex, random_hex, read_pem};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Bank,
    answer::{Case, ServiceCode},
};

/// Fifteen minutes, as SNAP says.
const TOKEN_SECONDS: u64 = 900;

pub(crate) struct Access {
    client_id: String,
    secret: hmac::Key,
    public_key: UnparsedPublicKey<Vec<u8>>,
    tokens: Mutex<HashMap<String, Instant>>,
    /// By day, as X-TIMESTAMP has it, and id.
    external_ids: Mutex<HashSet<(String, String)>>,
    /// The client's time as of its last request, and when that was: the bank has no other, because a stack's clock may
    /// have been moved.
    time: Mutex<Option<(OffsetDateTime, Instant)>>,
}

impl Access {
    pub(crate) fn new(client_id: String, secret: &str, public_key: &str) -> Result<Access, String> {
        let public_key = read_pem(public_key).ok_or("the public key is no PEM text")?;
        Ok(Access {
            client_id,
            secret: hmac::Key::new(hmac::HMAC_SHA512, secret.as_bytes()),
            public_key: UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key),
            tokens: Mutex::default(),
            external_ids: Mutex::default(),
            time: Mutex::default(),
        })
    }

    /// Follows the client's clock.
    pub(crate) fn set_time(&self, timestamp: &str) {
        if let Ok(now) = OffsetDateTime::parse(timestamp, &Rfc3339) {
            *self.time.lock().expect("no holder panics") = Some((now, Instant::now()));
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the time for a notice; `None` before the client's first transaction.
    pub(crate) fn timestamp(&self) -> Option<String> {
        let (time, since) = (*self.time.lock().expect("no holder panics"))?;
        let now = (time + since.elapsed()).replace_nanosecond(0).ok()?;
        now.format(&Rfc3339).ok()
    }

    /// Checks the request for a token: `SHA256withRSA` over `client id|timestamp`.
    fn check_client(&self, headers: &HeaderMap) -> Result<(), Case> {
        let client = required(headers, "X-CLIENT-KEY")?;
        let timestamp = required(headers, "X-TIMESTAMP")?;
        let signature = required(headers, "X-SIGNATURE")?;
        if client != self.client_id {
            return Err(Case::Unauthorized("Unknown Client"));
        }
        let signature = STANDARD
            .decode(signature)
            .map_err(|_| Case::InvalidFormat("X-SIGNATURE"))?;
        let message = format!("{client}|{timestamp}");
        self.public_key
            .verify(message.as_bytes(), &signature)
            .map_err(|_| Case::Unauthorized("Signature"))
    }

    fn issue(&self) -> String {
        let token = random_hex();
        let end = Instant::now() + Duration::from_secs(TOKEN_SECONDS);
        let mut tokens = self.tokens.lock().expect("no holder panics");
        tokens.insert(token.clone(), end);
        token
    }

    /// Checks a transaction: the token; HMAC-SHA512 over `METHOD:path:token:hash of the minified body:timestamp`; and
    /// X-EXTERNAL-ID, numeric, up to 36 digits, used once a day.
    pub(crate) fn check(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Case> {
        let token = required(headers, "AUTHORIZATION")?;
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        let timestamp = required(headers, "X-TIMESTAMP")?;
        let signature = required(headers, "X-SIGNATURE")?;
        let partner = required(headers, "X-PARTNER-ID")?;
        let external_id = required(headers, "X-EXTERNAL-ID")?;
        required(headers, "CHANNEL-ID")?;

        let tokens = self.tokens.lock().expect("no holder panics");
        if tokens.get(token).is_none_or(|end| *end < Instant::now()) {
            return Err(Case::InvalidToken);
        }
        drop(tokens);
        if partner != self.client_id {
            return Err(Case::Unauthorized("Unknown Client"));
        }
        let signature = STANDARD
            .decode(signature)
            .map_err(|_| Case::InvalidFormat("X-SIGNATURE"))?;
        let body_hash = hex(digest(&SHA256, &minify(body)).as_ref());
        let message = format!("POST:{path}:{token}:{body_hash}:{timestamp}");
        hmac::verify(&self.secret, message.as_bytes(), &signature)
            .map_err(|_| Case::Unauthorized("Signature"))?;

        let numeric = external_id.bytes().all(|byte| byte.is_ascii_digit());
        if external_id.len() > 36 || !numeric {
            return Err(Case::InvalidFormat("X-EXTERNAL-ID"));
        }
        self.set_time(timestamp);
        let day = timestamp
            .get(..10)
            .ok_or(Case::InvalidFormat("X-TIMESTAMP"))?;
        let mut used = self.external_ids.lock().expect("no holder panics");
        if used.insert((day.to_owned(), external_id.to_owned())) {
            Ok(())
        } else {
            Err(Case::ExternalIdConflict)
        }
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Case> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .ok_or(Case::MissingField(name))
}

/// JSON without the blanks between its parts; keys stay in their order.
fn minify(json: &[u8]) -> Vec<u8> {
    let mut minified = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        if in_text || !byte.is_ascii_whitespace() {
            minified.push(*byte);
        }
        match byte {
            b'"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && *byte == b'\\' && !escaped;
    }
    minified
}

pub(crate) async fn issue_token(
    State(bank): State<Arc<Bank>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let service = ServiceCode::AccessToken;
    bank.book().count_request(service);
    if bank.faults().wishes().down {
        return Case::ServiceUnavailable.alone(service);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if body["grantType"] != "client_credentials" {
        return Case::MissingField("grantType").alone(service);
    }
    if let Err(case) = bank.access.check_client(&headers) {
        return case.alone(service);
    }
    let fields = json!({
        "accessToken": bank.access.issue(),
        "tokenType": "Bearer",
        "expiresIn": TOKEN_SECONDS.to_string(),
    });
    Case::Success.answer(service, fields)
}

#[cfg(test)]
mod tests {
    use super::minify;

    #[test]
    fn blanks_inside_texts_stay() {
        let minified = minify(b"{ \"a\" : \"x y\\\" z\",\n\t\"b\": [1, 2] }");

        assert_eq!(minified, b"{\"a\":\"x y\\\" z\",\"b\":[1,2]}");
    }
}
