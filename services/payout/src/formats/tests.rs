//! Small documents by hand: one of each format that is right, and what is told of those that are not.

use time::macros::date;

use super::{Unread, amount, iso_date, read};
use crate::domain::statement::{Direction, Entry, Format, Statement};
use chassis::money::Currency;

const REFERENCE: &str = "019400000000700080000000000000aa";

fn take(format: Format, text: &str) -> Result<(Statement, Vec<Entry>), Unread> {
    let mut entries = Vec::new();
    let mut sink = |entry| {
        entries.push(entry);
        true
    };
    let statement = read(format, text.as_bytes(), &mut sink)?;
    Ok((statement, entries))
}

fn faults(format: Format, text: &str) -> Vec<(u64, i64, &'static str)> {
    match take(format, text) {
        Err(Unread::Faulty(faults)) => faults
            .first
            .into_iter()
            .map(|fault| (fault.line, fault.entry, fault.what))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn camt() -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">
<BkToCstmrStmt><GrpHdr><MsgId>M1</MsgId></GrpHdr><Stmt><Id>S1</Id>
<Acct><Id><Othr><Id>8877001</Id></Othr></Id><Ccy>IDR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="IDR">1000.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-02-03</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="IDR">1600.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-02-03</Dt></Dt></Bal>
<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries><Sum>800.50</Sum></TtlNtries></TxsSummry>
<Ntry><Amt Ccy="IDR">700.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-02-03</Dt></BookgDt><ValDt><Dt>2026-02-04</Dt></ValDt><AcctSvcrRef>BATCH</AcctSvcrRef>
<NtryDtls><TxDtls><Refs><AcctSvcrRef>B&amp;1</AcctSvcrRef><EndToEndId>{REFERENCE}</EndToEndId></Refs><Amt Ccy="IDR">600.50</Amt></TxDtls>
<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><Amt Ccy="IDR">100</Amt></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="IDR">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><DtTm>2026-02-03T10:00:00+07:00</DtTm></BookgDt>
<NtryDtls><TxDtls><Refs><EndToEndId>{REFERENCE}</EndToEndId></Refs><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="IDR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts></Ntry>
</Stmt></BkToCstmrStmt></Document>
"#
    )
}

fn mt940() -> String {
    format!(
        "{{1:F01BANKIDJAXXX0000000000}}{{4:\r\n:20:X\r\n:25:BANK/8877001\r\n:28C:7/1\r\n:60F:D251230IDR1000,00\r\n\
         :61:2512301231D600,50NTRFNONREF//B1\r\n:86:/EREF/{}\r\n{}/\r\n\
         :62M:D251230IDR1600,50\r\n-}}{{4:\r\n:20:X\r\n:25:BANK/8877001\r\n:28C:7/2\r\n:60M:D251230IDR1600,50\r\n\
         :61:260101RDR100,NTRFPLAIN//B2\r\nmore about it\r\n\
         :62F:D260101IDR1500,50\r\n-}}\r\n",
        &REFERENCE[..20],
        &REFERENCE[20..]
    )
}

fn csv() -> String {
    format!(
        "record,statement,account,currency,booking_date,value_date,direction,amount,bank_reference,end_to_end_id,return_reason,entry_count\n\
         OPENING,S1,8877001,IDR,2026-02-03,,CREDIT,1000.00,,,,\n\
         ENTRY,,,IDR,2026-02-03,2026-02-04,DEBIT,600.50,B1,{REFERENCE},,\n\
         ENTRY,,,,2026-02-03,,CREDIT,100,\"B,2\",{REFERENCE},AC04,\n\
         CLOSING,,,IDR,2026-02-03,,CREDIT,499.50,,,,2\n"
    )
}

#[test]
fn a_camt_053_gives_its_transactions() {
    let (statement, entries) = take(Format::Camt053, &camt()).unwrap();

    assert_eq!(statement.reference, "S1");
    assert_eq!(statement.account_number, "8877001");
    assert_eq!(statement.balances, Some([-100_000, -160_050]));
    assert_eq!(statement.end_date, date!(2026 - 02 - 03));
    assert_eq!(entries.len(), 3);
    assert_eq!(
        entries[0],
        Entry {
            number: 1,
            direction: Direction::Debit,
            amount_minor: 60_050,
            booking_date: date!(2026 - 02 - 03),
            value_date: date!(2026 - 02 - 04),
            bank_reference: Some("B&1".to_owned()),
            reference: Some(REFERENCE.to_owned()),
            is_return: false,
            return_reason: None,
        }
    );
    assert_eq!(
        (&entries[1].reference, entries[1].bank_reference.as_deref()),
        (&None, Some("BATCH"))
    );
    assert_eq!(
        (entries[2].is_return, entries[2].return_reason.as_deref()),
        (true, Some("AC04"))
    );
}

#[test]
fn a_camt_054_needs_no_balances() {
    let text = camt()
        .replace("BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn")
        .replace("Stmt>", "Ntfctn>")
        .replace("OPBD", "XPCD")
        .replace("CLBD", "XPCD");

    let (statement, entries) = take(Format::Camt054, &text).unwrap();

    assert_eq!((statement.balances, entries.len()), (None, 3));
}

