//! The rail's notices: what it tells of a transfer without being asked (SNAP's service 52). They are believed to come from
//! the rail when the signature is its own and fresh; what they say is asked about all the same.

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Rail, messages::TransferNotice};

/// How far the time of a notice may be from ours. What was overheard is of no use afterwards; and a repeat within it finds
/// nothing left to do.
const FRESH: Duration = Duration::minutes(5);

/// A notice as it came.
#[derive(Clone, Copy, Debug)]
pub struct SignedNotice<'a> {
    /// The path that it was posted to.
    pub path: &'a str,
    /// `X-TIMESTAMP`.
    pub timestamp: &'a str,
    /// `X-PARTNER-ID`.
    pub partner_id: &'a str,
    /// `X-SIGNATURE`.
    pub signature: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The order's reference.
    pub reference: String,
    /// SNAP's number of the state that the order is said to have.
    pub state: String,
}

/// Why a notice is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefusal {
    /// It is for somebody else.
    #[error("the notice is for another partner")]
    Stranger,
    /// It is too old, from the future, or has no time.
    #[error("the notice is not of this time")]
    Stale,
    /// The rail has not signed it.
    #[error("the notice is not signed by the rail")]
    Unsigned,
    /// It cannot be read.
    #[error("the notice cannot be read")]
    Unreadable,
}

impl Rail {
    /// Reads a notice that the rail has signed.
    ///
    /// # Errors
    /// When it has not, or not just now, or the notice says nothing.
    pub fn read_notice(&self, signed: &SignedNotice<'_>) -> Result<Notice, NoticeRefusal> {
        if signed.partner_id != self.signer.client_id() {
            return Err(NoticeRefusal::Stranger);
        }
        let time =
            OffsetDateTime::parse(signed.timestamp, &Rfc3339).map_err(|_| NoticeRefusal::Stale)?;
        if (self.clock.now() - time).abs() > FRESH {
            return Err(NoticeRefusal::Stale);
        }
        if !self.public_key.has_signed(signed) {
            return Err(NoticeRefusal::Unsigned);
        }
        let notice: TransferNotice =
            serde_json::from_slice(signed.body).map_err(|_| NoticeRefusal::Unreadable)?;
        Ok(Notice {
            reference: notice.original_partner_reference_no,
            state: notice.latest_transaction_status,
        })
    }
}
