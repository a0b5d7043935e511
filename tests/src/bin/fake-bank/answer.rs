//! SNAP's answers: the response code is the HTTP code (three digits), the service's code (two) and the case (two).

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

/// The services by SNAP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceCode {
    AccessToken,
    AccountInquiry,
    TransferInterbank,
    TransferStatus,
}

impl ServiceCode {
    pub(crate) fn digits(self) -> &'static str {
        match self {
            ServiceCode::AccessToken => "73",
            ServiceCode::AccountInquiry => "16",
            ServiceCode::TransferInterbank => "18",
            ServiceCode::TransferStatus => "36",
        }
    }
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Success,
    InProgress,
    BadRequest,
    InvalidFormat(&'static str),
    MissingField(&'static str),
    Unauthorized(&'static str),
    InvalidToken,
    DoNotHonor,
    DormantAccount,
    InactiveAccount,
    AccountLimitExceeded,
    AmountLimitExceeded,
    TransactionNotFound,
    InvalidAccount,
    ExternalIdConflict,
    DuplicateReference,
    GeneralError,
    ServiceUnavailable,
    Timeout,
}

impl Case {
    /// Returns the HTTP code, the case's two digits and its text.
    fn parts(self) -> (StatusCode, &'static str, String) {
        let text = |text: &str| text.to_owned();
        match self {
            Case::Success => (StatusCode::OK, "00", text("Successful")),
            Case::InProgress => (StatusCode::ACCEPTED, "00", text("Request In Progress")),
            Case::BadRequest => (StatusCode::BAD_REQUEST, "00", text("Bad Request")),
            Case::InvalidFormat(field) => (
                StatusCode::BAD_REQUEST,
                "01",
                format!("Invalid Field Format {field}"),
            ),
            Case::MissingField(field) => (
                StatusCode::BAD_REQUEST,
                "02",
                format!("Invalid Mandatory Field {field}"),
            ),
            Case::Unauthorized(why) => (
                StatusCode::UNAUTHORIZED,
                "00",
                format!("Unauthorized. {why}"),
            ),
            Case::InvalidToken => (StatusCode::UNAUTHORIZED, "01", text("Invalid Token (B2B)")),
            Case::DoNotHonor => (StatusCode::FORBIDDEN, "05", text("Do Not Honor")),
            Case::DormantAccount => (StatusCode::FORBIDDEN, "09", text("Dormant Account")),
            Case::InactiveAccount => (
                StatusCode::FORBIDDEN,
                "18",
                text("Inactive Card/Account/Customer"),
            ),
            Case::AccountLimitExceeded => {
                (StatusCode::FORBIDDEN, "23", text("Account Limit Exceed"))
            }
            Case::AmountLimitExceeded => (
                StatusCode::FORBIDDEN,
                "02",
                text("Exceeds Transaction Amount Limit"),
            ),
            Case::TransactionNotFound => {
                (StatusCode::NOT_FOUND, "01", text("Transaction Not Found"))
            }
            Case::InvalidAccount => (
                StatusCode::NOT_FOUND,
                "11",
                text("Invalid Card/Account/Customer"),
            ),
            Case::ExternalIdConflict => (StatusCode::CONFLICT, "00", text("Conflict")),
            Case::DuplicateReference => (
                StatusCode::CONFLICT,
                "01",
                text("Duplicate partnerReferenceNo"),
            ),
            Case::GeneralError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "00",
                text("General Error"),
            ),
            Case::ServiceUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "00",
                text("Service Unavailable"),
            ),
            Case::Timeout => (StatusCode::GATEWAY_TIMEOUT, "00", text("Timeout")),
        }
    }

    /// Returns the seven digits.
    pub(crate) fn response_code(self, service: ServiceCode) -> String {
        let (http, case, _) = self.parts();
        format!("{}{}{case}", http.as_u16(), service.digits())
    }

    /// Makes the answer, with the fields beside code and message.
    pub(crate) fn answer(self, service: ServiceCode, fields: Value) -> Response {
        let (http, _, message) = self.parts();
        let mut body = Map::new();
        body.insert(
            "responseCode".to_owned(),
            json!(self.response_code(service)),
        );
        body.insert("responseMessage".to_owned(), json!(message));
        if let Value::Object(fields) = fields {
            body.extend(fields);
        }
        (http, Json(Value::Object(body))).into_response()
    }

    /// Makes the answer without further fields.
    pub(crate) fn alone(self, service: ServiceCode) -> Response {
        self.answer(service, Value::Null)
    }
}
