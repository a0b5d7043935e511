//! Applicants by the million, straight into the databases of identity and enrollment: the rows that the services would
//! have written, sealed with the cluster's own keys. Whatever the services' tables gain is followed here alone.
//!
//! Applicant `index` is the same in both databases. Fifteen neighbours make five households, of one to five members. One
//! applicant in a hundred changes after applying; every second of these becomes one whom a rule refuses.

use std::{
    fmt,
    io::Write,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, RandomizedNonceKey},
    digest, hmac,
};
use sqlx::PgConnection;
use tests::{cluster::Cluster, keys, process::Service, regions::Regions};
use time::{Date, Duration, OffsetDateTime, UtcOffset};
use tokio::task::JoinSet;
use uuid::{Builder, Uuid};

use crate::{
    Fault,
    sql::{self, Indexes},
};

/// How many write side by side.
const WRITERS: u64 = 2;

/// Out of a hundred, more or less as the programme has them; some are refused by a rule.
const OCCUPATIONS: &[(u64, &str)] = &[
    (44, "JOB_SEEKER"),
    (10, "LAID_OFF"),
    (16, "EMPLOYEE"),
    (14, "SELF_EMPLOYED"),
    (9, "HOMEMAKER"),
    (5, "FARMER"),
    (1, "STUDENT"),
    (1, "CIVIL_SERVANT"),
];
/// The contract's code, and how identity keeps it.
const EDUCATIONS: &[(u64, (&str, &str))] = &[
    (10, ("PRIMARY", "Primary")),
    (18, ("JUNIOR_SECONDARY", "JuniorSecondary")),
    (48, ("SENIOR_SECONDARY", "SeniorSecondary")),
    (9, ("DIPLOMA", "Diploma")),
    (15, ("BACHELOR", "Bachelor")),
];
const SENIOR_SECONDARY: (&str, &str) = ("SENIOR_SECONDARY", "SeniorSecondary");
const DIPLOMA: (&str, &str) = ("DIPLOMA", "Diploma");
const REFUSED: &[&str] = &["STUDENT", "CIVIL_SERVANT"];
const AGES: RangeInclusive<i64> = 18..=64;

/// Long before anybody applied.
const VERIFIED_AGO: Duration = Duration::days(9);

/// Makes applicants for one cluster.
#[derive(Clone)]
pub(crate) struct Seed {
    regions: Vec<Region>,
    weight: u64,
    now: OffsetDateTime,
    /// The day on which ages count.
    today: Date,
    vault: Arc<Vault>,
}

#[derive(Clone)]
struct Region {
    code: String,
    /// The sum of the weights up to and with it.
    end: u64,
}

/// What a service's tables are filled with.
#[derive(Clone)]
enum Fill {
    /// Accounts, persons and their keys.
    Persons,
    /// Applications and the decisions on them.
    Applications {
        batch_id: String,
        /// In hexadecimal digits.
        rule_set_hash: String,
    },
}

/// The keys of identity and enrollment.
struct Vault {
    master: RandomizedNonceKey,
    matching: hmac::Key,
    pseudonym: hmac::Key,
}

/// Numbers that follow from the first one; fast enough for millions, which [`tests::chance`] is not.
struct Chance(u64);

/// Somebody who applies.
struct Applicant<'s> {
    account_id: Uuid,
    household_id: String,
    household: [u8; 16],
    region: &'s str,
    birth_date: Date,
    age: i64,
    female: bool,
    occupation: &'static str,
    education: (&'static str, &'static str),
    disability: bool,
    rural: bool,
}

// === impl Seed ===

