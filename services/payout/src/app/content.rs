//! The bytes of a file that a caller sends, for a reader that waits for them on a thread of its own.

use std::io::{self, BufRead, Read};

use time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The bytes of a file, as they come. The file has ended when the channel has; a piece that is an error has cut it.
pub(super) struct Content {
    receiver: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    position: usize,
}

impl Content {
    /// Begins with a file.
    pub(super) fn new(receiver: mpsc::Receiver<io::Result<Vec<u8>>>) -> Content {
        Content {
            receiver,
            piece: Vec::new(),
            position: 0,
        }
    }
}

/// The earliest id of a file whose process may still live, when none lives longer than `longest`.
pub(super) fn earliest_alive(id: Uuid, longest: Duration) -> Uuid {
    let millis = id.as_u128() >> 80;
    let before = millis.saturating_sub(longest.whole_milliseconds().unsigned_abs());
    Uuid::from_u128(before << 80)
}

impl BufRead for Content {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(&[]),
            }
            self.position = 0;
        }
        Ok(&self.piece[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}
