//! Which fault a transfer meets: first the rules set on purpose, then chance. Chance is keyed by the reference and the
//! number of the attempt, so that a run repeats, and a second try is not doomed by the first.

use std::collections::BTreeMap;

use ::tests::{
    chance::below,
    fakes::{BankFault, BankFaults},
};

pub(crate) struct Faults {
    seed: u64,
    wishes: BankFaults,
    played: BTreeMap<String, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults {
            seed,
            wishes: BankFaults::default(),
            played: BTreeMap::new(),
        }
    }

    pub(crate) fn wishes(&self) -> &BankFaults {
        &self.wishes
    }

    pub(crate) fn replace(&mut self, wishes: BankFaults) {
        self.wishes = wishes;
    }

    pub(crate) fn played(&self) -> BTreeMap<String, u64> {
        self.played.clone()
    }

    /// Chooses the fault of a transfer's attempt.
    pub(crate) fn for_transfer(
        &mut self,
        reference: &str,
        account_no: &str,
        attempt: u64,
    ) -> Option<BankFault> {
        let fault = self
            .by_rule(reference, account_no, is_transfer)
            .or_else(|| self.by_chance(&format!("{reference}/{attempt}"), is_transfer));
        self.count(fault)
    }

    /// Chooses the fault of a notice.
    pub(crate) fn for_callback(&mut self, reference: &str, state: &str) -> Option<BankFault> {
        let fault = self.by_chance(&format!("{reference}/callback/{state}"), is_callback);
        self.count(fault)
    }

    /// Chooses the fault of a status inquiry.
    pub(crate) fn for_inquiry(
        &mut self,
        reference: &str,
        account_no: &str,
        attempt: u64,
    ) -> Option<BankFault> {
        let fault = self
            .by_rule(reference, account_no, is_inquiry)
            .or_else(|| self.by_chance(&format!("{reference}/inquiry/{attempt}"), is_inquiry));
        self.count(fault)
    }

    fn by_rule(
        &mut self,
        reference: &str,
        account_no: &str,
        fits: impl Fn(BankFault) -> bool,
    ) -> Option<BankFault> {
        let any_or = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let rule = self.wishes.rules.iter_mut().find(|rule| {
            fits(rule.fault)
                && rule.times != Some(0)
                && any_or(&rule.reference, reference)
                && any_or(&rule.account_no, account_no)
        })?;
        rule.times = rule.times.map(|times| times - 1);
        Some(rule.fault)
    }

    /// One ticket for all shares, so that they add up.
    fn by_chance(&self, key: &str, fits: impl Fn(BankFault) -> bool) -> Option<BankFault> {
        let mut ticket = below(self.seed, key, 1_000_000);
        for (fault, ratio) in self.wishes.ratios.iter().filter(|(fault, _)| fits(*fault)) {
            match ticket.checked_sub(u64::from(ratio.millionths())) {
                None => return Some(*fault),
                Some(rest) => ticket = rest,
            }
        }
        None
    }

    fn count(&mut self, fault: Option<BankFault>) -> Option<BankFault> {
        if let Some(fault) = fault {
            let name = serde_json::to_value(fault).unwrap_or_default();
            let name = name.as_str().unwrap_or_default().to_owned();
            *self.played.entry(name).or_default() += 1;
        }
        fault
    }
}

fn is_transfer(fault: BankFault) -> bool {
    !is_inquiry(fault) && !is_callback(fault)
}

fn is_callback(fault: BankFault) -> bool {
    matches!(fault, BankFault::DoubleCallback | BankFault::LateCallback)
}

fn is_inquiry(fault: BankFault) -> bool {
    matches!(fault, BankFault::InquiryError | BankFault::InquiryHang)
}

#[cfg(test)]
mod tests {
    use ::tests::{chance::Ratio, fakes::BankRule};

    use super::*;

    #[test]
    fn a_rule_comes_before_chance_and_ends_after_its_times() {
        let mut faults = Faults::new(1);
        faults.replace(BankFaults {
            rules: vec![BankRule {
                fault: BankFault::Pending,
                reference: None,
                account_no: Some("7".to_owned()),
                times: Some(1),
            }],
            ratios: vec![(BankFault::Delay, Ratio::per_mille(1000))],
            ..BankFaults::default()
        });

        assert_eq!(faults.for_transfer("a", "8", 1), Some(BankFault::Delay));
        assert_eq!(faults.for_transfer("a", "7", 1), Some(BankFault::Pending));
        assert_eq!(faults.for_transfer("a", "7", 2), Some(BankFault::Delay));
        assert_eq!(faults.for_inquiry("a", "7", 1), None);
    }

    #[test]
    fn chance_repeats() {
        let drops = || {
            let mut faults = Faults::new(5);
            faults.replace(BankFaults {
                ratios: vec![(BankFault::DropReplyClose, Ratio::per_mille(300))],
                ..BankFaults::default()
            });
            let hit = |i: &u32| faults.for_transfer(&i.to_string(), "1", 1).is_some();
            (0..1000).filter(hit).collect::<Vec<_>>()
        };

        assert_eq!(drops(), drops());
        assert!((200..400).contains(&drops().len()));
    }
}