impl Seed {
    pub(crate) async fn of(cluster: &Cluster) -> Result<Seed, Fault> {
        let key = |service, name: &str| {
            let digits = cluster.setting(service, name);
            let digits = digits.ok_or_else(|| format!("{name} is not set"))?;
            keys::from_hex(&digits).ok_or_else(|| Fault::from(format!("{name} is no key")))
        };
        let matching = key(Service::Identity, "IDENTITY_MATCH_KEY")?;
        let pseudonym = key(Service::Enrollment, "ENROLLMENT_PSEUDONYM_KEY")?;
        let vault = Vault {
            master: cipher(&key(Service::Identity, "IDENTITY_MASTER_KEY")?),
            matching: hmac::Key::new(hmac::HMAC_SHA256, &matching),
            pseudonym: hmac::Key::new(hmac::HMAC_SHA256, &pseudonym),
        };
        let mut weight = 0;
        let regions = Regions::sample()?.regions.into_iter().map(|region| {
            weight += region.weight;
            Region {
                code: region.code,
                end: weight,
            }
        });
        let regions = regions.collect();
        let now = cluster.now().await;
        // The zone of the shipped schemes.
        let jakarta = UtcOffset::from_hms(7, 0, 0)?;
        Ok(Seed {
            regions,
            weight,
            now,
            today: now.to_offset(jakarta).date(),
            vault: Arc::new(vault),
        })
    }

    /// Returns whose account it is.
    pub(crate) fn account_id(&self, index: u64) -> Uuid {
        // Ten days ago they began to register, a hundred in a millisecond.
        self.id(1, Duration::days(10), index)
    }

    /// Registers applicants in identity, all of them verified, with the facts that they have now.
    pub(crate) async fn persons(&self, cluster: &Cluster, all: Range<u64>) -> Result<(), Fault> {
        let tables = ["accounts", "persons", "person_keys"];
        let fill = Fill::Persons;
        self.fill(cluster, Service::Identity, &tables, fill, all)
            .await
    }

    /// Lets applicants apply for a batch, and decides on them by the facts that they had then.
    pub(crate) async fn applications(
        &self,
        cluster: &Cluster,
        batch: &str,
        all: Range<u64>,
    ) -> Result<(), Fault> {
        let mut connection = sql::connect(cluster, Service::Enrollment).await?;
        let batch_id = batch.trim_start_matches("batches/").to_owned();
        let query = format!(
            "SELECT encode(schemes.rule_set_hash, 'hex') FROM schemes JOIN batches USING (scheme_id)
             WHERE batch_id = '{batch_id}'"
        );
        let rule_set_hash = sql::value(&mut connection, query).await?;
        let tables = ["applications", "decisions"];
        let fill = Fill::Applications {
            batch_id,
            rule_set_hash,
        };
        self.fill(cluster, Service::Enrollment, &tables, fill, all)
            .await
    }

