//! Snapshots of exclusion lists: chunks of hashed national ids in a fixed order, and an end that counts them.

use time::Date;

use super::exclusion_list::ExclusionListId;

/// The most rows of a chunk: some 350 kB.
pub const CHUNK_ROWS_MAX: usize = 10_000;

const HASH_BYTES: usize = 32;

/// What a snapshot says of the ids that it does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// They are not on the list.
    Full,
    /// They stay as they are.
    Incremental,
}

/// A snapshot, as its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of which list.
    pub list_id: ExclusionListId,
    /// For which day the office gave it.
    pub date: Date,
    /// What it says of the ids that it does not name.
    pub kind: SnapshotKind,
}

/// Rows of a snapshot that can be taken. Not `Debug`: no log may show a hash.
pub struct Chunk {
    /// Its number.
    pub number: i64,
    /// The hashed ids that are on the list.
    pub listed: Vec<Vec<u8>>,
    /// Those that are not any more.
    pub lifted: Vec<Vec<u8>>,
}

/// A row that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The field that it stands in.
    pub field: RowField,
    /// Its place there.
    pub index: usize,
    /// What is wrong, for a person.
    pub description: &'static str,
}

/// The fields that rows stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowField {
    /// Ids that are on the list.
    Listed,
    /// Ids that are not any more.
    Lifted,
}

/// What has to be done with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkVerdict {
    /// It is the next one.
    Store,
    /// It is stored already.
    Stored,
}

/// Why a snapshot does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotRefusal {
    /// A newer one has taken effect.
    #[error("the newest snapshot of the list is of {newest}")]
    Outdated {
        /// Its date.
        newest: Date,
    },
    /// Other chunks are stored than the caller counts on.
    #[error("chunk {last_chunk_number} is the last one that is stored")]
    Incomplete {
        /// The last one.
        last_chunk_number: i64,
    },
    /// It has taken effect.
    #[error("the snapshot has taken effect")]
    Ended,
}

impl Chunk {
    /// Sorts the rows of a chunk into those that can be taken and those that are refused.
    pub fn read(
        kind: SnapshotKind,
        number: i64,
        listed: Vec<Vec<u8>>,
        lifted: Vec<Vec<u8>>,
    ) -> (Chunk, Vec<RowFault>) {
        let mut faults = Vec::new();
        let listed = take(RowField::Listed, listed, length_fault, &mut faults);
        let lifted_fault = |hash: &[u8]| match kind {
            SnapshotKind::Full => Some("a full snapshot lifts nobody by name"),
            SnapshotKind::Incremental => length_fault(hash),
        };
        let lifted = take(RowField::Lifted, lifted, lifted_fault, &mut faults);
        let chunk = Chunk {
            number,
            listed,
            lifted,
        };
        (chunk, faults)
    }

    /// Returns how many rows it has.
    pub fn row_count(&self) -> usize {
        self.listed.len() + self.lifted.len()
    }
}

fn take(
    field: RowField,
    rows: Vec<Vec<u8>>,
    fault: impl Fn(&[u8]) -> Option<&'static str>,
    faults: &mut Vec<RowFault>,
) -> Vec<Vec<u8>> {
    let mut taken = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        match fault(&row) {
            None => taken.push(row),
            Some(description) => faults.push(RowFault {
                field,
                index,
                description,
            }),
        }
    }
    taken
}

fn length_fault(hash: &[u8]) -> Option<&'static str> {
    (hash.len() != HASH_BYTES).then_some("is not a hash of 32 bytes")
}

/// Decides whether a snapshot of this date may take effect behind the newest one. One of the same date corrects it.
///
/// # Errors
/// When it is older.
pub fn check_date(date: Date, newest: Option<Date>) -> Result<(), SnapshotRefusal> {
    match newest {
        Some(newest) if date < newest => Err(SnapshotRefusal::Outdated { newest }),
        Some(_) | None => Ok(()),
    }
}

/// Decides what has to be done with a chunk.
///
/// # Errors
/// When chunks before it are missing, or the snapshot has taken effect without it.
pub fn place(
    chunk_number: i64,
    last_chunk_number: i64,
    ended: bool,
) -> Result<ChunkVerdict, SnapshotRefusal> {
    if chunk_number <= last_chunk_number {
        Ok(ChunkVerdict::Stored)
    } else if ended {
        Err(SnapshotRefusal::Ended)
    } else if chunk_number == last_chunk_number.saturating_add(1) {
        Ok(ChunkVerdict::Store)
    } else {
        Err(SnapshotRefusal::Incomplete { last_chunk_number })
    }
}

/// Decides whether a snapshot is whole.
///
/// # Errors
/// When other chunks are stored than the end counts.
pub fn check_count(chunk_count: i64, last_chunk_number: i64) -> Result<(), SnapshotRefusal> {
    if chunk_count == last_chunk_number {
        Ok(())
    } else {
        Err(SnapshotRefusal::Incomplete { last_chunk_number })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn rows_are_refused_one_by_one() {
        let rows = || vec![vec![1; 32], vec![2; 31], Vec::new(), vec![3; 32]];

        let (full, full_faults) = Chunk::read(
            SnapshotKind::Full,
            1,
            rows(),
            vec![vec![4; 32], vec![5; 31]],
        );
        let (change, change_faults) = Chunk::read(SnapshotKind::Incremental, 1, rows(), rows());

        let places = |faults: &[RowFault]| -> Vec<(RowField, usize)> {
            faults
                .iter()
                .map(|fault| (fault.field, fault.index))
                .collect()
        };
        use RowField::{Lifted, Listed};
        assert_eq!(full.row_count(), 2);
        assert_eq!(
            places(&full_faults),
            [(Listed, 1), (Listed, 2), (Lifted, 0), (Lifted, 1)]
        );
        assert_eq!(change.listed, [vec![1; 32], vec![3; 32]]);
        assert_eq!(change.lifted, change.listed);
        assert_eq!(
            places(&change_faults),
            [(Listed, 1), (Listed, 2), (Lifted, 1), (Lifted, 2)]
        );
    }

    #[test]
    fn an_older_snapshot_does_not_take_effect() {
        let newest = Some(date!(2026 - 11 - 02));

        assert_eq!(check_date(date!(2026 - 11 - 01), None), Ok(()));
        assert_eq!(check_date(date!(2026 - 11 - 02), newest), Ok(()));
        assert!(check_date(date!(2026 - 11 - 01), newest).is_err());
    }

    #[test]
    fn chunks_come_in_order_and_are_counted() {
        let incomplete = SnapshotRefusal::Incomplete {
            last_chunk_number: 2,
        };

        assert_eq!(place(1, 2, false), Ok(ChunkVerdict::Stored));
        assert_eq!(place(2, 2, true), Ok(ChunkVerdict::Stored));
        assert_eq!(place(3, 2, false), Ok(ChunkVerdict::Store));
        assert_eq!(place(4, 2, false), Err(incomplete));
        assert_eq!(place(3, 2, true), Err(SnapshotRefusal::Ended));
        assert_eq!(check_count(2, 2), Ok(()));
        assert_eq!(check_count(1, 2), Err(incomplete));
        assert_eq!(check_count(3, 2), Err(incomplete));
    }
}
