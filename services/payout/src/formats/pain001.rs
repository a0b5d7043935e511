//! pain.001.001.09 of ISO 20022, a customer's credit transfers, written piece by piece: the same payments give the same
//! bytes.

use std::fmt::Write;

use chassis::money::Money;
use time::OffsetDateTime;

use crate::domain::{
    payee::local_date,
    payment_file::{InitiationLine, PaymentInitiation},
};

/// The longest name of a party.
const NAME_CHARS_MAX: usize = 140;

/// Writes what stands before the payments.
pub fn head(initiation: &PaymentInitiation, out: &mut String) {
    let message_id = initiation.message_id();
    let count = initiation.line_count;
    let sum = decimal(initiation.total);
    let party = format!(
        "<Id><OrgId><Othr><Id>{}</Id></Othr></OrgId></Id>",
        text(&initiation.initiator)
    );
    let date = local_date(initiation.create_time);
    let account = text(&initiation.debtor_account);
    let currency = initiation.total.currency().code();
    // One instruction: one account, one day. The order of the elements is the schema's.
    let parts = [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">\n".to_owned(),
        "<CstmrCdtTrfInitn>\n<GrpHdr>".to_owned(),
        format!("<MsgId>{message_id}</MsgId>"),
        format!("<CreDtTm>{}</CreDtTm>", utc(initiation.create_time)),
        format!("<NbOfTxs>{count}</NbOfTxs><CtrlSum>{sum}</CtrlSum>"),
        format!("<InitgPty>{party}</InitgPty></GrpHdr>\n"),
        format!("<PmtInf><PmtInfId>{message_id}</PmtInfId><PmtMtd>TRF</PmtMtd>"),
        format!("<NbOfTxs>{count}</NbOfTxs><CtrlSum>{sum}</CtrlSum>"),
        format!("<ReqdExctnDt><Dt>{date}</Dt></ReqdExctnDt>"),
        format!("<Dbtr>{party}</Dbtr>"),
        format!(
            "<DbtrAcct><Id><Othr><Id>{account}</Id></Othr></Id><Ccy>{currency}</Ccy></DbtrAcct>"
        ),
        // The bank that gets the file.
        "<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>\n"
            .to_owned(),
    ];
    out.extend(parts);
}

/// Writes a payment.
pub fn line(line: &InitiationLine, out: &mut String) {
    let parts = [
        "<CdtTrfTxInf><PmtId><EndToEndId>".to_owned(),
        text(&line.reference),
        format!(
            "</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"{}\">{}</InstdAmt></Amt>",
            line.amount.currency().code(),
            decimal(line.amount)
        ),
        format!(
            "<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>{}</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>",
            line.bank_code
        ),
        format!("<Cdtr><Nm>{}</Nm></Cdtr>", text(&line.holder.0)),
        format!(
            "<CdtrAcct><Id><Othr><Id>{}</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>\n",
            line.number.expose()
        ),
    ];
    out.extend(parts);
}

/// Writes what stands behind the payments.
pub fn tail(out: &mut String) {
    out.push_str("</PmtInf>\n</CstmrCdtTrfInitn>\n</Document>\n");
}

/// Writes an amount with the digits of its currency.
pub fn decimal(amount: Money) -> String {
    let per_unit = amount.currency().minor_per_unit();
    let (whole, minor) = (amount.minor() / per_unit, amount.minor() % per_unit);
    match per_unit.ilog10() {
        0 => whole.to_string(),
        digits => {
            let width = usize::try_from(digits).unwrap_or(0);
            format!("{whole}.{minor:0width$}")
        }
    }
}

/// Writes a time in UTC, to the second.
fn utc(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Writes a text: what has a meaning in XML escaped, what XML cannot hold as a space, and no more than a name may have.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().take(NAME_CHARS_MAX) {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            control if control.is_control() => out.push(' '),
            plain => {
                // A String takes every character.
                let _ = out.write_char(plain);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use chassis::money::Currency;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{payee::AccountNumber, rail::Holder};

    fn money(minor: i64, currency: &str) -> Money {
        Money::new(minor, Currency::from_code(currency).unwrap())
    }

    /// Written by hand after the schema.
    const EXPECTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">
<CstmrCdtTrfInitn>
<GrpHdr><MsgId>00000000000000000000000000000007</MsgId><CreDtTm>2026-02-03T18:30:00Z</CreDtTm><NbOfTxs>2</NbOfTxs><CtrlSum>1200000.05</CtrlSum><InitgPty><Id><OrgId><Othr><Id>bekal&amp;co</Id></Othr></OrgId></Id></InitgPty></GrpHdr>
<PmtInf><PmtInfId>00000000000000000000000000000007</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>2</NbOfTxs><CtrlSum>1200000.05</CtrlSum><ReqdExctnDt><Dt>2026-02-04</Dt></ReqdExctnDt><Dbtr><Id><OrgId><Othr><Id>bekal&amp;co</Id></Othr></OrgId></Id></Dbtr><DbtrAcct><Id><Othr><Id>8877001</Id></Othr></Id><Ccy>IDR</Ccy></DbtrAcct><DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>
<CdtTrfTxInf><PmtId><EndToEndId>a-2</EndToEndId></PmtId><Amt><InstdAmt Ccy="IDR">600000.00</InstdAmt></Amt><CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>009</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt><Cdtr><Nm>SITI &lt;AMINAH&gt; &quot;&amp; </Nm></Cdtr><CdtrAcct><Id><Othr><Id>0012345678</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>
</PmtInf>
</CstmrCdtTrfInitn>
</Document>
"#;

    #[test]
    fn a_file_has_the_elements_of_the_schema_in_its_order() {
        let initiation = PaymentInitiation {
            disbursement_batch_id: Uuid::from_u128(7),
            line_count: 2,
            total: money(120_000_005, "IDR"),
            debtor_account: "8877001".to_owned(),
            initiator: "bekal&co".to_owned(),
            // Past midnight where the bank is.
            create_time: datetime!(2026-02-03 18:30 UTC),
        };
        let payment = InitiationLine {
            reference: "a-2".to_owned(),
            amount: money(60_000_000, "IDR"),
            bank_code: "009",
            number: AccountNumber::from_stored("0012345678".to_owned()),
            holder: Holder("SITI <AMINAH> \"&\u{1}".to_owned()),
        };

        let mut out = String::new();
        head(&initiation, &mut out);
        line(&payment, &mut out);
        tail(&mut out);

        assert_eq!(out, EXPECTED);
    }

    #[test]
    fn a_name_is_cut_before_it_is_escaped() {
        assert_eq!(text(&"&".repeat(141)), "&amp;".repeat(140));
    }

    #[test]
    fn an_amount_has_the_digits_of_its_currency() {
        for (amount, expected) in [
            (money(5, "IDR"), "0.05"),
            (money(700, "JPY"), "700"),
            (money(1_005, "TND"), "1.005"),
        ] {
            assert_eq!(decimal(amount), expected);
        }
    }
}
