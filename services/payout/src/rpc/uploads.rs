//! Files that callers send as a stream of a header and pieces. A stream is read on as fast as its file is: a slow database
//! slows the caller.

use std::io;

use chassis::status::{Refusal, Violations};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// The largest piece of a file.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

const GIB: u64 = 1024 * 1024 * 1024;

/// Pieces that wait for the reader of the file.
pub(super) const PIECES_WAITING_MAX: usize = 2;

/// Passes the pieces of a file on, and returns the hash of all of them. A stream that is cut, or breaks its rules, cuts the
/// file, and so does one that is longer than so many GiB. When the reader wants no more, the rest is not asked for.
/// `content_of` finds the piece in a message, or why there is none.
pub(super) async fn receive<M>(
    stream: &mut Streaming<M>,
    pieces: mpsc::Sender<io::Result<Vec<u8>>>,
    gib_max: u64,
    content_of: fn(M) -> Result<Vec<u8>, Refusal>,
) -> Result<[u8; 32], Status> {
    let mut hash = Sha256::new();
    let mut length = 0;
    loop {
        let piece = match next(stream, &mut length, gib_max, content_of).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(hash.finalize().into()),
            Err(status) => {
                let cut = io::Error::other("the stream was cut");
                // The reader may have given up before.
                let _ = pieces.send(Err(cut)).await;
                return Err(status);
            }
        };
        hash.update(&piece);
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(hash.finalize().into());
        }
    }
}

async fn next<M>(
    stream: &mut Streaming<M>,
    length: &mut u64,
    gib_max: u64,
    content_of: fn(M) -> Result<Vec<u8>, Refusal>,
) -> Result<Option<Vec<u8>>, Status> {
    let Some(message) = stream.message().await? else {
        return Ok(None);
    };
    let piece = content_of(message)?;
    if piece.len() > PIECE_BYTES_MAX {
        return Err(violation("content", "is longer than 1 MiB").into());
    }
    *length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    if *length > gib_max * GIB {
        let what = format!("is together longer than {gib_max} GiB");
        return Err(violation("content", &what).into());
    }
    Ok(Some(piece))
}

pub(super) fn violation(field: &str, description: &str) -> Refusal {
    let mut violations = Violations::new();
    violations.add(field, description);
    Refusal::invalid(violations)
}
