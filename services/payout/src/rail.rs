//! The rail: Bank Indonesia's open API for payments (SNAP BI) over HTTP. What an answer means is decided in
//! `domain::rail`; here requests are signed and sent, and answers that are none are told apart from those that are.
//!
//! Whatever happens to a payment order after the first byte may have left us is *unclear*; only a connection that was
//! never made, or a token that was never given, is *not sent*.

use std::{
    fmt,
    time::{Duration, Instant},
};

use chassis::{Clock, config::Secret, money::Money};
use reqwest::StatusCode;
use serde::{Serialize, de::DeserializeOwned};

use crate::domain::{
    payee::{AccountNumber, Channel},
    rail::{
        self, AccountAnswer, Holder, InquiryAnswer, PaymentAnswer, PaymentOrder, ResponseCode,
        amount_text,
    },
};

mod gate;
mod messages;
mod notices;
mod signature;
mod token;

pub use notices::{Notice, NoticeRefusal, SignedNotice};
pub use signature::{NotARailKey, RailKey, RailPublicKey};

use gate::Gate;
use messages::{
    AccountInquiry, AccountInquiryAnswer, Amount, StatusInquiry, StatusInquiryAnswer, Transfer,
    TransferAnswer, external_id, timestamp,
};
use signature::Signer;
use token::Tokens;

const ACCOUNT_INQUIRY_PATH: &str = "/openapi/v1.0/account-inquiry-external";
const TRANSFER_PATH: &str = "/openapi/v1.0/transfer-interbank";
const STATUS_PATH: &str = "/openapi/v1.0/transfer/status";

/// An answer is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From a question that came to nothing to the same question; doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// What took longer is not asked again at once: who waits for it, a stopping process among them, has waited enough.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// What the client is told.
#[derive(Debug)]
pub struct RailConfig {
    /// `http://host:port`.
    pub address: String,
    /// Who we are at the rail.
    pub client_id: String,
    /// The key of transactions' signatures.
    pub client_secret: Secret,
    /// The key of token requests' signatures.
    pub private_key: RailKey,
    /// The account that payments come from.
    pub source_account: String,
    /// `CHANNEL-ID`.
    pub channel_id: String,
    /// The longest that a request may take.
    pub timeout: Duration,
    /// Requests at once.
    pub concurrency_max: usize,
    /// Requests a second.
    pub rate_max: u32,
    /// How often a question that came to nothing is asked again at once. An order to pay is a question never.
    pub retries_max: u32,
    /// The key of the rail's own signatures.
    pub public_key: RailPublicKey,
}

/// A client of the rail.
pub struct Rail {
    http: reqwest::Client,
    base: String,
    signer: Signer,
    tokens: Tokens,
    gate: Gate,
    retries_max: u32,
    public_key: RailPublicKey,
    source_account: String,
    channel_id: String,
    clock: Clock,
}

/// The rail gave no answer that says anything.
#[derive(Debug, thiserror::Error)]
#[error("the rail gave no answer: {0}")]
pub struct Outage(String);

/// Why a request has no answer.
#[derive(Debug)]
enum NoAnswer {
    /// It did not leave us.
    NotSent(String),
    /// It may have been heard.
    Unclear(String),
}

