//! One entrant and the bytes that stand for him in the tree and in the bundle.
//! A leaf is at most 54 bytes: with the tree's prefix and the padding it fills a single SHA-256 block.

use crate::{Invalid, quota::GROUPS_MAX};

/// Names the kind and version of a leaf.
pub(crate) const LEAF_DOMAIN: &[u8; 11] = b"bekal/row/1";
/// Bytes of a record without a household token.
pub(crate) const HEAD_BYTES: usize = 27;
/// Bytes of a household token.
pub(crate) const TOKEN_BYTES: usize = 16;

/// Highest hundredth of the time of application.
pub(crate) const APPLY_ORDER_MAX: u8 = 99;
/// Highest code of a sex.
pub(crate) const SEX_MAX: u8 = 2;
/// Highest age band: half a byte.
pub(crate) const AGE_BAND_MAX: u8 = 15;
/// Most recipients of a household that a record can tell.
const HOUSEHOLD_PRIOR_MAX: u8 = 254;

/// A person in the draw, under the pseudonym of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entrant {
    /// Pseudonym of the application; the list is ordered by it.
    pub pseudonym: [u8; 16],
    /// Code of the region, such as 32 (province) or 3273 (regency); 0 if none applies.
    pub region: u32,
    /// Bit i stands for the i-th reserved group of the quota plan.
    pub groups: u32,
    /// What the self-test compares ranks with; it decides nothing.
    pub covariates: Covariates,
    /// Keyed hash of the household at the time of the freeze, if known.
    pub household: Option<[u8; TOKEN_BYTES]>,
    /// Members of the household who are recipients already, at most 254; 0 without a household.
    pub household_prior: u8,
}

/// What the published self-test compares ranks with, beside the region. Fixed before the randomness, as all of
/// the entrant is; coarse, so that knowing when a person applied does not find him in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covariates {
    /// When the entrant applied, in hundredths of the time for which applications were taken: 0 to 99.
    pub apply_order: u8,
    /// 0 unknown, 1 female, 2 male.
    pub sex: u8,
    /// 0 unknown, 1 to 15 a band of the scheme.
    pub age_band: u8,
}

impl Entrant {
    /// Appends the record of a well-formed entrant: pseudonym, region, groups, order of application, sex and age
    /// band in half a byte each, household (0, or 1 + prior), household token if there is one.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        let Covariates {
            apply_order,
            sex,
            age_band,
        } = self.covariates;
        out.extend_from_slice(&self.pseudonym);
        out.extend_from_slice(&self.region.to_be_bytes());
        out.extend_from_slice(&self.groups.to_be_bytes());
        out.extend_from_slice(&[apply_order, sex << 4 | age_band & 0x0f]);
        match &self.household {
            None => out.push(0),
            Some(token) => {
                out.push(self.household_prior.saturating_add(1));
                out.extend_from_slice(token);
            }
        }
    }

    /// Returns the canonical leaf: the domain, then the record.
    pub fn leaf(&self) -> Vec<u8> {
        let mut leaf = Vec::with_capacity(LEAF_DOMAIN.len() + HEAD_BYTES + TOKEN_BYTES);
        leaf.extend_from_slice(LEAF_DOMAIN);
        self.write_record(&mut leaf);
        leaf
    }

    /// Reads the record at the front and returns the bytes after it; `None` if it is cut or not one that
    /// [`Self::write_record`] writes. Which groups the plan has is another question.
    pub fn read_record(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (pseudonym, rest) = bytes.split_first_chunk::<16>()?;
        let (region, rest) = rest.split_first_chunk::<4>()?;
        let (groups, rest) = rest.split_first_chunk::<4>()?;
        let ([apply_order, sex_age, household], rest) = rest.split_first_chunk::<3>()?;
        let mut entrant = Self {
            pseudonym: *pseudonym,
            region: u32::from_be_bytes(*region),
            groups: u32::from_be_bytes(*groups),
            covariates: Covariates {
                apply_order: *apply_order,
                sex: sex_age >> 4,
                age_band: sex_age & 0x0f,
            },
            household: None,
            household_prior: 0,
        };
        let mut rest = rest;
        if let Some(prior) = household.checked_sub(1) {
            let token;
            (token, rest) = rest.split_first_chunk()?;
            entrant.household = Some(*token);
            entrant.household_prior = prior;
        }
        entrant
            .is_well_formed(GROUPS_MAX)
            .then_some((entrant, rest))
    }

    fn is_well_formed(&self, group_count: usize) -> bool {
        let prior_max = self.household.map_or(0, |_| HOUSEHOLD_PRIOR_MAX);
        u64::from(self.groups) < 1_u64 << group_count
            && self.covariates.apply_order <= APPLY_ORDER_MAX
            && self.covariates.sex <= SEX_MAX
            && self.covariates.age_band <= AGE_BAND_MAX
            && self.household_prior <= prior_max
    }
}

/// Returns how many bytes the first record takes; `None` if it is not whole.
pub(crate) fn record_bytes(records: &[u8]) -> Option<usize> {
    let household = *records.get(HEAD_BYTES - 1)?;
    let length = HEAD_BYTES + if household == 0 { 0 } else { TOKEN_BYTES };
    (length <= records.len()).then_some(length)
}