#[test]
fn what_is_wrong_in_a_camt_is_told_by_line() {
    for (from, to, expected) in [
        (
            "1600.50",
            "1600.51",
            (
                17,
                0,
                "opening balance and entries do not give the closing balance",
            ),
        ),
        (
            "<NbOfNtries>3",
            "<NbOfNtries>4",
            (17, 0, "the number of entries is not the control number"),
        ),
        (
            "<Sum>800.50",
            "<Sum>800.51",
            (17, 0, "the sum of the entries is not the control sum"),
        ),
        (
            r#"<Amt Ccy="IDR">700.50"#,
            r#"<Amt Ccy="USD">700.50"#,
            (8, 1, "is not in the currency of the account"),
        ),
        (
            r#"<Amt Ccy="IDR">100</Amt>"#,
            r#"<Amt Ccy="IDR">101</Amt>"#,
            (8, 1, "is not the sum of its transactions"),
        ),
        (
            "700.50</Amt>",
            "700.505</Amt>",
            (8, 1, "has an amount that is none of the currency"),
        ),
        (
            "<BookgDt><Dt>2026-02-03",
            "<BookgDt><Dt>2026-02-30",
            (8, 1, "has a date that is not in the calendar"),
        ),
        (
            "<CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK",
            "<CdtDbtInd>BOTH</CdtDbtInd><Sts>BOOK",
            (12, 3, "says neither debit nor credit"),
        ),
        ("<Id>S1</Id>", "", (17, 0, "the statement has no reference")),
        (
            "<?xml version",
            "<!DOCTYPE x [<!ENTITY e 'e'>]><?xml version",
            (1, 0, "has a document type"),
        ),
        (
            "B&amp;1",
            "B&e;1",
            (9, 0, "has an entity that is not defined"),
        ),
        ("</Stmt>", "</Stm>", (15, 0, "is not well-formed XML")),
        (
            "</Stmt></BkToCstmrStmt></Document>",
            "",
            (16, 0, "ends before its last element does"),
        ),
        (
            "</Stmt>",
            "</Stmt><Stmt><Id>S2</Id></Stmt>",
            (15, 0, "holds more than one statement"),
        ),
        (
            "BkToCstmrStmt",
            "BkToCstmrAcctRpt",
            (17, 0, "holds no statement of the format that was named"),
        ),
    ] {
        let text = camt();
        assert!(text.contains(from), "{from}");
        let told = faults(Format::Camt053, &text.replace(from, to));
        let first = told[0];
        assert!(
            first.1 == expected.1 && first.2 == expected.2 && first.0.abs_diff(expected.0) <= 2,
            "{to}: {told:?}"
        );
    }
}

#[test]
fn the_depth_and_the_length_of_xml_are_bounded() {
    let deep = "<a>".repeat(40);
    let long = format!("<Document>{}", "x".repeat(300_000));

    assert_eq!(
        faults(Format::Camt053, &deep)[0].2,
        "has elements in elements more than 32 deep"
    );
    assert_eq!(
        faults(Format::Camt053, &long)[0].2,
        "something in the file is longer than 256 KiB"
    );
}

#[test]
fn an_mt940_of_two_pages_is_one_statement() {
    let (statement, entries) = take(Format::Mt940, &mt940()).unwrap();

    assert_eq!(statement.reference, "7/2026-01-01");
    assert_eq!(statement.account_number, "8877001");
    assert_eq!(statement.balances, Some([-100_000, -150_050]));
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].booking_date, date!(2025 - 12 - 31));
    assert_eq!(entries[0].value_date, date!(2025 - 12 - 30));
    assert_eq!(entries[0].reference.as_deref(), Some(REFERENCE));
    assert_eq!(entries[0].bank_reference.as_deref(), Some("B1"));
    assert_eq!(
        (
            entries[1].direction,
            entries[1].is_return,
            entries[1].amount_minor,
            entries[1].reference.as_deref()
        ),
        (Direction::Credit, true, 10_000, Some("PLAIN"))
    );
}

#[test]
fn what_is_wrong_in_an_mt940_is_told_by_line() {
    for (from, to, expected) in [
        (
            "IDR1500,50",
            "IDR1500,51",
            "opening balance and entries do not give the closing balance",
        ),
        ("D600,50", "X600,50", "says neither debit nor credit"),
        (
            "D600,50",
            "D600.50",
            "has an amount that is none of the currency",
        ),
        (
            ":61:251230",
            ":61:251330",
            "does not begin with a value date",
        ),
        ("1231D", "1331D", "has a date that is not in the calendar"),
        (
            ":60M:D251230IDR1600,50",
            ":60M:D251230IDR1600,51",
            "is not the balance that the page before closes with",
        ),
        (":28C:7/2", ":28C:8/2", "is a page of another statement"),
        (
            ":62F:",
            ":62M:",
            "the last page of the statement is missing",
        ),
        (":25:BANK/8877001", ":25:", "the statement names no account"),
        (
            "IDR1600,50\r\n:61",
            "USD1600,50\r\n:61",
            "is not in the currency of the account",
        ),
        ("{1:F01", "stray\r\n{1:F01", "stands outside of a field"),
    ] {
        let text = mt940();
        assert!(text.contains(from), "{from}");
        let told = faults(Format::Mt940, &text.replace(from, to));
        assert!(
            told.iter().any(|(_, _, what)| *what == expected),
            "{to}: {told:?}"
        );
    }
    let line = faults(Format::Mt940, &mt940().replace("D600,50", "X600,50"))[0];
    assert_eq!((line.0, line.1), (6, 1));
}