impl Rail {
    /// Makes a client; it connects when first used.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(config: RailConfig, clock: Clock) -> Result<Rail, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            // What is ordered goes to the configured address and nowhere else, and is sent once.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Rail {
            http,
            base: config.address.trim_end_matches('/').to_owned(),
            signer: Signer::new(config.client_id, config.private_key, &config.client_secret),
            tokens: Tokens::default(),
            gate: Gate::new(config.concurrency_max, config.rate_max),
            retries_max: config.retries_max,
            public_key: config.public_key,
            source_account: config.source_account,
            channel_id: config.channel_id,
            clock,
        })
    }

    /// Returns the account that payments come from.
    pub fn source_account(&self) -> &str {
        &self.source_account
    }

    /// Returns who we are there.
    pub fn client_id(&self) -> &str {
        self.signer.client_id()
    }

    /// Gets a token unless there is one: says whether the rail lets us in, before anything is promised to it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn authenticate(&self) -> Result<(), Outage> {
        self.token().await.map(drop).map_err(Outage)
    }

    /// Asks whose an account is.
    ///
    /// # Errors
    /// When the rail says nothing about the account.
    pub async fn inquire_account(
        &self,
        channel: &Channel,
        number: &AccountNumber,
    ) -> Result<AccountAnswer, Outage> {
        let body = AccountInquiry {
            beneficiary_bank_code: channel.bank_code,
            beneficiary_account_no: number.expose(),
            partner_reference_no: external_id(),
        };
        let answer: AccountInquiryAnswer = self.ask(ACCOUNT_INQUIRY_PATH, &body).await?;
        let code = answer.response_code.as_str();
        if ResponseCode::parse(code).is_some_and(|code| code.is_success_of(rail::ACCOUNT_INQUIRY)) {
            let name = answer
                .beneficiary_account_name
                .filter(|name| !name.trim().is_empty());
            let name = name.ok_or_else(|| Outage("an account without a holder".to_owned()))?;
            // Only wallets tell a level; a bank has seen its customers.
            let is_verified = answer
                .additional_info
                .kyc_level
                .is_none_or(|level| level == "FULL");
            return Ok(AccountAnswer::Open {
                holder: Holder(name),
                is_verified,
            });
        }
        rail::read_account_refusal(code).ok_or_else(|| Outage(format!("response code {code}")))
    }

    /// Sends a payment order.
    pub async fn pay(&self, order: &PaymentOrder) -> PaymentAnswer {
        let Some(value) = amount_text(order.amount) else {
            return PaymentAnswer::NotSent("the amount cannot be written".to_owned());
        };
        let body = Transfer {
            partner_reference_no: &order.reference,
            amount: Amount {
                value: value.clone(),
                currency: order.amount.currency().code().to_owned(),
            },
            beneficiary_account_name: &order.holder.0,
            beneficiary_account_no: order.number.expose(),
            beneficiary_bank_code: &order.bank_code,
            source_account_no: &self.source_account,
            transaction_date: timestamp(self.clock.now()),
        };
        let answer: TransferAnswer = match self.call(TRANSFER_PATH, &body).await {
            Ok(answer) => answer,
            Err(NoAnswer::NotSent(why)) => return PaymentAnswer::NotSent(why),
            Err(NoAnswer::Unclear(why)) => return PaymentAnswer::Unclear(why),
        };
        let is_ours = answer
            .partner_reference_no
            .is_none_or(|reference| reference == order.reference)
            && answer.amount.is_none_or(|amount| amount.value == value);
        if is_ours {
            rail::read_payment(&answer.response_code)
        } else {
            PaymentAnswer::Unclear("an answer to another order".to_owned())
        }
    }

    /// Asks what became of an order.
    pub async fn inquire_payment(&self, reference: &str, amount: Money) -> InquiryAnswer {
        let body = StatusInquiry {
            original_partner_reference_no: reference,
            service_code: rail::TRANSFER,
        };
        let answer: StatusInquiryAnswer = match self.ask(STATUS_PATH, &body).await {
            Ok(answer) => answer,
            Err(NoAnswer::NotSent(why) | NoAnswer::Unclear(why)) => {
                return InquiryAnswer::Unclear(why);
            }
        };
        let is_ours = answer
            .original_partner_reference_no
            .is_none_or(|answered| answered == reference)
            && answer
                .amount
                .is_none_or(|answered| Some(answered.value) == amount_text(amount));
        if is_ours {
            let state = answer.latest_transaction_status.unwrap_or_default();
            rail::read_inquiry(
                &answer.response_code,
                &state,
                &answer.previous_response_code.unwrap_or_default(),
            )
        } else {
            InquiryAnswer::Unclear("an answer about another order".to_owned())
        }
    }

    /// Asks what changes nothing, and so may be asked again: also after an answer of 5xx, which says nothing.
    async fn ask<T: messages::Answer + DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, NoAnswer> {
        let mut retry = 0;
        loop {
            let start = Instant::now();
            let answer: Result<T, NoAnswer> = self.call(path, body).await;
            let is_nothing = answer
                .as_ref()
                .map_or(true, |answer| answer.response_code().starts_with('5'));
            if !is_nothing || retry >= self.retries_max || start.elapsed() > RETRY_WITHIN {
                return answer;
            }
            tokio::time::sleep(RETRY_PAUSE * 2_u32.saturating_pow(retry)).await;
            retry += 1;
        }
    }

    /// Sends a signed transaction; once more with a fresh token when the rail does not know ours any more.
    async fn call<T: messages::Answer + DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, NoAnswer> {
        let body =
            serde_json::to_vec(body).map_err(|error| NoAnswer::NotSent(error.to_string()))?;
        let token = self.token().await.map_err(NoAnswer::NotSent)?;
        let answer: T = self.send(path, &token, body.clone()).await?;
        if !ResponseCode::parse(answer.response_code()).is_some_and(|code| code.is_token_refusal())
        {
            return Ok(answer);
        }
        self.tokens.forget(&token).await;
        let token = self.token().await.map_err(NoAnswer::NotSent)?;
        self.send(path, &token, body).await
    }

    async fn send<T: messages::Answer + DeserializeOwned>(
        &self,
        path: &str,
        token: &str,
        body: Vec<u8>,
    ) -> Result<T, NoAnswer> {
        let _turn = self.gate.enter().await;
        let timestamp = timestamp(self.clock.now());
        let signature = self.signer.sign_transaction(path, token, &body, &timestamp);
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json")
            .bearer_auth(token)
            .header("X-TIMESTAMP", timestamp)
            .header("X-SIGNATURE", signature)
            .header("X-PARTNER-ID", self.signer.client_id())
            .header("X-EXTERNAL-ID", external_id())
            .header("CHANNEL-ID", &self.channel_id)
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => NoAnswer::NotSent(text_of(&error)),
                false => NoAnswer::Unclear(text_of(&error)),
            })?;
        let status = response.status();
        let answer: T = read(response).await.map_err(NoAnswer::Unclear)?;
        // A gateway in between may answer in the bank's place: code and HTTP code must be of one mind.
        if answer.response_code().starts_with(status.as_str()) {
            Ok(answer)
        } else {
            Err(NoAnswer::Unclear(format!(
                "HTTP {status} with response code {}",
                answer.response_code()
            )))
        }
    }

    async fn token(&self) -> Result<String, String> {
        self.tokens.get(|| self.request_token_patiently()).await
    }

    async fn request_token_patiently(&self) -> Result<token::Issued, String> {
        let mut retry = 0;
        loop {
            let start = Instant::now();
            let issued = self.request_token().await;
            if issued.is_ok() || retry >= self.retries_max || start.elapsed() > RETRY_WITHIN {
                return issued;
            }
            tokio::time::sleep(RETRY_PAUSE * 2_u32.saturating_pow(retry)).await;
            retry += 1;
        }
    }

    async fn request_token(&self) -> Result<token::Issued, String> {
        let _turn = self.gate.enter().await;
        let timestamp = timestamp(self.clock.now());
        let signature = self
            .signer
            .sign_token_request(&timestamp)
            .ok_or("the private key cannot sign")?;
        let response = self
            .http
            .post(format!("{}{}", self.base, token::PATH))
            .header("Content-Type", "application/json")
            .header("X-CLIENT-KEY", self.signer.client_id())
            .header("X-TIMESTAMP", timestamp)
            .header("X-SIGNATURE", signature)
            .body(token::BODY)
            .send()
            .await
            .map_err(|error| text_of(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP {} for a token", response.status()));
        }
        read(response).await
    }
}

impl From<NoAnswer> for Outage {
    fn from(no_answer: NoAnswer) -> Outage {
        match no_answer {
            NoAnswer::NotSent(why) | NoAnswer::Unclear(why) => Outage(why),
        }
    }
}

impl fmt::Debug for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rail({})", self.base)
    }
}

async fn read<T: DeserializeOwned>(mut response: reqwest::Response) -> Result<T, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| text_of(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    // The parser's error may quote the body, which may name a holder.
    serde_json::from_slice(&body)
        .map_err(|_| format!("HTTP {} with an unreadable body", response.status()))
}

/// The error and its causes; none of them holds more than the address.
fn text_of(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
