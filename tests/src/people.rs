//! A made-up population. Person number i is a function of the seed and i: nothing is stored, everything repeats.
//!
//! Nobody here can be anybody: the serials of the national ids (9000 and above) are not given out, the names are strung
//! together from syllables, the phone numbers and addresses lead nowhere.

use time::{Date, Duration};

use crate::{
    chance::{Ratio, below, pick},
    fakes::{AccountState, BankAccount, Kyc, RegisteredPerson, Sex},
    regions::Region,
};

/// How the people are made.
#[derive(Debug)]
pub struct Population {
    seed: u64,
    today: Date,
    regions: Vec<Region>,
    /// The upper ends of the regions' shares, for the choice by weight.
    weight_ends: Vec<u64>,
    flaws: Ratio,
}

/// What a person gets wrong when they tell who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A birth date other than the registry's.
    BirthDate,
    /// A name other than the registry's.
    FullName,
    /// A household number other than the registry's.
    HouseholdId,
    /// A national id that the registry does not know.
    NationalId,
}

/// One made-up person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their number.
    pub index: u64,
    /// NIK: six digits of the region, six of the birth date (day + 40 for women), a serial from 9000 on.
    pub national_id: String,
    /// KK, shared by the members of a household of one to four.
    pub household_id: String,
    /// Two words made of syllables.
    pub full_name: String,
    /// The date of birth.
    pub birth_date: Date,
    /// The sex, as the registry has it.
    pub sex: Sex,
    /// The official code of the regency, such as `32.04`.
    pub region_code: String,
    /// The registry's code of the occupation.
    pub occupation: &'static str,
    /// The highest finished education, as declared.
    pub education: &'static str,
    /// Declares a disability.
    pub disability: bool,
    /// Declares to live in a rural area.
    pub rural: bool,
    /// An address that leads nowhere.
    pub email: String,
    /// E.164.
    pub phone: String,
    /// The payment channel, such as `BNI` or `DANA`.
    pub channel: &'static str,
    /// The account number, or for a wallet the phone number; digits only.
    pub account_number: String,
    /// What they get wrong, if anything.
    pub flaw: Option<Flaw>,
}

/// What a person tells identity: the truth but for their flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The national id.
    pub national_id: String,
    /// The household number.
    pub household_id: String,
    /// The name.
    pub full_name: String,
    /// The date of birth.
    pub birth_date: Date,
}

/// The payment channels with their codes at the bank, and how many in a hundred choose each; wallets lead, as they did.
pub const CHANNELS: &[Channel] = &[
    Channel::wallet("OVO", "OVO", 24),
    Channel::wallet("DANA", "DANA", 22),
    Channel::wallet("GOPAY", "GOPAY", 20),
    Channel::wallet("LINKAJA", "LINKAJA", 12),
    Channel::bank("BNI", "009", 14, 10),
    Channel::bank("BCA", "014", 8, 10),
];

/// A payment channel.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// The name that payout knows.
    pub name: &'static str,
    /// The code under which the bank routes to it.
    pub bank_code: &'static str,
    share: u64,
    /// The length of an account number; `None` where the phone number is the account.
    digits: Option<usize>,
}

impl Channel {
    const fn wallet(name: &'static str, bank_code: &'static str, share: u64) -> Channel {
        Channel {
            name,
            bank_code,
            share,
            digits: None,
        }
    }

    const fn bank(
        name: &'static str,
        bank_code: &'static str,
        share: u64,
        digits: usize,
    ) -> Channel {
        Channel {
            name,
            bank_code,
            share,
            digits: Some(digits),
        }
    }
}

/// Out of a hundred: most may take part, some may not.
const OCCUPATIONS: &[(&str, u64)] = &[
    ("JOB_SEEKER", 34),
    ("LAID_OFF", 10),
    ("EMPLOYEE", 16),
    ("SELF_EMPLOYED", 14),
    ("HOMEMAKER", 10),
    ("FARMER", 6),
    ("STUDENT", 5),
    ("CIVIL_SERVANT", 2),
    ("MILITARY", 1),
    ("POLICE", 1),
    ("VILLAGE_OFFICIAL", 1),
];

const EDUCATIONS: &[(&str, u64)] = &[
    ("NONE", 2),
    ("PRIMARY", 12),
    ("JUNIOR_SECONDARY", 15),
    ("SENIOR_SECONDARY", 48),
    ("DIPLOMA", 8),
    ("BACHELOR", 14),
    ("POSTGRADUATE", 1),
];

const SYLLABLES: &[&str] = &[
    "ba", "di", "ka", "lo", "mi", "nu", "ra", "sa", "ti", "wa", "yo", "re", "la", "su", "ne", "pu",
];

/// Ages run from 16 to 68, so that some are too young and some too old: 52 years of days, prime to the stride below.
const BIRTH_DAYS: u64 = 18_993;
const BIRTH_STRIDE: u64 = 7_919;
const YOUNGEST_YEARS: i64 = 16;

