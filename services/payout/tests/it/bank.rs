//! A bank that speaks SNAP BI, checks signatures as a bank does, and goes wrong when told to. It credits a reference once.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::net::TcpListener;

pub(crate) const CLIENT_ID: &str = "bekal-treasury";
pub(crate) const CLIENT_SECRET: &str = "a-secret-of-the-test-bank";
const TOKEN: &str = "token-of-the-test-bank";

/// What happens to a transfer instead of being paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Lost on the way: the connection closes, nothing is booked.
    LoseRequest,
    /// Booked, and the connection closes.
    LoseReply,
    /// Booked, and no answer comes in time.
    Hang,
    /// 500, nothing booked.
    Error,
    /// 200 with a body that is no JSON; nothing booked.
    Garbage,
    /// 202, and open until [`Bank::settle`].
    Pending,
    /// Refused for good, with this response code.
    Refuse(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) account_no: String,
    pub(crate) amount: String,
    /// SNAP's `latestTransactionStatus`.
    pub(crate) status: &'static str,
    pub(crate) code: &'static str,
    pub(crate) credited: u32,
    pub(crate) attempts: u32,
}

/// A notice, ready to be posted.
#[derive(Clone, Debug)]
pub(crate) struct BankNotice {
    pub(crate) timestamp: String,
    pub(crate) partner_id: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

/// Holder and KYC level, or the HTTP code and case of the refusal.
type Account = Result<(String, &'static str), &'static str>;

#[derive(Default)]
struct Inner {
    /// By bank code and number.
    accounts: HashMap<(String, String), Account>,
    book: HashMap<String, Entry>,
    faults: VecDeque<Fault>,
    /// Every inquiry of a transfer fails.
    inquiries_fail: bool,
    down: bool,
    external_ids: HashSet<String>,
    requests: HashMap<&'static str, u32>,
    in_flight: u32,
    in_flight_max: u32,
    delay: Duration,
}

#[derive(Clone)]
pub(crate) struct Bank {
    pub(crate) address: String,
    /// The payer's key.
    pub(crate) private_key_pem: String,
    /// The bank's own.
    pub(crate) public_key_pem: String,
    own_key: Arc<RsaKeyPair>,
    public_key: Arc<Vec<u8>>,
    inner: Arc<Mutex<Inner>>,
}

impl Bank {
    pub(crate) async fn start() -> Bank {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let public =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let own = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let own_private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&own).unwrap();
        let own_public =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(own.public_key()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bank = Bank {
            address: format!("http://{}", listener.local_addr().unwrap()),
            private_key_pem: format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(private.as_ref())
            ),
            public_key_pem: format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                STANDARD.encode(own_public.as_ref())
            ),
            own_key: Arc::new(RsaKeyPair::from_pkcs8(own_private.as_ref()).unwrap()),
            public_key: Arc::new(public.as_ref().to_vec()),
            inner: Arc::default(),
        };
        let routes = Router::new()
            .route("/openapi/v1.0/access-token/b2b", post(issue_token))
            .route(
                "/openapi/v1.0/account-inquiry-external",
                post(inquire_account),
            )
            .route("/openapi/v1.0/transfer-interbank", post(transfer))
            .route("/openapi/v1.0/transfer/status", post(inquire_status))
            .with_state(bank.clone());
        chassis::task::spawn("bank", async move {
            axum::serve(listener, routes).await.unwrap()
        });
        bank
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn open_account(&self, bank_code: &str, account_no: &str, holder: &str) {
        self.add(bank_code, account_no, Ok((holder.to_owned(), "FULL")));
    }

    pub(crate) fn open_basic_account(&self, bank_code: &str, account_no: &str, holder: &str) {
        self.add(bank_code, account_no, Ok((holder.to_owned(), "BASIC")));
    }

    /// Adds an account that an inquiry refuses with this HTTP code and case, such as `40318`.
    pub(crate) fn refused_account(&self, bank_code: &str, account_no: &str, case: &'static str) {
        self.add(bank_code, account_no, Err(case));
    }

    fn add(&self, bank_code: &str, account_no: &str, account: Account) {
        self.lock()
            .accounts
            .insert((bank_code.to_owned(), account_no.to_owned()), account);
    }

    /// Lets the next transfers go wrong, one after the other.
    pub(crate) fn fail_next(&self, faults: &[Fault]) {
        self.lock().faults.extend(faults);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    pub(crate) fn set_inquiries_fail(&self, fail: bool) {
        self.lock().inquiries_fail = fail;
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Pays what is pending.
    pub(crate) fn settle(&self, reference: &str) {
        let mut inner = self.lock();
        let entry = inner.book.get_mut(reference).unwrap();
        (entry.status, entry.code) = ("00", "2001800");
        entry.credited += 1;
    }

    /// Takes back what was paid.
    pub(crate) fn take_back(&self, reference: &str) {
        self.lock().book.get_mut(reference).unwrap().status = "04";
    }

    /// Signs a notice that an order has a state.
    pub(crate) fn notice(&self, reference: &str, state: &str, time: OffsetDateTime) -> BankNotice {
        let body = json!({
            "originalPartnerReferenceNo": reference,
            "latestTransactionStatus": state,
        });
        let body = body.to_string();
        let timestamp = time.format(&Rfc3339).unwrap();
        let hash: String = digest(&SHA256, body.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let message = format!("POST:{}:{hash}:{timestamp}", payout::callbacks::PATH);
        let mut signature = vec![0; self.own_key.public_modulus_len()];
        self.own_key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        BankNotice {
            timestamp,
            partner_id: CLIENT_ID.to_owned(),
            signature: STANDARD.encode(signature),
            body,
        }
    }

    pub(crate) fn entry(&self, reference: &str) -> Option<Entry> {
        self.lock().book.get(reference).cloned()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().book.values().cloned().collect()
    }

    pub(crate) fn requests(&self, service: &'static str) -> u32 {
        self.lock().requests.get(service).copied().unwrap_or(0)
    }

    pub(crate) fn in_flight_max(&self) -> u32 {
        self.lock().in_flight_max
    }

    /// Checks what comes with every transaction.
    fn admit(
        &self,
        service: &'static str,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, Box<Response>> {
        let mut inner = self.lock();
        *inner.requests.entry(service).or_default() += 1;
        if inner.down {
            return Err(Box::new(answer(503, service, "00", json!({}))));
        }
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let hash: String = digest(&SHA256, body)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let timestamp = header("x-timestamp");
        assert_eq!(timestamp.len(), 25, "{timestamp}");
        let message = format!("POST:{}:{TOKEN}:{hash}:{timestamp}", uri.path());
        let key = hmac::Key::new(hmac::HMAC_SHA512, CLIENT_SECRET.as_bytes());
        let signature = STANDARD.decode(header("x-signature")).unwrap_or_default();
        let is_signed = hmac::verify(&key, message.as_bytes(), &signature).is_ok();
        if header("authorization") != format!("Bearer {TOKEN}")
            || !is_signed
            || header("x-partner-id") != CLIENT_ID
        {
            return Err(Box::new(answer(401, service, "00", json!({}))));
        }
        let external_id = header("x-external-id");
        assert!(external_id.len() <= 36 && external_id.bytes().all(|digit| digit.is_ascii_digit()));
        assert!(
            inner.external_ids.insert(external_id.to_owned()),
            "an X-EXTERNAL-ID was used twice"
        );
        serde_json::from_slice(body).map_err(|_| Box::new(answer(400, service, "00", json!({}))))
    }
}

fn answer(http: u16, service: &str, case: &str, fields: Value) -> Response {
    let mut body =
        json!({ "responseCode": format!("{http}{service}{case}"), "responseMessage": "text" });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    (StatusCode::from_u16(http).unwrap(), body.to_string()).into_response()
}

async fn issue_token(State(bank): State<Bank>, headers: HeaderMap) -> Response {
    *bank.lock().requests.entry("73").or_default() += 1;
    if bank.lock().down {
        return answer(503, "73", "00", json!({}));
    }
    let header = |name: &str| headers[name].to_str().unwrap();
    let message = format!("{}|{}", header("x-client-key"), header("x-timestamp"));
    let signature = STANDARD.decode(header("x-signature")).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bank.public_key.as_slice())
        .verify(message.as_bytes(), &signature)
        .expect("the request for a token is signed");
    answer(
        200,
        "73",
        "00",
        json!({ "accessToken": TOKEN, "tokenType": "Bearer", "expiresIn": "900" }),
    )
}

async fn inquire_account(
    State(bank): State<Bank>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = match bank.admit("16", &uri, &headers, &body) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    let key = (text("beneficiaryBankCode"), text("beneficiaryAccountNo"));
    match bank.lock().accounts.get(&key) {
        None => answer(404, "16", "11", json!({})),
        Some(Err(case)) => answer(case[..3].parse().unwrap(), "16", &case[3..], json!({})),
        Some(Ok((holder, level))) => answer(
            200,
            "16",
            "00",
            json!({ "beneficiaryAccountName": holder, "additionalInfo": { "kycLevel": level } }),
        ),
    }
}

async fn transfer(State(bank): State<Bank>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = match bank.admit("18", &uri, &headers, &body) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let delay = {
        let mut inner = bank.lock();
        inner.in_flight += 1;
        inner.in_flight_max = inner.in_flight_max.max(inner.in_flight);
        inner.delay
    };
    tokio::time::sleep(delay).await;
    let fault = {
        let mut inner = bank.lock();
        inner.in_flight -= 1;
        inner.faults.pop_front()
    };
    match fault {
        None => book(&bank, &body, "00", "2001800"),
        Some(Fault::LoseRequest) => close(),
        Some(Fault::LoseReply) => {
            book(&bank, &body, "00", "2001800");
            close()
        }
        Some(Fault::Hang) => {
            book(&bank, &body, "00", "2001800");
            tokio::time::sleep(Duration::from_secs(20)).await;
            close()
        }
        Some(Fault::Error) => answer(500, "18", "00", json!({})),
        Some(Fault::Garbage) => (StatusCode::OK, "<html>").into_response(),
        Some(Fault::Pending) => book(&bank, &body, "03", "2021800"),
        Some(Fault::Refuse(code)) => book(&bank, &body, "06", code),
    }
}

/// Books an order once, and answers as for the first time.
fn book(bank: &Bank, body: &Value, status: &'static str, code: &'static str) -> Response {
    let text = |field: &Value| field.as_str().unwrap().to_owned();
    assert!(
        !text(&body["beneficiaryAccountName"]).is_empty()
            && !text(&body["sourceAccountNo"]).is_empty()
    );
    assert_eq!(body["amount"]["currency"], "IDR");
    let reference = text(&body["partnerReferenceNo"]);
    let mut inner = bank.lock();
    let entry = inner
        .book
        .entry(reference.clone())
        .or_insert_with(|| Entry {
            account_no: text(&body["beneficiaryAccountNo"]),
            amount: text(&body["amount"]["value"]),
            status,
            code,
            credited: u32::from(status == "00"),
            attempts: 0,
        });
    entry.attempts += 1;
    assert_eq!(
        entry.account_no,
        text(&body["beneficiaryAccountNo"]),
        "a resend goes to the same account"
    );
    let fields = json!({ "partnerReferenceNo": reference, "amount": { "value": entry.amount, "currency": "IDR" } });
    answer(
        entry.code[..3].parse().unwrap(),
        "18",
        &entry.code[5..],
        fields,
    )
}

async fn inquire_status(
    State(bank): State<Bank>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = match bank.admit("36", &uri, &headers, &body) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    assert_eq!(body["serviceCode"], "18");
    let reference = body["originalPartnerReferenceNo"].as_str().unwrap();
    let inner = bank.lock();
    if inner.inquiries_fail {
        return answer(500, "36", "00", json!({}));
    }
    match inner.book.get(reference) {
        None => answer(404, "36", "01", json!({ "latestTransactionStatus": "07" })),
        Some(entry) => answer(
            200,
            "36",
            "00",
            json!({
                "originalPartnerReferenceNo": reference,
                "latestTransactionStatus": entry.status,
                "previousResponseCode": entry.code,
                "amount": { "value": entry.amount, "currency": "IDR" },
            }),
        ),
    }
}

/// Ends the connection without a word.
fn close() -> Response {
    std::panic::resume_unwind(Box::new("closed on purpose"))
}
