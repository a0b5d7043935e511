//! Answers the three transaction services: account inquiry (16), interbank transfer (18), transfer status (36).

use std::{sync::Arc, time::Duration};

use ::tests::fakes::{BankFault, Kyc};
use axum::{
    body::Bytes,
    extract::State as Shared,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Bank,
    answer::{Case, ServiceCode},
    book::{Order, State, Transfer, format_amount, parse_amount},
};

/// What comes with every transaction, checked.
fn open<T: DeserializeOwned>(
    bank: &Bank,
    service: ServiceCode,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Case> {
    bank.book().count_request(service);
    if bank.faults().wishes().down {
        return Err(Case::ServiceUnavailable);
    }
    if let Err(case) = bank.access.check(path, headers, body) {
        if case == Case::ExternalIdConflict {
            bank.book().count_conflict();
        }
        return Err(case);
    }
    serde_json::from_slice(body).map_err(|_| Case::BadRequest)
}

fn text(body: &Value, field: &'static str, length_max: usize) -> Result<String, Case> {
    match body[field].as_str() {
        None | Some("") => Err(Case::MissingField(field)),
        Some(text) if text.len() > length_max => Err(Case::InvalidFormat(field)),
        Some(text) => Ok(text.to_owned()),
    }
}

// ---- 16: whose account is it? ----

pub(crate) async fn inquire_account(
    Shared(bank): Shared<Arc<Bank>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let service = ServiceCode::AccountInquiry;
    let body: Value = match open(&bank, service, uri.path(), &headers, &body) {
        Ok(body) => body,
        Err(case) => return case.alone(service),
    };
    match account_fields(&bank, &body) {
        Ok(fields) => Case::Success.answer(service, fields),
        Err(case) => case.alone(service),
    }
}

fn account_fields(bank: &Bank, body: &Value) -> Result<Value, Case> {
    let bank_code = text(body, "beneficiaryBankCode", 11)?;
    let account_no = text(body, "beneficiaryAccountNo", 34)?;
    let book = bank.book();
    let account = book.payable(&bank_code, &account_no)?;
    Ok(json!({
        "referenceNo": format!("I{account_no}"),
        "partnerReferenceNo": body["partnerReferenceNo"],
        "beneficiaryAccountName": account.holder_name,
        "beneficiaryAccountNo": account_no,
        "beneficiaryBankCode": bank_code,
        "currency": "IDR",
        "additionalInfo": {
            "kycLevel": match account.kyc { Kyc::Full => "FULL", Kyc::Basic => "BASIC" },
            "phoneNo": account.phone,
        },
    }))
}

// ---- 18: pay ----

pub(crate) async fn transfer(
    Shared(bank): Shared<Arc<Bank>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let service = ServiceCode::TransferInterbank;
    let body: Value = match open(&bank, service, uri.path(), &headers, &body) {
        Ok(body) => body,
        Err(case) => return case.alone(service),
    };
    match read_order(&body) {
        Ok(order) => pay(&bank, order).await,
        Err(case) => case.alone(service),
    }
}

fn read_order(body: &Value) -> Result<Order, Case> {
    let reference = text(body, "partnerReferenceNo", 64)?;
    let account_no = text(body, "beneficiaryAccountNo", 34)?;
    let bank_code = text(body, "beneficiaryBankCode", 11)?;
    text(body, "beneficiaryAccountName", 100)?;
    text(body, "sourceAccountNo", 34)?;
    text(body, "transactionDate", 25)?;
    if body["amount"]["currency"] != "IDR" {
        return Err(Case::InvalidFormat("amount.currency"));
    }
    let amount = text(&body["amount"], "value", 19)?;
    let amount_minor = parse_amount(&amount)
        .filter(|minor| *minor > 0)
        .ok_or(Case::InvalidFormat("amount.value"))?;
    Ok(Order {
        reference,
        bank_code,
        account_no,
        amount_minor,
    })
}

/// Pays, or has happen what the faults want.
async fn pay(bank: &Bank, order: Order) -> Response {
    let service = ServiceCode::TransferInterbank;
    let attempt = bank.book().count_attempt(&order.reference);
    let (fault, times) = {
        let mut faults = bank.faults();
        let fault = faults.for_transfer(&order.reference, &order.account_no, attempt);
        (fault, faults.wishes().clone())
    };
    let after = Duration::from_millis;
    match fault {
        None => settle(bank, order, None, None),
        Some(BankFault::DropRequestHang) => hang(times.hang_ms).await,
        Some(BankFault::DropRequestClose) => close(),
        Some(BankFault::DropReplyHang) => {
            settle_unheard(bank, order);
            hang(times.hang_ms).await
        }
        Some(BankFault::DropReplyClose) => {
            settle_unheard(bank, order);
            close()
        }
        Some(BankFault::ErrorBeforeBooking) => Case::GeneralError.alone(service),
        Some(BankFault::ErrorAfterBooking) => {
            settle_unheard(bank, order);
            Case::Timeout.alone(service)
        }
        Some(BankFault::BookLate) => {
            settle(bank, order, None, Some(State::unseen(after(times.late_ms))));
            close()
        }
        Some(BankFault::Pending) => settle(
            bank,
            order,
            None,
            Some(State::pending(after(times.pending_ms))),
        ),
        Some(BankFault::Delay) => {
            sleep(after(times.delay_ms)).await;
            settle(bank, order, None, None)
        }
        Some(BankFault::RejectBlocked) => settle(bank, order, Some(Case::DoNotHonor), None),
        Some(BankFault::RejectClosed) => settle(bank, order, Some(Case::InactiveAccount), None),
        Some(BankFault::RejectNotFound) => settle(bank, order, Some(Case::InvalidAccount), None),
        Some(BankFault::RejectDormant) => settle(bank, order, Some(Case::DormantAccount), None),
        Some(BankFault::RejectLimit) => settle(bank, order, Some(Case::AmountLimitExceeded), None),
        Some(BankFault::RejectBalanceCap) => {
            settle(bank, order, Some(Case::AccountLimitExceeded), None)
        }
        Some(BankFault::Reverse) => {
            let state = State::reversing(after(times.reverse_after_ms));
            settle(bank, order, None, Some(state))
        }
        // The faults of inquiries and notices are not chosen for transfers.
        Some(
            BankFault::InquiryError
            | BankFault::InquiryHang
            | BankFault::DoubleCallback
            | BankFault::LateCallback,
        ) => settle(bank, order, None, None),
    }
}

/// Books an order whose answer the payer will not hear.
fn settle_unheard(bank: &Bank, order: Order) {
    let reference = order.reference.clone();
    settle(bank, order, None, None);
    bank.book().tell(&reference);
}

/// Books an order and makes the answer.
fn settle(bank: &Bank, order: Order, refusal: Option<Case>, state: Option<State>) -> Response {
    let service = ServiceCode::TransferInterbank;
    let mut book = bank.book();
    let transfer = match book.take(order, refusal, state) {
        Ok(transfer) => transfer,
        Err(case) => return case.alone(service),
    };
    let case = match transfer.state {
        State::Refused(case) => case,
        State::Open { .. } => Case::InProgress,
        State::Paid { .. } | State::Reversed => Case::Success,
    };
    let fields = json!({
        "referenceNo": transfer.bank_reference,
        "partnerReferenceNo": transfer.order.reference,
        "amount": amount(transfer),
        "beneficiaryAccountNo": transfer.order.account_no,
        "beneficiaryBankCode": transfer.order.bank_code,
    });
    case.answer(service, fields)
}

fn amount(transfer: &Transfer) -> Value {
    json!({ "value": format_amount(transfer.order.amount_minor), "currency": "IDR" })
}

/// Holds the connection, and says 504 to whoever is still there.
async fn hang(hang_ms: u64) -> Response {
    sleep(Duration::from_millis(hang_ms)).await;
    Case::Timeout.alone(ServiceCode::TransferInterbank)
}

/// Ends the connection without a word: the unwinding takes the connection's task with it, and prints nothing.
fn close() -> Response {
    std::panic::resume_unwind(Box::new("closed on purpose"))
}

// ---- 36: what became of it? ----

pub(crate) async fn inquire_status(
    Shared(bank): Shared<Arc<Bank>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let service = ServiceCode::TransferStatus;
    let body: Value = match open(&bank, service, uri.path(), &headers, &body) {
        Ok(body) => body,
        Err(case) => return case.alone(service),
    };
    let reference = match text(&body, "originalPartnerReferenceNo", 64) {
        Ok(reference) => reference,
        Err(case) => return case.alone(service),
    };
    if body["serviceCode"] != ServiceCode::TransferInterbank.digits() {
        return Case::InvalidFormat("serviceCode").alone(service);
    }
    let (attempt, account_no) = {
        let mut book = bank.book();
        let attempt = book.count_inquiry(&reference);
        let known = book.find(&reference);
        let account_no = known.map(|known| known.order.account_no.clone());
        (attempt, account_no.unwrap_or_default())
    };
    let (fault, hang_ms) = {
        let mut faults = bank.faults();
        let fault = faults.for_inquiry(&reference, &account_no, attempt);
        (fault, faults.wishes().hang_ms)
    };
    match fault {
        Some(BankFault::InquiryError) => Case::GeneralError.alone(service),
        Some(BankFault::InquiryHang) => {
            sleep(Duration::from_millis(hang_ms)).await;
            Case::Timeout.alone(service)
        }
        Some(_) | None => status_of(&bank, &reference),
    }
}

fn status_of(bank: &Bank, reference: &str) -> Response {
    let service = ServiceCode::TransferStatus;
    let mut book = bank.book();
    let Some(transfer) = book.find(reference) else {
        let fields = json!({
            "originalPartnerReferenceNo": reference,
            "serviceCode": ServiceCode::TransferInterbank.digits(),
            "latestTransactionStatus": "07",
            "transactionStatusDesc": "Not found",
        });
        return Case::TransactionNotFound.answer(service, fields);
    };
    let outcome = match transfer.state {
        State::Refused(case) => case,
        State::Open { .. } => Case::InProgress,
        State::Paid { .. } | State::Reversed => Case::Success,
    };
    let description = match transfer.state {
        State::Refused(_) => "Failed",
        State::Open { .. } => "Pending",
        State::Paid { .. } => "Success",
        State::Reversed => "Refunded",
    };
    let fields = json!({
        "originalReferenceNo": transfer.bank_reference,
        "originalPartnerReferenceNo": reference,
        "serviceCode": ServiceCode::TransferInterbank.digits(),
        "amount": amount(transfer),
        "beneficiaryAccountNo": transfer.order.account_no,
        "beneficiaryBankCode": transfer.order.bank_code,
        "previousResponseCode": outcome.response_code(ServiceCode::TransferInterbank),
        "latestTransactionStatus": transfer.state.digits(),
        "transactionStatusDesc": description,
    });
    Case::Success.answer(service, fields)
}