impl Population {
    /// Makes a population that is spread over the regions by their weights, as old as people are on `today`.
    /// About one in a hundred tells something wrong; see [`Population::without_flaws`].
    ///
    /// # Panics
    /// When no region has a weight.
    pub fn new(seed: u64, today: Date, regions: Vec<Region>) -> Population {
        let weight_ends: Vec<u64> = regions
            .iter()
            .scan(0, |end, region| {
                *end += region.weight;
                Some(*end)
            })
            .collect();
        assert!(
            weight_ends.last().is_some_and(|end| *end > 0),
            "people need a region to live in"
        );
        Population {
            seed,
            today,
            regions,
            weight_ends,
            flaws: Ratio::per_mille(10),
        }
    }

    /// Makes everybody tell the truth.
    #[must_use]
    pub fn without_flaws(mut self) -> Population {
        self.flaws = Ratio::default();
        self
    }

    /// Returns person number `index`. Below 18 million, no two have the same national id.
    pub fn person(&self, index: u64) -> Person {
        let key = |what: &str| format!("{what}/{index}");
        let household = household_of(index);
        let region = self.region_of(household);
        let birth_date = self.birth_date(index);
        let sex = match below(self.seed, &key("sex"), 2) {
            0 => Sex::Female,
            _ => Sex::Male,
        };
        let channel = by_share(self.seed, &key("channel"), CHANNELS, |channel| {
            channel.share
        });
        let phone_digits = format!("62899{index:08}");
        Person {
            index,
            national_id: self.national_id(index, &region.code, birth_date, sex),
            household_id: household_id(household, &region.code),
            full_name: self.full_name(index),
            birth_date,
            sex,
            region_code: region.code.clone(),
            occupation: by_share(self.seed, &key("occupation"), OCCUPATIONS, |(_, n)| *n).0,
            education: by_share(self.seed, &key("education"), EDUCATIONS, |(_, n)| *n).0,
            disability: Ratio::per_mille(30).hits(self.seed, &key("disability")),
            rural: Ratio::per_mille(430).hits(self.seed, &key("rural")),
            email: format!("person-{index}@example.org"),
            phone: format!("+{phone_digits}"),
            channel: channel.name,
            account_number: match channel.digits {
                None => phone_digits,
                Some(digits) => format!("9{index:0width$}", width = digits - 1),
            },
            flaw: self.flaw(index),
        }
    }

    fn flaw(&self, index: u64) -> Option<Flaw> {
        let flaws = [
            Flaw::BirthDate,
            Flaw::FullName,
            Flaw::HouseholdId,
            Flaw::NationalId,
        ];
        let flawed = self.flaws.hits(self.seed, &format!("flawed/{index}"));
        flawed.then(|| *pick(self.seed, &format!("flaw/{index}"), &flaws))
    }

    fn region_of(&self, household: u64) -> &Region {
        let end = self.weight_ends.last().copied().unwrap_or_default();
        let ticket = below(self.seed, &format!("region/{household}"), end);
        &self.regions[self.weight_ends.partition_point(|end| *end <= ticket)]
    }

    /// People with the same serial (every thousandth) step through the days by a stride that is prime to their number, so
    /// that their birth dates differ, and with them their national ids, wherever they live.
    fn birth_date(&self, index: u64) -> Date {
        let offset = below(self.seed, &format!("birth/{}", index % 1000), BIRTH_DAYS);
        let day = (index / 1000 * BIRTH_STRIDE + offset) % BIRTH_DAYS;
        let day = i64::try_from(day).expect("a day of 52 years is a small number");
        self.today - Duration::days(YOUNGEST_YEARS * 1461 / 4 + day)
    }

    fn national_id(&self, index: u64, region_code: &str, birth_date: Date, sex: Sex) -> String {
        let district = 1 + below(self.seed, &format!("district/{index}"), 20);
        let day = birth_date.day()
            + match sex {
                Sex::Female => 40,
                Sex::Male => 0,
            };
        format!(
            "{}{district:02}{day:02}{:02}{:02}{}",
            region_code.replace('.', ""),
            u8::from(birth_date.month()),
            birth_date.year() % 100,
            9000 + index % 1000
        )
    }

    fn full_name(&self, index: u64) -> String {
        let word = |which: &str| {
            let count = 2 + below(self.seed, &format!("{which}/{index}"), 2);
            let syllables =
                (0..count).map(|i| *pick(self.seed, &format!("{which}/{index}/{i}"), SYLLABLES));
            capitalized(&syllables.collect::<String>())
        };
        format!("{} {}", word("first"), word("second"))
    }
}

// === impl Person ===

impl Person {
    /// Returns what the person tells about themselves.
    pub fn declaration(&self) -> Declaration {
        let mut told = Declaration {
            national_id: self.national_id.clone(),
            household_id: self.household_id.clone(),
            full_name: self.full_name.clone(),
            birth_date: self.birth_date,
        };
        match self.flaw {
            None => {}
            Some(Flaw::BirthDate) => told.birth_date = self.birth_date - Duration::days(1),
            Some(Flaw::FullName) => told.full_name.push_str(" Lain"),
            // The serials below 9000 are nobody's in this population.
            Some(Flaw::HouseholdId) => told.household_id.replace_range(12.., "8999"),
            Some(Flaw::NationalId) => told.national_id.replace_range(12..13, "8"),
        }
        told
    }

