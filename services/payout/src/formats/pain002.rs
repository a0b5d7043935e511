//! pain.002 of ISO 20022, the bank's report of what became of a pain.001, any version that has the elements below. Elements
//! of other names are passed over; names and accounts of payees among them are never kept.
//!
//! A payment without a status of its own has the one of its instruction or of the whole.

use std::{collections::BTreeMap, io::BufRead};

use chassis::money::Currency;

use super::{
    Pieces, Stop, TOO_LONG, Unread, amount, reference,
    xml::{self, Elements},
};
use crate::domain::{
    disbursement::parse_reference,
    payment_file::{
        LineStatus, ReportHead, ReportedLine, ReportedStatus, STATUS_COUNT, Said, line_status,
        read_status, whole_status,
    },
    statement::Faults,
};

/// The most payments of a report: ten times those of a batch.
const LINES_MAX: i64 = 1_000_000;

/// The payments, from the root on.
const PAYMENT: &str = "/Document/CstmrPmtStsRpt/OrgnlPmtInfAndSts/TxInfAndSts";
const INSTRUCTION: &str = "/Document/CstmrPmtStsRpt/OrgnlPmtInfAndSts";
const GROUP: &str = "/Document/CstmrPmtStsRpt/OrgnlGrpInfAndSts";

/// What stands of the whole, in one place.
#[derive(Clone, Copy, Debug, Default)]
struct Whole {
    status: ReportedStatus,
    has_count: bool,
    has_sum: bool,
    said_count: usize,
}

/// A payment as it is written.
#[derive(Debug, Default)]
struct RawLine {
    line: u64,
    reference: Option<String>,
    status: ReportedStatus,
    code: String,
    amount: Option<(i64, Currency)>,
    is_faulty: bool,
}

/// How many payments have a status, as the report says.
#[derive(Debug, Default)]
struct RawCount {
    code: String,
    count: Option<i64>,
}

struct Report<'s> {
    sink: &'s mut dyn FnMut(ReportedLine) -> bool,
    faults: Faults,
    head: ReportHead,
    is_report: bool,
    instruction_count: u32,
    message_name: String,
    instruction_id: Option<String>,
    group: Whole,
    instruction: Whole,
    payment: RawLine,
    payment_count: i64,
    /// By status code: how many were read, and what the report says of it.
    counted: BTreeMap<String, i64>,
    said_counts: Vec<(u64, String, i64)>,
    count: RawCount,
}

/// Reads a report, and passes its payments on as they come; `sink` answers `false` when it wants no more. Faults after which
/// the reading goes on are returned, so that they can be told together with those that a comparison finds.
///
/// # Errors
/// When nothing more can be made out.
pub fn read(
    input: impl BufRead,
    sink: &mut dyn FnMut(ReportedLine) -> bool,
) -> Result<(ReportHead, Faults), Unread> {
    let mut input = Pieces::new(input);
    let mut report = Report {
        sink,
        faults: Faults::default(),
        head: ReportHead::default(),
        is_report: false,
        instruction_count: 0,
        message_name: String::new(),
        instruction_id: None,
        group: Whole::default(),
        instruction: Whole::default(),
        payment: RawLine::default(),
        payment_count: 0,
        counted: BTreeMap::new(),
        said_counts: Vec::new(),
        count: RawCount::default(),
    };
    match xml::walk(&mut input, &mut report) {
        Ok(line) => report.finish(line),
        // What stands behind the place is not known: nothing is said of it.
        Err(Stop::Lost) => Err(Unread::Faulty(report.faults)),
        Err(Stop::Input(_)) if input.is_too_long() => {
            report.fault(input.line, TOO_LONG);
            Err(Unread::Faulty(report.faults))
        }
        Err(Stop::Input(error)) => Err(Unread::Cut(error)),
    }
}

