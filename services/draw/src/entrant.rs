//! One entrant and the bytes that stand for him in the tree and in the bundle.
//! A leaf is at most 54 bytes, so that hashing it takes a single SHA-256 block.

use crate::Invalid;

/// Names the kind and version of a leaf.
pub(crate) const LEAF_DOMAIN: &[u8; 12] = b"bekal/leaf/1";
/// Bytes of a record without a household token.
pub(crate) const HEAD_BYTES: usize = 26;
/// Bytes of a household token.
pub(crate) const TOKEN_BYTES: usize = 16;

/// A person in the draw, under the pseudonym of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entrant {
    /// Pseudonym of the application; the list is ordered by it.
    pub pseudonym: [u8; 16],
    /// Code of the region, such as 32 (province) or 3273 (regency); 0 if none applies.
    pub region: u32,
    /// Bit i stands for the i-th reserved group of the quota plan.
    pub groups: u32,
    /// Keyed hash of the household at the time of the freeze, if known.
    pub household: Option<[u8; TOKEN_BYTES]>,
    /// Members of the household who are recipients already; 0 without a household.
    pub household_prior: u8,
}

impl Entrant {
    /// Appends the record: pseudonym, region, groups, prior, household flag, household token.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pseudonym);
        out.extend_from_slice(&self.region.to_be_bytes());
        out.extend_from_slice(&self.groups.to_be_bytes());
        out.push(self.household_prior);
        out.push(u8::from(self.household.is_some()));
        if let Some(token) = &self.household {
            out.extend_from_slice(token);
        }
    }

    /// Returns the canonical leaf: the domain, then the record.
    pub fn leaf(&self) -> Vec<u8> {
        let mut leaf = Vec::with_capacity(LEAF_DOMAIN.len() + HEAD_BYTES + TOKEN_BYTES);
        leaf.extend_from_slice(LEAF_DOMAIN);
        self.write_record(&mut leaf);
        leaf
    }

    /// Reads the record at the front and returns the bytes after it; `None` if it is cut or no record.
    pub fn read_record(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_first_chunk()?;
        let (entrant, has_token) = Self::from_head(head)?;
        if !has_token {
            return Some((entrant, rest));
        }
        let (token, rest) = rest.split_first_chunk()?;
        let household = Some(*token);
        Some((
            Self {
                household,
                ..entrant
            },
            rest,
        ))
    }

    /// Reads the fixed part; the flag tells whether a token follows. `None` if the flag is neither 0 nor 1.
    pub(crate) fn from_head(head: &[u8; HEAD_BYTES]) -> Option<(Self, bool)> {
        let (pseudonym, rest) = head.split_first_chunk::<16>()?;
        let (region, rest) = rest.split_first_chunk::<4>()?;
        let (groups, rest) = rest.split_first_chunk::<4>()?;
        let &[household_prior, flag @ (0 | 1)] = rest else {
            return None;
        };
        let entrant = Self {
            pseudonym: *pseudonym,
            region: u32::from_be_bytes(*region),
            groups: u32::from_be_bytes(*groups),
            household: None,
            household_prior,
        };
        Some((entrant, flag == 1))
    }

    fn is_well_formed(&self, group_count: usize) -> bool {
        let groups_known = u64::from(self.groups) < 1_u64 << group_count;
        groups_known && (self.household.is_some() || self.household_prior == 0)
    }
}

/// Accepts entrants one by one in strictly ascending order of their pseudonyms.
#[derive(Debug, Clone)]
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
            groups: 0,
            household: None,
            household_prior: 0,
        }
    }

    #[test]
    fn a_leaf_is_laid_out_field_by_field() {
        let entrant = Entrant {
            pseudonym: *b"0123456789abcdef",
            region: 3273,
            groups: 0b101,
            household: Some(*b"HHHHHHHHHHHHHHHH"),
            household_prior: 1,
        };

        let expected =
            b"bekal/leaf/10123456789abcdef\x00\x00\x0c\xc9\x00\x00\x00\x05\x01\x01HHHHHHHHHHHHHHHH";
        assert_eq!(entrant.leaf(), expected);
        assert_eq!(entrant.leaf().len(), 54);
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
    fn a_group_outside_the_plan_and_a_prior_without_household_are_refused() {
        let stranger = Entrant {
            groups: 0b100,
            ..entrant(1)
        };
        let contradictory = Entrant {
            household_prior: 1,
            ..entrant(1)
        };

        assert!(!stranger.is_well_formed(2));
        assert!(stranger.is_well_formed(3));
        assert!(
            Entrant {
                groups: u32::MAX,
                ..entrant(1)
            }
            .is_well_formed(32)
        );
        assert!(!contradictory.is_well_formed(2));
    }

    #[test]
    fn a_head_with_an_unknown_flag_is_refused() {
        let mut head = [0; HEAD_BYTES];
        head[25] = 2;

        assert_eq!(Entrant::from_head(&head), None);
    }
}
