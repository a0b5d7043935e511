//! What the bank tells by itself: a signed notice (service 52) for every outcome that the payer has not had as an answer,
//! repeated until it is taken; sometimes late, sometimes twice.

use std::{sync::Arc, time::Duration};

use ::tests::{
    fakes::BankFault,
    keys::{hex, read_pem},
};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{Bank, book::Notice};

/// Where notices are posted to at the payer.
const PATH: &str = "/openapi/v1.0/transfer/notify";
/// How often the bank looks for what has become due.
const TICK: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 64;
const REPEAT: Duration = Duration::from_millis(500);
/// A real bank goes on for a day; for a test ten minutes are one.
const TRIES_MAX: u32 = 1_200;

pub(crate) struct Callbacks {
    /// `http://host:port`.
    payer: String,
    key: RsaKeyPair,
    http: reqwest::Client,
}

impl Callbacks {
    pub(crate) fn new(payer: String, private_key: &str) -> Result<Callbacks, String> {
        let der = read_pem(private_key).ok_or("the private key is no PEM text")?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5));
        Ok(Callbacks {
            payer,
            key: RsaKeyPair::from_pkcs8(&der).map_err(|error| error.to_string())?,
            http: http.build().map_err(|error| error.to_string())?,
        })
    }

    /// Posts a notice once, and says whether it need not be repeated.
    async fn post(&self, bank: &Bank, notice: &Notice) -> bool {
        let Some(timestamp) = bank.access.timestamp() else {
            return false;
        };
        let body = json!({
            "originalReferenceNo": notice.bank_reference,
            "originalPartnerReferenceNo": notice.reference,
            "latestTransactionStatus": notice.state,
            "amount": { "value": notice.amount, "currency": "IDR" },
        });
        let body = body.to_string();
        let hash = hex(digest(&SHA256, body.as_bytes()).as_ref());
        let message = format!("POST:{PATH}:{hash}:{timestamp}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self.key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            message.as_bytes(),
            &mut signature,
        );
        if signed.is_err() {
            return false;
        }
        let request = self
            .http
            .post(format!("{}{PATH}", self.payer))
            .header("Content-Type", "application/json")
            .header("X-TIMESTAMP", timestamp)
            .header("X-PARTNER-ID", bank.access.client_id())
            .header("X-EXTERNAL-ID", &notice.bank_reference)
            .header("CHANNEL-ID", "95051")
            .header("X-SIGNATURE", STANDARD.encode(signature))
            .body(body);
        let status = request.send().await.map(|answer| answer.status());
        matches!(status, Ok(StatusCode::OK | StatusCode::NOT_FOUND))
    }

    /// Tells the payer, once or twice, until it has heard.
    async fn tell(&self, bank: &Bank, notice: Notice) {
        let (fault, late_ms) = {
            let mut faults = bank.faults();
            let fault = faults.for_callback(&notice.reference, notice.state);
            (fault, faults.wishes().callback_late_ms)
        };
        if fault == Some(BankFault::LateCallback) {
            sleep(Duration::from_millis(late_ms)).await;
        }
        let times = if fault == Some(BankFault::DoubleCallback) {
            2
        } else {
            1
        };
        for _ in 0..times {
            for _ in 0..TRIES_MAX {
                if self.post(bank, &notice).await {
                    break;
                }
                sleep(REPEAT).await;
            }
        }
        bank.book().count_told();
    }
}

/// Lets what becomes due happen, and tells of it.
pub(crate) async fn run(bank: Arc<Bank>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut telling = JoinSet::new();
    loop {
        sleep(TICK).await;
        for notice in bank.book().take_notices() {
            let (bank, places) = (Arc::clone(&bank), Arc::clone(&places));
            telling.spawn(async move {
                let _place = places.acquire().await;
                match &bank.callbacks {
                    Some(callbacks) => callbacks.tell(&bank, notice).await,
                    None => bank.book().count_told(),
                }
            });
        }
        while telling.try_join_next().is_some() {}
    }
}