impl Elements for Report<'_> {
    fn open(&mut self, line: u64, path: &str) -> Result<(), Stop> {
        match path {
            "/Document/CstmrPmtStsRpt" => self.is_report = true,
            INSTRUCTION => {
                self.instruction_count += 1;
                if self.instruction_count > 1 {
                    self.fault(line, "answers more than the one instruction of the file");
                    return Err(Stop::Lost);
                }
            }
            PAYMENT => {
                self.payment = RawLine {
                    line,
                    ..RawLine::default()
                };
            }
            _ if path.ends_with("/NbOfTxsPerSts") => self.count = RawCount::default(),
            _ => {}
        }
        Ok(())
    }

    fn close(
        &mut self,
        line: u64,
        path: &str,
        text: &str,
        currency: Option<&str>,
    ) -> Result<(), Stop> {
        if let Some(path) = path.strip_prefix(PAYMENT) {
            return self.close_payment(line, path, text, currency);
        }
        if let Some(path) = path.strip_prefix(INSTRUCTION) {
            self.close_whole(line, path, text, true);
            return Ok(());
        }
        if let Some(path) = path.strip_prefix(GROUP) {
            self.close_whole(line, path, text, false);
            return Ok(());
        }
        if path == "/Document/CstmrPmtStsRpt/GrpHdr/MsgId" {
            self.head.message_id = self.name(line, text).unwrap_or_default();
        }
        Ok(())
    }

    fn fault(&mut self, line: u64, what: &'static str) {
        self.faults.add(line, 0, what);
    }
}

