//! SNAP's messages, as far as we use them. Field order is the order on the wire, which the signature covers.

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset, macros::format_description, macros::offset};

/// The rail's local time, in which it counts days.
const RAIL_OFFSET: UtcOffset = offset!(+7);

/// `X-EXTERNAL-ID` has at most 36 digits.
const EXTERNAL_ID_MODULUS: u128 = 10_u128.pow(36);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountInquiry<'a> {
    pub(super) beneficiary_bank_code: &'a str,
    pub(super) beneficiary_account_no: &'a str,
    pub(super) partner_reference_no: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transfer<'a> {
    pub(super) partner_reference_no: &'a str,
    pub(super) amount: Amount,
    pub(super) beneficiary_account_name: &'a str,
    pub(super) beneficiary_account_no: &'a str,
    pub(super) beneficiary_bank_code: &'a str,
    pub(super) source_account_no: &'a str,
    pub(super) transaction_date: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusInquiry<'a> {
    pub(super) original_partner_reference_no: &'a str,
    pub(super) service_code: &'a str,
}

/// What the rail tells of a transfer by itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransferNotice {
    pub(super) original_partner_reference_no: String,
    pub(super) latest_transaction_status: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) value: String,
    pub(super) currency: String,
}

/// What all answers to transactions have.
pub(super) trait Answer {
    fn response_code(&self) -> &str;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountInquiryAnswer {
    pub(super) response_code: String,
    pub(super) beneficiary_account_name: Option<String>,
    #[serde(default)]
    pub(super) additional_info: AdditionalInfo,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdditionalInfo {
    pub(super) kyc_level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransferAnswer {
    pub(super) response_code: String,
    pub(super) partner_reference_no: Option<String>,
    pub(super) amount: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusInquiryAnswer {
    pub(super) response_code: String,
    pub(super) original_partner_reference_no: Option<String>,
    pub(super) latest_transaction_status: Option<String>,
    pub(super) previous_response_code: Option<String>,
    pub(super) amount: Option<Amount>,
}

impl Answer for AccountInquiryAnswer {
    fn response_code(&self) -> &str {
        &self.response_code
    }
}

impl Answer for TransferAnswer {
    fn response_code(&self) -> &str {
        &self.response_code
    }
}

impl Answer for StatusInquiryAnswer {
    fn response_code(&self) -> &str {
        &self.response_code
    }
}

/// Writes a time as SNAP wants it, such as `2026-11-24T10:00:00+07:00`.
pub(super) fn timestamp(time: OffsetDateTime) -> String {
    let form = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]"
    );
    time.to_offset(RAIL_OFFSET)
        .format(form)
        .expect("a time of these centuries can be written")
}

/// Makes an id of 36 digits that no other request has.
pub(super) fn external_id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    format!("{:036}", u128::from_be_bytes(bytes) % EXTERNAL_ID_MODULUS)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_timestamp_is_in_the_rail_s_own_time() {
        assert_eq!(
            timestamp(datetime!(2026-12-31 20:05:09.123 UTC)),
            "2027-01-01T03:05:09+07:00"
        );
    }

    #[test]
    fn an_external_id_is_36_digits_and_new() {
        let id = external_id();

        assert_eq!(id.len(), 36);
        assert!(id.bytes().all(|digit| digit.is_ascii_digit()));
        assert_ne!(id, external_id());
    }

    #[test]
    fn a_body_is_minified_and_keeps_its_order() {
        let body = StatusInquiry {
            original_partner_reference_no: "r 1",
            service_code: "18",
        };

        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"originalPartnerReferenceNo":"r 1","serviceCode":"18"}"#
        );
    }
}