    /// Fills tables of a service's database, several parts side by side.
    async fn fill(
        &self,
        cluster: &Cluster,
        service: Service,
        tables: &[&str],
        fill: Fill,
        all: Range<u64>,
    ) -> Result<(), Fault> {
        let mut connection = sql::connect(cluster, service).await?;
        let indexes = Indexes::take_off(&mut connection, tables).await?;
        let count = (all.end - all.start).div_ceil(WRITERS).max(1);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let start = (all.start + writer * count).min(all.end);
            let part = start..(start + count).min(all.end);
            let (seed, fill) = (self.clone(), fill.clone());
            let mut connection = sql::connect(cluster, service).await?;
            writers.spawn(async move {
                match fill {
                    Fill::Persons => seed.write_persons(&mut connection, part).await,
                    Fill::Applications {
                        batch_id,
                        rule_set_hash,
                    } => {
                        let hash = &rule_set_hash;
                        seed.write_applications(&mut connection, &batch_id, hash, part)
                            .await
                    }
                }
            });
        }
        while let Some(written) = writers.join_next().await {
            written??;
        }
        indexes.put_back(&mut connection).await
    }

    async fn write_persons(
        &self,
        connection: &mut PgConnection,
        part: Range<u64>,
    ) -> Result<(), Fault> {
        let target = "accounts (id, email, phone, password_hash, state, create_time)";
        let time = self.now - Duration::days(10);
        sql::copy_rows(connection, target, part.clone(), |row, index| {
            let id = self.account_id(index);
            put(
                row,
                format_args!("{id}\tp{index}@example.org\t+628{index:010}\t\\N\tACTIVE\t{time}\n"),
            );
        })
        .await?;
        let target = "persons (account_id, state, submission_number, national_id_hash, sealed_identity, sealed_facts, \
                      household, mismatch_fields, submit_time, verify_time, attempt_count, next_attempt_time)";
        sql::copy_rows(connection, target, part.clone(), |row, index| {
            let person = self.applicant(index, true);
            let time = self.verify_time(index);
            let national_id = person.national_id(index);
            let key = cipher(self.vault.person_key(index).as_ref());
            put(row, format_args!("{}\tVERIFIED\t1\t", person.account_id));
            put_bytes(row, self.vault.hash(b"national id", &national_id).as_ref());
            row.push(b'\t');
            let submission = person.submission(index);
            put_bytes(row, &seal(&key, b"identity", &person, submission));
            row.push(b'\t');
            put_bytes(row, &seal(&key, b"facts", &person, person.known_facts()));
            row.push(b'\t');
            put_bytes(row, &person.household);
            put(row, format_args!("\t{{}}\t{time}\t{time}\t0\t\\N\n"));
        })
        .await?;
        let target = "person_keys (account_id, wrapped_key)";
        sql::copy_rows(connection, target, part, |row, index| {
            let person = self.applicant(index, true);
            let key = self.vault.person_key(index).as_ref().to_vec();
            put(row, format_args!("{}\t", person.account_id));
            put_bytes(row, &seal(&self.vault.master, b"person key", &person, key));
            row.push(b'\n');
        })
        .await
    }

    async fn write_applications(
        &self,
        connection: &mut PgConnection,
        batch_id: &str,
        rule_set_hash: &str,
        part: Range<u64>,
    ) -> Result<(), Fault> {
        let target = "applications (application_id, batch_id, account_id, pseudonym, signature, create_time)";
        let name = format!("batches/{batch_id}");
        sql::copy_rows(connection, target, part.clone(), |row, index| {
            let (id, account_id) = (self.application_id(index), self.account_id(index));
            put(row, format_args!("{id}\t{batch_id}\t{account_id}\t"));
            put_bytes(row, &self.vault.pseudonym(&name, account_id));
            row.push(b'\t');
            // Nobody looks at it: the receipt is in the applicant's hands.
            let signature = digest::digest(&digest::SHA512, &index.to_be_bytes());
            put_bytes(row, signature.as_ref());
            put(row, format_args!("\t{}\n", self.apply_time(index)));
        })
        .await?;
        let target = "decisions (application_id, stage, batch_id, eligible, rule_set_hash, facts, facts_hash, refusals, \
                      region, groups, household, facts_change_time, sex, age_band, decide_time)";
        let verified = self.now - VERIFIED_AGO;
        sql::copy_rows(connection, target, part, |row, index| {
            let person = self.applicant(index, false);
            let id = self.application_id(index);
            let (facts, refusals) = (person.facts(), person.refusals());
            let eligible = refusals.is_empty();
            put(
                row,
                format_args!("{id}\t1\t{batch_id}\t{eligible}\t\\\\x{rule_set_hash}\t{facts}\t"),
            );
            put_bytes(
                row,
                digest::digest(&digest::SHA256, facts.as_bytes()).as_ref(),
            );
            let province = person.region.split('.').next().unwrap_or_default();
            let groups = u8::from(person.disability);
            put(
                row,
                format_args!("\t{{{}}}\t{province}\t{groups}\t", refusals.join(",")),
            );
            put_bytes(row, &person.household);
            let (sex, band) = (2 - u8::from(person.female), person.age_band());
            put(
                row,
                format_args!("\t{verified}\t{sex}\t{band}\t{}\n", self.apply_time(index)),
            );
        })
        .await
    }

    /// Returns an applicant as they were when they applied, or as they are now.
    fn applicant(&self, index: u64, now: bool) -> Applicant<'_> {
        let household_index = household_of(index);
        let household_id = format!("{household_index:016}");
        let hash = self.vault.hash(b"household id", &household_id);
        let mut household = [0; 16];
        household.copy_from_slice(&hash.as_ref()[..16]);

        let at = Chance(household_index).below(self.weight);
        let place = self.regions.partition_point(|region| region.end <= at);
        let mut chance = Chance(index.wrapping_mul(31));
        // One in fifty is a year too young or too old.
        let age = match chance.below(100) {
            0 => 17,
            1 => 65,
            _ => 18 + i64::try_from(chance.below(47)).unwrap_or_default(),
        };
        let days = i64::try_from(chance.below(300)).unwrap_or_default();
        let birthday = self.today - Duration::days(days);
        let year = birthday.year() - i32::try_from(age).unwrap_or_default();
        let birth_date = Date::from_ordinal_date(year, birthday.ordinal().min(365));
        let mut person = Applicant {
            account_id: self.account_id(index),
            household_id,
            household,
            region: &self.regions[place].code,
            birth_date: birth_date.expect("every year has 365 days"),
            age,
            female: chance.below(2) == 1,
            occupation: chance.choice(OCCUPATIONS),
            education: chance.choice(EDUCATIONS),
            disability: chance.below(50) == 0,
            rural: chance.below(100) < 43,
        };
        if now && changes(index) {
            if index % 200 == 37 {
                person.occupation = "CIVIL_SERVANT";
            } else if person.education == SENIOR_SECONDARY {
                person.education = DIPLOMA;
            } else {
                person.education = SENIOR_SECONDARY;
            }
        }
        person
    }

    /// Returns since when the facts are as they are: most were verified before the batch opened.
    fn verify_time(&self, index: u64) -> OffsetDateTime {
        // After the application, and soon enough before the freeze for it to ask.
        let ago = if changes(index) {
            Duration::hours(1)
        } else {
            VERIFIED_AGO
        };
        self.now - ago
    }

    fn application_id(&self, index: u64) -> Uuid {
        self.id(2, Duration::days(2), index)
    }

    fn apply_time(&self, index: u64) -> OffsetDateTime {
        let microseconds = i64::try_from(10 * index).unwrap_or_default();
        self.now - Duration::days(2) + Duration::microseconds(microseconds)
    }

    /// Makes an id of version 7: ascending with the index, a hundred in a millisecond.
    fn id(&self, kind: u8, ago: Duration, index: u64) -> Uuid {
        let milliseconds = (self.now - ago).unix_timestamp_nanos() / 1_000_000;
        let milliseconds = u64::try_from(milliseconds).unwrap_or_default() + index / 100;
        let mut rest = [0; 10];
        // The first two bits of the third byte are the variant's.
        rest[1] = u8::try_from(index % 100).unwrap_or_default();
        rest[2] = kind;
        rest[3..].copy_from_slice(&Chance(index).next().to_be_bytes()[1..]);
        Builder::from_unix_timestamp_millis(milliseconds, &rest).into_uuid()
    }
}