#[test]
fn a_csv_gives_its_entries() {
    let (statement, entries) = take(Format::Csv, &csv()).unwrap();

    assert_eq!(statement.balances, Some([100_000, 49_950]));
    assert_eq!(entries[0].value_date, date!(2026 - 02 - 04));
    assert_eq!(entries[1].bank_reference.as_deref(), Some("B,2"));
    assert_eq!((entries.len(), entries[1].is_return), (2, true));
}

#[test]
fn what_is_wrong_in_a_csv_is_told_by_line() {
    for (from, to, line, expected) in [
        (
            "record,",
            "records,",
            1,
            "is not the line of the twelve columns",
        ),
        ("DEBIT", "DEBT", 3, "says neither debit nor credit"),
        ("600.50", "600,50", 3, "has not the twelve columns"),
        (
            "600.50",
            "-600.50",
            3,
            "has an amount that is none of the currency",
        ),
        (
            "2026-02-04",
            "04.02.2026",
            3,
            "has a date that is not in the calendar",
        ),
        (
            ",,,IDR,2026-02-03,2026",
            ",,,USD,2026-02-03,2026",
            3,
            "is not in the currency of the account",
        ),
        (
            "ENTRY",
            "ENTRIES",
            3,
            "is neither OPENING, ENTRY nor CLOSING",
        ),
        (
            ",,,,2\n",
            ",,,,3\n",
            6,
            "the number of entries is not the control number",
        ),
        (
            "499.50",
            "499.00",
            6,
            "opening balance and entries do not give the closing balance",
        ),
        (
            "CLOSING,,,IDR,2026-02-03",
            "CLOSING,,,IDR,2026-02-02",
            6,
            "an entry was booked after the statement's end",
        ),
        ("OPENING", "ENTRY", 2, "stands before the opening record"),
        (
            ",,,,2\n",
            ",,,,2\nENTRY,,,,,,,,,,,\n",
            6,
            "stands behind the closing record",
        ),
        (
            "B1",
            "B\u{7}1",
            3,
            "has a reference with control characters",
        ),
    ] {
        let text = csv();
        assert!(text.contains(from), "{from}");
        let told = faults(Format::Csv, &text.replacen(from, to, 1));
        assert!(
            told.iter()
                .any(|fault| (fault.0, fault.2) == (line, expected)),
            "{to}: {told:?}"
        );
    }
    assert!(matches!(
        take(Format::Csv, "").unwrap_err(),
        Unread::Faulty(_)
    ));
}

#[test]
fn all_faults_of_a_file_are_told_together() {
    let text = csv()
        .replace("DEBIT", "DEBT")
        .replace("CREDIT,100", "CREDIT,0");

    let told = faults(Format::Csv, &text);

    let entries: Vec<i64> = told.iter().map(|(_, entry, _)| *entry).collect();
    assert_eq!(entries, [1, 2], "{told:?}");
}

#[test]
fn amounts_are_exact() {
    let idr = Currency::from_code("IDR").unwrap();
    let jpy = Currency::from_code("JPY").unwrap();
    let kwd = Currency::from_code("KWD").unwrap();
    for (text, currency, expected) in [
        ("600000.00", idr, Some(60_000_000)),
        ("0.1", idr, Some(10)),
        ("0.100", idr, Some(10)),
        ("0.101", idr, None),
        ("5.", idr, Some(500)),
        ("5", jpy, Some(5)),
        ("5.0", jpy, Some(5)),
        ("5.5", jpy, None),
        ("1.234", kwd, Some(1_234)),
        (".5", idr, None),
        ("1,5", idr, None),
        ("+1", idr, None),
        ("", idr, None),
        ("92233720368547758.07", idr, Some(i64::MAX)),
        ("92233720368547758.08", idr, None),
    ] {
        assert_eq!(amount(text, '.', currency), expected, "{text}");
    }
}

#[test]
fn dates_are_of_the_calendar() {
    assert_eq!(iso_date("2024-02-29"), Some(date!(2024 - 02 - 29)));
    assert_eq!(
        iso_date("2026-02-03T10:00:00+07:00"),
        Some(date!(2026 - 02 - 03))
    );
    for wrong in [
        "2026-02-29",
        "2026-2-3",
        "20260203",
        "2026-02-03x",
        "é026-02-0",
    ] {
        assert_eq!(iso_date(wrong), None, "{wrong}");
    }
}