    /// Returns what the civil registry knows of the person.
    pub fn registered(&self) -> RegisteredPerson {
        RegisteredPerson {
            national_id: self.national_id.clone(),
            household_id: self.household_id.clone(),
            full_name: self.full_name.clone(),
            birth_date: self.birth_date.to_string(),
            sex: self.sex,
            region_code: self.region_code.clone(),
            occupation: self.occupation.to_owned(),
            citizenship: "ID".to_owned(),
            deceased: false,
        }
    }

    /// Returns the person's account as the bank has it: active, in their own name, fully known.
    pub fn bank_account(&self) -> BankAccount {
        let channel = CHANNELS
            .iter()
            .find(|channel| channel.name == self.channel)
            .expect("a person's channel is one of the channels");
        BankAccount {
            account_no: self.account_number.clone(),
            bank_code: channel.bank_code.to_owned(),
            holder_name: self.full_name.to_uppercase(),
            phone: self.phone.clone(),
            kyc: Kyc::Full,
            state: AccountState::Active,
            balance_cap: None,
        }
    }
}

/// Households of one, two, three and four people, in turn: ten people are four households.
fn household_of(index: u64) -> u64 {
    let place = match index % 10 {
        0 => 0,
        1 | 2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    index / 10 * 4 + place
}

/// KK: six digits of the region, six of a recording date that counts on with the households, a serial from 9000 on.
fn household_id(household: u64, region_code: &str) -> String {
    let (serial, recorded) = (household % 1000, household / 1000);
    format!(
        "{}01{:02}{:02}{:02}{}",
        region_code.replace('.', ""),
        1 + recorded % 28,
        1 + recorded / 28 % 12,
        recorded / 336 % 100,
        9000 + serial
    )
}

fn by_share<'a, T>(seed: u64, key: &str, choices: &'a [T], share: impl Fn(&T) -> u64) -> &'a T {
    let mut ticket = below(seed, key, choices.iter().map(&share).sum());
    for choice in choices {
        match ticket.checked_sub(share(choice)) {
            None => return choice,
            Some(rest) => ticket = rest,
        }
    }
    unreachable!("the ticket is smaller than the sum of the shares")
}

fn capitalized(word: &str) -> String {
    let (head, tail) = word.split_at(1);
    head.to_uppercase() + tail
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::macros::date;

    use super::*;

    fn population() -> Population {
        let region = |code: &str, weight| Region {
            code: code.to_owned(),
            name: code.to_owned(),
            weight,
        };
        let regions = vec![region("32.04", 3), region("96.71", 1)];
        Population::new(7, date!(2026 - 11 - 24), regions)
    }

    #[test]
    fn the_same_seed_gives_the_same_people() {
        assert_eq!(population().person(41), population().person(41));
    }

    #[test]
    fn national_ids_have_the_shape_and_are_not_given_twice() {
        let people = population();
        let mut seen = BTreeSet::new();

        for index in 0..30_000 {
            let person = people.person(index);
            let id = &person.national_id;
            assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(id[..4], person.region_code.replace('.', ""));
            let day: u8 = id[6..8].parse().unwrap();
            assert_eq!(day > 40, person.sex == Sex::Female);
            assert!(id[12..].parse::<u32>().unwrap() >= 9000);
            assert_eq!(person.household_id.len(), 16);
            assert!(seen.insert(person.national_id));
        }
    }

    #[test]
    fn households_live_together_and_have_up_to_four_members() {
        let people = population();

        let first: Vec<_> = (0..10).map(|i| people.person(i)).collect();

        let households: BTreeSet<_> = first.iter().map(|p| &p.household_id).collect();
        assert_eq!(households.len(), 4);
        assert!(
            first[6..]
                .iter()
                .all(|p| p.household_id == first[6].household_id)
        );
        assert!(
            first[6..]
                .iter()
                .all(|p| p.region_code == first[6].region_code)
        );
    }

    #[test]
    fn people_are_spread_by_weight_and_a_few_tell_something_wrong() {
        let people = population();
        let all: Vec<_> = (0..10_000).map(|i| people.person(i)).collect();

        let in_bandung = all.iter().filter(|p| p.region_code == "32.04").count();
        let flawed = all.iter().filter(|p| p.flaw.is_some()).count();

        assert!((7_200..7_800).contains(&in_bandung), "{in_bandung}");
        assert!((60..140).contains(&flawed), "{flawed}");
    }

    #[test]
    fn a_flaw_shows_in_the_declaration_alone() {
        let mut person = population().person(3);
        person.flaw = Some(Flaw::NationalId);

        let told = person.declaration();

        assert_ne!(told.national_id, person.national_id);
        assert_eq!(told.full_name, person.full_name);
        assert_eq!(person.registered().national_id, person.national_id);
    }
}