// === impl Applicant ===

impl Applicant<'_> {
    /// Returns the canonical facts of a decision: JSON with ascending names and no blanks.
    fn facts(&self) -> String {
        format!(
            "{{\"age_years\":{},\"already_recipient\":false,\"citizenship\":\"ID\",\"deceased\":false,\
             \"disability\":{},\"education\":\"{}\",\"occupation\":\"{}\",\"region\":\"{}\",\"rural\":{},\
             \"sex\":\"{}\",\"verified\":true}}",
            self.age,
            self.disability,
            self.education.0,
            self.occupation,
            self.region,
            self.rural,
            self.sex(),
        )
    }

    /// Returns the band of ages of the public list.
    fn age_band(&self) -> u8 {
        match self.age {
            ..=24 => 1,
            25..=34 => 2,
            35..=44 => 3,
            45..=54 => 4,
            55..=64 => 5,
            65.. => 6,
        }
    }

    /// Returns the rules that the scheme of 2023 finds broken.
    fn refusals(&self) -> Vec<&'static str> {
        let age = (!AGES.contains(&self.age)).then_some("AGE_OUT_OF_RANGE");
        let occupation = REFUSED.contains(&self.occupation);
        let occupation = occupation.then_some(self.occupation);
        age.into_iter().chain(occupation).collect()
    }

    /// Returns what identity keeps of the registry's and the person's own facts. Dates stand as year and day.
    fn known_facts(&self) -> Vec<u8> {
        let registry = format!(
            "{{\"birth_date\":{},\"sex\":\"{}\",\"citizenship\":\"ID\",\"occupation\":\"{}\",\"region\":\"{}\",\
             \"deceased\":false}}",
            self.birth_date(),
            self.sex(),
            self.occupation,
            self.region,
        );
        let declared = format!(
            "{{\"education\":\"{}\",\"disability\":{},\"rural\":{}}}",
            self.education.1, self.disability, self.rural,
        );
        format!("{{\"registry\":{registry},\"declared\":{declared}}}").into_bytes()
    }

    /// Returns what the person submitted.
    fn submission(&self, index: u64) -> Vec<u8> {
        format!(
            "{{\"national_id\":\"{}\",\"household_id\":\"{}\",\"full_name\":\"Pemohon {index}\",\"birth_date\":{}}}",
            self.national_id(index),
            self.household_id,
            self.birth_date(),
        )
        .into_bytes()
    }

    fn national_id(&self, index: u64) -> String {
        format!("{index:016}")
    }

    fn birth_date(&self) -> String {
        format!("[{},{}]", self.birth_date.year(), self.birth_date.ordinal())
    }

    fn sex(&self) -> &'static str {
        if self.female { "FEMALE" } else { "MALE" }
    }
}