/// Accepts entrants one by one in strictly ascending order of their pseudonyms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    group_count: usize,
    last: Option<[u8; 16]>,
    count: u64,
}

impl Sequence {
    pub(crate) fn new(group_count: usize) -> Self {
        Self {
            group_count,
            last: None,
            count: 0,
        }
    }

    /// Counts entrants, up to `last`, that are accepted elsewhere.
    pub(crate) fn pass_over(&mut self, count: u64, last: [u8; 16]) {
        self.count += count;
        self.last = Some(last);
    }

    /// Reads the entrant at the front of whole records, accepts him, and returns the bytes after him.
    pub(crate) fn accept_record<'a>(
        &mut self,
        records: &'a [u8],
    ) -> Result<(Entrant, &'a [u8]), Invalid> {
        let index = self.count;
        let (entrant, rest) =
            Entrant::read_record(records).ok_or(Invalid::EntrantMalformed { index })?;
        self.accept(&entrant)?;
        Ok((entrant, rest))
    }

    pub(crate) fn accept(&mut self, entrant: &Entrant) -> Result<(), Invalid> {
        let index = self.count;
        if !entrant.is_well_formed(self.group_count) {
            return Err(Invalid::EntrantMalformed { index });
        }
        if self.last.is_some_and(|last| last >= entrant.pseudonym) {
            return Err(Invalid::EntrantOrder { index });
        }
        self.last = Some(entrant.pseudonym);
        self.count += 1;
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrant(first_byte: u8) -> Entrant {
        let mut pseudonym = [0; 16];
        pseudonym[0] = first_byte;
        Entrant {
            pseudonym,
            region: 3273,
            ..Entrant::default()
        }
    }

    #[test]
    fn a_leaf_is_laid_out_field_by_field() {
        let entrant = Entrant {
            pseudonym: *b"0123456789abcdef",
            region: 3273,
            groups: 0b101,
            covariates: Covariates {
                apply_order: 99,
                sex: 2,
                age_band: 5,
            },
            household: Some(*b"HHHHHHHHHHHHHHHH"),
            household_prior: 1,
        };

        let expected =
            b"bekal/row/10123456789abcdef\x00\x00\x0c\xc9\x00\x00\x00\x05\x63\x25\x02HHHHHHHHHHHHHHHH";
        assert_eq!(entrant.leaf(), expected);
        assert_eq!(entrant.leaf().len(), 54);
    }

    #[test]
    fn a_record_is_read_back_and_the_rest_is_left() {
        let household = Entrant {
            household: Some([7; 16]),
            household_prior: 254,
            ..entrant(2)
        };
        for entrant in [entrant(1), household] {
            let mut bytes = Vec::new();
            entrant.write_record(&mut bytes);
            let length = bytes.len();
            for cut in 0..length {
                assert_eq!(Entrant::read_record(&bytes[..cut]), None);
                assert_eq!(record_bytes(&bytes[..cut]), None);
            }

            bytes.push(9);

            assert_eq!(Entrant::read_record(&bytes), Some((entrant, &[9][..])));
            assert_eq!(record_bytes(&bytes), Some(length));
        }
    }

    #[test]
    fn a_record_that_is_not_written_is_not_read() {
        let mut bytes = Vec::new();
        entrant(1).write_record(&mut bytes);
        for (offset, highest) in [(24, 99), (25, 0x2f)] {
            let mut changed = bytes.clone();
            changed[offset] = highest;
            assert!(Entrant::read_record(&changed).is_some());
            changed[offset] += 1;
            assert_eq!(Entrant::read_record(&changed), None);
        }
    }

    #[test]
    fn a_repeated_or_lower_pseudonym_is_refused() {
        let mut sequence = Sequence::new(0);
        sequence.accept(&entrant(2)).unwrap();

        assert_eq!(
            sequence.accept(&entrant(2)),
            Err(Invalid::EntrantOrder { index: 1 })
        );
        assert_eq!(
            sequence.accept(&entrant(1)),
            Err(Invalid::EntrantOrder { index: 1 })
        );
        assert_eq!(sequence.accept(&entrant(3)), Ok(()));
    }

    #[test]
    fn a_group_outside_the_plan_is_refused() {
        let of_groups = |groups| Entrant {
            groups,
            ..entrant(1)
        };

        assert!(!of_groups(0b100).is_well_formed(2));
        assert!(of_groups(0b100).is_well_formed(3));
        assert!(of_groups(u32::MAX).is_well_formed(32));
    }

    #[test]
    fn a_prior_without_household_or_above_its_byte_is_refused() {
        let with = |household, household_prior| Entrant {
            household,
            household_prior,
            ..entrant(1)
        };

        assert!(!with(None, 1).is_well_formed(0));
        assert!(with(Some([0; 16]), 254).is_well_formed(0));
        assert!(!with(Some([0; 16]), 255).is_well_formed(0));
    }

    #[test]
    fn covariates_outside_their_ranges_are_refused() {
        let with = |apply_order, sex, age_band| Entrant {
            covariates: Covariates {
                apply_order,
                sex,
                age_band,
            },
            ..entrant(1)
        };

        assert!(with(99, 2, 15).is_well_formed(0));
        assert!(!with(100, 2, 15).is_well_formed(0));
        assert!(!with(99, 3, 15).is_well_formed(0));
        assert!(!with(99, 2, 16).is_well_formed(0));
    }
}