impl Report<'_> {
    fn payment_fault(&mut self, line: u64, what: &'static str) {
        self.payment.is_faulty = true;
        self.faults.add(line, self.payment_count + 1, what);
    }

    fn name(&mut self, line: u64, text: &str) -> Option<String> {
        match reference(text) {
            Ok(name) => name,
            Err(what) => {
                self.fault(line, what);
                None
            }
        }
    }

    /// Takes what stands of the whole, or of the instruction, of which the file has one.
    fn close_whole(&mut self, line: u64, path: &str, text: &str, is_instruction: bool) {
        match path {
            "/OrgnlMsgId" => {
                self.head.original_message_id = self.name(line, text).unwrap_or_default();
            }
            "/OrgnlPmtInfId" => self.instruction_id = self.name(line, text),
            "/OrgnlMsgNmId" => self.message_name = self.name(line, text).unwrap_or_default(),
            "/OrgnlNbOfTxs" => {
                if std::mem::replace(&mut self.whole(is_instruction).has_count, true) {
                    return self.fault(line, "is said twice");
                }
                match text.parse() {
                    Ok(count) => self.head.original_counts.push((line, count)),
                    Err(_) => self.fault(line, "is not a number of payments"),
                }
            }
            "/OrgnlCtrlSum" => {
                if std::mem::replace(&mut self.whole(is_instruction).has_sum, true) {
                    return self.fault(line, "is said twice");
                }
                self.head.original_sums.push((line, text.to_owned()));
            }
            "/GrpSts" | "/PmtInfSts" => {
                let said = read_status(text);
                if said.is_none() {
                    self.fault(line, "is not a known status");
                }
                self.whole(is_instruction).status.said = said;
                self.check_place(line);
            }
            "/StsRsnInf/Rsn/Cd" | "/StsRsnInf/Rsn/Prtry" => {
                self.whole(is_instruction).status.reasons.add(text);
                self.check_place(line);
            }
            "/NbOfTxsPerSts/DtldSts" => text.clone_into(&mut self.count.code),
            "/NbOfTxsPerSts/DtldNbOfTxs" => self.count.count = text.parse().ok(),
            "/NbOfTxsPerSts" => {
                let count = std::mem::take(&mut self.count);
                let whole = self.whole(is_instruction);
                whole.said_count += 1;
                if whole.said_count > STATUS_COUNT {
                    return self.fault(line, "counts payments of more statuses than there are");
                }
                match count.count {
                    Some(said) => self.said_counts.push((line, count.code, said)),
                    None => self.fault(line, "counts payments without a number"),
                }
            }
            _ => {}
        }
    }

    /// The payments before were taken without what stands here.
    fn check_place(&mut self, line: u64) {
        if self.payment_count > 0 {
            self.fault(line, "says something of the whole behind payments");
        }
    }

    fn whole(&mut self, is_instruction: bool) -> &mut Whole {
        match is_instruction {
            true => &mut self.instruction,
            false => &mut self.group,
        }
    }

    fn close_payment(
        &mut self,
        line: u64,
        path: &str,
        text: &str,
        currency: Option<&str>,
    ) -> Result<(), Stop> {
        match path {
            "" => return self.take_payment(line),
            "/OrgnlEndToEndId" => match reference(text) {
                Ok(name) => self.payment.reference = name,
                Err(what) => self.payment_fault(line, what),
            },
            "/TxSts" => {
                self.payment.status.said = read_status(text);
                text.clone_into(&mut self.payment.code);
                if self.payment.status.said.is_none() {
                    self.payment_fault(line, "has a status that is not known");
                }
            }
            "/StsRsnInf/Rsn/Cd" | "/StsRsnInf/Rsn/Prtry" => {
                self.payment.status.reasons.add(text);
            }
            "/OrgnlTxRef/Amt/InstdAmt" => {
                let currency = currency.and_then(Currency::from_code);
                self.payment.amount =
                    currency.and_then(|currency| Some((amount(text, '.', currency)?, currency)));
                if self.payment.amount.is_none() {
                    self.payment_fault(line, "has an amount that is none of its currency");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns what is said of all payments: by the instruction, or else by the group.
    fn whole_said(&self) -> ReportedStatus {
        self.instruction.status.or(self.group.status)
    }

    /// Returns what that means for each of them.
    fn of_all(&self) -> Option<LineStatus> {
        let whole = self.whole_said();
        Some(whole_status(whole.said?, whole.reasons))
    }

    fn take_payment(&mut self, line: u64) -> Result<(), Stop> {
        let own = self.payment.status.said;
        let status = match own {
            Some(said) => {
                let reasons = self.payment.status.reasons;
                Some(line_status(said, reasons, self.whole_said()))
            }
            None => self.of_all(),
        };
        let is_faulty = self.payment.is_faulty;
        if status.is_none() && !is_faulty {
            self.payment_fault(line, "has no status");
        }
        let wholes = [self.group.status.said, self.instruction.status.said];
        let differs = |whole| match whole {
            Some(Said::Paid) => own == Some(Said::Refused),
            Some(Said::Refused) => own.is_some_and(|own| own != Said::Refused),
            Some(Said::Pending) | None => false,
        };
        if wholes.into_iter().any(differs) {
            self.payment_fault(line, "contradicts the status of the whole");
        }
        if self.payment.reference.is_none() && !is_faulty {
            self.payment_fault(line, "has no reference");
        }
        self.payment_count += 1;
        if self.payment_count > LINES_MAX {
            self.fault(line, "the report has too many payments");
            return Err(Stop::Lost);
        }
        let payment = std::mem::take(&mut self.payment);
        if own.is_some() {
            *self.counted.entry(payment.code).or_default() += 1;
        }
        let (Some(status), Some(reference), false) = (status, payment.reference, payment.is_faulty)
        else {
            return Ok(());
        };
        let reported = ReportedLine {
            number: self.payment_count,
            line: payment.line,
            order: parse_reference(&reference),
            status,
            amount: payment.amount,
        };
        match (self.sink)(reported) {
            true => Ok(()),
            false => Err(Stop::Lost),
        }
    }

    fn finish(mut self, line: u64) -> Result<(ReportHead, Faults), Unread> {
        if !self.is_report {
            self.fault(line, "is not a payment status report");
            return Err(Unread::Faulty(self.faults));
        }
        if self.head.message_id.is_empty() {
            self.fault(line, "the report has no message id");
        }
        if self.head.original_message_id.is_empty() {
            self.fault(line, "the report names no original message");
        }
        if !self.message_name.is_empty() && !self.message_name.starts_with("pain.001") {
            self.fault(line, "the original message is not a pain.001");
        }
        let is_other = |id: &String| *id != self.head.original_message_id;
        if self.instruction_id.as_ref().is_some_and(is_other) {
            self.fault(line, "the instruction is not the one of the file");
        }
        for (line, code, said) in std::mem::take(&mut self.said_counts) {
            // A bank may leave out those of whom there is nothing to say.
            let counted = self.counted.get(&code).copied().unwrap_or(0);
            if counted > 0 && counted != said {
                self.fault(
                    line,
                    "the number of payments of a status is not the control number",
                );
            }
        }
        self.head.rest = self
            .of_all()
            .filter(|status| *status != LineStatus::Pending)
            .map(|status| (line, status));
        Ok((self.head, self.faults))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::rail::FailureReason;

    fn reference(number: u128) -> String {
        Uuid::from_u128(number).simple().to_string()
    }

    fn report(body: &str) -> String {
        format!(
            "<Document><CstmrPmtStsRpt><GrpHdr><MsgId>BANK-1</MsgId></GrpHdr>{body}</CstmrPmtStsRpt></Document>"
        )
    }

    fn read_all(file: &str) -> (Vec<ReportedLine>, Result<(ReportHead, Faults), Unread>) {
        let mut lines = Vec::new();
        let mut sink = |line| {
            lines.push(line);
            true
        };
        let read = read(file.as_bytes(), &mut sink);
        (lines, read)
    }

    fn faults(file: &str) -> Vec<&'static str> {
        let faults = match read_all(file).1 {
            Ok((_, faults)) | Err(Unread::Faulty(faults)) => faults,
            Err(Unread::Cut(_)) => Faults::default(),
        };
        faults.first.into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn a_payment_has_its_own_status_or_that_of_the_whole() {
        let file = report(&format!(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId><GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>
             <OrgnlPmtInfAndSts><OrgnlPmtInfId>M</OrgnlPmtInfId><PmtInfSts>ACSC</PmtInfSts>
             <TxInfAndSts><OrgnlEndToEndId>{}</OrgnlEndToEndId></TxInfAndSts>
             <TxInfAndSts><OrgnlEndToEndId>{}-2</OrgnlEndToEndId><TxSts>PDNG</TxSts></TxInfAndSts>
             </OrgnlPmtInfAndSts>",
            reference(1),
            reference(2),
        ));

        let (lines, read) = read_all(&file);

        let (head, faults) = read.unwrap();
        assert_eq!(faults, Faults::default());
        assert_eq!(
            head.rest.map(|(_, status)| status),
            Some(LineStatus::Settled)
        );
        let said: Vec<_> = lines.iter().map(|line| (line.order, line.status)).collect();
        assert_eq!(
            said,
            [
                (Some((Uuid::from_u128(1), 1)), LineStatus::Settled),
                (Some((Uuid::from_u128(2), 2)), LineStatus::Pending),
            ]
        );
    }

    #[test]
    fn a_refused_file_refuses_what_it_does_not_name_for_a_reason_of_ours() {
        let file = report(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId><GrpSts>RJCT</GrpSts>
             <StsRsnInf><Rsn><Cd>AM04</Cd></Rsn></StsRsnInf></OrgnlGrpInfAndSts>",
        );

        let (head, _) = read_all(&file).1.unwrap();

        assert_eq!(
            head.rest.map(|(_, status)| status),
            Some(LineStatus::Failed(FailureReason::OrderRejected))
        );
    }

    fn why(codes: &[&str]) -> String {
        let mut why = String::new();
        for code in codes {
            // The bank's own codes are longer than ISO's.
            let name = if code.len() == 4 { "Cd" } else { "Prtry" };
            why.push_str(&format!(
                "<StsRsnInf><Rsn><{name}>{code}</{name}></Rsn></StsRsnInf>"
            ));
        }
        why
    }

    #[test]
    fn a_double_refuses_nothing_and_a_reason_of_the_whole_is_that_of_its_payments() {
        let pending = (LineStatus::Pending, None);
        let rejected = LineStatus::Failed(FailureReason::OrderRejected);
        let closed = LineStatus::Failed(FailureReason::AccountClosed);
        let (group, instruction, payment) = (
            "<GrpSts>RJCT</GrpSts>",
            "<PmtInfSts>RJCT</PmtInfSts>",
            "<TxSts>RJCT</TxSts>",
        );
        for (in_group, in_instruction, in_payment, expected) in [
            // Only one place says why.
            (
                [group, &why(&["DU01"])],
                [instruction, ""],
                ["", ""],
                pending,
            ),
            (
                [group, &why(&["DU01"])],
                ["", ""],
                [payment, &why(&["AC04"])],
                pending,
            ),
            (
                ["", &why(&["AM05"])],
                [instruction, ""],
                [payment, ""],
                pending,
            ),
            // Not the first reason.
            (
                ["", ""],
                ["", ""],
                [payment, &why(&["BANK-7", "AM05"])],
                pending,
            ),
            (
                [group, &why(&["FF01", "DU04"])],
                ["", ""],
                [payment, ""],
                pending,
            ),
            // What no table knows may be a double.
            ([group, &why(&["DUPL"])], ["", ""], ["", ""], pending),
            ([group, &why(&["BANK-7"])], ["", ""], ["", ""], pending),
            ([group, ""], [instruction, ""], [payment, ""], pending),
            // Not of the payee.
            (
                [group, &why(&["FF01"])],
                [instruction, ""],
                [payment, ""],
                (rejected, Some(rejected)),
            ),
            (
                [group, ""],
                [instruction, &why(&["BANK-7", "TM01"])],
                ["", ""],
                (rejected, Some(rejected)),
            ),
            (
                [group, &why(&["FF01"])],
                ["", ""],
                [payment, &why(&["AC04"])],
                (closed, Some(rejected)),
            ),
        ] {
            let [in_group, in_instruction, in_payment] =
                [in_group, in_instruction, in_payment].map(|parts| parts.concat());
            let file = report(&format!(
                "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId>{in_group}</OrgnlGrpInfAndSts>
                 <OrgnlPmtInfAndSts><OrgnlPmtInfId>M</OrgnlPmtInfId>{in_instruction}
                 <TxInfAndSts><OrgnlEndToEndId>{}</OrgnlEndToEndId>{in_payment}</TxInfAndSts>
                 </OrgnlPmtInfAndSts>",
                reference(1),
            ));

            let (lines, read) = read_all(&file);

            let (head, faults) = read.unwrap();
            assert_eq!(faults, Faults::default(), "{file}");
            let rest = head.rest.map(|(_, status)| status);
            assert_eq!((lines[0].status, rest), expected, "{file}");
        }
    }

    #[test]
    fn a_report_that_never_ends_takes_no_memory() {
        let in_group = |body: &str| {
            report(&format!(
                "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId>{body}</OrgnlGrpInfAndSts>"
            ))
        };
        let pieces = format!("{}<!-- -->", "A".repeat(100_000)).repeat(3);
        let count =
            "<NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>RJCT</DtldSts></NbOfTxsPerSts>";

        for (file, expected) in [
            (
                in_group(&format!("<OrgnlMsgNmId>{pieces}</OrgnlMsgNmId>")),
                TOO_LONG,
            ),
            (
                in_group(&"<OrgnlNbOfTxs>1</OrgnlNbOfTxs>".repeat(2)),
                "is said twice",
            ),
            (
                in_group(&"<OrgnlCtrlSum>1</OrgnlCtrlSum>".repeat(2)),
                "is said twice",
            ),
            (
                in_group(&count.repeat(STATUS_COUNT + 1)),
                "counts payments of more statuses than there are",
            ),
        ] {
            assert_eq!(faults(&file), [expected]);
        }
    }

    #[test]
    fn what_holds_of_all_payments_stands_before_them() {
        let file = report(&format!(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId></OrgnlGrpInfAndSts>
             <OrgnlPmtInfAndSts><TxInfAndSts><OrgnlEndToEndId>{}</OrgnlEndToEndId><TxSts>RJCT</TxSts></TxInfAndSts>
             <PmtInfSts>RJCT</PmtInfSts>{}</OrgnlPmtInfAndSts>",
            reference(1),
            why(&["DU01"]),
        ));

        assert_eq!(
            faults(&file),
            ["says something of the whole behind payments"; 2]
        );
    }

    #[test]
    fn a_report_that_contradicts_itself_is_faulty() {
        let paid_in_a_refused_file = report(&format!(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId><GrpSts>RJCT</GrpSts></OrgnlGrpInfAndSts>
             <OrgnlPmtInfAndSts><TxInfAndSts><OrgnlEndToEndId>{}</OrgnlEndToEndId><TxSts>ACSC</TxSts></TxInfAndSts>
             </OrgnlPmtInfAndSts>",
            reference(1),
        ));
        let miscounted = report(&format!(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId>
             <NbOfTxsPerSts><DtldNbOfTxs>2</DtldNbOfTxs><DtldSts>RJCT</DtldSts></NbOfTxsPerSts>
             <NbOfTxsPerSts><DtldNbOfTxs>9</DtldNbOfTxs><DtldSts>ACSC</DtldSts></NbOfTxsPerSts>
             </OrgnlGrpInfAndSts>
             <OrgnlPmtInfAndSts><OrgnlPmtInfId>X</OrgnlPmtInfId>
             <TxInfAndSts><OrgnlEndToEndId>{}</OrgnlEndToEndId><TxSts>RJCT</TxSts></TxInfAndSts>
             <TxInfAndSts></TxInfAndSts></OrgnlPmtInfAndSts>",
            reference(1),
        ));

        assert_eq!(
            faults(&paid_in_a_refused_file),
            ["contradicts the status of the whole"]
        );
        assert_eq!(
            faults(&miscounted),
            [
                "has no status",
                "has no reference",
                "the instruction is not the one of the file",
                "the number of payments of a status is not the control number",
            ]
        );
    }

    #[test]
    fn what_is_no_report_says_so() {
        for (file, expected) in [
            ("", "is not a payment status report"),
            ("<Document/>", "is not a payment status report"),
            (
                "<!DOCTYPE a [<!ENTITY b \"c\">]><Document/>",
                "has a document type",
            ),
            (
                "<Document>&b;</Document>",
                "has an entity that is not defined",
            ),
            ("<Document>", "ends before its last element does"),
            ("<Document></Other>", "is not well-formed XML"),
        ] {
            assert_eq!(faults(file), [expected], "{file}");
        }
    }
}