// === impl Vault ===

impl Vault {
    /// Returns the hash by which identity finds a value again.
    fn hash(&self, label: &[u8], value: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.matching);
        context.update(label);
        context.update(&[0]);
        context.update(value.as_bytes());
        context.sign()
    }

    /// Returns the key of one person's own.
    fn person_key(&self, index: u64) -> hmac::Tag {
        self.hash(b"load", &index.to_string())
    }

    /// Returns the name under which an account stands in a batch's public list.
    fn pseudonym(&self, batch: &str, account_id: Uuid) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.pseudonym);
        context.update(batch.as_bytes());
        context.update(&[0]);
        context.update(account_id.as_bytes());
        let mut pseudonym = [0; 16];
        pseudonym.copy_from_slice(&context.sign().as_ref()[..16]);
        pseudonym
    }
}

/// Encrypts as identity does, bound to the account and the use.
fn seal(
    key: &RandomizedNonceKey,
    label: &[u8],
    person: &Applicant<'_>,
    mut plain: Vec<u8>,
) -> Vec<u8> {
    let bound = Aad::from([label, &[0], person.account_id.as_bytes()].concat());
    let nonce = key.seal_in_place_append_tag(bound, &mut plain);
    let nonce = nonce.expect("so short a text can be sealed");
    [nonce.as_ref(), plain.as_slice()].concat()
}

fn cipher(key: &[u8]) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key).expect("the library has the cipher")
}

/// Says whether an applicant's facts change after the application.
fn changes(index: u64) -> bool {
    index % 100 == 37
}

/// Households of one, two, three, four and five members, again and again.
fn household_of(index: u64) -> u64 {
    let place = match index % 15 {
        0 => 0,
        1..=2 => 1,
        3..=5 => 2,
        6..=9 => 3,
        _ => 4,
    };
    index / 15 * 5 + place
}

// === impl Chance ===

impl Chance {
    /// Scatters the next number (`SplitMix64`).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns the choice into whose share of a hundred the chance falls.
    fn choice<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut at = self.below(100);
        let found = choices.iter().find(|(share, _)| {
            let hit = at < *share;
            at = at.saturating_sub(*share);
            hit
        });
        found.expect("the shares make a hundred").1
    }
}

/// Writes a piece of a row.
fn put(row: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    row.write_fmt(text).expect("memory takes what is written");
}

/// Writes bytes as PostgreSQL's text format has them.
fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    row.extend_from_slice(b"\\\\x");
    for byte in bytes {
        row.push(DIGITS[usize::from(byte >> 4)]);
        row.push(DIGITS[usize::from(byte & 15)]);
    }
}
